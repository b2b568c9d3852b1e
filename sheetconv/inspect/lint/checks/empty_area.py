"""References to an empty area, of this sheet or another."""

from __future__ import annotations

from collections.abc import Iterator

from sheetconv.formulas.cell_range import Area
from sheetconv.inspect.lint.reading import readings, texts
from sheetconv.inspect.lint.sheet import Finding, Sheet


def check(sheet: Sheet) -> Iterator[Finding]:
    """One finding for each area that formulas read and that holds no value at all."""
    done: set[Area] = set()
    for grid in sheet.maps:
        for reading in readings(sheet, grid):
            if reading.inside is None and reading.area not in done and not texts(sheet, reading.area):
                done.add(reading.area)
                elsewhere = "of another sheet, " if reading.area.sheet != sheet.name else ""
                yield Finding(
                    grid.area,
                    "empty-area",
                    f"reads {reading.area}, {elsewhere}where nothing stands",
                    "the cells that hold the numbers",
                )
