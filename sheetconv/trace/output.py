"""A trace as text, JSON, CSV, Graphviz dot."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from sheetconv.trace.area import Area
from sheetconv.trace.precedents import Trace
from sheetconv.trace.source import Source


def as_text(trace: Trace, what: str = "precedents") -> str:
    """One line per area, level by level; blank cells, cycles and what is untraceable at the end."""
    total = sum(level.cells for level in trace.levels)
    lines = [f"{trace.start}: {total:,} {what} in {len(trace.levels)} level{'s' * (len(trace.levels) != 1)}"]
    for level in trace.levels:
        lines.append(f"level {level.number}: {level.cells:,} cells")
        lines += [f"  {area}  {_size(area)}" for area in level.areas]
        lines += [f"  blank: {area}  {_size(area)}" for area in level.blank]
    lines += [f"circular: {area} depends on itself" for area in trace.cycles]
    lines += [f"note: {area}: {note}" for area, note in trace.notes]
    return "\n".join(lines)


def _size(area: Area) -> str:
    rows, columns = area.row1 - area.row0 + 1, area.column1 - area.column0 + 1
    return "1 cell" if area.size == 1 else f"{rows}×{columns}"


def as_json(trace: Trace) -> str:
    """The trace as a JSON object: start, levels (areas, cells, blank), circular, notes."""
    document: dict[str, Any] = {
        "start": str(trace.start),
        "levels": [
            {
                "level": level.number,
                "cells": level.cells,
                "areas": [str(area) for area in level.areas],
                "blank": [str(area) for area in level.blank],
            }
            for level in trace.levels
        ],
        "circular": [str(area) for area in trace.cycles],
        "notes": [{"cell": str(area), "note": note} for area, note in trace.notes],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def as_csv(trace: Trace) -> str:
    """Rows ``level, area, cells, blank`` where blank is 1 for areas of blank cells."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["level", "area", "cells", "blank"])
    for level in trace.levels:
        writer.writerows([level.number, str(a), a.size, 0] for a in level.areas)
        writer.writerows([level.number, str(a), a.size, 1] for a in level.blank)
    return out.getvalue().rstrip("\n")


def as_dot(trace: Trace, source: Source) -> str:
    """A directed graph of areas: an edge from each area to the areas whose formulas read it."""
    areas = [trace.start, *(a for level in trace.levels for a in level.areas)]
    lines = ["digraph precedents {", "  rankdir=LR; node [shape=box, fontname=Helvetica];"]
    lines += [f"  n{i} [label={json.dumps(str(a), ensure_ascii=False)}];" for i, a in enumerate(areas)]
    for i, area in enumerate(areas):
        formulas = source.formulas(area.sheet)
        read = {
            found
            for at in formulas
            if area.row0 <= at[0] <= area.row1 and area.column0 <= at[1] <= area.column1
            for found in source.precedents((area.sheet, *at)).areas
        }
        for j, other in enumerate(areas):
            if any(other.meet(found) for found in read):
                lines.append(f"  n{j} -> n{i};")
    return "\n".join([*lines, "}"])
