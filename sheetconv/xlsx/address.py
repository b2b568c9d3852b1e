"""Cell addresses: rows and columns are counted from 0 here, and only here turned into A1 text."""

from __future__ import annotations

from functools import cache

from sheetconv.errors import LimitError

MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384


@cache
def column_letters(column: int) -> str:
    """0 → A, 25 → Z, 26 → AA, 16383 → XFD; raises `LimitError` beyond."""
    if not 0 <= column < MAX_COLUMNS:
        raise LimitError(f"column {column + 1} is beyond the {MAX_COLUMNS:,} columns of a sheet")
    letters = ""
    n = column + 1
    while n:
        n, rest = divmod(n - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def cell(row: int, column: int, *, absolute: bool = False) -> str:
    """(0, 0) → A1, or $A$1."""
    if not 0 <= row < MAX_ROWS:
        raise LimitError(f"row {row + 1} is beyond the {MAX_ROWS:,} rows of a sheet")
    mark = "$" if absolute else ""
    return f"{mark}{column_letters(column)}{mark}{row + 1}"


def area(row0: int, column0: int, row1: int, column1: int, *, absolute: bool = False) -> str:
    """A1:B2, or A1 where both corners are one cell."""
    first = cell(row0, column0, absolute=absolute)
    last = cell(row1, column1, absolute=absolute)
    return first if first == last else f"{first}:{last}"


def quoted(sheet: str) -> str:
    """A sheet's name as formulas write it, always quoted (names such as a1 would be addresses)."""
    return "'" + sheet.replace("'", "''") + "'"
