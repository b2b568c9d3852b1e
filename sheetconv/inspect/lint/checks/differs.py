"""A formula that differs from its neighbours once addresses are made relative; a constant typed over one."""

from __future__ import annotations

from collections.abc import Iterator

from sheetconv.formulas.cell_range import Area, rectangles
from sheetconv.formulas.filled_blocks import FilledBlock
from sheetconv.inspect.lint.checks.text_number import is_number
from sheetconv.inspect.lint.sheet import Finding, FindingKind, Sheet
from sheetconv.xlsx.a1 import cell_name

_MAP = 8
"""A smaller group of cells may well mix formulas of two kinds."""


def check(sheet: Sheet) -> Iterator[Finding]:
    """Cells on the lattice of a map that were not filled like the rest of it."""
    done: set[tuple[int, int]] = set()
    for grid in sorted(sheet.maps, key=lambda g: -len(g.cells)):
        if len(grid.exceptions) > max(1, len(grid.cells) // 4):
            continue  # two patterns side by side rather than a mistake in one
        for formula in (True, False) if len(grid.cells) >= _MAP else (False,):
            odd = {
                at for at, has in grid.exceptions.items() if has == formula and at not in grid.broken
            } - done
            done |= odd
            for area in rectangles((sheet.name, *at) for at in odd):
                yield (_formula if formula else _constant)(sheet, grid, area)
        for at in sorted(grid.broken - done):
            done.add(at)
            yield _formula(sheet, grid, sheet.cell(at))
        yield from _missing(sheet, grid)


def _formula(sheet: Sheet, grid: FilledBlock, area: Area) -> Finding:
    at = area.row0, area.column0
    text = sheet.formulas[at]
    return Finding(
        area,
        "differs",
        f"the formula {_short(text)} is not filled like the rest of {grid.area}",
        _expected(sheet, grid, at),
    )


def _constant(sheet: Sheet, grid: FilledBlock, area: Area) -> Finding:
    value = sheet.values[area.row0, area.column0]
    return Finding(
        area,
        "differs",
        f"the number {value:g} is typed over a formula of {grid.area}",
        _expected(sheet, grid, (area.row0, area.column0)),
    )


def _missing(sheet: Sheet, grid: FilledBlock) -> Iterator[Finding]:
    """Blank cells or texts inside a map that is full but for them."""
    rows, columns = grid.shape
    gaps = rows * columns - len(grid.cells) - len(grid.exceptions)
    if grid.spilled or not 0 < gaps <= len(grid.cells) // 10 or min(rows, columns) < 3:
        return
    area = grid.area
    empty = [
        (row, column)
        for row in range(area.row0, area.row1 + 1, grid.pitch[0])
        for column in range(area.column0, area.column1 + 1, grid.pitch[1])
        if (row, column) not in grid.cells
        and not is_number(sheet.texts.get((row, column), ""))  # text_number tells of those
        and sheet.kind((row, column)) in (FindingKind.BLANK, FindingKind.TEXT, FindingKind.OTHER)
    ]
    for gap in rectangles((sheet.name, *at) for at in empty):
        what = "holds text" if sheet.kind((gap.row0, gap.column0)) == FindingKind.TEXT else "has no formula"
        at = gap.row0, gap.column0
        yield Finding(gap, "differs", f"{what}, inside the map {area}", _expected(sheet, grid, at))


def _expected(sheet: Sheet, grid: FilledBlock, at: tuple[int, int]) -> str:
    near = min(grid.cells, key=lambda c: abs(c[0] - at[0]) + abs(c[1] - at[1]))
    return f"the formula of its neighbour {cell_name(*near)}, {_short(sheet.formulas[near])}, filled to it"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "…"
