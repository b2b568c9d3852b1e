"""Sums over computed ranges that are not entered as array formulas: many programs take one cell of the range."""

from __future__ import annotations

from collections.abc import Iterator

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.syntax import Apply, Node, Slot
from sheetconv.inspect.lint.sheet import Finding, Sheet

_OVER = {"SUM", "AVERAGE", "MAX", "MIN", "PRODUCT", "SUMSQ"}
_EACH = {
    *("EXP", "LN", "SQRT", "ABS", "TANH", "ATAN", "SIN", "COS", "INT", "LOG", "LOG10", "POWER"),
    *("+", "-", "*", "1/", "^"),
}


def check(sheet: Sheet) -> Iterator[Finding]:
    """One finding for each map such as ``EXP(A1)/SUM(EXP($A$1:$A$4))``."""
    for grid in sheet.maps:
        tree, arrays = grid.skeleton.tree, sheet.source.cells(sheet.name).arrays
        if tree is None or grid.spilled or grid.first in arrays:
            continue
        if _sums_an_array(tree, grid.slots[grid.first]):
            yield Finding(
                grid.area,
                "not-array",
                "sums what a function gives for each cell of a range, without being an array formula: programs "
                "without dynamic arrays take one cell of the range",
                "SUMPRODUCT in place of SUM, or the formula entered with Ctrl+Shift+Enter",
            )


def _sums_an_array(tree: Node, slots: tuple[Area, ...]) -> bool:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Apply):
            continue
        if node.name in _OVER and any(_is_array(part, slots) for part in node.of):
            return True
        if node.name in _EACH | _OVER or node.name == "IF":
            waiting += node.of
    return False


def _is_array(node: Node, slots: tuple[Area, ...]) -> bool:
    """Whether a function is applied to each cell of a range."""
    if not isinstance(node, Apply) or node.name not in _EACH:
        return False
    ranges = [part for part in node.of if isinstance(part, Slot) and slots[part.index].size > 1]
    return bool(ranges) or any(_is_array(part, slots) for part in node.of)
