"""A formula's text against the limits and the grammar, as far as a program refuses it before it computes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from sheetconv.xlsx.address import MAX_COLUMNS, MAX_ROWS

MAX_CHARACTERS = 8192
MAX_ARGUMENTS = 255
MAX_DEPTH = 64
MAX_STRING = 255

_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"]|"")*")|(?P<sheet>'(?:[^']|'')+'!)|(?P<error>\#[A-Z/0]+[!?]?)|(?P<open>\()|(?P<close>\))
    |(?P<comma>,)|(?P<brace>[{};])|(?P<table>\[(?:[^\[\]]|\[[^\]]*\])*\])|(?P<operator><>|<=|>=|[-+*/^&=<>%:!\#@])
    |(?P<number>\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_\\$\u0080-\uffff][\w.$\\?]*)
    |(?P<space>\s+)""",
    re.VERBOSE,
)
_REFERENCE = re.compile(r"(?<![A-Za-z0-9_.])\$?([A-Z]{1,3})\$?([0-9]+)(?![A-Za-z0-9_.(])")
_DIGITS = re.compile(r"[0-9]+")
_BARE_SHEET = re.compile(r"(?<![\w'.\]])([^\s'()+*/^&=<>,;:{}%-]+)!")


def faults(text: str) -> Iterator[tuple[str, str, str]]:
    """(rule, what, why) for everything wrong with a formula, given without its equals sign."""
    if len(text) + 1 > MAX_CHARACTERS:
        yield "long-formula", f"a formula of {len(text) + 1:,} characters", f"the limit is {MAX_CHARACTERS:,}"
    if len(text) < 2000:
        yield from _of_shape(_DIGITS.sub("1", text))
    else:
        yield from _shape_faults(text)
    for letters, digits in _REFERENCE.findall(text):
        if int(digits) > MAX_ROWS or int(digits) == 0 or _column(letters) > MAX_COLUMNS:
            yield "reference", f"{letters}{digits} in a formula", "it is beyond the sheet"
    if "!" in text:
        for name in _BARE_SHEET.findall(text):
            if not name.startswith("#") and needs_quotes(name):
                yield (
                    "unquoted-sheet",
                    f"the sheet name {name!r} without quotes",
                    "it reads as an address or breaks off",
                )


def needs_quotes(sheet: str) -> bool:
    """Whether a sheet's name must stand in quotes in a formula."""
    return not re.fullmatch(r"[A-Za-z_\u0080-\uffff][\w.]*", sheet) or is_address_like(sheet)


def is_address_like(name: str) -> bool:
    """Whether a name reads as a cell (A1, R1C1 notation)."""
    found = re.fullmatch(r"([A-Za-z]{1,3})[0-9]+", name)
    if found and _column(found[1].upper()) <= MAX_COLUMNS:
        return True
    return bool(re.fullmatch(r"[Rr][0-9]*([Cc][0-9]*)?|[Cc][0-9]*", name))


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


@lru_cache(maxsize=20_000)
def _of_shape(text: str) -> tuple[tuple[str, str, str], ...]:
    """The faults of all formulas that differ in their digits only."""
    return tuple(_shape_faults(text))


def _shape_faults(text: str) -> Iterator[tuple[str, str, str]]:
    stack: list[int] = []  # arguments of each open parenthesis; -1 where it is no call
    before, at, operand = "", 0, False
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            yield "syntax", f"{text[at : at + 12]!r} in a formula", "no program can read it"
            return
        kind, at = token.lastgroup or "", token.end()
        if kind == "space":
            continue
        if kind == "string" and len(token[0]) - 2 > MAX_STRING:
            yield (
                "long-string",
                f"a text of {len(token[0]) - 2} characters in a formula",
                f"the limit is {MAX_STRING}",
            )
        if kind == "open":
            stack.append(1 if before == "name" else -1)
            if len(stack) == MAX_DEPTH + 1:
                yield "deep-formula", f"parentheses {len(stack)} deep", f"the limit is {MAX_DEPTH}"
        elif kind == "close":
            if not stack or (before == "operator" and not operand):
                yield (
                    "syntax",
                    "a closing parenthesis without its opening or operand",
                    "no program can read it",
                )
                return
            stack.pop()
        elif kind == "comma" and stack and stack[-1] > 0:
            stack[-1] += 1
            if stack[-1] == MAX_ARGUMENTS + 1:
                yield "many-arguments", f"more than {MAX_ARGUMENTS} arguments", "the limit of a function"
        elif kind in ("number", "string", "name") and before in ("number", "string", "name", "close"):
            yield "syntax", f"{token[0][:12]!r} follows an operand", "no program can read it"
            return
        operand = kind != "operator" or token[0] in ("%", "#")
        before = kind
    if stack or (text and not operand) or not text.strip():
        yield "syntax", "a formula that breaks off", "no program can read it"
