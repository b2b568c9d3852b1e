"""Structured tables and the references that name their parts: ``Pix[[#This Row],[x]:[y]]`` and shorter forms."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sheetconv.errors import WorkbookError
from sheetconv.formulas.cell_range import Area
from sheetconv.xlsx.a1 import parse_range
from sheetconv.xlsx.cells import Book

_ITEM = re.compile(r"\[(?P<item>(?:'.|[^\[\]'])*)\]|(?P<mark>[,:])|\s+|(?P<wrong>.)", re.DOTALL)
_ESCAPED = re.compile(r"'(.)", re.DOTALL)
_CODED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_PARTS = ("#all", "#headers", "#totals", "#data", "#this row")


@dataclass(frozen=True)
class StructuredTable:
    """A structured table: its whole area, header and totals rows, and column names in order."""

    area: Area
    headers: int
    totals: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class TablePart:
    """What a reference picks from a table: rows by keyword, column names (a span from first to last)."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]


def read_tables(book: Book) -> dict[str, StructuredTable]:
    """All tables of a workbook by lower-case name. Raises `WorkbookError` for a damaged one."""
    found = {}
    for sheet in book.sheet_names:
        for kind, part in book.package.relations(book.sheet_part(sheet)).values():
            if kind == "table":
                name, table = _read(book, sheet, part)
                found[name.lower()] = table
    return found


def _read(book: Book, sheet: str, part: str) -> tuple[str, StructuredTable]:
    elements = book.package.elements(part)
    root = next((e.attributes for e in elements if e.name == "table"), {})
    columns = tuple(_plain(e.attributes.get("name", "")) for e in elements if e.name == "tableColumn")
    try:
        area = Area(sheet, *parse_range(root.get("ref", "")))
        headers, totals = int(root.get("headerRowCount", "1")), int(root.get("totalsRowCount", "0"))
    except ValueError as error:
        raise WorkbookError(f"{book.path}: the table {part} is damaged ({error})") from error
    if not (0 <= headers <= 1 and 0 <= totals <= 1 and headers + totals <= area.row1 - area.row0 + 1):
        raise WorkbookError(f"{book.path}: the table {part} has more header rows than rows; it is damaged")
    return root.get("displayName") or root.get("name") or "", StructuredTable(area, headers, totals, columns)


def _plain(name: str) -> str:
    return _CODED.sub(lambda m: chr(int(m[1], 16)), name)


def parse_part(text: str) -> TablePart | None:
    """What stands in brackets behind a table's name, brackets included; None where it makes no sense."""
    inside = text.strip()[1:-1].strip()
    rows: tuple[str, ...] = ()
    if inside.startswith("@"):
        rows, inside = ("#this row",), inside[1:].strip()
    if not inside:
        return TablePart(rows, ())
    items = [inside] if not inside.startswith("[") else _items(inside)
    if items is None:
        return None
    keywords = [i.strip().lower() for i in items if i.strip().startswith("#")]
    columns = tuple(_ESCAPED.sub(r"\1", i) for i in items if not i.strip().startswith("#"))
    return TablePart(rows + tuple(keywords), columns) if set(keywords) <= set(_PARTS) else None


def _items(text: str) -> list[str] | None:
    found = list(_ITEM.finditer(text))
    if any(m["wrong"] for m in found):
        return None
    return [m["item"] for m in found if m["item"] is not None]


def areas(table: StructuredTable, part: TablePart, row: int) -> tuple[list[Area], str]:
    """Cells of a part of a table, as seen from a formula in `row`; a text says what is missing, if anything."""
    area, lower = table.area, [c.strip().lower() for c in table.columns]
    unknown = [c for c in part.columns if c.strip().lower() not in lower]
    if unknown:
        return [], f"has no column {unknown[0]!r}"
    columns = [lower.index(c.strip().lower()) for c in part.columns] or [0, area.column1 - area.column0]
    left, right = area.column0 + min(columns), min(area.column0 + max(columns), area.column1)
    top, bottom = area.row0 + table.headers, area.row1 - table.totals
    spans = {
        "#all": (area.row0, area.row1),
        "#headers": (area.row0, top - 1),
        "#totals": (bottom + 1, area.row1),
        "#data": (top, bottom),
        "#this row": (row, row) if top <= row <= bottom else (1, 0),
    }
    wanted = [(k, *spans[k]) for k in part.rows or ("#data",)]
    missing = [k for k, r0, r1 in wanted if r0 > r1]
    found = [Area(area.sheet, r0, left, r1, right) for _, r0, r1 in wanted if r0 <= r1]
    reason = "does not cross this row" if "#this row" in missing else "has no such row"
    return found, f"{reason} ({missing[0]})" if missing else ""
