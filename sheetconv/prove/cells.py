"""The cells of a workbook's tensors: numbers as they stand, which of them are formulas, and addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.errors import WorkbookError
from sheetconv.graph.expr import FloatArray
from sheetconv.sheet.layout import Place
from sheetconv.xlsx.address import cell, quoted
from sheetconv.xlsx.cells import Book, SheetCells, numbers


class Sheets:
    """Cells of the sheets that are asked for, each read once."""

    def __init__(self, book: Book, path: Path) -> None:
        self.book, self.path = book, path
        self._formulas: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> SheetCells:
        if name not in self.book.sheet_names:
            raise WorkbookError(
                f"{self.path} has no sheet {name!r}, which its manifest names; build it again"
            )
        return self.book.cells(name)

    def formula_keys(self, name: str) -> np.ndarray:
        """Every cell of a sheet that a formula computes, as ``row * 2**14 + column``, ascending."""
        if name not in self._formulas:
            cells = self[name]
            own = cells.keys[cells.formula_indices] if cells.formula_count else np.empty(0, np.int64)
            areas = [_area_keys(area) for area in cells.arrays.values()]
            self._formulas[name] = np.unique(np.concatenate([own, *areas]))
        return self._formulas[name]

    def has_formula(self, place: Place) -> np.ndarray:
        """Which cells of a tensor hold a formula, bool of the tensor's shape."""
        return among(keys(place), self.formula_keys(place.sheet))

    def filled(self, place: Place) -> np.ndarray:
        """Which cells of a tensor hold anything, bool of the tensor's shape."""
        cells = self[place.sheet]
        return among(keys(place), np.sort(cells.keys[cells.filled]))

    def stored(self, place: Place) -> FloatArray:
        """The typed numbers of a tensor; a cell that was cleared counts as 0, as in every formula that reads it."""
        found = pick(self[place.sheet].values(*place.box()), place)
        values = np.where(blank(found), 0.0, numbers(found))
        if np.isnan(values).any():
            index = first(np.isnan(values))
            raise WorkbookError(
                f"{self.path}: cell {address(place, index)} of {place.tensor.name} holds {found[index]!r}, not a "
                "number; type a number"
            )
        return values


def _area_keys(area: tuple[int, int, int, int]) -> np.ndarray:
    r0, c0, r1, c1 = area
    return (np.arange(r0, r1 + 1)[:, None] * 2**14 + np.arange(c0, c1 + 1)).reshape(-1)


def among(wanted: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Which of `wanted` are among `ascending` numbers, bool of the same shape (a binary search, no sort)."""
    if not len(ascending):
        return np.zeros(wanted.shape, bool)
    at = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.asarray(ascending[at] == wanted)


def keys(place: Place) -> np.ndarray:
    """The cells of a tensor as ``row * 2**14 + column``, int64 of the tensor's shape."""
    rows, columns = np.broadcast_arrays(*place.cells())
    return rows.astype(np.int64) * 2**14 + columns


def pick(block: np.ndarray, place: Place) -> np.ndarray:
    """The cells of a tensor, in its shape, from the block that its box covers."""
    r0, c0, _, _ = place.box()
    rows, columns = np.broadcast_arrays(*place.cells())
    found = np.empty(rows.shape, dtype=object)
    found[...] = block[rows - r0, columns - c0]
    return found


def blank(found: np.ndarray) -> np.ndarray:
    """Where nothing stands, bool of the same shape."""
    nothing: Any = None
    return np.equal(found, nothing).astype(bool)


def first(mask: np.ndarray) -> tuple[int, ...]:
    """Index of the first True."""
    return tuple(int(i) for i in np.argwhere(mask)[0])


def address(place: Place, index: tuple[int, ...]) -> str:
    """The address of an element, with its sheet."""
    rows, columns = np.broadcast_arrays(*place.cells())
    return f"{quoted(place.sheet)}!{cell(int(rows[index]), int(columns[index]))}"
