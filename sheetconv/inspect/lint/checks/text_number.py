"""Numbers stored as text, which sums pass over in silence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sheetconv.formulas.cell_range import Area, rectangles
from sheetconv.inspect.lint.reading import readings, texts
from sheetconv.inspect.lint.sheet import Finding, FindingKind, Sheet

_NUMBER = re.compile(r"\s*[-+−]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*%?\s*", re.ASCII)


def is_number(text: str) -> bool:
    """Whether a text reads as one number."""
    return len(text) < 40 and _NUMBER.fullmatch(text) is not None


def check(sheet: Sheet) -> Iterator[Finding]:
    """Texts that read as numbers, where a formula sums them or where they stand among numbers."""
    suspects = {at for at, text in sheet.texts.items() if is_number(text)}
    if not suspects:
        return
    read = {at for at in _summed(sheet) if at in suspects}
    among = {at for at in suspects if _among_numbers(sheet, at)}
    for area in rectangles((sheet.name, *at) for at in read | among):
        text = sheet.texts[area.row0, area.column0]
        many = f"the numbers {text!r} … are" if area.size > 1 else f"the number {text!r} is"
        why = (
            "a formula sums it" if (area.row0, area.column0) in read else "numbers stand on both sides of it"
        )
        yield Finding(area, "text-number", f"{many} stored as text", f"a number: {why}")


def _summed(sheet: Sheet) -> Iterator[tuple[int, int]]:
    done: set[Area] = set()
    for other in sheet.book:
        for grid in other.maps:
            for reading in readings(other, grid):
                if reading.area.sheet == sheet.name and reading.area not in done:
                    done.add(reading.area)
                    yield from texts(other, reading.area)


def _among_numbers(sheet: Sheet, at: tuple[int, int]) -> bool:
    row, column = at
    pairs = [((row, column - 1), (row, column + 1)), ((row - 1, column), (row + 1, column))]
    number = (FindingKind.NUMBER, FindingKind.ZERO, FindingKind.FORMULA)
    return all(sheet.kind(near) in number for pair in pairs for near in pair)
