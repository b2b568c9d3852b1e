"""Transitive precedents and dependents, level by level, as disjoint rectangles; cycles are shown.

Level 1 is what the cell's own formula reads, level 2 what those cells read, and so on; a cell is listed at
the first level that reaches it. The walk goes breadth-first with an explicit frontier, no recursion; its
memory is bounded by what the file lists, since everything else on a sheet is blank and stays a rectangle.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np

from sheetconv.errors import UsageError
from sheetconv.formulas import box_sets as region
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.cycles import on_cycles
from sheetconv.formulas.dependents import Readers
from sheetconv.formulas.source import Cell, Source
from sheetconv.formulas.walk import Found, Walk


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


class Levels(Sequence[Level]):
    """Levels kept as numbers (20 bytes a rectangle), made into `Level` when asked for: there may be millions."""

    def __init__(self, sheets: list[str]):
        self.sheets = sheets
        self._boxes, self._starts = array("i"), array("q", [0])
        self._blank, self._blank_starts = array("i"), array("q", [0])

    def add(self, found: Found) -> None:
        """Append a level."""
        for boxes, blank in ((found.boxes, found.blank),):
            self._boxes.extend(boxes)
            self._blank.extend(blank)
        self._starts.append(len(self._boxes))
        self._blank_starts.append(len(self._blank))

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, at: int) -> Level: ...
    @overload
    def __getitem__(self, at: slice) -> list[Level]: ...
    def __getitem__(self, at: int | slice) -> Level | list[Level]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        number = at + len(self) if at < 0 else at
        if not 0 <= number < len(self):
            raise IndexError(at)
        blank = self._areas(self._blank, *self._blank_starts[number : number + 2])
        return Level(number + 1, self._areas(self._boxes, *self._starts[number : number + 2]), blank)

    def _areas(self, boxes: array[int], start: int, stop: int) -> list[Area]:
        return [Area(self.sheets[boxes[i]], *boxes[i + 1 : i + 5]) for i in range(start, stop, 5)]

    @property
    def cells(self) -> int:
        """Number of cells of all levels."""
        return sum(region.size(b) for _, b in self.boxes())

    @property
    def blank_cells(self) -> int:
        """Number of blank cells of all levels."""
        return region.size(np.array(self._blank, np.int64).reshape(-1, 5)[:, 1:])

    def boxes(self) -> Iterator[tuple[str, np.ndarray]]:
        """All rectangles by sheet, int64 (n, 4), unordered."""
        everything = np.array(self._boxes, np.int64).reshape(-1, 5)
        for number in np.unique(everything[:, 0]).tolist():
            yield self.sheets[number], everything[everything[:, 0] == number][:, 1:]


@dataclass
class Trace:
    """Where a cell's number comes from (or goes to).

    Attributes:
        start: the cell or area asked about.
        levels: level 1, 2, …
        notes: (area, text) of what could not be followed.
        cycles: cells found to depend on themselves, through the start or one another.
    """

    start: Area
    levels: Sequence[Level]
    notes: list[tuple[Area, str]]
    cycles: list[Area]

    @property
    def areas(self) -> list[Area]:
        """All cells of all levels as disjoint areas."""
        if isinstance(self.levels, Levels):
            return [Area(s, *b) for s, boxes in self.levels.boxes() for b in region.union(boxes).tolist()]
        by_sheet: dict[str, list[Area]] = defaultdict(list)
        for area in (a for level in self.levels for a in level.areas):
            by_sheet[area.sheet].append(area)
        return [
            Area(sheet, *b)
            for sheet, areas in by_sheet.items()
            for b in region.union(np.array([a[1:] for a in areas], np.int64)).tolist()
        ]

    @property
    def cells(self) -> int:
        """Number of cells of all levels."""
        levels = self.levels
        return levels.cells if isinstance(levels, Levels) else sum(level.cells for level in levels)


def cells(areas: Iterable[Area]) -> Iterable[Cell]:
    """Every cell of the areas."""
    for sheet, r0, c0, r1, c1 in areas:
        for row in range(r0, r1 + 1):
            for column in range(c0, c1 + 1):
                yield sheet, row, column


def check_formula(source: Source, start: Area) -> None:
    """Raise `UsageError` where no cell of `start` holds a formula: it says what stands there instead."""
    grid = source.grid(source.number(start.sheet))
    inside = grid.inside(start[1:])
    if (grid.owner[inside] >= 0).any():
        return
    value = source.cells(start.sheet).value(start.row0, start.column0) if start.size == 1 else None
    if start.size > 1:
        what = f"no cell of {start} holds a formula"
    elif value is None:
        what = f"{start} is blank"
    else:
        kind = "text" if isinstance(value, str) else "number" if isinstance(value, float) else "value"
        what = f"{start} holds the {kind} {str(value)[:40]!r}, no formula"
    raise UsageError(f"{what}: it has no precedents; --dependents shows what is computed from it")


def trace(source: Source, start: Area, levels: int | None = None) -> Trace:
    """Precedents of the cells of `start`, up to `levels` levels (all when None); none where no formula stands."""
    walk = Walk(source, start)
    result = Levels(source.sheets)
    while (levels is None or len(result) < levels) and (found := walk.step()) is not None:
        result.add(found)
    return Trace(start, result, walk.notes(), on_cycles(source, walk.expanded()))


def dependents(source: Source, start: Area, levels: int | None = None) -> Trace:
    """Cells whose formulas read `start`, and theirs, level by level (every sheet is searched)."""
    readers = Readers(source, start)
    result = Levels(source.sheets)
    while (levels is None or len(result) < levels) and (found := readers.step()) is not None:
        result.add(found)
    return Trace(start, result, readers.notes(), on_cycles(source, readers.found()))


def within(found: Trace, target: Area) -> Trace:
    """The part of a trace inside `target`; levels keep their numbers, empty ones are left out."""
    levels = [
        Level(
            level.number,
            areas,
            [m for area in level.blank if (m := area.meet(target))],
        )
        for level in found.levels
        if (areas := [m for area in level.areas if (m := area.meet(target))])
    ]
    return Trace(found.start, levels, found.notes, found.cycles)
