"""What may be typed into the cells that choose: the lists and bounds of their validations."""

from __future__ import annotations

from collections.abc import Iterator

from sheetconv.errors import WorkbookError
from sheetconv.prove.cells import Sheets
from sheetconv.sheet.manifest import Manifest
from sheetconv.xlsx.a1 import parse_range
from sheetconv.xlsx.address import cell, quoted

Choice = tuple[str, tuple[str, ...] | tuple[float, ...]]
"""(``list``, its texts) or (``whole`` or ``decimal``, (lowest, highest))."""

MOST_WHOLE = 1000


def changed(manifest: Manifest, sheets: Sheets) -> Iterator[str]:
    """Selectors that allow other choices than the workbook was built with."""
    for sheet, row, column, kind, values in manifest.choices:
        found = at(sheets, sheet, row, column)
        built = (kind, tuple(values))
        if found != built:
            now = "anything" if found is None else f"{found[0]} {', '.join(map(str, found[1]))[:80]}"
            yield (
                f"{quoted(sheet)}!{cell(row, column)} allows {now}; built was {kind} "
                f"{', '.join(map(str, values))[:80]}"
            )


def at(sheets: Sheets, sheet: str, row: int, column: int) -> Choice | None:
    """What the validation of one cell allows; None without one that can be listed."""
    for rule in sheets[sheet].validations:
        if any(_holds(part, row, column) for part in rule.get("sqref", "").split()):
            return _choice(rule)
    return None


def _holds(part: str, row: int, column: int) -> bool:
    try:
        r0, c0, r1, c1 = parse_range(part)
    except WorkbookError:
        return False
    return r0 <= row <= r1 and c0 <= column <= c1


def _choice(rule: dict[str, str]) -> Choice | None:
    kind, first = rule.get("type", "none"), rule.get("formula1", "")
    if kind == "list" and first.startswith('"') and first.endswith('"'):
        return kind, tuple(v.strip() for v in first[1:-1].replace('""', '"').split(","))
    if kind in ("whole", "decimal") and rule.get("operator", "between") == "between":
        try:
            return kind, (float(first), float(rule.get("formula2", "")))
        except ValueError:
            return None
    return None


def numbers_of(choice: Choice) -> list[float]:
    """The numbers that a list or a range of whole numbers allows (at most `MOST_WHOLE`); [] for any other."""
    kind, values = choice
    if kind == "whole":
        low, high = int(values[0]), int(values[1])
        return [float(v) for v in range(low, min(high, low + MOST_WHOLE) + 1)]
    if kind == "list":
        try:
            return [float(v) for v in values]
        except ValueError:
            return []
    return []
