"""Shared formulas: one text for many cells, moved to where each cell stands."""

import re
from collections.abc import Callable

from openpyxl.formula import Tokenizer
from openpyxl.formula.tokenizer import Token, TokenizerError

from sheetconv.errors import WorkbookError
from sheetconv.xlsx.a1 import COLUMNS, ROWS, cell_name, column_letters, column_number

_REFERENCE = re.compile(
    r"(?P<cell>(\$?)([A-Za-z]{1,3})(\$?)([0-9]{1,7}))"
    r"|(?P<columns>(\$?)([A-Za-z]{1,3}):(\$?)([A-Za-z]{1,3}))"
    r"|(?P<rows>(\$?)([0-9]{1,7}):(\$?)([0-9]{1,7}))",
    re.ASCII,
)
_Piece = str | tuple[int, bool, bool]  # text, or (number, is a row, is relative)


def expander(formula: str, row: int, column: int) -> Callable[[int, int], str]:
    """Return a function (row, column) → text of the shared `formula`, which was written for (row, column).

    Relative references move with the cell, absolute ones stay, sheet names and strings are left alone. A
    reference that leaves the sheet wraps around, as in Excel.
    """
    pieces: list[_Piece] = []
    try:
        tokens = Tokenizer(formula).items
    except TokenizerError as error:
        raise WorkbookError(f"the shared formula of {cell_name(row, column)} is damaged: {error}") from error
    for token in tokens:
        if token.type == Token.OPERAND and token.subtype == Token.RANGE:
            pieces += _reference_pieces(token.value)
        else:
            pieces.append(token.value)

    def at(to_row: int, to_column: int) -> str:
        down, right = to_row - row, to_column - column
        return "".join(p if isinstance(p, str) else _moved(p, down, right) for p in pieces)

    return lambda to_row, to_column: "=" + at(to_row, to_column)


def _moved(piece: tuple[int, bool, bool], down: int, right: int) -> str:
    number, is_row, relative = piece
    if is_row:
        return str((number + down * relative) % ROWS + 1)
    return column_letters((number + right * relative) % COLUMNS)


def _reference_pieces(text: str) -> list[_Piece]:
    """Split ``Sheet!$A1:B$2`` into fixed text and movable numbers; names and tables stay whole."""
    sheet, bang, area = text.rpartition("!")
    pieces: list[_Piece] = [sheet + bang]
    ends = area.split(":")
    if _REFERENCE.fullmatch(area) is None and not all(
        (m := _REFERENCE.fullmatch(end)) and m["cell"] for end in ends
    ):
        return [text]
    for index, end in enumerate(ends):
        pieces += ([":"] if index else []) + _end_pieces(end)
    return pieces


def _end_pieces(end: str) -> list[_Piece]:
    letters = end.lstrip("$").rstrip("0123456789").rstrip("$")
    digits = end[len(end.rstrip("0123456789")) :]
    column_fixed, row_fixed = (
        end.startswith("$") and bool(letters),
        "$" in end[1:] or (not letters and "$" in end),
    )
    pieces: list[_Piece] = []
    if letters:
        pieces += ["$" * column_fixed, (column_number(letters), False, not column_fixed)]
    if digits:
        pieces += ["$" * row_fixed, (int(digits) - 1, True, not row_fixed)]
    return pieces
