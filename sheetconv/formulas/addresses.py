"""A formula's plain addresses and what remains without them, by one regular expression: no tokens, no tree."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from sheetconv.xlsx.a1 import COLUMNS, ROWS, column_number

_REF = r"(?<![\w.$])\$?([A-Za-z]{1,3})\$?([1-9][0-9]{0,6})(?![\w.(\[!])"
_BARE = re.compile(_REF)
_FULL = re.compile(
    r"""("(?:[^"]|"")*"|'(?:[^']|'')*'!?|(?<![\w.$\]!])[^\W\d][\w.]*(?::[^\W\d][\w.]*)?!)|""" + _REF
)
_QUOTES = re.compile("[\"'!]")
_NOT_PLAIN = re.compile(r"[\[#@\\]")


class PlainAddresses(NamedTuple):
    """`rest`: the text with a mark for each address; `corners`: (row, column) of each, from zero."""

    rest: str
    corners: list[tuple[int, int]]


def plain_addresses(formula: str) -> PlainAddresses | None:
    """Take a formula's addresses out; None where it has tables, spills, errors, or addresses off the sheet."""
    if _NOT_PLAIN.search(formula):
        return None
    corners: list[tuple[int, int]] = []
    step, pattern = (4, _FULL) if _QUOTES.search(formula) else (3, _BARE)
    pieces = pattern.split(formula)
    rest = pieces[0::step]
    for i in range(step - 2, len(pieces), step):
        if pieces[i] is None:  # a string or a sheet's name
            rest[i // step] += f"\0{pieces[i - 1]}"
            continue
        row, column = int(pieces[i + 1]) - 1, _column(pieces[i])
        if row >= ROWS or column >= COLUMNS:
            return None
        corners.append((row, column))
        rest[i // step] += "\0"
    return PlainAddresses("\1".join(rest), corners)


@lru_cache(maxsize=COLUMNS)
def _column(letters: str) -> int:
    return column_number(letters)
