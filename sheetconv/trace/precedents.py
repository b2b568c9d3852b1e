"""Transitive precedents and dependents, level by level, as disjoint rectangles; cycles are shown.

Level 1 is what the cell's own formula reads, level 2 what those cells read, and so on; a cell is listed at
the first level that reaches it. The walk is breadth-first over cells with an explicit frontier: no recursion;
a rectangle read by many formulas (a kernel) is taken apart once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from sheetconv.errors import LimitError
from sheetconv.trace.area import Area, rectangles
from sheetconv.trace.source import Cell, Source

MOST_CELLS = 20_000_000


@dataclass
class Level:
    """One level of a trace: disjoint areas, and those of their cells that are blank in the file."""

    number: int
    areas: list[Area]
    blank: list[Area] = field(default_factory=list)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return sum(area.size for area in self.areas)


@dataclass
class Trace:
    """Where a cell's number comes from (or goes to).

    Attributes:
        start: the cell asked about.
        levels: level 1, 2, …
        notes: (cell, text) of what could not be followed.
        cycles: cells found to depend on themselves, through the start or one another.
    """

    start: Area
    levels: list[Level]
    notes: list[tuple[Area, str]]
    cycles: list[Area]

    @property
    def areas(self) -> list[Area]:
        """All cells of all levels as disjoint areas."""
        return rectangles(cells(area for level in self.levels for area in level.areas))


def cells(areas: Iterable[Area]) -> Iterable[Cell]:
    """Every cell of the areas."""
    for sheet, r0, c0, r1, c1 in areas:
        for row in range(r0, r1 + 1):
            for column in range(c0, c1 + 1):
                yield sheet, row, column


def trace(source: Source, start: Area, levels: int | None = None) -> Trace:
    """Precedents of the cells of `start`, up to `levels` levels (all when None).

    Raises `LimitError` beyond `MOST_CELLS` cells, rather than cutting the answer off.
    """
    frontier: list[Cell] = list(cells([start]))
    taken: set[Area] = set()
    seen: set[Cell] = set()
    origin = set(frontier)
    result = Trace(start, [], [], [])
    while frontier and (levels is None or len(result.levels) < levels):
        found: set[Cell] = set()
        for cell in frontier:
            references = source.precedents(cell)
            result.notes += [(Area(*cell, *cell[1:]), note) for note in references.notes]
            for area in references.areas:
                if area not in taken:
                    taken.add(area)
                    if area.size + len(seen) > MOST_CELLS:
                        raise LimitError(
                            f"{area}: a trace holds at most {MOST_CELLS:,} cells; ask for fewer --levels"
                        )
                    found.update(cells([area]))
        found -= seen
        seen |= found
        if found:
            areas = rectangles(found)
            result.levels.append(Level(len(result.levels) + 1, areas, blanks(source, areas)))
        formulas = {sheet: source.formulas(sheet) for sheet in {cell[0] for cell in found}}
        frontier = [cell for cell in found if cell[1:] in formulas[cell[0]] and cell not in origin]
    result.cycles = rectangles(on_cycles(source, [c for c in seen | origin if source.formula(c)]))
    return result


def blanks(source: Source, areas: list[Area]) -> list[Area]:
    """Cells of the areas that hold nothing at all: no value, no formula."""
    found: list[Cell] = []
    for area in areas:
        sheet, r0, c0, r1, c1 = area
        if area.size == 1:
            if source.cells(sheet).value(r0, c0) is None and source.formula((sheet, r0, c0)) is None:
                found.append((sheet, r0, c0))
            continue
        values = source.cells(sheet).values(r0, c0, r1, c1)
        formulas = source.formulas(sheet)
        empty = np.frompyfunc(lambda value: value is None, 1, 1)(values).astype(bool)
        for row, column in zip(*np.nonzero(empty), strict=True):
            at = int(row) + r0, int(column) + c0
            if at not in formulas:
                found.append((sheet, *at))
    return rectangles(found)


def on_cycles(source: Source, formula_cells: list[Cell]) -> list[Cell]:
    """Cells that no order of computing reaches: those on a cycle.

    Kahn's algorithm over the given cells peels off what depends on no unpeeled cell, then, the other way
    round, what no unpeeled cell depends on; what is left lies on a cycle or between two.
    """
    inside = set(formula_cells)
    reads: dict[Cell, list[Cell]] = {}
    for cell in formula_cells:
        areas = source.precedents(cell).areas
        reads[cell] = [c for c in _formula_cells(source, areas) if c in inside]
    left = _peel(reads)
    read_by: dict[Cell, list[Cell]] = {cell: [] for cell in left}
    for cell in left:
        for other in reads[cell]:
            if other in left:
                read_by[other].append(cell)
    return sorted(_peel(read_by))


def _peel(reads: dict[Cell, list[Cell]]) -> set[Cell]:
    readers: dict[Cell, list[Cell]] = {}
    waiting = {cell: len(others) for cell, others in reads.items()}
    for cell, others in reads.items():
        for other in others:
            readers.setdefault(other, []).append(cell)
    ready = [cell for cell, count in waiting.items() if not count]
    while ready:
        cell = ready.pop()
        del waiting[cell]
        for reader in readers.get(cell, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    return set(waiting)


def _formula_cells(source: Source, areas: Iterable[Area]) -> Iterable[Cell]:
    for area in areas:
        formulas = source.formulas(area.sheet)
        if area.size <= len(formulas):
            yield from (c for c in cells([area]) if c[1:] in formulas)
        else:
            for row, column in formulas:
                if area.row0 <= row <= area.row1 and area.column0 <= column <= area.column1:
                    yield area.sheet, row, column


def dependents(source: Source, start: Area, levels: int | None = None) -> Trace:
    """Cells whose formulas read `start`, and theirs, level by level (every sheet is searched)."""
    everything = [(s, *at) for s in source.sheets for at in source.formulas(s)]
    by_sheet: dict[str, tuple[list[Cell], np.ndarray]] = {}
    rows: dict[str, list[tuple[int, int, int, int]]] = {}
    owners: dict[str, list[Cell]] = {}
    for cell in everything:
        for area in source.precedents(cell).areas:
            rows.setdefault(area.sheet, []).append(area[1:])
            owners.setdefault(area.sheet, []).append(cell)
    for sheet, bounds in rows.items():
        by_sheet[sheet] = owners[sheet], np.array(bounds, np.int64).T
    seen: set[Cell] = set()
    frontier = [start]
    result = Trace(start, [], [], [])
    while frontier and (levels is None or len(result.levels) < levels):
        found: set[Cell] = set()
        for area in frontier:
            if area.sheet in by_sheet:
                cells_, (r0, c0, r1, c1) = by_sheet[area.sheet]
                hit = (r0 <= area.row1) & (r1 >= area.row0) & (c0 <= area.column1) & (c1 >= area.column0)
                found.update(cells_[i] for i in np.flatnonzero(hit))
        found -= seen
        seen |= found
        frontier = rectangles(found)
        if frontier:
            result.levels.append(Level(len(result.levels) + 1, frontier))
    return result


def within(found: Trace, target: Area) -> Trace:
    """The part of a trace inside `target`; levels keep their numbers, empty ones are left out."""
    levels = [
        Level(
            level.number,
            [m for area in level.areas if (m := area.meet(target))],
            [m for area in level.blank if (m := area.meet(target))],
        )
        for level in found.levels
    ]
    return Trace(found.start, [level for level in levels if level.areas], found.notes, found.cycles)
