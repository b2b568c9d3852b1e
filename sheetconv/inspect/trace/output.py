"""A trace as text, JSON, CSV, Graphviz dot. All are made piece by piece: there may be a million levels.

JSON (`as_json`): one object, of a form that stays:

    schema: 1
    start: "Sheet!A1"
    direction: "precedents" or "dependents"
    cells, blank: how many cells in all, how many of them hold nothing
    levels: [{level, cells, areas: [{area, cells, role, layer, tensor, where}], blank: ["Sheet!E1", …]}, …]
    circular: ["Sheet!G1:G3", …], cells that depend on themselves
    notes: [{cells, note}, …], what could not be followed

`role` is one of those of `sheetconv.formulas.naming.Part`; layer and tensor are "" where a cell belongs to none.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from sheetconv.formulas import box_sets as region
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.naming import CellNames, NamedPart
from sheetconv.formulas.precedents import Level, Trace
from sheetconv.formulas.source import Source

_FOLD_FROM, _FOLD_RUN, _FOLD_AREAS = 40, 8, 4
_WIDEST = 60


def as_text(trace: Trace, names: CellNames, what: str = "precedents") -> Iterator[str]:
    """Lines for a reader: the cell, then one line for each part of each level, then what is amiss.

    In long traces, runs of levels that each add as many cells are told in one line; no cell is left out.
    """
    own = names.parts(trace.start)
    total, count = trace.cells, len(trace.levels)
    yield f"{trace.start}: {own[0].words()}" if len(own) == 1 else str(trace.start)
    if not count:
        yield f"It has no {what}."
    else:
        blank = sum(a.size for level in trace.levels for a in level.blank)
        yield f"{_many(total, what[:-1])} in {_many(count, 'level')}" + (
            f", {blank:,} of them blank" if blank else ""
        )
    for first, last, levels in _runs(trace.levels):
        yield from _level(first, last, levels, names, what)
    for area in trace.cycles:
        yield f"circular: {area} depends on {'itself' if area.size == 1 else 'itself, through one another'}"
    for area, note in trace.notes:
        yield f"note: {area}: {note}"


def _many(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def _runs(levels: Sequence[Level]) -> Iterator[tuple[int, int, list[Level]]]:
    """Levels one by one, or in runs of small ones of equal size where there are very many."""
    fold = len(levels) > _FOLD_FROM
    run: list[Level] = []
    for level in levels:
        alike = fold and len(level.areas) <= _FOLD_AREAS
        if run and not (alike and level.cells == run[-1].cells):
            yield from _told(run)
            run = []
        run.append(level)
        if not alike:
            yield from _told(run)
            run = []
    yield from _told(run)


def _told(run: list[Level]) -> Iterator[tuple[int, int, list[Level]]]:
    if len(run) >= _FOLD_RUN:
        yield run[0].number, run[-1].number, run
    else:
        for level in run:
            yield level.number, level.number, [level]


def _level(first: int, last: int, levels: list[Level], names: CellNames, what: str) -> Iterator[str]:
    cells = sum(level.cells for level in levels)
    if first == last:
        yield f"level {first}: {_many(cells, 'cell')}"
    else:
        yield f"levels {first:,} to {last:,}: {_many(cells, 'cell')}, {levels[0].cells:,} in each"
    areas = levels[0].areas if first == last else joined(a for level in levels for a in level.areas)
    blank = levels[0].blank if first == last else joined(a for level in levels for a in level.blank)
    parts = [part for area in areas for part in names.parts(area)]
    width = min(max(len(str(part.area)) for part in parts), _WIDEST)
    for part in parts:
        yield f"  {part.area!s:{width}}  {_size(part.area):>9}  {part.words()}"
    padding = sum(p.area.size for p in parts if p.role == "padding")
    if (
        blank
        and sum(a.size for a in blank) > padding
        and any(p.role not in ("blank", "padding") for p in parts)
    ):
        listed = [str(a) for a in blank]
        yield f"  blank, {_many(sum(a.size for a in blank), 'cell')}: {', '.join(listed)}"


def joined(areas: Iterable[Area]) -> list[Area]:
    """The same cells in as few disjoint rectangles as rows allow."""
    by_sheet: dict[str, list[tuple[int, ...]]] = {}
    for area in areas:
        by_sheet.setdefault(area.sheet, []).append(area[1:])
    return [
        Area(sheet, *box)
        for sheet, boxes in by_sheet.items()
        for box in region.union(np.array(boxes, np.int64)).tolist()
    ]


def _size(area: Area) -> str:
    rows, columns = area.row1 - area.row0 + 1, area.column1 - area.column0 + 1
    return "1 cell" if area.size == 1 else f"{rows}×{columns}"


def as_json(trace: Trace, names: CellNames, what: str = "precedents") -> Iterator[str]:
    """Pieces of one JSON object; see the module for its form."""
    blank = sum(a.size for level in trace.levels for a in level.blank)
    head = {"schema": 1, "start": str(trace.start), "direction": what, "cells": trace.cells, "blank": blank}
    yield json.dumps(head, indent=2, ensure_ascii=False)[:-2] + ',\n  "levels": ['
    for number, level in enumerate(trace.levels):
        entry = {
            "level": level.number,
            "cells": level.cells,
            "areas": [_entry(part) for area in level.areas for part in names.parts(area)],
            "blank": [str(area) for area in level.blank],
        }
        yield ("," if number else "") + "\n    " + json.dumps(entry, ensure_ascii=False)
    tail = {
        "circular": [str(area) for area in trace.cycles],
        "notes": [{"cells": str(area), "note": note} for area, note in trace.notes],
    }
    yield "\n  ],\n" + json.dumps(tail, indent=2, ensure_ascii=False)[2:]


def _entry(part: NamedPart) -> dict[str, str | int]:
    return {
        "area": str(part.area),
        "cells": part.area.size,
        "role": part.role,
        "layer": part.layer,
        "tensor": part.tensor,
        "where": part.where,
    }


def as_csv(trace: Trace, names: CellNames) -> Iterator[str]:
    """Rows ``level, area, cells, blank, role, layer, tensor, where``; blank counts the area's empty cells."""
    yield _row("level", "area", "cells", "blank", "role", "layer", "tensor", "where")
    for level in trace.levels:
        for part in (part for area in level.areas for part in names.parts(area)):
            blank = sum(m.size for area in level.blank if (m := area.meet(part.area)))
            yield _row(
                level.number, part.area, part.area.size, blank, part.role, part.layer, part.tensor, part.where
            )


