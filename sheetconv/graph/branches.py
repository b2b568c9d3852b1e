"""Branches of formulas: which of them each cell takes, at one point.

A branch is an operand of a MAX or MIN that is the result, a side of an IF, an outcome of a comparison, a value
of CHOOSE, the sign of what ABS or SIGN takes, an element of a window that is its maximum. Ties take no branch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sheetconv.graph.expr import Aggregate, Binary, Call, Expr, FloatArray, _evaluate, _gather, walk
from sheetconv.graph.index import IntArray, Var, grid
from sheetconv.graph.tensor import Tensor

MOST = 20_000_000
_COMPARISONS = (">", ">=", "<", "<=", "=", "<>")

Env = Mapping[Var, IntArray]
Values = Mapping[Tensor, FloatArray]


def forks(expr: Expr) -> list[Expr]:
    """The places of an expression at which it branches."""
    conditions = {id(c.arguments[0]) for c in walk(expr) if isinstance(c, Call) and c.function == "IF"}
    return [e for e in walk(expr) if outcomes(e) > 1 and id(e) not in conditions]


def outcomes(expr: Expr) -> int:
    """How many branches a cell has at this place of an expression; 1 where it does not fork."""
    match expr:
        case Call(function, arguments) if function in ("MAX", "MIN") and len(arguments) > 1:
            return len(arguments)
        case Call(function) if function in ("IF", "ABS", "SIGN"):
            return 2
        case Call("CHOOSE", arguments):
            return len(arguments) - 1
        case Binary(operator) if operator in _COMPARISONS:
            return 2
        case Aggregate(function, _, over) if function in ("MAX", "MIN"):
            return math.prod(v.size for v in over)
    return 1


def taken(
    where: Sequence[Expr], axes: Sequence[Var], values: Values
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each of the `forks` of an expression, (taken, possible), both bool (cells, outcomes): what the cells take at this point.

    Forks with more than `MOST` cells × outcomes would take too much memory; leave them out of `where`.
    """
    env = grid(axes)
    cells = math.prod(v.size for v in axes)
    with np.errstate(all="ignore"):
        for fork in where:
            yield _taken(fork, env, cells, values)


def _taken(fork: Expr, env: Env, cells: int, values: Values) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(fork, Aggregate):
        return _window(fork, env, cells, values)
    if isinstance(fork, Binary):
        outcome = np.broadcast_to(_evaluate(fork, env, values), (cells,)) != 0
        return np.stack([outcome, ~outcome], 1), _all(cells, 2)
    assert isinstance(fork, Call)
    found = [np.broadcast_to(np.asarray(_evaluate(a, env, values), float), (cells,)) for a in fork.arguments]
    if fork.function == "IF":
        yes = found[0] != 0
        return np.stack([yes, ~yes], 1), _all(cells, 2)
    if fork.function in ("ABS", "SIGN"):
        return np.stack([found[0] > 0, found[0] < 0], 1), _all(cells, 2)
    if fork.function == "CHOOSE":
        which = found[0][:, None] == np.arange(1, len(found))
        return which, _all(cells, len(found) - 1)
    stacked = np.stack(found, 1)
    return _alone(stacked if fork.function == "MAX" else -stacked), _all(cells, len(found))


def _all(cells: int, outcomes: int) -> np.ndarray:
    return np.ones((cells, outcomes), bool)


def _alone(stacked: np.ndarray) -> np.ndarray:
    """Where an operand is larger than all others, bool (cells, operands)."""
    top = stacked == stacked.max(1, keepdims=True)
    return top & (top.sum(1, keepdims=True) == 1)


def _window(fork: Aggregate, env: Env, cells: int, values: Values) -> tuple[np.ndarray, np.ndarray]:
    full: dict[Var, Any] = {v: a[:, None] for v, a in env.items()}
    full |= {v: a[None] for v, a in grid(fork.over).items()}
    size = math.prod(v.size for v in fork.over)
    parts, filled = zip(*(_gather(o, full, values) for o in fork.operands), strict=True)
    present: Any = np.logical_and.reduce(np.broadcast_arrays(*filled))
    if fork.where is not None:
        present = present & (fork.where.evaluate(full) != 0)
    present = np.broadcast_to(present, (cells, size))
    product = np.broadcast_to(np.multiply.reduce(np.broadcast_arrays(*parts)), (cells, size))
    product = product if fork.function == "MAX" else -product
    return _alone(np.where(present, product, -np.inf)) & present, present
