"""Formulas that read blank cells inside or beyond a block; padding on all sides of an input is none."""

from __future__ import annotations

from collections.abc import Iterator

from sheetconv.formulas.cell_range import Area, rectangles
from sheetconv.inspect.lint.checks.too_large import _drifts
from sheetconv.inspect.lint.reading import FormulaReading, blank_lines, holes, readings
from sheetconv.inspect.lint.sheet import Finding, Sheet


def check(sheet: Sheet) -> Iterator[Finding]:
    """Blank cells within what is read, and fixed ranges that are larger than the block in them."""
    done: set[Area] = set()
    for grid in sheet.maps:
        for reading in readings(sheet, grid):
            if reading.inside is None or reading.area in done:
                continue
            moves = reading.whole and not grid.fixed(reading.slot)
            done.add(reading.area)
            if moves and _drifts(reading):
                continue
            blank = holes(sheet, reading)
            if blank:
                yield _hole(reading, blank, grid.area)
            elif not moves and not _frames(reading) and blank_lines(sheet, reading):
                yield Finding(
                    grid.area,
                    "reads-blank",
                    f"reads {reading.area}, of which only {reading.inside} is filled: the rest is blank",
                    f"{reading.inside}, the block itself",
                )


def _frames(reading: FormulaReading) -> bool:
    """Whether there are no blank lines, or they stand before the block on both axes, as padding does."""
    rows, columns = reading.rows, reading.columns
    if rows.after > rows.before or columns.after > columns.before:
        return False
    return bool(rows.before) == bool(columns.before)


def _hole(reading: FormulaReading, blank: list[tuple[int, int]], readers: Area) -> Finding:
    areas = rectangles((reading.area.sheet, *at) for at in blank)
    where = ", ".join(map(str, areas[:4])) + (" …" if len(areas) > 4 else "")
    return Finding(
        areas[0] if areas[0].sheet == readers.sheet else readers,
        "reads-blank",
        f"{readers} reads {reading.area}, where {where} {'is' if len(blank) == 1 else 'are'} blank",
        "a number in every cell that a sum reads (0 where there is nothing to add)",
    )
