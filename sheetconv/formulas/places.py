"""Numbers that follow from where a formula stands: ``ROW()-ROW($B$1)+1``; no cell is read for them."""

from __future__ import annotations

from collections.abc import Sequence

from sheetconv.formulas.syntax import Apply, Node, NumberNode, Slot, Unreadable, parsed
from sheetconv.xlsx.tokens import Token, box, is_address

_SIZES = {"ROW", "COLUMN", "ROWS", "COLUMNS"}
Bounds = tuple[int, int, int, int]


def whole_number(tokens: Sequence[Token], cell: tuple[str, int, int]) -> int | None:
    """The whole number that these tokens of the formula in `cell` amount to; None where values are needed."""
    slots: list[Bounds] = []
    pieces: list[Token | int] = []
    for token in tokens:
        if is_address(token):
            pieces.append(len(slots))
            slots.append(box(token).bounds)
        else:
            pieces.append(token)
    try:
        found = _number(parsed(pieces), slots, cell)
    except (Unreadable, RecursionError):
        return None
    return None if found is None or found != round(found) else round(found)


def _number(node: Node, slots: list[Bounds], cell: tuple[str, int, int]) -> float | None:
    if isinstance(node, NumberNode):
        return node.value
    if not isinstance(node, Apply):
        return None
    if node.name in _SIZES:
        return _place(node, slots, cell)
    parts = [_number(n, slots, cell) for n in node.of]
    numbers = [p for p in parts if p is not None]
    if len(numbers) < len(parts) or not numbers:
        return None
    if node.name == "+":
        return sum(numbers)
    if node.name == "-":
        return -numbers[0]
    if node.name == "1/":
        return 1 / numbers[0] if numbers[0] else None
    if node.name == "INT":
        return float(numbers[0] // 1)
    if node.name == "MOD" and len(numbers) == 2:
        return numbers[0] % numbers[1] if numbers[1] else None
    if node.name == "*":
        product = 1.0
        for number in numbers:
            product *= number
        return product
    return None


def _place(node: Apply, slots: list[Bounds], cell: tuple[str, int, int]) -> float | None:
    if not node.of:
        _, row, column = cell
        return {"ROW": row + 1.0, "COLUMN": column + 1.0}.get(node.name)
    if not isinstance(node.of[0], Slot):
        return None
    r0, c0, r1, c1 = slots[node.of[0].index]
    return float({"ROW": r0 + 1, "COLUMN": c0 + 1, "ROWS": r1 - r0 + 1, "COLUMNS": c1 - c0 + 1}[node.name])
