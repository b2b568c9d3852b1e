"""Maps that are larger than their input allows: their last windows run past its end."""

from __future__ import annotations

from collections.abc import Iterator

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.filled_blocks import FilledBlock
from sheetconv.formulas.syntax import Apply, Slot
from sheetconv.inspect.lint.reading import FormulaReading, Margin, outside, readings
from sheetconv.inspect.lint.sheet import Finding, Sheet


def check(sheet: Sheet) -> Iterator[Finding]:
    """One finding for each map and axis, at the rows or columns that are too many."""
    for grid in sheet.maps:
        done: set[str] = set()
        for reading in readings(sheet, grid):
            if not reading.whole or reading.inside is None or grid.fixed(reading.slot):
                continue
            if _drifts(reading):
                yield _unfixed(grid, reading)
                continue
            for axis, margin in (("row", reading.rows), ("column", reading.columns)):
                size = reading.window[axis == "column"]
                early = margin.excess < 0 and size == 1  # a table whose rows go on from the row before
                last = margin.after < size and _rounds_up(grid)
                if margin.excess and axis not in done and not early and not last:
                    done.add(axis)
                    yield _finding(sheet, grid, reading, axis, margin)


def _drifts(reading: FormulaReading) -> bool:
    """Whether a window moves although there is only one window's worth of cells to read: a lost ``$``."""
    inside, size = reading.inside, reading.window
    moved = (
        reading.area.row1 - reading.area.row0 + 1,
        reading.area.column1 - reading.area.column0 + 1,
    ) != size
    fits = inside is not None and (
        (inside.row1 - inside.row0 + 1) <= size[0] and (inside.column1 - inside.column0 + 1) <= size[1]
    )
    return moved and fits and size != (1, 1)


def _rounds_up(grid: FilledBlock) -> bool:
    """Whether the map is a maximum or a mean over windows: the last ones may reach beyond their input."""
    tree = grid.skeleton.tree
    return isinstance(tree, Apply) and tree.name in ("MAX", "AVERAGE") and isinstance(tree.of[0], Slot)


def _unfixed(grid: FilledBlock, reading: FormulaReading) -> Finding:
    first = grid.slots[grid.first][reading.slot]
    return Finding(
        grid.area,
        "too-large",
        f"the reference {first} moves from cell to cell, but only {reading.inside} is filled there",
        "a reference fixed with $, so that every cell of the map uses the same weights",
    )


def excess(sheet: Sheet, grid: FilledBlock) -> tuple[int, int]:
    """By how many rows and columns a map is larger than what it reads allows."""
    found = [r for r in readings(sheet, grid) if r.whole and r.inside and not grid.fixed(r.slot)]
    found = [r for r in found if not _drifts(r)]
    return (
        max((r.rows.excess for r in found), default=0),
        max((r.columns.excess for r in found), default=0),
    )


def _finding(sheet: Sheet, grid: FilledBlock, reading: FormulaReading, axis: str, margin: Margin) -> Finding:
    rows, columns = grid.shape
    count = abs(margin.excess)
    many = f"{count} {axis}s" if count > 1 else f"one {axis}"
    size = reading.area, reading.inside, "×".join(map(str, reading.window))
    others = outside(sheet, reading)
    what = "cells of another block" if others else "blank cells"
    if margin.excess < 0:
        return Finding(
            _lines(grid, axis, count, last=False),
            "too-large",
            f"the map starts {many} too early: its {size[2]} windows cover {size[0]}, of which {size[1]} is filled",
            "windows inside the input, or padding on both sides alike",
        )
    allowed = (rows - count, columns) if axis == "row" else (rows, columns - count)
    return Finding(
        _lines(grid, axis, count, last=True),
        "too-large",
        f"the {rows}×{columns} map is {many} too {'tall' if axis == 'row' else 'wide'}: its {size[2]} windows "
        f"read {what} beyond {size[1]}",
        f"{allowed[0]}×{allowed[1]}, the size that its input allows",
    )


def _lines(grid: FilledBlock, axis: str, count: int, *, last: bool) -> Area:
    area = grid.area
    length = (count - 1) * grid.pitch[axis == "column"]
    if axis == "row":
        length = min(length, area.row1 - area.row0)
        return area._replace(row0=area.row1 - length) if last else area._replace(row1=area.row0 + length)
    length = min(length, area.column1 - area.column0)
    return (
        area._replace(column0=area.column1 - length) if last else area._replace(column1=area.column0 + length)
    )
