"""Maps of a sheet: rectangles of formulas filled from one another, whatever their stride and spacing.

Relative (R1C1) forms are equal only where a map moves one cell per cell. A map of stride 2 moves two, and
pooled cells may stand in every second row and column. So cells of one skeleton (`sheetconv.formulas.syntax`) are
laid on a lattice, and every address in the formula must move evenly along it: ``base + i·down + j·right`` for
lattice position (i, j). What does not move along is an exception: a formula that someone changed.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Source
from sheetconv.formulas.syntax import FormulaPattern, Skeletons

At = tuple[int, int]
MOST_PITCH = 8
MOST_STEPS, _LARGEST_TILE = 64, 64


@dataclass
class FilledBlock:
    """Cells of one skeleton on an even lattice.

    Attributes:
        sheet: where they stand.
        skeleton: the formula they share.
        cells: (row, column) → lattice position (i, j), from (0, 0).
        slots: (row, column) → the areas that the cell's formula reads, in order.
        pitch: sheet rows and columns from one lattice position to the next.
        exceptions: cells on the lattice, within the block, that are not filled like the others:
            (row, column) → True for a formula, False for a typed value.
        spilled: whether one array formula fills all cells.
        broken: those exceptions at the end of a line that go on like it but for some of their references.
        steps: in how many steps, each from the one before, the cells are computed, where these are too many to
            be blocks of their own (a recurrence over time); else 0.
    """

    sheet: str
    skeleton: FormulaPattern
    cells: dict[At, At]
    slots: dict[At, tuple[Area, ...]]
    pitch: tuple[int, int] = (1, 1)
    exceptions: dict[At, bool] = field(default_factory=dict)
    spilled: bool = False
    steps: int = 0
    broken: set[At] = field(default_factory=set)
    _reach: dict[int, Area] = field(default_factory=dict)

    @cached_property
    def area(self) -> Area:
        """The rectangle that bounds the cells."""
        rows, columns = zip(*self.cells, strict=True)
        return Area(self.sheet, min(rows), min(columns), max(rows), max(columns))

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Number of lattice rows and columns."""
        return (
            1 + max(i for i, _ in self.cells.values()),
            1 + max(j for _, j in self.cells.values()),
        )

    @cached_property
    def first(self) -> At:
        """The cell at the top left (the first in reading order)."""
        return min(self.cells)

    def reach(self, slot: int) -> Area:
        """The rectangle that bounds what all cells read through one slot."""
        if slot in self._reach:
            return self._reach[slot]
        areas = [slots[slot] for slots in self.slots.values()]
        self._reach[slot] = areas[0]._replace(
            row0=min(a.row0 for a in areas),
            column0=min(a.column0 for a in areas),
            row1=max(a.row1 for a in areas),
            column1=max(a.column1 for a in areas),
        )
        return self._reach[slot]

    def fixed(self, slot: int) -> bool:
        """Whether all cells read the same area through a slot."""
        return self.reach(slot) == self.slots[self.first][slot]

    def expected(self, at: At) -> tuple[Area, ...] | None:
        """What the formula at a lattice cell should read, by the step from its regular neighbours."""
        row, column = at
        down, right = self.pitch
        for near, step in (((row, column - right), (0, right)), ((row - down, column), (down, 0))):
            if near in self.slots and (beyond := (near[0] - step[0], near[1] - step[1])) in self.slots:
                return _continued(self.slots[beyond], self.slots[near])
        for near, step in (((row, column + right), (0, right)), ((row + down, column), (down, 0))):
            if near in self.slots and (beyond := (near[0] + step[0], near[1] + step[1])) in self.slots:
                return _continued(self.slots[beyond], self.slots[near])
        return None


def _continued(first: tuple[Area, ...], second: tuple[Area, ...]) -> tuple[Area, ...]:
    return tuple(
        Area(a.sheet, *(max(2 * y - x, 0) for x, y in zip(a[1:], b[1:], strict=True)))
        for a, b in zip(first, second, strict=True)
    )


def all_grids(source: Source, skeletons: Skeletons) -> list[FilledBlock]:
    """The grids of all sheets; one ends where a part of it depends on another (see `sheetconv.formulas.dependence`)."""
    from sheetconv.formulas.dependence import ranks

    found = [grid for sheet in source.sheets for grid in _untiled(grids(source, sheet, skeletons))]
    result: list[FilledBlock] = []
    for grid, rank in zip(found, ranks(found), strict=True):
        if not rank:
            result.append(grid)
            continue
        parts: dict[int, list[At]] = defaultdict(list)
        for at in grid.cells:
            parts[rank[at]].append(at)
        if len(parts) > MOST_STEPS:
            grid.steps = len(parts)
            result.append(grid)
        elif len(parts) == 1:
            result.append(grid)
        else:
            for part in parts.values():
                result += _split(grid.sheet, grid.skeleton, part, grid.slots, set())
    return result


