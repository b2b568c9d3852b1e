"""Volatile functions: their numbers change with every recalculation.

A branch that a typed cell switches off, as in ``IF(S8=1, RAND(), stored)`` with 0 in S8, gives no number at present
and is no finding; with the switch on it is one.
"""

from __future__ import annotations

from collections.abc import Iterator

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.syntax import Apply, Node, NumberNode, Slot
from sheetconv.inspect.lint.sheet import Finding, Sheet
from sheetconv.xlsx.tokens import tokens

FUNCTIONS = {"RAND", "RANDBETWEEN", "RANDARRAY", "NOW", "TODAY", "OFFSET", "INDIRECT"}


def check(sheet: Sheet) -> Iterator[Finding]:
    """One finding for each block and function."""
    for grid in sheet.maps:
        text = sheet.formulas[grid.first]
        if not any(name in text.upper() for name in FUNCTIONS):
            continue
        tree = grid.skeleton.tree
        used = _in_text(text) if tree is None else _in_use(sheet, tree, grid.slots[grid.first])
        for name in sorted(used & FUNCTIONS):
            why = (
                "names its cells only when computed"
                if name in ("OFFSET", "INDIRECT")
                else "is drawn or read anew"
            )
            yield Finding(
                grid.area,
                "volatile",
                f"{name} {why} at every recalculation",
                "a typed value, or a reference that stays",
            )


def _in_text(text: str) -> set[str]:
    return {t.text[:-1].upper().removeprefix("_XLFN.") for t in tokens(text) if t.kind == "function"}


def _in_use(sheet: Sheet, node: Node, slots: tuple[Area, ...]) -> set[str]:
    """Functions of the tree, without those in branches that are switched off."""
    if not isinstance(node, Apply):
        return set()
    parts = node.of
    if node.name == "IF" and len(parts) == 3 and (on := _switch(sheet, parts[0], slots)) is not None:
        parts = (parts[1] if on else parts[2],)
    return {node.name.removeprefix("_XLFN.")}.union(*(_in_use(sheet, part, slots) for part in parts))


def _switch(sheet: Sheet, condition: Node, slots: tuple[Area, ...]) -> bool | None:
    """What ``cell = number`` says where a number is typed into the cell; None for any other condition."""
    if not (isinstance(condition, Apply) and condition.name == "=" and len(condition.of) == 2):
        return None
    reference, wanted = condition.of
    if not (isinstance(reference, Slot) and isinstance(wanted, NumberNode)):
        return None
    area = slots[reference.index]
    other = sheet.book[area.sheet]
    at = area.row0, area.column0
    value = other.values.get(at)
    if area.size != 1 or at in other.formulas or not isinstance(value, float):
        return None
    return value == wanted.value
