"""Formulas that read text: a sum passes over it, a product fails on it."""

from __future__ import annotations

from collections.abc import Iterator

from sheetconv.formulas.cell_range import Area, rectangles
from sheetconv.inspect.lint.checks.text_number import is_number
from sheetconv.inspect.lint.reading import readings, texts
from sheetconv.inspect.lint.sheet import Finding, Sheet


def check(sheet: Sheet) -> Iterator[Finding]:
    """One finding for each area with text in it; numbers stored as text have a check of their own."""
    done: set[Area] = set()
    for grid in sheet.maps:
        for reading in readings(sheet, grid):
            if reading.area in done:
                continue
            done.add(reading.area)
            other = sheet.book[reading.area.sheet]
            found = [at for at in texts(sheet, reading.area) if not is_number(other.texts[at])]
            if found:
                areas = rectangles((other.name, *at) for at in found)
                where = ", ".join(map(str, areas[:4])) + (" …" if len(areas) > 4 else "")
                yield Finding(
                    grid.area,
                    "reads-text",
                    f"reads {reading.area}, where {where} {'holds' if len(found) == 1 else 'hold'} text",
                    "numbers only in what is summed",
                )