def _untiled(found: list[FilledBlock]) -> list[FilledBlock]:
    """Tiles that each repeat what one cell reads (upsampling) as one grid where they fill a rectangle."""
    tiles: dict[tuple[str, tuple[int, int]], list[FilledBlock]] = defaultdict(list)
    for grid in found:
        still = all(grid.fixed(k) for k in range(len(grid.slots[grid.first])))
        if still and 1 < len(grid.cells) <= _LARGEST_TILE and not (grid.spilled or grid.exceptions):
            tiles[grid.skeleton.text, grid.shape].append(grid)
    merged: dict[int, FilledBlock | None] = {}
    for group in tiles.values():
        cells = sorted(at for grid in group for at in grid.cells)
        (r0, c0), (r1, c1) = cells[0], cells[-1]
        if len(group) < 4 or len(cells) != (r1 - r0 + 1) * (c1 - c0 + 1) or min(c for _, c in cells) < c0:
            continue
        slots = {at: grid.slots[at] for grid in group for at in grid.cells}
        lattice = {(r, c): (r - r0, c - c0) for r, c in cells}
        first = group[0]
        merged |= {id(g): None for g in group}
        merged[id(first)] = FilledBlock(
            first.sheet, first.skeleton, lattice, {at: slots[at] for at in lattice}
        )
    kept = (merged.get(id(grid), grid) for grid in found)
    return [grid for grid in kept if grid is not None]


def grids(source: Source, sheet: str, skeletons: Skeletons) -> list[FilledBlock]:
    """All formula cells of a sheet as grids, in reading order; a cell on its own is a grid of one.

    Raises `LimitError` for formulas that are longer or deeper than spreadsheet programs take.
    """
    groups: dict[tuple[str, At | None], list[At]] = defaultdict(list)
    slots: dict[At, tuple[Area, ...]] = {}
    kinds: dict[str, FormulaPattern] = {}
    formulas = source.formulas(sheet)
    for at, text in formulas.items():
        anchor = source.anchor((sheet, *at))
        skeleton, slots[at] = skeletons.split(anchor, text)
        kinds[skeleton.text] = skeleton
        area = source.cells(sheet).arrays.get(anchor[1:])
        spilled = anchor[1:] if area and (area[0], area[1]) != (area[2], area[3]) else None
        groups[skeleton.text, spilled].append(at)
    typed = _typed(source, sheet)
    found: list[FilledBlock] = []
    for (key, spilled), members in groups.items():
        if spilled is not None:
            found.append(_spilled(sheet, kinds[key], members, slots))
        else:
            found += _split(sheet, kinds[key], members, slots, formulas.keys() | typed)
    for grid in found:
        _note_exceptions(grid, formulas, typed, found)
    return sorted((g for g in found if g.cells), key=lambda g: g.first)


def _typed(source: Source, sheet: str) -> set[At]:
    numbers = {(row, column) for row, column, value in source.cells(sheet).listed() if type(value) is float}
    return numbers - source.formulas(sheet).keys()


def _spilled(
    sheet: str, skeleton: FormulaPattern, members: list[At], slots: dict[At, tuple[Area, ...]]
) -> FilledBlock:
    r0, c0 = min(members)
    lattice = {(r, c): (r - r0, c - c0) for r, c in members}
    return FilledBlock(sheet, skeleton, lattice, {at: slots[at] for at in members}, spilled=True)


def _pitch(members: Iterable[At]) -> tuple[int, int]:
    """The commonest distance between cells of one column, and of one row; 1 where there is none."""
    lines: tuple[dict[int, list[int]], dict[int, list[int]]] = (defaultdict(list), defaultdict(list))
    for row, column in members:
        lines[0][column].append(row)
        lines[1][row].append(column)
    result = []
    for line in lines:
        gaps: Counter[int] = Counter()
        for places in line.values():
            places.sort()
            gaps.update(b - a for a, b in itertools.pairwise(places))
        common = min((g for g, n in gaps.items() if n == max(gaps.values())), default=1)
        result.append(common if common <= MOST_PITCH else 1)
    return result[0], result[1]


def _split(
    sheet: str,
    skeleton: FormulaPattern,
    members: list[At],
    slots: dict[At, tuple[Area, ...]],
    filled: set[At],
) -> list[FilledBlock]:
    pitch = _pitch(members)
    parts = []
    for part in _linked(set(members), pitch, filled):
        if len(part) > 1 and (own := _pitch(part)) != pitch:
            parts += [(sub, own) for sub in _linked(part, own, filled)]
        else:
            parts.append((part, pitch))
    return [
        grid for part, steps in parts for grid in _even(sheet, skeleton, sorted(part), slots, steps, filled)
    ]


def _linked(left: set[At], pitch: tuple[int, int], filled: set[At]) -> list[set[At]]:
    """Parts linked by steps of the pitch, or of twice the pitch over a filled cell."""
    left, parts = set(left), []
    steps = [(pitch[0], 0), (-pitch[0], 0), (0, pitch[1]), (0, -pitch[1])]
    while left:
        part, frontier = set(), [left.pop()]
        while frontier:
            row, column = frontier.pop()
            part.add((row, column))
            for down, right in steps:
                at, over = (row + down, column + right), (row + 2 * down, column + 2 * right)
                for reached in (at, over):
                    if reached in left and (reached == at or at in filled):
                        left.remove(reached)
                        frontier.append(reached)
        parts.append(part)
    return parts


