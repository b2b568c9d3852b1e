"""A formula as a sum of terms, each a product of cells: pixel × weight, and what is added to them.

Understood are sums, differences and products of cells and numbers, SUM, SUMPRODUCT and AVERAGE of ranges and of
products of ranges (as array formulas have them), and a factor of any kind that can be computed (a divisor, say).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sheetconv.errors import LimitError
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Cell
from sheetconv.formulas.syntax import Apply, Node, NumberNode, Slot, walk
from sheetconv.formulas.values import MOST_CELLS, Unknown, Values, evaluate, number


@dataclass(frozen=True)
class Factor:
    """A cell and its number."""

    cell: Cell
    value: float

    @property
    def area(self) -> Area:
        """The cell as an area, which prints as its address."""
        return Area(*self.cell, *self.cell[1:])


@dataclass(frozen=True)
class Term:
    """A product of cells, times a number: what is written in the formula, or computed (1/9 in an average).

    `range` is the area that the first factor was read in.
    """

    times: float
    factors: tuple[Factor, ...] = ()
    range: Area | None = None

    @property
    def product(self) -> float:
        """The number that the term adds."""
        return self.times * math.prod(f.value for f in self.factors)


class Decomposition:
    """Takes parts of one formula apart; `slots` are the areas in its references."""

    def __init__(self, slots: Sequence[Area], values: Values) -> None:
        self.slots, self.values = slots, values
        self.opaque: list[Area] = []
        """Areas read by parts that were taken as one number."""

    def terms(self, node: Node) -> list[Term]:
        """The terms that add up to a single number; raises `Unknown` where it is no sum of products."""
        match node:
            case NumberNode(value):
                return [Term(value)] if value else []
            case Slot():
                return self._cells(node, single=True)
            case Apply("+", of):
                return [t for part in of for t in self.terms(part)]
            case Apply("-", (part,)):
                return [replace(t, times=-t.times) for t in self.terms(part)]
            case Apply("*", of):
                return self._product([self.terms_or_number(part) for part in of])
            case Apply("SUM", of):
                return [t for part in of for t in self.elements(part).present()]
            case Apply("SUMPRODUCT", of):
                return self._sumproduct([self.elements(part) for part in of])
            case Apply("AVERAGE", of):
                found = [t for part in of for t in self.elements(part).present()]
                return [replace(t, times=t.times / len(found)) for t in found]
            case Apply("IF", (condition, yes, no)):
                return self.terms(yes if number(condition, self.slots, self.values) else no)
            case Apply("INDEX" | "CHOOSE"):
                return self._chosen(node)
        return [self.computed(node)]

    def terms_or_number(self, node: Node) -> list[Term]:
        """A factor: its own terms, or the number that it amounts to."""
        if isinstance(node, Apply) and node.name == "1/":
            return [self.computed(node)]
        return self.terms(node)

    def computed(self, node: Node) -> Term:
        """A part that is no sum of products, as one number without cells; raises `Unknown`."""
        self.opaque += reads(node, self.slots)
        return Term(number(node, self.slots, self.values))

    def elements(self, node: Node) -> Elements:
        """A range, or arithmetic of ranges, element by element."""
        match node:
            case Slot():
                area = self.slots[node.index]
                block = self.values.block(area)
                return Elements(block.shape, [[t] for t in self._cells(node)], np.isnan(block).reshape(-1))
            case Apply("*", of):
                return _joined([self.elements(part) for part in of], self._product)
            case Apply("+", of):
                return _joined(
                    [self.elements(part) for part in of], lambda parts: [t for p in parts for t in p]
                )
            case Apply("-", (part,)):
                return _joined(
                    [self.elements(part)], lambda parts: [replace(t, times=-t.times) for t in parts[0]]
                )
        block = evaluate(node, self.slots, self.values)
        return Elements(
            block.shape, [[Term(float(v))] for v in block.reshape(-1)], np.isnan(block).reshape(-1)
        )

    def _cells(self, node: Slot, single: bool = False) -> list[Term]:
        area = self.slots[node.index]
        block = self.values.block(area)
        if single and block.size != 1:
            raise Unknown(f"the range {area} where one number is needed")
        return [
            Term(
                1.0,
                (Factor((area.sheet, area.row0 + r, area.column0 + c), float(np.nan_to_num(block[r, c]))),),
                area,
            )
            for r in range(block.shape[0])
            for c in range(block.shape[1])
        ]

    def _chosen(self, node: Apply) -> list[Term]:
        """The cell that INDEX or CHOOSE points to; what chooses it is taken as it is."""
        first, *others = node.of
        if node.name == "CHOOSE":
            which = int(number(first, self.slots, self.values))
            if not 1 <= which <= len(others):
                raise Unknown(f"CHOOSE with the number {which}")
            return self.terms(others[which - 1])
        if not isinstance(first, Slot) or not others:
            return [self.computed(node)]
        at = [int(number(n, self.slots, self.values)) for n in others]
        area = self.slots[first.index]
        height, width = area.row1 - area.row0 + 1, area.column1 - area.column0 + 1
        row, column = at if len(at) > 1 else (at[0], 1) if height > 1 else (1, at[0])
        if not (1 <= row <= height and 1 <= column <= width):
            raise Unknown("INDEX beyond its range")
        cell = (area.sheet, area.row0 + row - 1, area.column0 + column - 1)
        value = float(np.nan_to_num(self.values.block(Area(*cell, *cell[1:]))[0, 0]))
        return [Term(1.0, (Factor(cell, value),), area)]

    def _product(self, parts: Sequence[list[Term]]) -> list[Term]:
        """The product of sums, multiplied out where at most one of them has several terms."""
        found = [Term(1.0)]
        for part in parts:
            if len(found) > 1 and len(part) > 1:
                small, found = (part, found) if len(part) <= len(found) else (found, part)
                part = [Term(sum(t.product for t in small))]
            found = [_times(a, b) for a in found for b in part]
        return found

    def _sumproduct(self, parts: Sequence[Elements]) -> list[Term]:
        if len({p.shape for p in parts}) > 1:
            raise Unknown("SUMPRODUCT of ranges that do not fit")
        return _joined(parts, self._product).present()


@dataclass
class Elements:
    """Terms of each element of an array, in rows; `missing` says where no number stands."""

    shape: tuple[int, ...]
    terms: list[list[Term]]
    missing: np.ndarray

    def present(self) -> list[Term]:
        """All terms of the elements that are numbers."""
        return [t for terms, gone in zip(self.terms, self.missing, strict=True) if not gone for t in terms]


def _joined(parts: Sequence[Elements], join) -> Elements:  # type: ignore[no-untyped-def]
    try:
        shape = np.broadcast_shapes(*(p.shape for p in parts))
    except ValueError as error:
        raise Unknown("ranges that do not fit one another") from error
    if math.prod(shape) > MOST_CELLS:
        raise LimitError(f"a sum of {math.prod(shape):,} products; up to {MOST_CELLS:,} can be taken apart")
    which = [np.broadcast_to(np.arange(len(p.terms)).reshape(p.shape), shape).reshape(-1) for p in parts]
    missing = np.logical_or.reduce([p.missing[w] for p, w in zip(parts, which, strict=True)])
    terms = [join([p.terms[k] for p, k in zip(parts, at, strict=True)]) for at in zip(*which, strict=True)]
    return Elements(shape, terms, missing)


def _times(a: Term, b: Term) -> Term:
    return Term(a.times * b.times, a.factors + b.factors, a.range or b.range)


def reads(node: Node, slots: Sequence[Area]) -> list[Area]:
    """The areas that a part of a formula reads, in order of appearance."""
    return list(dict.fromkeys(slots[n.index] for n in walk(node) if isinstance(n, Slot)))
