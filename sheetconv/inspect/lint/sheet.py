"""A sheet as the checks see it: maps of formulas, patches of typed numbers, texts; all found once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np

from sheetconv.formulas.blocks import components
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.filled_blocks import At, FilledBlock, all_grids
from sheetconv.formulas.source import Source
from sheetconv.formulas.syntax import Skeletons
from sheetconv.xlsx.cells import CellError, Value

MOST_AREA = 1_000_000
_NUMBERED = 5  # running numbers shorter than that may be a kernel's weights


@dataclass(frozen=True, order=True)
class Finding:
    """One fault: the cells, the name of the check, what is there, what was expected and why."""

    area: Area
    rule: str
    message: str
    expected: str


class FindingKind(IntEnum):
    """What stands in a cell."""

    BLANK = 0
    ZERO = 1
    NUMBER = 2
    FORMULA = 3
    TEXT = 4
    OTHER = 5


@dataclass(frozen=True)
class Patch:
    """Typed numbers that touch along an edge, without the running numbers along its sides."""

    area: Area
    cells: frozenset[At]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.area.row1 - self.area.row0 + 1, self.area.column1 - self.area.column0 + 1


class Workbook:
    """The sheets of a workbook; iterating yields those that hold anything."""

    def __init__(self, source: Source):
        self.source = source
        self.skeletons = Skeletons(source)
        self._sheets: dict[str, Sheet] = {}
        self.notes: dict[str, Any] = {}
        """What checks have worked out and share, by a name of their own."""

    def __getitem__(self, name: str) -> Sheet:
        if name not in self._sheets:
            self._sheets[name] = Sheet(self, name)
        return self._sheets[name]

    def __iter__(self) -> Iterator[Sheet]:
        return (self[name] for name in self.source.sheets)

    @cached_property
    def grids(self) -> dict[str, list[FilledBlock]]:
        """Maps of formulas by sheet, those of a single cell among them."""
        found: dict[str, list[FilledBlock]] = {}
        for grid in all_grids(self.source, self.skeletons):
            found.setdefault(grid.sheet, []).append(grid)
        return found

    @cached_property
    def slots_into(self) -> dict[str, set[Area]]:
        """Areas that formulas of any sheet read, by the sheet that they lie on."""
        found: dict[str, set[Area]] = {name: set() for name in self.source.sheets}
        for sheet in self:
            for grid in sheet.grids:
                for areas in grid.slots.values():
                    for area in areas:
                        found[area.sheet].add(area)
        return found

    @cached_property
    def fixed_areas(self) -> dict[str, set[Area]]:
        """Areas that all cells of a map read alike (kernels, biases, whole blocks), by their sheet."""
        found: dict[str, set[Area]] = {name: set() for name in self.source.sheets}
        for sheet in self:
            for grid in sheet.maps:
                for slot, area in enumerate(grid.slots[grid.first]):
                    if area.size > 1 and grid.fixed(slot):
                        found[area.sheet].add(area)
        return found


class Sheet:
    """One sheet with its blocks, computed once for all checks."""

    def __init__(self, book: Workbook, name: str):
        self.book, self.source, self.name = book, book.source, name
        self.formulas = self.source.formulas(name)
        self._masks: dict[Area, np.ndarray] = {}

    @cached_property
    def grids(self) -> list[FilledBlock]:
        """Maps of formulas, those of a single cell among them."""
        return self.book.grids.get(self.name, [])

    @cached_property
    def maps(self) -> list[FilledBlock]:
        """The grids without those that are exceptions in another."""
        odd = {at for grid in self.grids for at in grid.exceptions}
        return [grid for grid in self.grids if not grid.cells.keys() <= odd]

    @cached_property
    def values(self) -> dict[At, Value]:
        """Cached value of every cell that is not blank."""
        return {(r, c): v for r, c, v in self.source.cells(self.name).listed() if v is not None}

    @cached_property
    def texts(self) -> dict[At, str]:
        """Typed texts."""
        return {
            at: value
            for at, value in self.values.items()
            if isinstance(value, str) and not isinstance(value, CellError) and at not in self.formulas
        }

    @cached_property
    def patches(self) -> list[Patch]:
        """Typed numbers in patches."""
        typed = {at for at, v in self.values.items() if type(v) is float and at not in self.formulas}
        parts = [part for part in components(typed, reach=1) if not self._numbers_only(part)]
        return [self._patch(part) for part in parts]

    def _numbers_only(self, part: set[At]) -> bool:
        """Whether a patch is but a line of running numbers."""
        one_line = len({r for r, _ in part}) == 1 or len({c for _, c in part}) == 1
        return one_line and self._counts(sorted(part))

    def _patch(self, part: set[At]) -> Patch:
        """Strip rows and columns that count 0, 1, 2 … along an edge: they number the cells beside them."""
        cells = set(part)
        for _ in range(4):
            lines = _edges(cells)
            odd = next((line for line in lines if len(cells) > len(line) and self._counts(line)), None)
            if odd is None:
                break
            cells -= set(odd)
        rows, columns = [r for r, _ in cells], [c for _, c in cells]
        return Patch(
            Area(self.name, min(rows), min(columns), max(rows), max(columns)),
            frozenset(cells),
        )

    def _counts(self, line: list[At]) -> bool:
        numbers = [self.values[at] for at in line]
        steps = {b - a for a, b in itertools.pairwise(numbers)}  # type: ignore[operator]
        return len(line) >= _NUMBERED and steps == {1.0} and numbers[0] in (0.0, 1.0)

    @cached_property
    def blocks(self) -> list[Area]:
        """Rectangles of the maps and the patches of several cells."""
        return [_whole(g) for g in self.maps if len(g.cells) > 1] + [
            p.area for p in self.patches if len(p.cells) > 1
        ]

    def blocks_in(self, area: Area) -> list[Area]:
        """The blocks that share cells with an area of this sheet."""
        return meeting(self.blocks, self._bounds, area)

    @cached_property
    def _bounds(self) -> np.ndarray:
        return bounds(self.blocks)

    def mask(self, area: Area) -> np.ndarray:
        """`FindingKind` of every cell of an area of this sheet, shape (rows, columns)."""
        if area not in self._masks:
            block = np.zeros((area.row1 - area.row0 + 1, area.column1 - area.column0 + 1), np.int8)
            for i in range(block.shape[0]):
                for j in range(block.shape[1]):
                    block[i, j] = self.kind((area.row0 + i, area.column0 + j))
            self._masks[area] = block
        return self._masks[area]

    def kind(self, at: At) -> FindingKind:
        """What stands in a cell."""
        if at in self.formulas:
            return FindingKind.FORMULA
        value = self.values.get(at)
        if value is None:
            return FindingKind.BLANK
        if type(value) is float:
            return FindingKind.NUMBER if value else FindingKind.ZERO
        return (
            FindingKind.TEXT
            if isinstance(value, str) and not isinstance(value, CellError)
            else FindingKind.OTHER
        )

    def cell(self, at: At) -> Area:
        """A cell of this sheet as an area."""
        return Area(self.name, *at, *at)


def _whole(grid: FilledBlock) -> Area:
    """A map's rectangle, with a broken cell at its end."""
    rows, columns = zip(*grid.cells, *grid.broken, strict=True)
    return Area(grid.sheet, min(rows), min(columns), max(rows), max(columns))


def bounds(areas: list[Area]) -> np.ndarray:
    """The areas' rows and columns as an array of shape (4, areas), for `meeting`."""
    return np.array([area[1:] for area in areas], np.int64).reshape(-1, 4).T


def meeting(areas: list[Area], their_bounds: np.ndarray, area: Area) -> list[Area]:
    """Those of the areas (all on one sheet) that share cells with another area of that sheet."""
    r0, c0, r1, c1 = their_bounds
    hit = (r0 <= area.row1) & (r1 >= area.row0) & (c0 <= area.column1) & (c1 >= area.column0)
    return [areas[int(i)] for i in np.flatnonzero(hit)]


def _edges(cells: set[At]) -> list[list[At]]:
    """The first and last row and column, each in order; a corner that is blank does not count."""
    rows, columns = [r for r, _ in cells], [c for _, c in cells]
    lines = [sorted(at for at in cells if at[0] == row) for row in (min(rows), max(rows))]
    return lines + [sorted(at for at in cells if at[1] == column) for column in (min(columns), max(columns))]
