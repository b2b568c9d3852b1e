"""Volatile functions: their numbers change with every recalculation."""

from __future__ import annotations

from collections.abc import Iterator

from sheetconv.trace.formula import tokens
from sheetconv.trace.lint.sheet import Finding, Sheet

FUNCTIONS = {"RAND", "RANDBETWEEN", "RANDARRAY", "NOW", "TODAY", "OFFSET", "INDIRECT"}


def check(sheet: Sheet) -> Iterator[Finding]:
    """One finding for each block and function."""
    for grid in sheet.maps:
        text = sheet.formulas[grid.first]
        if not any(name in text.upper() for name in FUNCTIONS):
            continue
        used = {t.text[:-1].upper().removeprefix("_XLFN.") for t in tokens(text) if t.kind == "function"}
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
