"""Ranges that overlap in part, leave gaps between them, or leave out the edge of a block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.filled_blocks import FilledBlock
from sheetconv.inspect.lint.checks.too_large import excess
from sheetconv.inspect.lint.reading import FormulaReading, readings
from sheetconv.inspect.lint.sheet import Finding, FindingKind, Sheet

MOST_RANGES = 3000


def check(sheet: Sheet) -> Iterator[Finding]:
    """Fixed ranges against one another, windows against their step, both against the block they read."""
    fixed: dict[Area, FilledBlock] = {}
    for grid in sheet.maps:
        for reading in readings(sheet, grid):
            if grid.fixed(reading.slot) and reading.area.size > 1:
                fixed.setdefault(reading.area, grid)
            elif reading.whole and len(grid.cells) >= 9:
                yield from _short_map(sheet, grid, reading)
        yield from _gaps(grid)
    yield from _partial(sheet, fixed)
    yield from _left_out(sheet, fixed)


def _partial(sheet: Sheet, fixed: dict[Area, FilledBlock]) -> Iterator[Finding]:
    """Fixed ranges of one size (kernels) that share some cells, but not all."""
    order = sorted(fixed)[:MOST_RANGES]
    for index, one in enumerate(order):
        for two in order[index + 1 :]:
            if two.sheet != one.sheet or two.row0 > one.row1:
                break
            same = (one.row1 - one.row0, one.column1 - one.column0) == (
                two.row1 - two.row0,
                two.column1 - two.column0,
            )
            if same and (met := one.meet(two)):
                yield Finding(
                    fixed[two].area,
                    "overlaps",
                    f"reads {two}, which shares {met} with {one}, read by {fixed[one].area}",
                    "ranges that are the same or apart",
                )


def _gaps(grid: FilledBlock) -> Iterator[Finding]:
    """Windows that step further than they reach."""
    for slot in range(len(grid.slots[grid.first])):
        first = grid.slots[grid.first][slot]
        size = first.row1 - first.row0 + 1, first.column1 - first.column0 + 1
        if len(grid.cells) < 9 or min(grid.shape) < 3 or min(size) < 2 or grid.fixed(slot):
            continue
        reach, (rows, columns) = grid.reach(slot), grid.shape
        steps = (
            (reach.row1 - reach.row0 + 1 - size[0]) / (rows - 1),
            (reach.column1 - reach.column0 + 1 - size[1]) / (columns - 1),
        )
        if min(steps) >= 1 and any(size[k] < steps[k] < 2 * size[k] for k in (0, 1)):
            yield Finding(
                grid.area,
                "overlaps",
                f"its {size[0]}×{size[1]} windows step by {steps[0]:g}×{steps[1]:g} and leave gaps in {reach}",
                "windows that touch or overlap",
            )


def _left_out(sheet: Sheet, fixed: dict[Area, FilledBlock]) -> Iterator[Finding]:
    """A fixed range that has nearly all of a block, but for lines along its edge."""
    for area, grid in fixed.items():
        for block in sheet.book[area.sheet].blocks_in(area):
            met = block.meet(area)
            if met and met != block and met == area and _nearly(met, block) and _filled(sheet, met, block):
                if _headings(sheet, met, block):
                    continue
                yield Finding(
                    grid.area,
                    "overlaps",
                    f"reads {area} and leaves out {_rest(met, block)} of the block {block}",
                    f"the whole block, {block}",
                )


def _short_map(sheet: Sheet, grid: FilledBlock, reading: FormulaReading) -> Iterator[Finding]:
    """A map whose windows end before their input does, though another step would fit."""
    if reading.inside is None or reading.inside != reading.area:
        return
    for block in sheet.book[reading.area.sheet].blocks_in(reading.area):
        met, block = block.meet(reading.area), _allowed(sheet, block)
        if met is None or met != reading.area or met.meet(block) == block or not _nearly(met, block):
            continue
        steps = reading.rows.step, reading.columns.step
        before = met.row0 - block.row0, met.column0 - block.column0
        after = block.row1 - met.row1, block.column1 - met.column1
        ends = any(before[k] == 0 and after[k] >= steps[k] for k in (0, 1))
        if min(steps) >= 1 and ends and _filled(sheet, met, block):
            rows, columns = grid.shape
            yield Finding(
                grid.area,
                "overlaps",
                f"the {rows}×{columns} map reads {reading.area} and leaves out {_rest(met, block)} of the block {block}",
                f"{rows + after[0] // steps[0]}×{columns + after[1] // steps[1]}, the size that its input allows",
            )


def _allowed(sheet: Sheet, block: Area) -> Area:
    """A block without the lines by which it is itself larger than its input allows."""
    other = sheet.book[block.sheet]
    grid = next((g for g in other.maps if g.area == block), None)
    rows, columns = excess(other, grid) if grid else (0, 0)
    down, right = grid.pitch if grid else (1, 1)
    return block._replace(
        row1=block.row1 - max(rows, 0) * down, column1=block.column1 - max(columns, 0) * right
    )


def _nearly(part: Area, block: Area) -> bool:
    """Whether a part lacks at most two rows and columns of a block of at least 4×4, at one end only."""
    rows = part.row0 - block.row0, block.row1 - part.row1
    columns = part.column0 - block.column0, block.column1 - part.column1
    large = min(block.row1 - block.row0, block.column1 - block.column0) >= 3
    return large and max(*rows, *columns) <= 2 and 0 in rows and 0 in columns


def _filled(sheet: Sheet, part: Area, block: Area) -> bool:
    """Whether nearly all of what a part leaves out of a block holds numbers: no label that touches its corner."""
    mask = sheet.book[block.sheet].mask(block) != FindingKind.BLANK
    inside = sheet.book[block.sheet].mask(part).size
    return bool(mask.sum() - inside >= 0.75 * (mask.size - inside))


def _headings(sheet: Sheet, part: Area, block: Area) -> bool:
    """Whether a part leaves out typed numbers above it, or to its left, that count on: years, steps, classes."""
    numbers = sheet.source.cells(block.sheet).numbers(*block[1:])
    above = numbers[: part.row0 - block.row0, part.column0 - block.column0 :]
    beside = numbers[part.row0 - block.row0 :, : part.column0 - block.column0].T
    for lines in (above, beside):
        if any(
            len(line) > 2 and np.all(np.diff(line) > 0) and np.all(line == np.round(line)) for line in lines
        ):
            return True
    return False


def _rest(part: Area, block: Area) -> str:
    rows = part.row0 - block.row0 + block.row1 - part.row1
    columns = part.column0 - block.column0 + block.column1 - part.column1
    words = [f"{n} {name}{'s' * (n > 1)}" for n, name in ((rows, "row"), (columns, "column")) if n]
    return " and ".join(words)
