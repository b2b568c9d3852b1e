"""Where a cell stands, while a sheet's XML streams by."""

from sheetconv.errors import WorkbookError
from sheetconv.xlsx.a1 import COLUMNS, ROWS, cell_name, column_number, parse_cell


class Positions:
    """Follows the ``r`` attributes of rows and cells (or counts where they are absent).

    Cells must come in order and once: programs differ in what they take from a sheet where they do not, so
    that what was checked would not be what is shown. Raises `WorkbookError` otherwise.
    """

    def __init__(self, source: str):
        self.source = source
        self.at_row = self.at_column = -1
        self._digits = ""

    def row(self, reference: str | None) -> None:
        """Enter a row; `reference` is its one-based number as text, None for the next."""
        if reference is None:
            row = self.at_row + 1
        elif reference.isascii() and reference.isdecimal() and len(reference) < 8:
            row = int(reference) - 1
        else:
            row = -1
        if not self.at_row < row < ROWS:
            raise WorkbookError(f"{self.source}: row {reference!r} is out of order; the file is damaged")
        self.at_row, self.at_column = row, -1
        self._digits = str(row + 1)

    def cell(self, reference: str | None) -> None:
        """Enter a cell; `reference` is its address, None for the next column."""
        if reference is None:
            column = self.at_column + 1
        else:
            letters = reference.removesuffix(self._digits) if self.at_row >= 0 else ""
            if letters.isalpha() and letters.isascii() and len(letters) < 4:
                column = column_number(letters)
            else:
                row, column = parse_cell(reference)
                if row != self.at_row:
                    column = -1
        if not self.at_column < column < COLUMNS:
            raise WorkbookError(f"{self.source}: cell {reference!r} is out of order; the file is damaged")
        self.at_column = column

    def where(self) -> str:
        """Source and address of the current cell, for messages."""
        return f"{self.source}, cell {cell_name(max(self.at_row, 0), max(self.at_column, 0))}"
