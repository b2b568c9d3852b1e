"""The leg at other points: other numbers in every typed cell, recalculated by the engine, computed by torch.

Formulas whose operators have no rule of the same form (those of pages) are also computed by this package's own
definition of expressions at further points, against torch: there the manifest's formula meets its operator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sheetconv.graph.branches import MOST as MOST_BRANCHES
from sheetconv.graph.branches import forks, outcomes, taken
from sheetconv.graph.expr import Expr, FloatArray, evaluate, tensors_read
from sheetconv.graph.tensor import Tensor
from sheetconv.prove.cells import pick
from sheetconv.prove.compare import TOLERANCE, Comparison, compare
from sheetconv.prove.draws import Draws
from sheetconv.prove.reference import Expected, Reference, close
from sheetconv.sheet.layout import Place
from sheetconv.xlsx.cells import numbers

WORK = 90_000
"""(Cells + tensors × `TENSOR`) × points that are computed by default (at least one point, at most `MOST`)."""
TENSOR = 8
"""What a tensor costs beside its cells, counted in cells: torch is called for each."""
MOST = 16
FURTHER = 10
"""Further points, at most, for formulas that no rule gives."""
LEAST = 4
"""Points at which formulas that no rule gives are compared at least, the engine's among them."""


@dataclass
class Branches:
    """Which branches of formulas were taken, over all points."""

    seen: dict[tuple[Tensor, int], np.ndarray] = field(default_factory=dict)
    possible: dict[tuple[Tensor, int], np.ndarray] = field(default_factory=dict)
    forks: dict[Tensor, list[Expr]] = field(default_factory=dict)
    huge: dict[Tensor, int] = field(default_factory=dict)
    """Branches of forks that are too many to be followed, by tensor: they count as not taken."""

    def fork(self, tensor: Tensor) -> bool:
        """Whether a tensor's formula branches."""
        if tensor not in self.forks:
            found = forks(tensor.expr) if tensor.expr is not None else []
            sizes = [tensor.size * outcomes(f) for f in found]
            self.forks[tensor] = [f for f, size in zip(found, sizes, strict=True) if size <= MOST_BRANCHES]
            if sum(s for s in sizes if s > MOST_BRANCHES):
                self.huge[tensor] = sum(s for s in sizes if s > MOST_BRANCHES)
        return bool(self.forks[tensor])

    def note(self, tensor: Tensor, values: Mapping[Tensor, FloatArray]) -> None:
        """Add what a tensor's cells take, given the values of all tensors."""
        if not self.fork(tensor):
            return
        for number, (took, possible) in enumerate(taken(self.forks[tensor], tensor.axes, values)):
            key = tensor, number
            self.seen[key] = self.seen[key] | took if key in self.seen else took
            self.possible[key] = possible

    @property
    def total(self) -> int:
        """How many branches there are."""
        return sum(int(p.sum()) for p in self.possible.values()) + sum(self.huge.values())

    @property
    def count(self) -> int:
        """How many of them were taken."""
        return sum(int((self.seen[k] & p).sum()) for k, p in self.possible.items())

    def left(self, tensor: Tensor) -> int:
        """How many branches of a tensor were not taken."""
        keys = ((tensor, number) for number in range(len(self.forks.get(tensor, ()))))
        known = [k for k in keys if k in self.possible]
        return self.huge.get(tensor, 0) + sum(int((self.possible[k] & ~self.seen[k]).sum()) for k in known)

    def unseen(self) -> dict[str, int]:
        """Branches not taken, by tensor."""
        return {t.name: left for t in self.forks if (left := self.left(t))}


