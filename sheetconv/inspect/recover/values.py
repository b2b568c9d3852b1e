"""What formulas compute, in one normal form: sums of products of cells and of function calls.

`Poly` is a sum of terms, each a coefficient times factors. A factor is a cell (for all n cells of a map at
once: an array of n cell numbers) or a call of a function on polys. So SUM(A1:B2*$D$1:$E$2), SUMPRODUCT of the
same, A1*$D$1+B1*$E$1+… and MMULT all become the same four terms, and a reader of them needs no dialect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sheetconv.inspect.recover.cells import Ids

MOST_TERMS = 200_000


class Unrecognised(Exception):
    """A formula that has no meaning here; the message says why."""


@dataclass(frozen=True, eq=False)
class PolyCall:
    """A function of polys, by its spreadsheet name; ``()`` is a poly kept as one factor."""

    name: str
    of: tuple[Poly, ...]


Factor = Ids | PolyCall


@dataclass(frozen=True, eq=False)
class PolyTerm:
    """A coefficient times factors; no factors: a constant."""

    coefficient: float
    factors: tuple[Factor, ...] = ()


@dataclass(frozen=True, eq=False)
class Poly:
    """A sum of terms, for all cells of a map at once."""

    terms: tuple[PolyTerm, ...]

    @property
    def constant(self) -> float | None:
        """The number that the poly is; None when it has factors."""
        if any(term.factors for term in self.terms):
            return None
        return float(sum(term.coefficient for term in self.terms))

    @property
    def cell(self) -> Ids | None:
        """The cells that the poly simply is; None for anything more."""
        if len(self.terms) == 1 and self.terms[0].coefficient == 1.0 and len(self.terms[0].factors) == 1:
            factor = self.terms[0].factors[0]
            return None if isinstance(factor, PolyCall) else factor
        return None

    @property
    def call(self) -> PolyCall | None:
        """The call that the poly simply is; None for anything else."""
        if len(self.terms) == 1 and self.terms[0].coefficient == 1.0 and len(self.terms[0].factors) == 1:
            factor = self.terms[0].factors[0]
            return factor if isinstance(factor, PolyCall) else None
        return None


def number(value: float) -> Poly:
    """A constant."""
    return Poly((PolyTerm(float(value)),) if value else ())


def cells(ids: Ids) -> Poly:
    """The value of cells."""
    return Poly((PolyTerm(1.0, (ids,)),))


def call(name: str, *of: Poly) -> Poly:
    """A function's result."""
    return Poly((PolyTerm(1.0, (PolyCall(name, of),)),))


def add(polys: Iterable[Poly]) -> Poly:
    """The sum; constants are gathered."""
    terms: list[PolyTerm] = []
    constant = 0.0
    for poly in polys:
        for term in poly.terms:
            if term.factors:
                terms.append(term)
            else:
                constant += term.coefficient
        if len(terms) > MOST_TERMS:
            raise Unrecognised(f"a sum of more than {MOST_TERMS:,} terms")
    return Poly((*terms, *number(constant).terms))


def scale(poly: Poly, by: float) -> Poly:
    """The poly times a number."""
    return Poly(tuple(PolyTerm(t.coefficient * by, t.factors) for t in poly.terms))


def multiply(one: Poly, two: Poly) -> Poly:
    """The product; a sum times a sum is kept as two factors."""
    if one.constant is not None:
        return scale(two, one.constant)
    if two.constant is not None:
        return scale(one, two.constant)
    if len(one.terms) > 1 and len(two.terms) > 1:
        two = call("()", two)
    if len(one.terms) > 1 and any(isinstance(f, PolyCall) for t in two.terms for f in t.factors):
        one = call("()", one)
    return Poly(
        tuple(
            PolyTerm(a.coefficient * b.coefficient, a.factors + b.factors)
            for a in one.terms
            for b in two.terms
        )
    )


def equal(one: Poly, two: Poly) -> bool:
    """Whether two polys are written alike."""
    if len(one.terms) != len(two.terms):
        return False
    return all(
        a.coefficient == b.coefficient
        and len(a.factors) == len(b.factors)
        and all(_equal(f, g) for f, g in zip(a.factors, b.factors, strict=True))
        for a, b in zip(one.terms, two.terms, strict=True)
    )


def _equal(one: Factor, two: Factor) -> bool:
    if isinstance(one, PolyCall) or isinstance(two, PolyCall):
        return (
            isinstance(one, PolyCall)
            and isinstance(two, PolyCall)
            and one.name == two.name
            and len(one.of) == len(two.of)
            and all(equal(a, b) for a, b in zip(one.of, two.of, strict=True))
        )
    return np.array_equal(one, two)


def all_ids(poly: Poly) -> Iterator[Ids]:
    """The cells of all factors, calls looked into."""
    waiting = [poly]
    while waiting:
        for term in waiting.pop().terms:
            for factor in term.factors:
                if isinstance(factor, PolyCall):
                    waiting += factor.of
                else:
                    yield factor


def renamed(poly: Poly, old: np.ndarray, new: np.ndarray) -> Poly:
    """The poly with cells replaced: those of `old` (sorted) by those of `new`."""

    def ids(factor: Factor) -> Factor:
        if isinstance(factor, PolyCall):
            return PolyCall(factor.name, tuple(renamed(p, old, new) for p in factor.of))
        at = np.minimum(np.searchsorted(old, factor), len(old) - 1)
        return np.where(old[at] == factor, new[at], factor)

    if not len(old):
        return poly
    return Poly(tuple(PolyTerm(t.coefficient, tuple(ids(f) for f in t.factors)) for t in poly.terms))


def single(poly: Poly, index: int) -> Poly:
    """The poly of one of the n cells."""

    def one(factor: Factor) -> Factor:
        if isinstance(factor, PolyCall):
            return PolyCall(factor.name, tuple(single(p, index) for p in factor.of))
        return factor[index : index + 1] if len(factor) > 1 else factor

    return Poly(tuple(PolyTerm(t.coefficient, tuple(one(f) for f in t.factors)) for t in poly.terms))


def stacked(polys: list[Poly]) -> Poly:
    """Polys of one cell each, written alike, as one poly of all cells.

    Raises `Unrecognised` when they are not alike.
    """
    first = polys[0]
    if any(len(p.terms) != len(first.terms) for p in polys):
        raise Unrecognised("cells of one array formula compute different things")
    terms = []
    for group in zip(*(p.terms for p in polys), strict=True):
        if any(
            t.coefficient != group[0].coefficient or len(t.factors) != len(group[0].factors) for t in group
        ):
            raise Unrecognised("cells of one array formula compute different things")
        factors = tuple(_stack(list(f)) for f in zip(*(t.factors for t in group), strict=True))
        terms.append(PolyTerm(group[0].coefficient, factors))
    return Poly(tuple(terms))


def _stack(factors: list[Factor]) -> Factor:
    calls = [f for f in factors if isinstance(f, PolyCall)]
    if not calls:
        return np.concatenate([f for f in factors if not isinstance(f, PolyCall)])
    if len(calls) < len(factors) or any(
        c.name != calls[0].name or len(c.of) != len(calls[0].of) for c in calls
    ):
        raise Unrecognised("cells of one array formula compute different things")
    return PolyCall(calls[0].name, tuple(stacked(list(p)) for p in zip(*(c.of for c in calls), strict=True)))
