"""Denominators that do not match the block they average: SUM(block)/n, COUNTIF(block, …)/n, in cells or out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.filled_blocks import FilledBlock
from sheetconv.formulas.syntax import Apply, Node, NumberNode, Slot, walk
from sheetconv.inspect.lint.sheet import MOST_AREA, Finding, FindingKind, Sheet

_COUNTING = {"SUM", "COUNT", "COUNTIF", "COUNTBLANK", "COUNTA"}
_HARMLESS = {1.0, 2.0, 10.0, 100.0, 255.0, 256.0, 1000.0}
"""Divisors that scale rather than average: halves, percentages, pixel values."""


_FAR = 4


def check(sheet: Sheet) -> Iterator[Finding]:
    """One finding for each map with such a quotient."""
    for grid in sheet.maps:
        if grid.skeleton.tree is None:
            continue
        for node in walk(grid.skeleton.tree):
            if isinstance(node, Apply) and node.name == "*":
                finding = _quotient(sheet, grid, node)
                if finding:
                    yield finding


def _quotient(sheet: Sheet, grid: FilledBlock, node: Apply) -> Finding | None:
    slots = grid.slots[grid.first]
    below = [part for part in node.of if isinstance(part, Apply) and part.name == "1/"]
    above = [part for part in node.of if part not in below]
    if len(above) != 1 or not below:
        return None
    block = _counted(sheet, above[0], slots)
    divisors = [_value(sheet, part.of[0], slots) for part in below]
    if block is None or any(d is None for d in divisors):
        return None
    number = float(np.prod([d for d in divisors if d is not None]))
    filled = sum(_filled(sheet, area) for area in block)
    whole = sum(area.size for area in block)
    if filled < 2 or number == filled or number in _HARMLESS or number <= 0 or number != round(number):
        return None
    if not filled / _FAR <= number <= filled * _FAR:  # another quantity: a price by a number of shares
        return None
    where = ", ".join(map(str, block))
    size = f"{filled:,} filled cells" + (f" (of {whole:,})" if whole != filled else "")
    return Finding(
        grid.area,
        "denominator",
        f"divides by {number:,g}, but {where} has {size}",
        f"{filled:,}, the number of cells that are averaged",
    )


def _counted(sheet: Sheet, node: Node, slots: tuple[Area, ...], deep: int = 2) -> list[Area] | None:
    """The areas that a sum or a count goes over; a cell that holds such a sum is looked into."""
    if isinstance(node, Apply) and node.name in _COUNTING and node.of:
        parts = node.of[:1] if node.name == "COUNTIF" else node.of
        areas = [slots[part.index] for part in parts if isinstance(part, Slot)]
        fit = len(areas) == len(parts) and all(a.size <= MOST_AREA for a in areas)
        return areas if fit and sum(a.size for a in areas) > 1 else None
    if isinstance(node, Apply) and node.name == "+" and all(isinstance(p, Slot) for p in node.of):
        areas = [slots[p.index] for p in node.of if isinstance(p, Slot)]
        return areas if len(areas) >= 4 and all(a.size == 1 for a in areas) else None
    if isinstance(node, Slot) and slots[node.index].size == 1 and deep:
        area = slots[node.index]
        other = sheet.book[area.sheet]
        grid = next((g for g in other.grids if (area.row0, area.column0) in g.cells), None)
        if grid is not None and grid.skeleton.tree is not None:
            inner = grid.slots[area.row0, area.column0]
            return _counted(sheet, grid.skeleton.tree, inner, deep - 1)
    return None


def _value(sheet: Sheet, node: Node, slots: tuple[Area, ...], deep: int = 8) -> float | None:
    """The number that a divisor is: typed, a product of typed ones, or a count of cells."""
    if isinstance(node, NumberNode):
        return node.value
    if isinstance(node, Slot) and slots[node.index].size == 1 and deep:
        area = slots[node.index]
        other, at = sheet.book[area.sheet], (area.row0, area.column0)
        value = other.values.get(at)
        if at not in other.formulas:
            return value if type(value) is float else None
        grid = next((g for g in other.grids if at in g.cells), None)
        tree = grid.skeleton.tree if grid else None
        return _value(other, tree, grid.slots[at], deep - 1) if grid and isinstance(tree, Apply) else None
    if not isinstance(node, Apply):
        return None
    if node.name == "*":
        parts = [_value(sheet, part, slots, deep) for part in node.of]
        return None if any(p is None for p in parts) else float(np.prod([p for p in parts if p is not None]))
    areas = [slots[p.index] for p in node.of if isinstance(p, Slot)]
    if len(areas) != len(node.of) or not areas or any(a.size > MOST_AREA for a in areas):
        return None
    if node.name in ("COUNT", "COUNTA"):
        return float(sum(_filled(sheet, a) for a in areas))
    if node.name == "ROWS":
        return float(areas[0].row1 - areas[0].row0 + 1)
    return float(areas[0].column1 - areas[0].column0 + 1) if node.name == "COLUMNS" else None


def _filled(sheet: Sheet, area: Area) -> int:
    return int(
        np.isin(
            sheet.book[area.sheet].mask(area), (FindingKind.ZERO, FindingKind.NUMBER, FindingKind.FORMULA)
        ).sum()
    )
