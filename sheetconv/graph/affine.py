"""Simpler forms of index expressions: what `reshape` after `permute` after `slice` comes to.

An index is read as a sum of integer multiples of *atoms* (variables, and quotients, remainders or table entries
that do not come apart) plus a constant. Quotients and remainders of such sums are split into the part that
divides evenly and a rest; where the rest stays within one period they disappear.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

from sheetconv.graph.index import Constant, Index, IndexOperation, Lookup, Var, binary

_Key = tuple[object, ...]


@dataclass
class _AffineSum:
    """constant + Σ factor · atom; atoms by a key that is equal for equal expressions."""

    constant: int
    terms: dict[_Key, tuple[int, Index]]

    def index(self) -> Index:
        found: Index | None = None
        for factor, atom in self.terms.values():
            term = atom if factor == 1 else binary("*", abs(factor) if found and factor < 0 else factor, atom)
            found = term if found is None else binary("-" if factor < 0 else "+", found, term)
        if found is None:
            return Constant(self.constant)
        if self.constant < 0:
            return binary("-", found, -self.constant)
        return binary("+", found, self.constant)


def simplified(index: Index) -> Index:
    """An index with the same value for all values of its variables, with fewer operations where it can be."""
    return _sum(index).index()


def bounds(index: Index) -> tuple[int, int]:
    """Numbers between which the index lies (not always the tightest)."""
    return _bounds(_sum(index))


def _bounds(total: _AffineSum) -> tuple[int, int]:
    low = high = total.constant
    for factor, atom in total.terms.values():
        a, b = _atom_bounds(atom)
        low += min(factor * a, factor * b)
        high += max(factor * a, factor * b)
    return low, high


def _atom_bounds(atom: Index) -> tuple[int, int]:
    if isinstance(atom, Var):
        return 0, atom.size - 1
    if isinstance(atom, Lookup):
        table = np.asarray(atom.table)
        return int(table.min()), int(table.max())
    assert isinstance(atom, IndexOperation)
    (a, b), (c, d) = bounds(atom.left), bounds(atom.right)
    match atom.operator:
        case "//" if c > 0:
            return min(a // c, a // d), max(b // c, b // d)
        case "%" if c > 0:
            return 0, d - 1
        case "min":
            return min(a, c), min(b, d)
        case "max":
            return max(a, c), max(b, d)
        case "*":
            corners = [x * y for x in (a, b) for y in (c, d)]
            return min(corners), max(corners)
    return 0, 1  # comparisons


def _single(atom: Index, key: _Key) -> _AffineSum:
    return _AffineSum(0, {key: (1, atom)})


def _scaled(total: _AffineSum, factor: int) -> _AffineSum:
    if not factor:
        return _AffineSum(0, {})
    return _AffineSum(total.constant * factor, {k: (f * factor, a) for k, (f, a) in total.terms.items()})


def _joined(a: _AffineSum, b: _AffineSum) -> _AffineSum:
    terms = dict(a.terms)
    for key, (factor, atom) in b.terms.items():
        combined = terms.pop(key, (0, atom))[0] + factor
        if combined:
            terms[key] = (combined, atom)
    return _AffineSum(a.constant + b.constant, terms)


def _sum(index: Index) -> _AffineSum:
    if isinstance(index, Constant):
        return _AffineSum(index.value, {})
    if isinstance(index, Var):
        return _AffineSum(0, {}) if index.size == 1 else _single(index, ("var", id(index)))
    if isinstance(index, Lookup):
        return _table(index)
    assert isinstance(index, IndexOperation)
    left, right = _sum(index.left), _sum(index.right)
    match index.operator:
        case "+":
            return _joined(left, right)
        case "-":
            return _joined(left, _scaled(right, -1))
        case "*" if not left.terms:
            return _scaled(right, left.constant)
        case "*" if not right.terms:
            return _scaled(left, right.constant)
        case "//" if not right.terms and right.constant > 0:
            return _quotient(left, right.constant)
        case "%" if not right.terms and right.constant > 0:
            return _remainder(left, right.constant)
    return _atom(index.operator, left, right)


def _atom(operator: str, left: _AffineSum, right: _AffineSum) -> _AffineSum:
    atom = binary(operator, left.index(), right.index())
    if isinstance(atom, Constant):
        return _AffineSum(atom.value, {})
    return _single(atom, (operator, _key(left), _key(right)))


def _key(total: _AffineSum) -> _Key:
    return (total.constant, frozenset((k, f) for k, (f, _) in total.terms.items()))


def _table(index: Lookup) -> _AffineSum:
    at = _sum(index.at)
    table = np.asarray(index.table, dtype=np.int64)
    if not at.terms:
        return _AffineSum(int(table[at.constant]), {})
    steps = np.diff(table)
    if len(table) > 1 and (steps == steps[0]).all():  # an even table is a straight line
        return _joined(_AffineSum(int(table[0]), {}), _scaled(at, int(steps[0])))
    return _single(Lookup(table, at.index()), ("table", table.tobytes(), _key(at)))


def _divided(total: _AffineSum, period: int) -> tuple[_AffineSum, _AffineSum]:
    """(whole, rest) with total = whole · period + rest."""
    whole = _AffineSum(total.constant // period, {})
    rest = _AffineSum(total.constant % period, {})
    for key, (factor, atom) in total.terms.items():
        if factor % period == 0:
            whole.terms[key] = (factor // period, atom)
        else:
            rest.terms[key] = (factor, atom)
    return whole, rest


def _fine(rest: _AffineSum, period: int) -> tuple[int, _AffineSum, _AffineSum]:
    """(grain, coarse, fine): rest = grain · coarse + fine with 0 ≤ fine < grain, where such a grain divides the period."""
    factors = sorted({abs(f) for f, _ in rest.terms.values()}, reverse=True)
    for candidate in factors:
        grain = gcd(candidate, period)
        if grain <= 1:
            continue
        coarse, fine = _divided(rest, grain)
        low, high = _bounds(fine)
        if low >= 0 and high < grain:
            return grain, coarse, fine
    return 1, rest, _AffineSum(0, {})


def _quotient(total: _AffineSum, period: int) -> _AffineSum:
    whole, rest = _divided(total, period)
    low, high = _bounds(rest)
    if low // period == high // period:
        return _joined(whole, _AffineSum(low // period, {}))
    grain, coarse, _ = _fine(rest, period)
    if grain == period:
        return _joined(whole, coarse)
    if grain > 1:
        return _joined(whole, _quotient(coarse, period // grain))
    return _joined(whole, _atom("//", rest, _AffineSum(period, {})))


def _remainder(total: _AffineSum, period: int) -> _AffineSum:
    _, rest = _divided(total, period)
    low, high = _bounds(rest)
    if low // period == high // period:
        return _joined(rest, _AffineSum(-(low // period) * period, {}))
    grain, coarse, fine = _fine(rest, period)
    if grain == period:
        return fine
    if grain > 1:
        return _joined(_scaled(_remainder(coarse, period // grain), grain), fine)
    return _atom("%", rest, _AffineSum(period, {}))