@dataclass
class Points:
    """What was found at other points."""

    points: int = 0
    cells: int = 0
    wrong: list[Comparison] = field(default_factory=list)
    largest: float = 0.0
    branches: Branches = field(default_factory=Branches)
    choices_seen: int = 0
    choices: int = 0
    unequal: list[Comparison] = field(default_factory=list)
    """Formulas of the manifest that are not their operators."""
    unruled: dict[str, int] = field(default_factory=dict)
    """Branches that no point took of formulas that no rule gives, by tensor."""

    def detail(self) -> str:
        """What was found, in one line."""
        if self.unequal:
            bad = self.unequal[0]
            return f"the manifest's formula for {bad.tensor} is not its operator: {bad.found!r} for {bad.expected!r} at {bad.worst}"
        if self.wrong:
            bad = self.wrong[0]
            return f"{bad.tensor} at {bad.worst}: {bad.found!r} where torch computes {bad.expected!r}"
        text = f"{self.cells:,} cells at {self.points} point{'s' * (self.points != 1)}, branches seen: "
        text += f"{self.branches.count:,} of {self.branches.total:,}"
        return text + (f", choices: {self.choices_seen:,} of {self.choices:,}" if self.choices else "")


def how_many(cells: int, tensors: int, asked: int | None, quick: bool = True) -> int:
    """The number of points for so many formula cells and tensors, unless one is `asked` for; two for a slow engine."""
    work = max(cells + TENSOR * tensors, 1)
    return asked if asked is not None else max(1, min(MOST if quick else 2, WORK // work))


def look(
    reference: Reference,
    places: Sequence[Place],
    given: Draws,
    blocks: Sequence[Sequence[np.ndarray]],
    by_rule: set[Tensor],
) -> Points:
    """Judge what the engine found at each point: `blocks[k]` has the cells of `places` at draw k."""
    result = Points(len(blocks), choices=_choices(given))
    forking = [p.tensor for p in places if result.branches.fork(p.tensor)]
    for number, found in enumerate(blocks):
        point = given.point(number)
        computed = {p.tensor: pick(block, p) for p, block in zip(places, found, strict=True)}
        values = {**point, **{t: numbers(v) for t, v in computed.items()}}
        expected = reference.expected(values)
        for place in places:
            compared = compare(place, computed[place.tensor], expected[place.tensor])
            result.cells += compared.cells
            result.largest = max(result.largest, compared.relative)
            if not compared.agrees:
                result.wrong.append(compared)
        for tensor in forking:
            result.branches.note(tensor, values)
    _further(result, reference, places, given, by_rule, len(blocks))
    left = result.branches.left
    result.unruled = {t.name: n for t in result.branches.forks if t not in by_rule and (n := left(t))}
    result.choices_seen = _choices(given, max(len(blocks), min(given.selectors(), FURTHER)))
    return result


def _choices(given: Draws, draws: int | None = None) -> int:
    """Choices of all selectors together, or how many of them so many draws take."""
    sizes = [len(c) for a in given.allowed.values() for c in a.reshape(-1) if c and len(c) <= FURTHER]
    return sum(s if draws is None else min(s, draws) for s in sizes)


def _further(
    result: Points,
    reference: Reference,
    places: Sequence[Place],
    given: Draws,
    by_rule: set[Tensor],
    done: int,
) -> None:
    """What the engine found equals torch at `done` points; further ones show the branches that these left out."""
    own = {
        p.tensor: p
        for p in places
        if p.tensor not in by_rule and p.tensor.operation is not None and p.tensor.expr is not None
    }
    for number in range(done, max(done, LEAST, min(given.selectors(), FURTHER))):
        left = result.branches.left
        wanted = [p for t, p in own.items() if number < LEAST or left(t)]
        if not wanted:
            return
        values = reference.chain(given.point(number), {p.tensor for p in wanted})
        for place in wanted:
            compared = _own(reference, place, values)
            if compared is not None and not compared.agrees:
                result.unequal.append(compared)
                return
            if compared is not None:
                result.branches.note(place.tensor, values)


def _own(reference: Reference, place: Place, values: Mapping[Tensor, FloatArray]) -> Comparison | None:
    """A tensor's formula by our own definition of expressions, against its operator; None where it was typed over."""
    tensor = place.tensor
    assert tensor.expr is not None
    if tensor in reference.typed or not all(t in values for t in tensors_read(tensor.expr)):
        return None
    found, expected = evaluate(tensor.expr, tensor.axes, values), values[tensor]
    scale = np.abs(expected) if close(found, expected) else reference.scale(tensor, expected, values)
    return compare(place, found.astype(object), Expected(expected, scale), TOLERANCE * 100)
