"""Which cells depend on themselves: strongly connected components, found in bulk where there are none.

Three steps, each only for what the one before left over: peeling (rounds in which every formula that reads
no unpeeled formula goes; counts come from a summed-area table), the order of a filled sheet (every remaining
formula reads only cells above it, or only to its left, …), and Tarjan's algorithm (1972) on what remains.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

import numpy as np

from sheetconv.formulas import box_sets as region
from sheetconv.formulas.cell_index import CellIndex
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Source

_TABLE = 1 << 25
_PROGRESS = 50
Cells = dict[int, np.ndarray]
"""Indices of known cells in which formulas are written, by number of sheet."""


def on_cycles(source: Source, formulas: Cells) -> list[Area]:
    """Cells among these formulas that depend on themselves, as disjoint areas in sheet order."""
    left = _peeled(source, {n: c for n, c in formulas.items() if len(c)})
    if not left or _in_order(source, left):
        return []
    found = _Tarjan(source, left).components()
    return [
        Area(source.sheets[number], *box)
        for number in sorted(found)
        for grid in [source.grid(number)]
        for box in region.from_keys(grid.keys[grid.owned(found[number])]).tolist()
    ]


class _Counts:
    """Numbers of marked cells in rectangles of one sheet: a summed-area table over the rows and columns in use."""

    def __init__(self, grid: CellIndex, cells: np.ndarray):
        keys = grid.keys[grid.owned(cells)]
        self.rows, row = np.unique(keys >> 14, return_inverse=True)
        self.columns, column = np.unique(keys & 16383, return_inverse=True)
        self.table = np.zeros((len(self.rows) + 1, len(self.columns) + 1), np.int32)
        self.table[row + 1, column + 1] = 1
        np.cumsum(self.table, 0, out=self.table)
        np.cumsum(self.table, 1, out=self.table)

    @staticmethod
    def fits(grid: CellIndex, cells: np.ndarray) -> bool:
        keys = grid.keys[grid.owned(cells)]
        return len(np.unique(keys >> 14)) * len(np.unique(keys & 16383)) <= _TABLE

    def of(self, boxes: np.ndarray) -> np.ndarray:
        """How many marked cells each box holds."""
        top, bottom = (
            np.searchsorted(self.rows, boxes[:, 0]),
            np.searchsorted(self.rows, boxes[:, 2], "right"),
        )
        left = np.searchsorted(self.columns, boxes[:, 1])
        right = np.searchsorted(self.columns, boxes[:, 3], "right")
        t = self.table
        found: np.ndarray = t[bottom, right] - t[top, right] - t[bottom, left] + t[top, left]
        return found


def _counts(source: Source, left: Cells) -> dict[int, _Counts] | None:
    if not all(_Counts.fits(source.grid(n), c) for n, c in left.items()):
        return None
    return {n: _Counts(source.grid(n), c) for n, c in left.items()}


def _waiting(
    source: Source, left: Cells, counts: dict[int, _Counts]
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """References to unpeeled formulas: (sheet's number, place of the reader, sheets, boxes)."""
    for number, cells in left.items():
        for place, sheets, boxes in source.forms.boxes(number, cells):
            hit = np.zeros(len(place), bool)
            for other in np.unique(sheets).tolist():
                if other in counts:
                    on = sheets == other
                    hit[on] = counts[other].of(boxes[on]) > 0
            yield number, place[hit], sheets[hit], boxes[hit]


def _peeled(source: Source, left: Cells) -> Cells:
    """What remains of `left` when rounds of peeling take little or nothing away any more."""
    while left:
        counts = _counts(source, left)
        if counts is None:
            return left
        stuck = {n: np.zeros(len(c), bool) for n, c in left.items()}
        for number, place, _, _ in _waiting(source, left, counts):
            stuck[number][place] = True
        before = sum(map(len, left.values()))
        left = {n: c[stuck[n]] for n, c in left.items() if stuck[n].any()}
        if (before - sum(map(len, left.values()))) * _PROGRESS < before:
            return left
    return left


def _in_order(source: Source, left: Cells) -> bool:
    """Whether some order of the sheet's cells has every formula behind all that it reads."""
    counts = _counts(source, left)
    if counts is None or any(len(source.grid(n).owned(c)) > len(c) for n, c in left.items()):
        return False
    orders = np.ones(4, bool)
    for number, place, sheets, boxes in _waiting(source, left, counts):
        keys = source.grid(number).keys[left[number][place]]
        row, column = keys >> 14, keys & 16383
        r0, c0, r1, c1 = boxes.T
        same = sheets == number
        for i, (before, behind) in enumerate(
            (
                ((r1 < row) | ((r1 == row) & (c1 < column)), sheets < number),
                ((r0 > row) | ((r0 == row) & (c0 > column)), sheets > number),
                ((c1 < column) | ((c1 == column) & (r1 < row)), sheets < number),
                ((c0 > column) | ((c0 == column) & (r0 > row)), sheets > number),
            )
        ):
            orders[i] &= bool(np.where(same, before, behind).all())
        if not orders.any():
            return False
    return True


class _Tarjan:
    """Strongly connected components without recursion; edges are found as they are followed.

    A node is a formula (sheet's number, index). `skip` leads from a known cell to the next one whose formula
    is not yet finished, so finished cells cost nothing however often ranges read them.
    """

    def __init__(self, source: Source, left: Cells):
        self.source, self.left = source, left
        self.skip = {}
        for number, cells in left.items():
            grid = source.grid(number)
            skip = np.arange(1, len(grid.keys) + 2)
            own = grid.owned(cells)
            skip[own] = own
            self.skip[number] = array("q", skip.tobytes())
        self.order: dict[tuple[int, int], int] = {}
        self.low: dict[tuple[int, int], int] = {}
        self.found: dict[int, list[int]] = {}

    def components(self) -> Cells:
        """Formulas on cycles."""
        for number, cells in self.left.items():
            for index in cells.tolist():
                if (number, index) not in self.order:
                    self._search((number, index))
        return {n: np.array(sorted(c), np.int64) for n, c in self.found.items()}

    def _next(self, number: int, index: int) -> int:
        skip = self.skip[number]
        root = index
        while skip[root] != root and root < len(skip) - 1:
            root = skip[root]
        while skip[index] != root and index < root:
            skip[index], index = root, skip[index]
        return root

    def _areas(self, node: tuple[int, int]) -> list[tuple[int, int, int, int, int]]:
        forms, grid = self.source.forms, self.source.grid(node[0])
        found = forms.areas(forms.form(*node), *grid.position(node[1]))
        return [area for area in found if area[0] in self.skip]

    def _search(self, start: tuple[int, int]) -> None:
        path: list[tuple[tuple[int, int], int, int]] = []  # (node, number of its area, index to go on from)
        pending: list[tuple[int, int]] = []  # nodes whose component is not complete
        looped: set[tuple[int, int]] = set()
        node, area, at = start, 0, -1
        self._enter(node, pending)
        areas = self._areas(node)
        while True:
            step = self._follow(areas, area, at)
            if step is not None:
                area, at, other = step
                if other == node:
                    looped.add(node)
                elif other not in self.order:
                    path.append((node, area, at))
                    node, area, at = other, 0, -1
                    self._enter(node, pending)
                    areas = self._areas(node)
                else:
                    self.low[node] = min(self.low[node], self.order[other])
                continue
            if self.low[node] == self.order[node]:
                self._complete(node, pending, looped)
            if not path:
                return
            done, (node, area, at) = node, path.pop()
            self.low[node] = min(self.low[node], self.low.get(done, self.low[node]))
            areas = self._areas(node)

    def _enter(self, node: tuple[int, int], pending: list[tuple[int, int]]) -> None:
        self.order[node] = self.low[node] = len(self.order)
        pending.append(node)

    def _follow(
        self, areas: list[tuple[int, int, int, int, int]], area: int, at: int
    ) -> tuple[int, int, tuple[int, int]] | None:
        """The next unfinished formula that is read: (area, index behind it, node); None at the end."""
        while area < len(areas):
            number, r0, c0, r1, c1 = areas[area]
            grid = self.source.grid(number)
            keys, end = grid.view, (r1 << 14) | c1
            at = bisect_left(keys, (r0 << 14) | c0) if at < 0 else at
            while (at := self._next(number, at)) < len(keys) and keys[at] <= end:
                row, column = keys[at] >> 14, keys[at] & 16383
                if column < c0:
                    at = bisect_left(keys, (row << 14) | c0, at)
                elif column > c1:
                    at = bisect_left(keys, ((row + 1) << 14) | c0, at)
                else:
                    return area, at + 1, (number, int(grid.owner[at]))
            area, at = area + 1, -1
        return None

    def _complete(
        self, node: tuple[int, int], pending: list[tuple[int, int]], looped: set[tuple[int, int]]
    ) -> None:
        component: list[tuple[int, int]] = []
        while not component or component[-1] != node:
            component.append(pending.pop())
        for number, index in component:
            grid = self.source.grid(number)
            for cell in _cells_of(grid, index):
                self.skip[number][cell] = cell + 1
            if len(component) > 1 or (number, index) in looped:
                self.found.setdefault(number, []).append(index)
            self.low.pop((number, index), None)


def _cells_of(grid: CellIndex, owner: int) -> list[int]:
    area = grid.cells.arrays.get(grid.position(owner)) if grid.cells.arrays else None
    if area is None:
        return [owner]
    inside = grid.inside(area)
    return [int(i) for i in inside[grid.owner[inside] == owner]]