def _even(
    sheet: str,
    skeleton: FormulaPattern,
    part: list[At],
    slots: dict[At, tuple[Area, ...]],
    pitch: tuple[int, int],
    filled: set[At],
) -> list[FilledBlock]:
    """Split linked cells into those whose slots move evenly; stragglers become grids of their own."""
    r0, c0 = min(r for r, _ in part), min(c for _, c in part)
    place = {at: ((at[0] - r0) // pitch[0], (at[1] - c0) // pitch[1]) for at in part}
    bounds = {at: np.array([v for area in slots[at] for v in area[1:]], np.int64) for at in part}
    down = _slope(part, bounds, (pitch[0], 0))
    right = _slope(part, bounds, (0, pitch[1]))
    rests: dict[bytes, list[At]] = defaultdict(list)
    for at in part:
        i, j = place[at]
        rests[(bounds[at] - i * down - j * right).tobytes()].append(at)
    groups = sorted(rests.values(), key=len, reverse=True)
    found: list[FilledBlock] = []
    for group in groups:
        again = len(group) > 1 and len(groups) > 1
        for piece in _linked(set(group), pitch, filled) if again else [set(group)]:
            found.append(_grid(sheet, skeleton, piece, slots, pitch))
    for host in found:
        sides = {id(other): side for other in found if (side := _side(other, host))}
        for other in found:
            # at both ends, windows are clipped by the border rather than filled wrongly
            edge = sides.get(id(other))
            if _breaks_off(other, host):
                host.exceptions.update(dict.fromkeys(other.cells, True))
                host.broken.update(other.cells)
            if edge and (edge == "in" or _OPPOSITE[edge] not in sides.values()):
                host.exceptions.update(dict.fromkeys(other.cells, True))
    return found


_OPPOSITE = {"above": "below", "below": "above", "left": "right", "right": "left"}


def _side(piece: FilledBlock, host: FilledBlock) -> str:
    """Where a few cells lie in, or along an edge of, a much larger map of the same formula; "" if nowhere."""
    if len(host.cells) < 5 * len(piece.cells):
        return ""
    _, r0, c0, r1, c1 = host.area
    _, top, left, bottom, right = piece.area
    if r0 <= top and bottom <= r1 and c0 <= left and right <= c1:
        return "in"
    if min(host.shape) < 3 or min(piece.shape) > 1:
        return ""
    down, across = host.pitch
    if c0 <= left and right <= c1 and 2 * (right - left + 1) > c1 - c0:
        return "above" if bottom == r0 - down else "below" if top == r1 + down else ""
    if r0 <= top and bottom <= r1 and 2 * (bottom - top + 1) > r1 - r0:
        return "left" if right == c0 - across else "right" if left == c1 + across else ""
    return ""


def _breaks_off(piece: FilledBlock, host: FilledBlock) -> bool:
    """Whether one cell at the end of a filled line goes on like the line but for some of its references."""
    if len(piece.cells) != 1 or len(host.cells) < 4 or min(host.shape) > 1:
        return False
    at = piece.first
    expected = host.expected(at)
    if expected is None or len(expected) < 2:
        return False
    found = piece.slots[at]
    if any(a.size != b.size for a, b in zip(found, expected, strict=True)):
        return False
    right = sum(a == b for a, b in zip(found, expected, strict=True))
    return len(expected) > right >= len(expected) / 2


def _slope(part: list[At], bounds: dict[At, np.ndarray], step: At) -> np.ndarray:
    """The commonest change of the slots from one cell to the next."""
    changes: Counter[bytes] = Counter()
    for row, column in part:
        ahead = bounds.get((row + step[0], column + step[1]))
        if ahead is not None:
            changes[(ahead - bounds[row, column]).tobytes()] += 1
    if not changes:
        return np.zeros_like(next(iter(bounds.values())))
    return np.frombuffer(changes.most_common(1)[0][0], np.int64)


def _grid(
    sheet: str,
    skeleton: FormulaPattern,
    part: set[At],
    slots: dict[At, tuple[Area, ...]],
    pitch: tuple[int, int],
) -> FilledBlock:
    r0, c0 = min(r for r, _ in part), min(c for _, c in part)
    lattice = {(r, c): ((r - r0) // pitch[0], (c - c0) // pitch[1]) for r, c in sorted(part)}
    return FilledBlock(sheet, skeleton, lattice, {at: slots[at] for at in lattice}, pitch)


def _note_exceptions(
    grid: FilledBlock, formulas: dict[At, str], typed: set[At], all_grids: list[FilledBlock]
) -> None:
    """Mark the lattice cells inside the block, or at its corners, that hold something else."""
    rows, columns = grid.shape
    if grid.spilled or len(grid.cells) < 3 or len(grid.cells) < 0.6 * rows * columns:
        return
    _, r0, c0, r1, c1 = grid.area
    for row in range(r0, r1 + 1, grid.pitch[0]):
        for column in range(c0, c1 + 1, grid.pitch[1]):
            at = row, column
            if at not in grid.cells and (at in formulas or at in typed):
                grid.exceptions[at] = at in formulas
