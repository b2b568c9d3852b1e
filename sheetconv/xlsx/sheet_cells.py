"""What stands in the cells of a sheet: numbers at full double precision, texts, errors, and formulas."""

from array import array
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from sheetconv.errors import LimitError, WorkbookError
from sheetconv.xlsx.a1 import Range, cell_name, sheet_cell

MOST_AT_ONCE = 50_000_000


class CellError(str):
    """An error value of a cell, such as ``#DIV/0!``: text, but of its own type."""

    __slots__ = ()


Value = float | str | bool | CellError | None
"""What a cell holds: a number (always float), text, a truth value, an error, or None for a blank cell."""


def numbers(values: np.ndarray) -> np.ndarray:
    """Turn an object array of `Value` into float64 of the same shape; NaN where no number stands."""
    flat = np.fromiter((v if type(v) is float else np.nan for v in values.flat), np.float64, values.size)
    return flat.reshape(values.shape)


class SheetCells:
    """All cells of one sheet as they stand in the file. Rows and columns count from zero.

    Attributes:
        sheet: the sheet's name.
        validations: attributes of each data validation as written, with its ``formula1`` and ``formula2``.
        merged: areas that are shown as one cell; the first of their cells has the value.
        arrays: area of each array formula, by its first cell: {(row, column): (r0, c0, r1, c1)}.
    """

    def __init__(self, sheet: str):
        self.sheet = sheet
        self.arrays: dict[tuple[int, int], Range] = {}
        self.validations: list[dict[str, str]] = []
        self.merged: list[Range] = []
        self._rows, self._columns, self._numbers = array("i"), array("i"), array("d")
        self._others: dict[int, Value] = {}  # index of a cell → what is not a number
        self._formulas: dict[int, str | int] = {}  # index of a cell → text, or the number of a shared one
        self._masters: dict[int, tuple[str, int, int]] = {}  # number of a shared formula → text, where
        self._shared: dict[int, Callable[[int, int], str]] = {}

    def __len__(self) -> int:
        """How many cells the file lists (blank cells with a style count)."""
        return len(self._rows)

    @property
    def formula_count(self) -> int:
        """How many cells carry a formula of their own (an array formula counts once)."""
        return len(self._formulas)

    @cached_property
    def keys(self) -> np.ndarray:
        """Every listed cell as ``row * 2**14 + column``, int64, ascending; its place is the cell's index."""
        return (self._row_view.astype(np.int64) << 14) | self._column_view

    @cached_property
    def formula_indices(self) -> np.ndarray:
        """Indices (int64, ascending) of the cells that carry a formula of their own."""
        return np.fromiter(self._formulas, np.int64, len(self._formulas))

    @cached_property
    def filled(self) -> np.ndarray:
        """Whether a listed cell has a value or a formula (bool, by index); others have a style only."""
        found = self._number_view == self._number_view
        found[np.fromiter((i for i, v in self._others.items() if v is not None), np.int64)] = True
        found[self.formula_indices] = True
        return found

    @property
    def uncomputed(self) -> np.ndarray:
        """Indices of cells with a formula of their own for which the file has no value."""
        own = self.formula_indices
        blank = own[np.isnan(self._number_view[own])]
        return blank[[self._others.get(int(i)) is None for i in blank]] if len(blank) else blank

    def written(self, index: int) -> tuple[str, int, int] | int:
        """How the formula of a listed cell is written: (text, row, column), or the number of a shared one.

        See `master` for the latter; raises `KeyError` for a cell without a formula of its own.
        """
        formula = self._formulas[index]
        if isinstance(formula, int):
            return formula
        return formula, self._rows[index], self._columns[index]

    def master(self, shared: int, row: int, column: int) -> tuple[str, int, int]:
        """Text of a shared formula and where it was written.

        Raises `WorkbookError` where it is missing from the file, naming the cell (row, column) that needs it.
        """
        if shared not in self._masters:
            raise WorkbookError(
                f"{sheet_cell(self.sheet, row, column)} refers to a shared formula that is missing"
            )
        return self._masters[shared]

    def fill(self, shared: int, text: str, row: int, column: int, area: Range) -> None:
        """Give the cells of an area that have no formula of their own the shared formula `text`."""
        self._masters[shared] = text, row, column
        found = {int(i): shared for i in self._inside(*area) if int(i) not in self._formulas}
        self._formulas = dict(sorted((self._formulas | found).items()))

    @property
    def extent(self) -> Range | None:
        """Smallest range that holds every listed cell; None for an empty sheet."""
        if not self._rows:
            return None
        columns = self._column_view
        return self._rows[0], int(columns.min()), self._rows[-1], int(columns.max())

    def numbers_at(self, indices: np.ndarray) -> np.ndarray:
        """Cached values of listed cells by index, float64; NaN where no number stands (and for index −1)."""
        found = np.full(len(indices), np.nan)
        listed = indices >= 0
        found[listed] = self._number_view[indices[listed]]
        return found

    def values(self, row0: int, column0: int, row1: int, column1: int) -> np.ndarray:
        """Cached values as an object array of `Value`, shape (row1-row0+1, column1-column0+1).

        A formula cell without a cached value is None, like a blank cell.
        """
        block = np.full(self._shape(row0, column0, row1, column1), None, object)
        for index in self._inside(row0, column0, row1, column1):
            at = self._rows[index] - row0, self._columns[index] - column0
            number = self._numbers[index]
            block[at] = number if number == number else self._others.get(index)
        return block

    def numbers(self, row0: int, column0: int, row1: int, column1: int) -> np.ndarray:
        """Cached values as float64, shape as in `values`; NaN where no number stands."""
        block = np.full(self._shape(row0, column0, row1, column1), np.nan)
        inside = self._inside(row0, column0, row1, column1)
        block[self._row_view[inside] - row0, self._column_view[inside] - column0] = self._number_view[inside]
        return block

    def formulas(self, row0: int, column0: int, row1: int, column1: int) -> np.ndarray:
        """Formula texts as an object array of ``"=…"`` or None, shape as in `values`.

        Shared formulas are expanded for each cell. Every cell of an array formula's area has the text of the
        area (without braces; `arrays` tells the area).
        """
        block = np.full(self._shape(row0, column0, row1, column1), None, object)
        for index in self._inside(row0, column0, row1, column1):
            row, column = self._rows[index], self._columns[index]
            block[row - row0, column - column0] = self._formula(index, row, column)
        for (row, column), (r0, c0, r1, c1) in self.arrays.items():
            if r0 <= row1 and r1 >= row0 and c0 <= column1 and c1 >= column0:
                covered = (
                    slice(max(r0 - row0, 0), r1 - row0 + 1),
                    slice(max(c0 - column0, 0), c1 - column0 + 1),
                )
                block[covered] = self.formula(row, column)
        return block

    def _shape(self, row0: int, column0: int, row1: int, column1: int) -> tuple[int, int]:
        """Rows and columns of a range; raises `LimitError` where it is too large for memory."""
        shape = row1 - row0 + 1, column1 - column0 + 1
        if shape[0] * shape[1] > MOST_AT_ONCE:
            corners = f"{sheet_cell(self.sheet, row0, column0)} to {cell_name(row1, column1)}"
            raise LimitError(
                f"{corners} are {shape[0] * shape[1]:,} cells; up to {MOST_AT_ONCE:,} can be read at once"
            )
        return shape

    def value(self, row: int, column: int) -> Value:
        """Cached value of one cell."""
        found: Value = self.values(row, column, row, column)[0, 0]
        return found

    def formula(self, row: int, column: int) -> str | None:
        """Formula that stands in one cell, ``"=…"``, or None (use `formulas` for members of an array)."""
        for index in self._inside(row, column, row, column):
            return self._formula(index, row, column)
        return None

    def formula_cells(self) -> Iterator[tuple[int, int, str]]:
        """Yield (row, column, formula) of every cell with a formula, row by row."""
        for index in self._formulas:
            row, column = self._rows[index], self._columns[index]
            text = self._formula(index, row, column)
            if text is not None:
                yield row, column, text

    def listed(self) -> Iterator[tuple[int, int, Value]]:
        """Yield (row, column, cached value) of every cell that the file lists, row by row.

        The way to go through a sheet whose cells lie far apart: it takes no array of the whole extent.
        """
        for index, number in enumerate(self._numbers):
            value = number if number == number else self._others.get(index)
            yield self._rows[index], self._columns[index], value

    @cached_property
    def _row_view(self) -> np.ndarray:
        return np.frombuffer(self._rows, np.intc) if self._rows else np.empty(0, np.intc)

    @cached_property
    def _column_view(self) -> np.ndarray:
        return np.frombuffer(self._columns, np.intc) if self._columns else np.empty(0, np.intc)

    @cached_property
    def _number_view(self) -> np.ndarray:
        return np.frombuffer(self._numbers, np.float64) if self._numbers else np.empty(0)

    def _inside(self, row0: int, column0: int, row1: int, column1: int) -> np.ndarray:
        """Indices of the listed cells of a range; cells are in row order, so this is a binary search."""
        first, last = np.searchsorted(self._row_view, [row0, row1 + 1])
        columns = self._column_view[first:last]
        return first + np.flatnonzero((columns >= column0) & (columns <= column1))

    def _formula(self, index: int, row: int, column: int) -> str | None:
        formula = self._formulas.get(int(index))
        if not isinstance(formula, int):
            return formula
        if formula not in self._shared:
            from sheetconv.xlsx.shared import expander  # loads openpyxl, for such workbooks only

            self._shared[formula] = expander(*self.master(formula, row, column))
        return self._shared[formula](row, column)
