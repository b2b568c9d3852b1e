"""Every cell of a workbook under one number, so that whole maps are looked up at once.

A cell's number is sheet · 2³⁴ + row · 2¹⁴ + column: numpy arrays of such numbers stand for many cells.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from sheetconv.formulas.cell_range import Area, rectangles
from sheetconv.formulas.source import Source
from sheetconv.formulas.values import Values
from sheetconv.xlsx.cells import CellError

Ids = np.ndarray
"""Cell numbers, int64, of any shape."""

_ROW, _SHEET = 14, 34


class CellKind(IntEnum):
    """What stands in a cell."""

    BLANK = 0
    NUMBER = 1
    FORMULA = 2
    TEXT = 3


class Cells:
    """Kinds and values of all cells; values of formulas are filled in once an engine has computed them."""

    def __init__(self, source: Source):
        self.sheets = source.sheets
        self.numbers = Values(source, compute=False)
        self.kept: set[int] = set()
        """Typed cells that say which cells are read (the position of an INDEX): never given other numbers."""
        self._order = {name: index for index, name in enumerate(source.sheets)}
        numbers: list[int] = []
        kinds: list[int] = []
        values: list[float] = []
        for name in source.sheets:
            base = self._order[name] << _SHEET
            formulas = source.formulas(name)
            for row, column in formulas:
                numbers.append(base | row << _ROW | column)
                kinds.append(CellKind.FORMULA)
                values.append(np.nan)
            for row, column, value in source.cells(name).listed():
                if value is None or (row, column) in formulas:
                    continue
                number = type(value) is float
                numbers.append(base | row << _ROW | column)
                kinds.append(CellKind.NUMBER if number else CellKind.TEXT)
                values.append(float(value) if number and not isinstance(value, CellError) else 0.0)
        order = np.argsort(np.array(numbers, np.int64), kind="stable")
        self._ids = np.array(numbers, np.int64)[order]
        self._kinds = np.array(kinds, np.int8)[order]
        self._values = np.array(values, np.float64)[order]

    def number(self, sheet: str, row: int, column: int) -> int:
        """The number of one cell."""
        return self._order[sheet] << _SHEET | row << _ROW | column

    def inside(self, area: Area) -> Ids:
        """Numbers of all cells of an area, row by row, (n,)."""
        rows, columns = np.arange(area.row0, area.row1 + 1), np.arange(area.column0, area.column1 + 1)
        found: Ids = (
            self._order[area.sheet] << _SHEET | rows[:, None].astype(np.int64) << _ROW | columns
        ).ravel()
        return found

    def corner(self, areas: list[Area]) -> Ids:
        """Numbers of the top left cells of areas, shape (areas,)."""
        return np.array([self.number(a.sheet, a.row0, a.column0) for a in areas], np.int64)

    def _find(self, ids: Ids) -> tuple[np.ndarray, np.ndarray]:
        if not len(self._ids):
            return np.zeros(ids.shape, np.int64), np.zeros(ids.shape, bool)
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return at, self._ids[at] == ids

    def kinds(self, ids: Ids) -> np.ndarray:
        """`CellKind` of each cell, same shape."""
        at, there = self._find(ids)
        return (
            np.where(there, self._kinds[at], CellKind.BLANK)
            if len(self._ids)
            else np.zeros(ids.shape, np.int8)
        )

    def values(self, ids: Ids) -> np.ndarray:
        """Value of each cell as float64, same shape: blank and text are 0, an error or nothing computed NaN."""
        at, there = self._find(ids)
        return np.where(there, self._values[at], 0.0) if len(self._ids) else np.zeros(ids.shape)

    def fill(self, ids: Ids, values: np.ndarray) -> None:
        """Set the computed values of formula cells."""
        at, there = self._find(ids)
        formula = there & (self._kinds[at] == CellKind.FORMULA)
        self._values[at[formula]] = values[formula]

    def retype(self, ids: Ids, values: np.ndarray) -> None:
        """Set typed numbers."""
        at, there = self._find(ids)
        typed = there & (self._kinds[at] == CellKind.NUMBER)
        self._values[at[typed]] = values[typed]

    def snapshot(self) -> np.ndarray:
        """All values, to be put back by `restore`."""
        return self._values.copy()

    def restore(self, values: np.ndarray) -> None:
        """Put back what `snapshot` gave."""
        self._values = values.copy()

    def areas(self, ids: Ids) -> list[Area]:
        """The cells as rectangles."""
        return rectangles(self.places(ids))

    def places(self, ids: Ids) -> list[tuple[str, int, int]]:
        """(sheet, row, column) of each cell, in order."""
        flat = np.asarray(ids).ravel()
        sheets, rows, columns = split(flat)
        return [(self.sheets[int(s)], int(r), int(c)) for s, r, c in zip(sheets, rows, columns, strict=True)]


def split(ids: Ids) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sheet index, row and column of each cell, each of the same shape."""
    return ids >> _SHEET, (ids >> _ROW) & ((1 << (_SHEET - _ROW)) - 1), ids & ((1 << _ROW) - 1)


def shifted(ids: Ids, rows: int, columns: int) -> Ids:
    """The cells that many rows below and columns to the right."""
    return ids + ((rows << _ROW) + columns)
