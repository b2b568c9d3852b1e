"""A1 addresses as they stand in files: text to zero-based (row, column); back is `sheetconv.xlsx.address`."""

import re
from functools import lru_cache

from sheetconv.errors import WorkbookError
from sheetconv.xlsx.address import MAX_COLUMNS as COLUMNS
from sheetconv.xlsx.address import MAX_ROWS as ROWS
from sheetconv.xlsx.address import cell as cell_name
from sheetconv.xlsx.address import column_letters, quoted

__all__ = [
    "COLUMNS",
    "ROWS",
    "Range",
    "cell_name",
    "column_letters",
    "column_number",
    "parse_cell",
    "parse_range",
    "sheet_cell",
]

Range = tuple[int, int, int, int]
"""(first row, first column, last row, last column), zero-based, all inclusive."""

_REF = re.compile(r"\$?([A-Za-z]{1,3})\$?([1-9][0-9]{0,6})", re.ASCII)


@lru_cache(maxsize=COLUMNS)
def column_number(letters: str) -> int:
    """Zero-based number of a column: A → 0, XFD → 16383."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number - 1


def parse_cell(text: str) -> tuple[int, int]:
    """``"B3"`` or ``"$B$3"`` → (2, 1). Raises `WorkbookError` for anything else."""
    match = _REF.fullmatch(text)
    if match:
        row, column = int(match[2]) - 1, column_number(match[1])
        if row < ROWS and column < COLUMNS:
            return row, column
    raise WorkbookError(f"{text[:40]!r} is not a cell address (A1 … XFD{ROWS})")


def parse_range(text: str) -> Range:
    """``"A1:B3"`` → (0, 0, 2, 1); one cell is a range of itself. Raises `WorkbookError`."""
    first, _, last = text.partition(":")
    (row0, column0), (row1, column1) = parse_cell(first), parse_cell(last or first)
    return min(row0, row1), min(column0, column1), max(row0, row1), max(column0, column1)


def sheet_cell(sheet: str, row: int, column: int) -> str:
    """("My net", 2, 1) → ``"'My net'!B3"``: as a spreadsheet's address box takes it."""
    return f"{quoted(sheet)}!{cell_name(row, column)}"
