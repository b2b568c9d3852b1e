"""A1 addresses as they stand in files: text to zero-based (row, column) and back."""

import re
from functools import lru_cache

from sheetconv.errors import WorkbookError

Range = tuple[int, int, int, int]
"""(first row, first column, last row, last column), zero-based, all inclusive."""

ROWS, COLUMNS = 1_048_576, 16_384
_REF = re.compile(r"\$?([A-Za-z]{1,3})\$?([1-9][0-9]{0,6})", re.ASCII)


@lru_cache(maxsize=COLUMNS)
def column_number(letters: str) -> int:
    """Zero-based number of a column: A → 0, XFD → 16383."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number - 1


@lru_cache(maxsize=COLUMNS)
def column_letters(number: int) -> str:
    """Letters of a zero-based column: 0 → A, 16383 → XFD. Raises `ValueError` outside the sheet."""
    if not 0 <= number < COLUMNS:
        raise ValueError(f"column {number} is outside the sheet (0 … {COLUMNS - 1})")
    letters, number = "", number + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


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


def cell_name(row: int, column: int) -> str:
    """(2, 1) → ``"B3"``."""
    return f"{column_letters(column)}{row + 1}"


def sheet_cell(sheet: str, row: int, column: int) -> str:
    """("My net", 2, 1) → ``"'My net'!B3"``: as a spreadsheet's address box takes it."""
    return "'" + sheet.replace("'", "''") + "'!" + cell_name(row, column)
