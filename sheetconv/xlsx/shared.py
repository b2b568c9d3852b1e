"""Shared formulas: one text for many cells, moved to where each cell stands."""

from collections.abc import Callable

from sheetconv.xlsx.a1 import COLUMNS, ROWS, column_letters
from sheetconv.xlsx.tokens import Token, end, is_address, tokens

_Piece = str | tuple[int, bool, bool]  # text, or (number, is a row, is relative)


def expander(formula: str, row: int, column: int) -> Callable[[int, int], str]:
    """Return a function (row, column) → text of the shared `formula`, which was written for (row, column).

    Relative references move with the cell, absolute ones stay; names, sheets' names and strings are left alone.
    A reference that leaves the sheet wraps around, as in Excel.
    """
    pieces: list[_Piece] = []
    for token in tokens(formula.removeprefix("=")):
        pieces += [f"{token.sheet}!"] if token.sheet is not None else []
        pieces += _ends(token) if is_address(token) else [token.text]
        pieces += ["#"] if token.spill else []

    def at(to_row: int, to_column: int) -> str:
        down, right = to_row - row, to_column - column
        return "=" + "".join(p if isinstance(p, str) else _moved(p, down, right) for p in pieces)

    return at


def _moved(piece: tuple[int, bool, bool], down: int, right: int) -> str:
    number, is_row, relative = piece
    if is_row:
        return str((number + down * relative) % ROWS + 1)
    return column_letters((number + right * relative) % COLUMNS)


def _ends(token: Token) -> list[_Piece]:
    """``$A1:B$2`` as fixed text and movable numbers."""
    pieces: list[_Piece] = []
    for number, text in enumerate(token.text.split(":")):
        row, column, row_fixed, column_fixed = end(text)
        pieces += [":"] if number else []
        if column is not None:
            pieces += ["$" * column_fixed, (column, False, not column_fixed)]
        if row is not None:
            pieces += ["$" * row_fixed, (row, True, not row_fixed)]
    return pieces
