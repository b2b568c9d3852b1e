"""The tokens of a formula, as programs write them: areas, names, tables, spills, 3-D, other books.

A scanner, not a parser: one regular expression walks the text once, so depth and length of a formula cost
nothing but their characters. Strings and error values are skipped; what no reader of the text can know
(INDIRECT, OFFSET) is noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sheetconv.xlsx.a1 import COLUMNS, ROWS, column_letters, column_number

_CELL = r"\$?[A-Za-z]{1,3}\$?[1-9][0-9]{0,6}"
_PREFIX = r"""'(?:[^']|'')*'!|(?:\[[^\]\[]*\])?[^\W\d][\w.]*(?::[^\W\d][\w.]*)?!|\[[^\]\[]*\]!?"""
_PATTERN = rf"""
    (?P<string>"(?:[^"]|"")*")
  | (?P<error>\#REF!(?:{_CELL}(?::{_CELL})?)?|\#(?:N/A|NAME\?|NULL!|NUM!|VALUE!|DIV/0!|[A-Z_]+!))
  | (?P<sheet>§)
  | (?P<area>{_CELL}(?::{_CELL})?(?![\w.(\[!])(?P<spill>\#)?)
  | (?P<columns>\$?[A-Za-z]{{1,3}}:\$?[A-Za-z]{{1,3}}(?![\w.(!]))
  | (?P<rows>\$?[0-9]{{1,7}}:\$?[0-9]{{1,7}}(?![\w.]))
  | (?P<function>[^\W\d][\w.]*\()
  | (?P<table>(?:[^\W\d][\w.]*)?\[)
  | (?P<name>[^\W\d][\w.?\\]*|\\[\w.?\\]*)
  | (?P<number>[0-9.]+(?:[Ee][+-]?[0-9]+)?)
  | (?P<space>\s+)
  | (?P<other>.)
    """
_TOKEN = re.compile(_PATTERN.replace("§", _PREFIX), re.VERBOSE | re.DOTALL)
_UNQUALIFIED = re.compile(
    _PATTERN.replace("§", "(?!)"), re.VERBOSE | re.DOTALL
)  # a sheet has no sheet before it
_SPAN = re.compile(
    rf"""
    (?P<first>(?:{_CELL}|\$?[A-Za-z]{{1,3}}|\$?[0-9]{{1,7}}))
    :(?P<sheet>'(?:[^']|'')*'|[^\W\d][\w.]*)!
    (?P<last>{_CELL}|\$?[A-Za-z]{{1,3}}|\$?[0-9]{{1,7}})(?![\w.(\[!:])
    """,
    re.VERBOSE,
)
_END = re.compile(r"(\$?)([A-Za-z]{0,3})(\$?)([0-9]{0,7})")
_CONSTANTS = {"TRUE", "FALSE"}


@dataclass(frozen=True)
class Token:
    """A piece of a formula: its kind (a group of the scanner), its text, and the sheet prefix before it."""

    kind: str
    text: str
    sheet: str | None = None
    spill: bool = False


@dataclass(frozen=True)
class Box:
    """A reference's rows and columns, with which of (row0, column0, row1, column1) are fixed by ``$``."""

    bounds: tuple[int, int, int, int]
    fixed: tuple[bool, bool, bool, bool]

    def moved(self, down: int, right: int) -> tuple[int, int, int, int]:
        """Bounds after relative parts moved; off the sheet they wrap around, as in Excel."""
        r0, c0, r1, c1 = (
            value if fixed else (value + (right if odd else down)) % (COLUMNS if odd else ROWS)
            for value, fixed, odd in zip(self.bounds, self.fixed, (0, 1, 0, 1), strict=True)
        )
        return min(r0, r1), min(c0, c1), max(r0, r1), max(c0, c1)


def tokens(formula: str) -> Iterator[Token]:
    """Split a formula (with or without ``=``) into tokens; a sheet prefix goes with what follows it."""
    at, sheet = 0, None
    while at < len(formula):
        if sheet is not None and (span := _span(formula, at, sheet)):
            token, at = span
            yield token
            sheet = None
            continue
        match = (_TOKEN if sheet is None else _UNQUALIFIED).match(formula, at)
        if match is None:  # cannot happen: the last alternative takes any character
            return
        kind, text, at = match.lastgroup or "other", match.group(), match.end()
        if kind == "spill":
            kind = "area"
        if kind == "sheet" and text.endswith("!"):
            sheet = text[:-1]
            continue
        if kind in ("table", "sheet"):
            end = at if kind == "sheet" else _bracket_end(formula, at)
            text, at, kind = formula[match.start() : end], end, "table"
        spill = bool(match["spill"])
        yield Token(kind, text[:-1] if spill else text, sheet, spill)
        sheet = None


