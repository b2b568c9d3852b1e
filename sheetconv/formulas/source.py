"""A workbook as the tracer sees it: every formula cell, names, tables, spills; no formula is ever run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from sheetconv.formulas.cell_index import CellIndex
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.references import Cell
from sheetconv.formulas.relative import Forms
from sheetconv.formulas.tables import StructuredTable, read_tables
from sheetconv.xlsx.cells import Book, SheetCells

__all__ = ["Cell", "References", "Source", "StructuredTable"]


@dataclass(frozen=True)
class References:
    """What one formula reads: areas in order of appearance, and notes on what cannot be followed."""

    areas: tuple[Area, ...]
    notes: tuple[str, ...] = ()


class Source:
    """An open workbook whose references are resolved. Use as a context manager.

    Attributes:
        book: the open `Book`.
        sheets: names of the worksheets in tab order; a sheet's *number* is its place here.

    Raises `WorkbookError` for a file that cannot be read safely, `LimitError` for array formulas that cover
    more than 4 million cells.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.book = Book(path)
        self.sheets = self.book.sheet_names
        self._lower = {name.lower(): name for name in self.sheets}
        self._numbers = {name: number for number, name in enumerate(self.sheets)}
        self._names = {name.lower(): text for name, text in self.book.defined_names.items()}
        self._local = {(s, n.lower()): t for (s, n), t in self.book.local_names.items()}
        self._formulas: dict[str, dict[tuple[int, int], str]] = {}
        self._grids: dict[int, CellIndex] = {}
        self.forms = Forms(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.book.close()

    def cells(self, sheet: str) -> SheetCells:
        """Values and formulas of a sheet as the file has them."""
        return self.book.cells(sheet)

    def number(self, sheet: str) -> int:
        """A sheet's place among `sheets`."""
        return self._numbers[sheet]

    def grid(self, sheet: int) -> CellIndex:
        """The known cells of a sheet, given by its number."""
        if sheet not in self._grids:
            self._grids[sheet] = CellIndex(self.cells(self.sheets[sheet]))
        return self._grids[sheet]

    def formulas(self, sheet: str) -> dict[tuple[int, int], str]:
        """Text of every formula cell, members of array formulas and spills included (made once, kept)."""
        if sheet not in self._formulas:
            grid = self.grid(self.number(sheet))
            found = {(row, column): text for row, column, text in grid.cells.formula_cells()}
            everyone = np.flatnonzero(grid.owner >= 0)
            for index in everyone[grid.owner[everyone] != everyone].tolist():
                found[grid.position(index)] = found[grid.position(int(grid.owner[index]))]
            self._formulas[sheet] = found
        return self._formulas[sheet]

    def formula(self, cell: Cell) -> str | None:
        """Formula text of a cell, ``"=…"``, or None."""
        sheet, row, column = self.anchor(cell)
        return self.cells(sheet).formula(row, column)

    def anchor(self, cell: Cell) -> Cell:
        """The cell an array formula is written in, for a member of its area; else the cell itself."""
        grid = self.grid(self.number(cell[0]))
        index = grid.find(*cell[1:])
        if index is None or grid.owner[index] < 0:
            return cell
        return (cell[0], *grid.position(int(grid.owner[index])))

    def precedents(self, cell: Cell) -> References:
        """Areas that a cell's formula reads directly; empty for a cell without one."""
        number = self.number(cell[0])
        grid = self.grid(number)
        index = grid.find(*cell[1:])
        owner = -1 if index is None else int(grid.owner[index])
        if owner < 0:
            return References(())
        form = self.forms.form(number, owner)
        found = [Area(self.sheets[s], *box) for s, *box in self.forms.areas(form, *grid.position(owner))]
        return References(tuple(dict.fromkeys(found)), self.forms.notes.get(form, ()))

    def bulk_precedents(
        self, sheet: str, rows: np.ndarray, columns: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """What many cells of a sheet read directly, in portions, as arrays.

        Args:
            sheet: the sheet's name.
            rows: int (n,), zero-based rows of the cells.
            columns: int (n,), their columns.

        Yields (which (m,), sheet numbers (m,), boxes (m, 4)), all int64: cell number `which` of the n reads
        the rectangle (row0, column0, row1, column1), inclusive, of sheet ``source.sheets[number]``. Cells
        without a formula read nothing. Rectangles that one formula reads may overlap.
        """
        number = self.number(sheet)
        grid = self.grid(number)
        keys = (np.asarray(rows, np.int64) << 14) | np.asarray(columns, np.int64)
        index = np.searchsorted(grid.keys, keys)
        known = np.flatnonzero(index < len(grid.keys))
        known = known[grid.keys[index[known]] == keys[known]]
        owner = grid.owner[index[known]]
        known, owner = known[owner >= 0], owner[owner >= 0].astype(np.int64)
        for which, sheets, boxes in self.forms.boxes(number, owner):
            yield known[which], sheets, boxes

    # --- what names in formulas stand for ---------------------------------------------------------

    def sheets_named(self, prefix: str) -> list[str]:
        """Sheets that the text before ``!`` names: one, or for ``First:Last`` all between; [] for none."""
        text = prefix[1:-1].replace("''", "'") if prefix.startswith("'") else prefix
        if text.lower() in self._lower:
            return [self._lower[text.lower()]]
        first, _, last = text.partition(":")
        if first.lower() in self._lower and last.lower() in self._lower:
            a, b = sorted(self._numbers[self._lower[s.lower()]] for s in (first, last))
            return self.sheets[a : b + 1]
        return []

    def name(self, name: str, sheet: str) -> str | None:
        """Text of a defined name as seen from a sheet (a name of its own goes before the workbook's)."""
        key = name.lower()
        local = self._local.get((sheet, key))
        return self._names.get(key) if local is None else local

    def has_name(self, name: str, sheet: str) -> bool:
        """Whether a name is defined, as seen from a sheet."""
        return self.name(name, sheet) is not None

    def used(self, area: Area) -> Area | None:
        """The part of an area in the used part of its sheet."""
        extent = self.cells(area.sheet).extent
        return area.meet(Area(area.sheet, *extent)) if extent else None

    def spill(self, area: Area) -> Area:
        """What ``A1#`` stands for: the area of the array formula written there, else the cell itself."""
        found = self.cells(area.sheet).arrays.get((area.row0, area.column0))
        return Area(area.sheet, *found) if found else area

    def link(self, prefix: str) -> str | None:
        """The other workbook that a prefix such as ``[1]Sheet1`` leads to; None for this one (``[0]``)."""
        inside = prefix.strip("'")
        head, _, rest = inside.partition("[")
        number, _, sheet = rest.partition("]")
        if number == "0" and not head:
            return None
        if number.isascii() and number.isdecimal() and 0 < int(number) <= len(self._links):
            return f"[{self._links[int(number) - 1]}]{sheet}"
        return inside

    @cached_property
    def _links(self) -> list[str]:
        """File names of the linked workbooks, in the order in which formulas number them."""
        package = self.book.package
        relations = package.relations(package.workbook_part)
        found = []
        for element in package.elements(package.workbook_part):
            if element.name == "externalReference":
                identity = next(
                    (v for k, v in element.attributes.items() if k.rpartition(":")[2] == "id"), ""
                )
                found.append(package.external_target(relations.get(identity, ("", ""))[1]))
        return found

    def table(self, name: str, cell: Cell) -> StructuredTable | None:
        """A table by name; without a name, the one around a cell."""
        if name:
            return self.tables.get(name.lower())
        here = Area(cell[0], cell[1], cell[2], cell[1], cell[2])
        return next((t for t in self.tables.values() if t.area.meet(here)), None)

    @cached_property
    def tables(self) -> dict[str, StructuredTable]:
        """Structured tables by lower-case name."""
        return read_tables(self.book)
