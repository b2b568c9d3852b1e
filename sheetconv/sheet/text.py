"""Text for many cells at once: constant pieces, and columns of bytes that change from cell to cell.

A `Text` is a sequence of pieces. A piece is `bytes`, the same in all n cells, or a matrix (n, w) of uint8 whose
rows are texts padded with NUL. Padding may stand anywhere: `join` removes it in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sheetconv.errors import LimitError
from sheetconv.graph.index import IntArray
from sheetconv.xlsx.address import MAX_COLUMNS, MAX_ROWS, column_letters

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Piece = bytes | Bytes

COMPARE, SUM, PRODUCT, SIGN, ATOM = range(5)
"""How tightly an expression binds; an operand that binds less tightly goes in parentheses."""


@dataclass
class Text:
    """An expression's text in n cells, how tightly it binds, and where it is the number 0 (all, none, or a mask)."""

    pieces: list[Piece] = field(default_factory=list)
    level: int = ATOM
    zero: Any = False

    def wrapped(self, level: int) -> list[Piece]:
        """The pieces, in parentheses where the text binds less tightly than `level`."""
        return self.pieces if self.level >= level else [b"(", *self.pieces, b")"]


def matrix(pieces: Sequence[Piece], n: int) -> Bytes:
    """All pieces side by side, (n, w)."""
    widths = [len(p) if isinstance(p, bytes) else p.shape[1] for p in pieces]
    out = np.empty((n, sum(widths)), dtype=np.uint8)
    at = 0
    for piece, width in zip(pieces, widths, strict=True):
        out[:, at : at + width] = np.frombuffer(piece, dtype=np.uint8) if isinstance(piece, bytes) else piece
        at += width
    return out


def chosen(parts: Sequence[tuple[IntArray, Sequence[Piece]]], n: int) -> Bytes:
    """One text for each of n cells, from parts that hold some of the cells each (their numbers, and their pieces)."""
    found = [(where, matrix(pieces, len(where))) for where, pieces in parts]
    out = np.zeros((n, max((m.shape[1] for _, m in found), default=0)), dtype=np.uint8)
    for where, part in found:
        out[where, : part.shape[1]] = part
    return out


def column(texts: Sequence[bytes] | np.ndarray) -> Bytes:
    """Texts as a piece."""
    array = np.asarray(texts, dtype="S")
    return np.frombuffer(array.tobytes(), dtype=np.uint8).reshape(len(array), array.dtype.itemsize)


def strings(pieces: Sequence[Piece], n: int) -> list[str]:
    """The texts one by one."""
    return [bytes(row[row != 0]).decode() for row in matrix(pieces, n)]


# --- addresses ----------------------------------------------------------------------------------------

_LETTERS = column([column_letters(c).encode() for c in range(MAX_COLUMNS)])
_digits = column([b"1"])


def rows_text(rows: IntArray) -> Piece:
    """Row numbers as programs count them, from 1; raises `LimitError` beyond a sheet."""
    global _digits
    low, high = int(rows.min()), int(rows.max())
    if low < 0 or high >= MAX_ROWS:
        raise LimitError(f"row {(high if low >= 0 else low) + 1} is beyond the {MAX_ROWS:,} rows of a sheet")
    if low == high:
        return str(low + 1).encode()
    if high >= len(_digits):
        size = min(MAX_ROWS, max(1024, 2 * high))
        _digits = column(np.arange(1, size + 1).astype("S7"))
    return _digits[rows]


def columns_text(columns: IntArray) -> Piece:
    """Letters of columns; raises `LimitError` beyond a sheet."""
    low, high = int(columns.min()), int(columns.max())
    if low < 0 or high >= MAX_COLUMNS:
        raise LimitError(f"column {high + 1} is beyond the {MAX_COLUMNS:,} columns of a sheet")
    return column_letters(low).encode() if low == high else _LETTERS[columns]


def area_text(
    row0: IntArray, column0: IntArray, row1: IntArray, column1: IntArray, *, absolute: bool = False
) -> list[Piece]:
    """A1:B2 in every cell, or A1 where both corners are one cell."""
    mark = [b"$"] if absolute else []
    first = [*mark, columns_text(column0), *mark, rows_text(row0)]
    single = (row0 == row1) & (column0 == column1)
    if single.all():
        return first
    both = [*first, b":", *mark, columns_text(column1), *mark, rows_text(row1)]
    if not single.any():
        return both
    n = len(row0)
    ones, twos = np.flatnonzero(single), np.flatnonzero(~single)
    return [chosen([(ones, _rows_of(first, ones)), (twos, _rows_of(both, twos))], n)]


def _rows_of(pieces: Sequence[Piece], where: IntArray) -> list[Piece]:
    return [p if isinstance(p, bytes) else p[where] for p in pieces]


# --- numbers ------------------------------------------------------------------------------------------


_POWERS = np.array([float(f"1e{k}") for k in range(23)])  # exact in a double
_NINE = 9  # digits that every float32 can be told from its neighbours by


def numbers_text(values: np.ndarray, digits: int = 17) -> Bytes:
    """Numbers (n,) with that many significant digits; 17 means the shortest text that reads back as the same double."""
    if digits < 17:
        return _printed(values, digits)
    short = _has_nine_digits(values)
    if short.all():
        return _printed(values, _NINE)
    rest = column([_shortest_text(v).encode() for v in values[~short].tolist()])
    parts = [(np.flatnonzero(~short), [rest])]
    if short.any():
        parts.append((np.flatnonzero(short), [_printed(values[short], _NINE)]))
    return chosen(parts, len(values))


def _printed(values: np.ndarray, digits: int) -> Bytes:
    flat = tuple(values.tolist())
    return column(((f"%.{digits}g ".encode() * len(flat)) % flat).split())


def _shortest_text(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _magnitude(values: np.ndarray) -> IntArray:
    """The decimal exponent of each number; one too many or too few near a power of ten."""
    return np.floor(np.log10(np.abs(np.where(values == 0, 1.0, values)))).astype(np.int64)


def _decimal(values: np.ndarray, places: IntArray) -> np.ndarray:
    """The numbers rounded to that many decimal places (0 or more, at most 22), as their decimal text reads back.

    An integer below 2^53 and a power of ten up to 22 are exact, so that their quotient is rounded once, as reading is.
    """
    power = _POWERS[places]
    return np.rint(values * power) / power


def _has_nine_digits(values: np.ndarray) -> np.ndarray:
    """Where "%.9g" prints a text that reads back as the same double (not where it might, but where it is certain)."""
    magnitude = _magnitude(values)
    places = np.clip(_NINE - 1 - magnitude, 0, 22)
    return (np.abs(values) * _POWERS[places] < 0.5 + 10**_NINE - 1) & (_decimal(values, places) == values)


def shortest(values: np.ndarray) -> np.ndarray:
    """The numbers with the fewest digits that give the same float32 back; numbers that are none stay as they are."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if values.size == 0 or not (single.astype(np.float64) == values).all():
        return values
    out = values.copy()
    magnitude = _magnitude(values)
    open_ = (values != 0) & (magnitude >= -13) & (magnitude < 6)
    for digits in range(1, _NINE + 1):
        places = digits - 1 - magnitude
        decimal = _decimal(values, np.clip(places, 0, 22))
        fits = open_ & (places >= 0) & (decimal.astype(np.float32) == single)
        out[fits] = decimal[fits]
        open_ &= ~fits
    return out