def _span(formula: str, at: int, sheet: str) -> tuple[Token, int] | None:
    """``A1:Data!B3`` behind ``Data!`` as the one area ``A1:B3``, and where it ends."""
    match = _SPAN.match(formula, at)
    if match is None or _plain_sheet(match["sheet"]) != _plain_sheet(sheet):
        return None
    whole = _TOKEN.fullmatch(f"{match['first']}:{match['last']}")
    kind = whole.lastgroup if whole else None
    if whole is None or kind not in ("area", "columns", "rows"):
        return None
    return Token(kind, whole.group(), sheet), match.end()


def _plain_sheet(prefix: str) -> str:
    plain = prefix[1:-1].replace("''", "'") if prefix.startswith("'") else prefix
    return plain.casefold()


def _bracket_end(text: str, at: int) -> int:
    depth = 1
    while at < len(text) and depth:
        depth += {"[": 1, "]": -1}.get(text[at], 0)
        at += 2 if text[at] == "'" else 1  # ' escapes the next character inside brackets
    return min(at, len(text))


def box(token: Token) -> Box:
    """The rectangle of an area, columns or rows token."""
    first, _, last = token.text.partition(":")
    ends = [_end(first, 0, 0), _end(last or first, ROWS - 1, COLUMNS - 1)]
    bounds = (ends[0][0], ends[0][1], ends[1][0], ends[1][1])
    fixed = (ends[0][2], ends[0][3], ends[1][2], ends[1][3])
    if bounds[0] > bounds[2]:
        bounds, fixed = _swap(bounds, 0), _swap(fixed, 0)
    if bounds[1] > bounds[3]:
        bounds, fixed = _swap(bounds, 1), _swap(fixed, 1)
    return Box(bounds, fixed)


def _swap(four: tuple, odd: int) -> tuple:
    a, b, c, d = four
    return (c, b, a, d) if not odd else (a, d, c, b)


def end(text: str) -> tuple[int | None, int | None, bool, bool]:
    """``$A2`` → (row or None, column or None, whether the row is fixed, whether the column is)."""
    match = _END.fullmatch(text)
    if match is None:
        return None, None, True, True
    one, letters, two, digits = match.groups()
    return (
        min(int(digits) - 1, ROWS - 1) if digits else None,
        min(column_number(letters), COLUMNS - 1) if letters else None,
        bool(two) or (not letters and bool(one)) or not digits,
        (bool(one) and bool(letters)) or not letters,
    )


def _end(text: str, row: int, column: int) -> tuple[int, int, bool, bool]:
    found_row, found_column, row_fixed, column_fixed = end(text)
    return (
        row if found_row is None else found_row,
        column if found_column is None else found_column,
        row_fixed,
        column_fixed,
    )


def is_address(token: Token) -> bool:
    """Whether the token is a plain reference inside the sheet (``ABC1`` is, ``XFE1`` is a name)."""
    if token.kind == "columns":
        return all(column_number(p.strip("$")) < COLUMNS for p in token.text.split(":"))
    if token.kind != "area":
        return token.kind == "rows"
    parts = (_END.fullmatch(p) for p in token.text.split(":"))
    return all(m and column_number(m[2]) < COLUMNS and int(m[4]) <= ROWS for m in parts)


def is_name(token: Token) -> bool:
    """Whether the token is a defined name (or one of a function's parameters)."""
    if token.kind == "name":
        return token.text.upper() not in _CONSTANTS
    return token.kind == "area" and not is_address(token)


def relative_form(formula: str, row: int, column: int) -> str:
    """The formula in R1C1 notation as seen from (row, column): equal for cells filled down or right."""
    pieces = []
    for token in tokens(formula):
        prefix = f"{token.sheet}!" if token.sheet is not None else ""
        text = token.text
        if is_address(token):
            text = _r1c1(box(token), row, column, token.kind) + "#" * token.spill
        elif token.kind in ("function", "name"):
            text = text.upper()
        pieces.append(prefix + text if token.kind != "space" else "")
    return "".join(pieces)


def _r1c1(found: Box, row: int, column: int, kind: str) -> str:
    def part(index: int, letter: str, origin: int) -> str:
        value = found.bounds[index]
        return f"{letter}{value + 1}" if found.fixed[index] else f"{letter}[{value - origin}]"

    rows = [part(i, "R", row) for i in (0, 2)]
    columns = [part(i, "C", column) for i in (1, 3)]
    if kind == "columns":
        ends = columns
    elif kind == "rows":
        ends = rows
    else:
        ends = [r + c for r, c in zip(rows, columns, strict=True)]
    return ends[0] if ends[0] == ends[1] and kind == "area" else ":".join(ends)


def address(bounds: tuple[int, int, int, int]) -> str:
    """(r0, c0, r1, c1) → ``A1:B2``."""
    r0, c0, r1, c1 = bounds
    first = f"{column_letters(c0)}{r0 + 1}"
    return first if (r0, c0) == (r1, c1) else f"{first}:{column_letters(c1)}{r1 + 1}"
