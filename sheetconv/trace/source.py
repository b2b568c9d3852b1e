"""A workbook as the tracer sees it: every formula cell, names, tables, spills; no formula is ever run."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from sheetconv.errors import LimitError
from sheetconv.read.a1 import parse_range
from sheetconv.read.cells import Book, SheetCells
from sheetconv.trace.area import Area
from sheetconv.trace.formula import Box, Token, box, is_address, is_name, tokens

MOST_ARRAY_CELLS = 4_000_000
_UNKNOWABLE = {"INDIRECT(", "OFFSET("}
Cell = tuple[str, int, int]
"""(sheet, row, column), zero-based."""


@dataclass(frozen=True)
class References:
    """What one formula reads: areas in order of appearance, and notes on what cannot be followed."""

    areas: tuple[Area, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A structured table: its whole area, header and totals rows, and column names in order."""

    area: Area
    headers: int
    totals: int
    columns: tuple[str, ...]


@dataclass
class _Reading:
    """The state of reading one formula: where it stands, what was found, which names are being followed."""

    cell: Cell
    shift: bool = False
    areas: list[Area] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: tuple[str, ...] = ()


class Source:
    """An open workbook whose references are resolved. Use as a context manager.

    Raises `WorkbookError` for a file that cannot be read safely, `LimitError` for array formulas that cover
    more than `MOST_ARRAY_CELLS` cells.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.book = Book(path)
        self.sheets = self.book.sheet_names
        self._lower = {name.lower(): name for name in self.sheets}
        self._names = {name.lower(): text for name, text in self.book.defined_names.items()}
        self._local = {(s.lower(), n.lower()): t for (s, n), t in self.book.local_names.items()}
        self._formulas: dict[str, dict[tuple[int, int], str]] = {}
        self._anchors: dict[Cell, Cell] = {}
        self._cache: dict[Cell, References] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.book.close()

    def cells(self, sheet: str) -> SheetCells:
        """Values and formulas of a sheet as the file has them."""
        return self.book.cells(sheet)

    def formulas(self, sheet: str) -> dict[tuple[int, int], str]:
        """Formula of every formula cell, members of array formulas and spills included."""
        if sheet not in self._formulas:
            cells = self.cells(sheet)
            found = {(row, column): text for row, column, text in cells.formula_cells()}
            room = MOST_ARRAY_CELLS
            for anchor, (r0, c0, r1, c1) in cells.arrays.items():
                room -= (r1 - r0 + 1) * (c1 - c0 + 1)
                if room < 0:
                    raise LimitError(
                        f"array formulas of {sheet!r} cover over {MOST_ARRAY_CELLS:,} cells; refused"
                    )
                if (r0, c0) != (r1, c1) and anchor in found:
                    text = found[anchor]
                    for row in range(r0, r1 + 1):
                        for column in range(c0, c1 + 1):
                            if (row, column) not in found:
                                found[row, column] = text
                                self._anchors[sheet, row, column] = (sheet, *anchor)
            self._formulas[sheet] = found
        return self._formulas[sheet]

    def formula(self, cell: Cell) -> str | None:
        """Formula text of a cell, ``"=…"``, or None."""
        return self.formulas(cell[0]).get(cell[1:])

    def anchor(self, cell: Cell) -> Cell:
        """The cell an array formula is written in, for a member of its area; else the cell itself."""
        self.formulas(cell[0])
        return self._anchors.get(cell, cell)

    def precedents(self, cell: Cell) -> References:
        """Areas that a cell's formula reads directly; empty for a cell without one."""
        text = self.formula(cell)
        if text is None:
            return References(())
        cell = self.anchor(cell)
        if cell not in self._cache:
            reading = _Reading(cell)
            self._read(text, reading)
            self._cache[cell] = References(
                tuple(dict.fromkeys(reading.areas)), tuple(dict.fromkeys(reading.notes))
            )
        return self._cache[cell]

    def _read(self, text: str, reading: _Reading) -> None:
        previous: list[Area] = []
        gap = joint = anchored = False
        for token in tokens(text):
            if token.kind == "space":
                gap = True
                continue
            found = self._token(token, reading)
            if anchored and len(found) == 1:  # _xlfn.ANCHORARRAY(A1), how files write A1#
                found = [self._spilled(found[0])]
            anchored = token.text.upper().endswith("ANCHORARRAY(")
            if found and previous and gap:  # a space between references: where they meet
                del reading.areas[len(reading.areas) - len(previous) :]
                found = [m for a in previous for b in found if (m := a.meet(b))]
            elif found and joint and reading.areas and len(found) == 1:  # A1:INDEX(B1:B9, 3)
                first = reading.areas.pop()
                if first.sheet == found[0].sheet:
                    found = [_span(first, found[0])]
                else:
                    reading.areas.append(first)
            reading.areas += found
            previous, gap = found, False
            joint = (token.text == ":") or (joint and token.text.upper() == "INDEX(")

    def _token(self, token: Token, reading: _Reading) -> list[Area]:
        if token.kind == "function":
            if token.text.upper() in _UNKNOWABLE:
                reading.notes.append(
                    f"{token.text[:-1].upper()} names its cells only when it is computed: untraceable"
                )
            return []
        if token.sheet and "[" in token.sheet:
            reading.notes.append(f"link to another workbook, not followed: {token.sheet}!{token.text}")
            return []
        if is_address(token):
            return self._areas(token, reading)
        if is_name(token):
            return self._name(token, reading)
        return self._table(token, reading) if token.kind == "table" else []

    def _sheets_of(self, prefix: str | None, reading: _Reading) -> list[str]:
        if prefix is None:
            return [reading.cell[0]]
        text = prefix[1:-1].replace("''", "'") if prefix.startswith("'") else prefix
        if text.lower() in self._lower:
            return [self._lower[text.lower()]]
        first, _, last = text.partition(":")
        if first.lower() in self._lower and last.lower() in self._lower:
            a, b = sorted(self.sheets.index(self._lower[s.lower()]) for s in (first, last))
            return self.sheets[a : b + 1]
        reading.notes.append(f"sheet {text!r} does not exist")
        return []

    def _areas(self, token: Token, reading: _Reading) -> list[Area]:
        found: Box = box(token)
        bounds = found.moved(reading.cell[1], reading.cell[2]) if reading.shift else found.bounds
        areas = []
        for sheet in self._sheets_of(token.sheet, reading):
            area = Area(sheet, *bounds)
            if token.spill:
                area = self._spilled(area)
            clipped = area if token.kind == "area" else self._used(area)
            areas += [clipped] if clipped else []
        return areas

    def _used(self, area: Area) -> Area | None:
        extent = self.cells(area.sheet).extent
        return area.meet(Area(area.sheet, *extent)) if extent else None

    def _spilled(self, area: Area) -> Area:
        spill = self.cells(area.sheet).arrays.get((area.row0, area.column0))
        return Area(area.sheet, *spill) if spill else area

    def _name(self, token: Token, reading: _Reading) -> list[Area]:
        scopes = self._sheets_of(token.sheet, reading) if token.sheet else [reading.cell[0]]
        key = token.text.lower()
        text = next((t for s in scopes if (t := self._local.get((s.lower(), key))) is not None), None)
        text = self._names.get(key) if text is None else text
        if text is None:
            if re.match(r"_xl", key) is None:
                reading.notes.append(f"name {token.text} is not defined")
            return []
        if key in reading.names:
            reading.notes.append(f"name {token.text} refers to itself")
            return []
        if len(reading.names) >= 64:
            reading.notes.append(f"name {token.text}: names within names beyond 64 are not followed")
            return []
        inner = _Reading(reading.cell, shift=True, names=(*reading.names, key))
        self._read(text, inner)
        reading.notes += inner.notes
        return inner.areas

    def _table(self, token: Token, reading: _Reading) -> list[Area]:
        name, _, inside = token.text.partition("[")
        table = self.tables.get(name.lower()) if name else self._table_around(reading.cell)
        if table is None:
            reading.notes.append(f"table {name or token.text} does not exist")
            return []
        return _table_areas(table, "[" + inside, reading.cell)

    def _table_around(self, cell: Cell) -> Table | None:
        here = Area(cell[0], cell[1], cell[2], cell[1], cell[2])
        return next((t for t in self.tables.values() if t.area.meet(here)), None)

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Structured tables by lower-case name."""
        package, found = self.book.package, {}
        for sheet in self.sheets:
            for kind, part in package.relations(self.book.sheet_part(sheet)).values():
                if kind == "table":
                    elements = package.elements(part)
                    root = next(e for e in elements if e.name == "table").attributes
                    columns = tuple(e.attributes.get("name", "") for e in elements if e.name == "tableColumn")
                    found[root.get("displayName", root.get("name", "")).lower()] = Table(
                        Area(sheet, *parse_range(root.get("ref", "A1"))),
                        int(root.get("headerRowCount", "1")),
                        int(root.get("totalsRowCount", "0")),
                        columns,
                    )
        return found


def _span(a: Area, b: Area) -> Area:
    return Area(a.sheet, min(a[1], b[1]), min(a[2], b[2]), max(a[3], b[3]), max(a[4], b[4]))


def _table_areas(table: Table, text: str, cell: Cell) -> list[Area]:
    """Areas of ``[[#This Row],[x]:[y]]`` and its shorter forms."""
    area = table.area
    keys = [k.lower() for k in re.findall(r"\[(#[^\[\]]+)\]", text)] or (
        ["#this row"] if "[@" in text else []
    )
    names = [re.sub(r"'(.)", r"\1", n) for n in re.findall(r"\[@?((?:[^\[\]'#@]|'.)+)\]", text)]
    names += [n for n in re.findall(r"\[@([^\[\]]+)\]", text) if n not in names]
    lower = [c.lower() for c in table.columns]
    columns = [lower.index(n.strip().lower()) for n in names if n.strip().lower() in lower]
    if names and not columns:
        return []
    first, last = (min(columns), max(columns)) if columns else (0, len(table.columns) - 1)
    top, bottom = area.row0 + table.headers, area.row1 - table.totals
    spans = {
        "#all": (area.row0, area.row1),
        "#headers": (area.row0, top - 1),
        "#totals": (bottom + 1, area.row1),
        "#data": (top, bottom),
        "#this row": (cell[1], cell[1]),
    }
    if columns and "],[" in text and "]:[" not in text and len(columns) > 1:
        picks = [(c, c) for c in columns]
    else:
        picks = [(first, last)]
    rows = [spans[k] for k in keys if k in spans] or [(top, bottom)]
    return [
        Area(area.sheet, r0, area.column0 + c0, r1, area.column0 + c1)
        for r0, r1 in rows
        if r0 <= r1
        for c0, c1 in picks
    ]