def _row(*values: object) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()


def as_dot(trace: Trace, source: Source, names: CellNames, what: str = "precedents") -> Iterator[str]:
    """A directed graph in Graphviz's language: arrows from what is read to the formulas that read it.

    A node is a tensor of our workbooks, elsewhere a rectangle of cells; the cell asked about has one of its own.
    """
    nodes = _nodes(trace, names)
    yield "digraph precedents {"
    yield "  rankdir=LR;"
    yield '  node [shape=box, fontname="Helvetica"];'
    for number, (label, _) in enumerate(nodes):
        yield f"  n{number} [label={_quoted(label)}{', style=bold' if not number else ''}];"
    for reader, (_, areas) in enumerate(nodes):
        for read in sorted(_edges(source, areas, nodes)):
            yield f"  n{read} -> n{reader};"
    yield "}"


def _nodes(trace: Trace, names: CellNames) -> list[tuple[list[str], list[Area]]]:
    groups: dict[tuple[str, str], list[Area]] = {}
    for part in (part for area in trace.areas for part in names.parts(area)):
        key = (part.role, part.tensor) if part.tensor else (str(part.area), "")
        groups.setdefault(key, []).append(part.area)
    nodes = [([str(trace.start)], [trace.start])]
    for (role, tensor), areas in groups.items():
        cells = sum(area.size for area in areas)
        label = [f"{role} {tensor}".strip()] if tensor else [role]
        nodes.append(([*label, _many(cells, "cell")], areas))
    return nodes


def _edges(source: Source, areas: list[Area], nodes: list[tuple[list[str], list[Area]]]) -> set[int]:
    found: set[int] = set()
    for sheet, boxes in _read_by(source, areas):
        for number, (_, others) in enumerate(nodes):
            if number not in found:
                hits = (len(region.overlapping(boxes, other[1:])) for other in others if other.sheet == sheet)
                if any(hits) and number:
                    found.add(number)
    return found


def _read_by(source: Source, areas: list[Area]) -> Iterator[tuple[str, np.ndarray]]:
    """What the formulas in `areas` read, as rectangles of a sheet."""
    for area in areas:
        number = source.number(area.sheet)
        grid = source.grid(number)
        owners = grid.owner[grid.inside(area[1:])]
        for _, sheets, boxes in source.forms.boxes(number, np.unique(owners[owners >= 0]).astype(np.int64)):
            for other in np.unique(sheets).tolist():
                yield source.sheets[other], region.union(boxes[sheets == other])


def _quoted(lines: list[str]) -> str:
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'


def in_portions(pieces: Iterator[str], size: int = 10_000) -> Iterator[list[str]]:
    """Many small pieces in lists, so that printing them does not take longer than making them."""
    while portion := list(islice(pieces, size)):
        yield portion
