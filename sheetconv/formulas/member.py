"""One cell of an array formula as a formula of its own: ``MMULT(A1:B2,D1:E2)`` in its first cell is two products."""

from __future__ import annotations

from collections.abc import Sequence

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.syntax import Apply, Node, NumberNode, Slot

_WHOLE = {
    "SUM",
    "SUMPRODUCT",
    "AVERAGE",
    "MAX",
    "MIN",
    "COUNT",
    "SUMSQ",
    "AND",
    "OR",
    "ROWS",
    "COLUMNS",
    "PRODUCT",
}
Shape = tuple[int, int]


def shape(node: Node, slots: Sequence[Area]) -> Shape:
    """Rows and columns of what a node gives."""
    if isinstance(node, Slot):
        area = slots[node.index]
        return area.row1 - area.row0 + 1, area.column1 - area.column0 + 1
    if not isinstance(node, Apply) or node.name in _WHOLE or not node.of:
        return 1, 1
    if node.name == "TRANSPOSE":
        rows, columns = shape(node.of[0], slots)
        return columns, rows
    if node.name == "MMULT" and len(node.of) == 2:
        return shape(node.of[0], slots)[0], shape(node.of[1], slots)[1]
    if node.name == "{}":
        first = node.of[0]
        return len(node.of), len(first.of) if isinstance(first, Apply) else 1
    shapes = [shape(n, slots) for n in node.of]
    return max(s[0] for s in shapes), max(s[1] for s in shapes)


def member(node: Node, slots: list[Area], row: int, column: int) -> Node:
    """The node's cell at (row, column), counted from 0; slots of single cells are added to `slots`."""
    if isinstance(node, Slot):
        return _cell(node, slots, row, column)
    if not isinstance(node, Apply) or node.name in _WHOLE:
        return node
    if node.name == "TRANSPOSE":
        return member(node.of[0], slots, column, row)
    if node.name == "MMULT" and len(node.of) == 2:
        left, right = node.of
        inner = shape(left, slots)[1]
        products = [
            Apply("*", (member(left, slots, row, k), member(right, slots, k, column))) for k in range(inner)
        ]
        return products[0] if inner == 1 else Apply("+", tuple(products))
    if node.name == "{}":
        line = node.of[min(row, len(node.of) - 1)]
        return line.of[min(column, len(line.of) - 1)] if isinstance(line, Apply) else NumberNode(0.0)
    return Apply(node.name, tuple(member(n, slots, row, column) for n in node.of))


def _cell(node: Slot, slots: list[Area], row: int, column: int) -> Node:
    area = slots[node.index]
    if area.size == 1:
        return node
    r = area.row0 + (0 if area.row0 == area.row1 else row)
    c = area.column0 + (0 if area.column0 == area.column1 else column)
    slots.append(Area(area.sheet, r, c, r, c))
    return Slot(len(slots) - 1)
