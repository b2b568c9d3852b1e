"""The strongest paths from pixels to a cell: chains of cells with the product of the weights along them.

Only *active* paths count: a ReLU that is off ends a path, a maximum passes the path of its winner. A path
contributes its pixel times its weights; with piecewise linear layers, all contributions and what the biases add
make up the cell's number. The best paths of a cell are made from the best paths of the cells that it reads, so the
answer is exact, whatever the number of paths. Curved functions (a sigmoid, a softmax) count by their slope.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from sheetconv.errors import LimitError
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Cell
from sheetconv.formulas.values import Unknown, number
from sheetconv.inspect.explain.cell import Explainer
from sheetconv.inspect.explain.result import Explanation

MOST_CELLS = 40_000
MOST_SECONDS = 12
_MOST_SLOPES = 1000
_EXACT = ("sum", "copy", "choice", "relu", "max", "min", "average")


@dataclass(frozen=True)
class Path:
    """A chain of cells, the pixel first: `weights` stand between them, `contribution` is pixel × all weights."""

    cells: tuple[Cell, ...]
    weights: tuple[float, ...]
    contribution: float


@dataclass
class Strongest:
    """The strongest paths, how many are active in all, and the sum of all contributions' sizes.

    `curved` names cells whose functions are not piecewise linear, so that contributions need not add up.
    """

    paths: list[Path]
    count: int
    size: float
    curved: list[Cell] = field(default_factory=list)


@dataclass(frozen=True)
class _Way:
    """A path's end at one cell, linked to the part before it."""

    contribution: float
    weight: float
    cell: Cell
    before: _Way | None


@dataclass
class _Known:
    ways: list[_Way]
    count: int
    size: float


def strongest(explainer: Explainer, cell: Cell, most: int) -> Strongest:
    """The `most` active paths to a cell whose pixel × weights is largest in size.

    Raises `LimitError` where the cell depends on more than `MOST_CELLS` cells.
    """
    walker = _Walker(explainer, most)
    known = walker.walk(cell)
    paths = [_path(way) for way in known.ways]
    return Strongest(paths, known.count, known.size, walker.curved)


class _Walker:
    def __init__(self, explainer: Explainer, most: int) -> None:
        self.explainer, self.most = explainer, most
        self.known: dict[Cell, _Known] = {}
        self.edges: dict[Cell, list[tuple[Cell, float]]] = {}
        self.curved: list[Cell] = []
        self.until = time.process_time() + MOST_SECONDS

    def walk(self, start: Cell) -> _Known:
        stack = [start]
        while stack:
            cell = stack[-1]
            if cell in self.known:
                stack.pop()
                continue
            if len(self.edges) > MOST_CELLS:
                raise LimitError(f"the cell depends on more than {MOST_CELLS:,} cells; paths are not listed")
            if time.process_time() > self.until:
                raise LimitError(
                    f"the paths are not found within {MOST_SECONDS} s of computing; they are not listed"
                )
            opened = cell in self.edges
            if not opened:
                self.edges[cell] = self._edges(cell)
            waiting = [c for c, _ in self.edges[cell] if c not in self.known]
            if waiting and not opened:
                stack += waiting
            else:  # a cell that waits for itself is on a circle, which adds no path
                self.known[cell] = self._joined(cell)
                stack.pop()
        return self.known[start]

    def _joined(self, cell: Cell) -> _Known:
        if self._is_pixel(cell):
            value = float(self.explainer.values.block(_area(cell))[0, 0])
            value = 0.0 if math.isnan(value) else value
            return _Known([_Way(value, 1.0, cell, None)], 1, abs(value))
        ways: list[_Way] = []
        count, size = 0, 0.0
        for source, weight in self.edges[cell]:
            before = self.known.get(source)
            if before is not None and weight:
                ways += [_Way(w.contribution * weight, weight, cell, w) for w in before.ways]
                count, size = count + before.count, size + before.size * abs(weight)
        ways = [w for w in ways if w.contribution]
        ways.sort(key=lambda w: -abs(w.contribution))
        return _Known(ways[: self.most], count, size)

    def _is_pixel(self, cell: Cell) -> bool:
        element = self.explainer.names.element(cell)
        if element is not None:
            return element.role == "pixel"
        return self.explainer.source.formula(cell) is None

    def _edges(self, cell: Cell) -> list[tuple[Cell, float]]:
        if self._is_pixel(cell):
            return []
        found = self.explainer.explain(cell)
        if found.kind in _EXACT and self._is_linear(found):
            return self._linear(cell, found)
        self.curved.append(cell)
        return self._slopes(cell)

    def _is_linear(self, found: Explanation) -> bool:
        """One factor of each term carries the picture, and no number in the terms is computed from it."""
        if any("held at" in step for step in found.steps):
            return False
        if any(sum(self._carries(f.cell) for f in t.factors) > 1 for t in found.terms):
            return False
        return not any(self._carries(c) for c in _cells(found.opaque))

    def _linear(self, cell: Cell, found: Explanation) -> list[tuple[Cell, float]]:
        if found.kind == "relu" and found.total <= 0:
            return []
        weights: dict[Cell, float] = {}
        for term in found.terms:
            carrier = self.explainer.signal(cell, term)
            if carrier is not None:
                others = [f.value for f in term.factors if f is not carrier]
                weights[carrier.cell] = weights.get(carrier.cell, 0.0) + term.times * math.prod(others)
        return list(weights.items())

    def _slopes(self, cell: Cell) -> list[tuple[Cell, float]]:
        """Derivatives by small changes of each computed cell (or pixel) that the formula reads."""
        explainer = self.explainer
        try:
            node, slots = explainer.parsed(cell)
        except Unknown:
            return []
        cells = _cells(explainer.source.precedents(cell).areas)
        carrying = [c for c in dict.fromkeys(cells) if self._carries(c)][:_MOST_SLOPES]
        found = []
        for read in carrying:
            value = float(explainer.values.block(_area(read))[0, 0])
            step = 1e-6 * max(1.0, abs(value))
            try:
                sides = []
                for side in (value + step, value - step):
                    explainer.values.changed[read] = side
                    sides.append(number(node, slots, explainer.values))
            except Unknown:
                return []
            finally:
                explainer.values.changed.pop(read, None)
            found.append((read, (sides[0] - sides[1]) / (2 * step)))
        return found

    def _carries(self, cell: Cell) -> bool:
        element = self.explainer.names.element(cell)
        return element.role != "weight" if element else self.explainer.source.formula(cell) is not None


def _area(cell: Cell) -> Area:
    return Area(*cell, *cell[1:])


def _cells(areas: Iterable[Area]) -> list[Cell]:
    return [
        (a.sheet, r, c)
        for a in areas
        for r in range(a.row0, a.row1 + 1)
        for c in range(a.column0, a.column1 + 1)
    ]


def _path(way: _Way) -> Path:
    cells, weights = [], []
    here: _Way | None = way
    while here is not None:
        cells.append(here.cell)
        weights.append(here.weight)
        here = here.before
    return Path(tuple(cells[::-1]), tuple(weights[::-1][1:]), way.contribution)
