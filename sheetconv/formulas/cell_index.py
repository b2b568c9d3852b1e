"""The cells of a sheet that a trace can meet one by one: those listed in the file, and members of arrays.

A cell's *key* is ``row * 2**14 + column``; keys are sorted, a cell's place among them is its *index*. All else
on the sheet is blank and only ever handled as rectangles.
"""

from __future__ import annotations

import numpy as np

from sheetconv.errors import LimitError
from sheetconv.xlsx.a1 import Range
from sheetconv.xlsx.sheet_cells import SheetCells

MOST_ARRAY_CELLS = 4_000_000


class CellIndex:
    """Cells of one sheet by index.

    Attributes:
        keys: int64, ascending.
        owner: int32; index of the cell in which the cell's formula is written (an array formula's first cell
            for all its members, a spill's likewise), −1 without a formula.
        filled: bool; whether the cell has a value or a formula.
        form: int32; filled in by `sheetconv.formulas.relative.Forms`, −1 where not yet known.

    Raises `LimitError` where array formulas cover more than `MOST_ARRAY_CELLS` cells.
    """

    def __init__(self, cells: SheetCells):
        self.cells = cells
        self.keys, self.filled = cells.keys, cells.filled
        self._listed = np.arange(len(self.keys))
        arrays = [(a, r) for a, r in cells.arrays.items() if (r[0], r[1]) != (r[2], r[3])]
        members = [_members(r) for r in _checked(arrays, cells.sheet)]
        if members:
            self._insert(np.concatenate(members))
        self.owner = np.full(len(self.keys), -1, np.int32)
        own = np.searchsorted(self.keys, cells.keys[cells.formula_indices])
        self.owner[own] = own
        for (anchor, _), keys in zip(arrays, members, strict=True):
            self._own(anchor, keys)
        self.form = np.full(len(self.keys), -1, np.int32)
        self.view = memoryview(self.keys.data)

    def _insert(self, keys: np.ndarray) -> None:
        everything = np.union1d(self.keys, keys)
        place = np.searchsorted(everything, self.keys)
        self._listed = np.full(len(everything), -1)
        self._listed[place] = np.arange(len(place))
        filled = np.zeros(len(everything), bool)
        filled[place] = self.filled
        self.keys, self.filled = everything, filled

    def _own(self, anchor: tuple[int, int], keys: np.ndarray) -> None:
        first = self.find(*anchor)
        if first is None or self.owner[first] != first:
            return
        index = np.searchsorted(self.keys, keys)
        index = index[self.owner[index] < 0]  # a formula of its own goes before
        self.owner[index] = first
        self.filled[index] = True

    def find(self, row: int, column: int) -> int | None:
        """Index of a cell, None for one that is not known."""
        key = (row << 14) | column
        index = int(np.searchsorted(self.keys, key))
        return index if index < len(self.keys) and self.keys[index] == key else None

    def listed(self, index: int) -> int:
        """The index of the same cell in `cells` (−1 for a member of an array that the file does not list)."""
        return int(self._listed[index])

    def listed_many(self, indices: np.ndarray) -> np.ndarray:
        """The same for many cells."""
        found: np.ndarray = self._listed[indices]
        return found

    def position(self, index: int) -> tuple[int, int]:
        """Row and column of a cell."""
        key = self.view[index]
        return key >> 14, key & 16383

    def inside(self, box: Range) -> np.ndarray:
        """Indices of the known cells of a rectangle, ascending."""
        r0, c0, r1, c1 = (int(v) for v in box)
        low, high = np.searchsorted(self.keys, [(r0 << 14) | c0, ((r1 << 14) | c1) + 1])
        if r0 == r1 or (high - low) == 0:
            return np.arange(low, high)
        if (r1 - r0 + 1) * 32 < high - low:
            starts = np.arange(r0, r1 + 1, dtype=np.int64) << 14
            first = np.searchsorted(self.keys, starts | c0)
            count = np.searchsorted(self.keys, (starts | c1) + 1) - first
            offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            found: np.ndarray = np.repeat(first, count) + offset
            return found
        columns = self.keys[low:high] & 16383
        return low + np.flatnonzero((columns >= c0) & (columns <= c1))

    @property
    def formulas(self) -> np.ndarray:
        """Indices of the cells in which formulas are written (array formulas once)."""
        return np.flatnonzero(self.owner == np.arange(len(self.owner)))

    def owned(self, owners: np.ndarray) -> np.ndarray:
        """Indices of all cells whose formula is written in one of `owners`, ascending."""
        if not self.cells.arrays:
            return np.sort(owners)
        wanted = np.zeros(len(self.keys), bool)
        wanted[owners] = True
        return np.flatnonzero((self.owner >= 0) & wanted[self.owner])


def _checked(arrays: list[tuple[tuple[int, int], Range]], sheet: str) -> list[Range]:
    total = sum((r1 - r0 + 1) * (c1 - c0 + 1) for _, (r0, c0, r1, c1) in arrays)
    if total > MOST_ARRAY_CELLS:
        raise LimitError(f"array formulas of {sheet!r} cover over {MOST_ARRAY_CELLS:,} cells; refused")
    return [area for _, area in arrays]


def _members(area: Range) -> np.ndarray:
    r0, c0, r1, c1 = area
    rows, columns = np.arange(r0, r1 + 1, dtype=np.int64), np.arange(c0, c1 + 1, dtype=np.int64)
    keys: np.ndarray = ((rows[:, None] << 14) | columns).reshape(-1)
    return keys
