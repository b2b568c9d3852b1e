"""How large a rounding error may be: the sum of the absolute terms of each cell.

A cell that adds 10¹² and −10¹² may be off by 10⁻⁴, one that adds 0.5 and 0.25 may not. The error of a cell in
units of relative rounding is carried through its expression beside its value; what the expression reads counts
as exact, because every cell is compared with what torch computes from the very numbers that it reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sheetconv.graph.expr import (
    _CHUNK,
    _OPERATORS,
    Aggregate,
    Binary,
    Call,
    Expr,
    FloatArray,
    Negative,
    Select,
    _choose,
    _elements,
    _evaluate,
    walk,
)
from sheetconv.graph.index import IntArray, Var, grid
from sheetconv.graph.tensor import Tensor

_NEAR = 1e-12
_COMPARISONS = (">", ">=", "<", "<=", "=", "<>")
_GENTLE = ("TANH", "ATAN", "SIN", "COS", "ABS")

Env = Mapping[Var, IntArray]
Values = Mapping[Tensor, FloatArray]


def magnitude(expr: Expr, axes: Sequence[Var], values: Values) -> FloatArray:
    """The scale of each cell's rounding error, of shape ``tuple(v.size for v in axes)``; never negative."""
    shape = tuple(v.size for v in axes)
    env, cells = grid(axes), math.prod(shape)
    window = max(
        (math.prod(v.size for v in e.over) for e in walk(expr) if isinstance(e, Aggregate)), default=1
    )
    step = max(1, _CHUNK // window)
    out = np.empty(cells)
    with np.errstate(all="ignore"):
        for start in range(0, cells, step):
            part = {v: a[start : start + step] for v, a in env.items()}
            out[start : start + step] = _bound(expr, part, values)[1]
    return np.nan_to_num(np.abs(out), nan=np.inf).reshape(shape)


def _bound(expr: Expr, env: Env, values: Values) -> tuple[Any, Any]:
    """Value and scale of an expression."""
    match expr:
        case Aggregate() if expr.function in ("SUM", "SUMPRODUCT", "AVERAGE"):
            return _terms(expr, env, values)
        case Negative(operand):
            value, scale = _bound(operand, env, values)
            return -value, scale
        case Binary():
            return _binary(expr.operator, *_bound(expr.left, env, values), *_bound(expr.right, env, values))
        case Call(function, arguments) if arguments:
            return _call(function, [_bound(a, env, values) for a in arguments], expr, env, values)
        case Select(condition, yes, no):
            chosen = condition.evaluate(env) != 0
            both = zip(_bound(yes, env, values), _bound(no, env, values), strict=True)
            value, scale = (np.where(chosen, a, b) for a, b in both)
            return value, scale
    value = _evaluate(expr, env, values)
    return value, np.abs(value)


def _terms(expr: Aggregate, env: Env, values: Values) -> tuple[Any, Any]:
    present, product = _elements(expr, env, values)
    terms = np.where(present, product, 0.0)
    count = present.sum(-1) if expr.function == "AVERAGE" else 1
    return terms.sum(-1) / count, np.abs(terms).sum(-1) / count


def _binary(operator: str, a: Any, scale_a: Any, b: Any, scale_b: Any) -> tuple[Any, Any]:
    value = _OPERATORS[operator](a, b)
    if operator in "+-":
        return value, scale_a + scale_b
    if operator == "*":
        return value, np.abs(a) * scale_b + np.abs(b) * scale_a
    if operator == "/":
        return value, scale_a / np.abs(b) + np.abs(value) * scale_b / np.abs(b)
    if operator in _COMPARISONS:
        near = (a != b) & (np.abs(a - b) <= _NEAR * (scale_a + scale_b))
        return value, np.where(near, np.inf, np.abs(value))
    logarithm = np.abs(np.log(np.abs(np.where(a == 0, 1, a))))
    return value, np.abs(value) * (
        1 + np.abs(b) * scale_a / np.abs(np.where(a == 0, 1, a)) + scale_b * logarithm
    )


def _call(
    function: str, found: list[tuple[Any, Any]], expr: Call, env: Env, values: Values
) -> tuple[Any, Any]:
    value = _evaluate(expr, env, values)
    a, scale = found[0]
    if function in ("MAX", "MIN"):
        return value, _winners(value, found)
    if function == "IF":
        return value, np.where(a != 0, found[1][1], found[-1][1])
    if function == "CHOOSE":
        return value, _choose(a, [s for _, s in found[1:]])
    if function == "EXP":
        return value, np.abs(value) * (1 + scale)
    if function == "LN":
        return value, np.abs(value) + scale / np.abs(a)
    if function == "SQRT":
        return value, value + np.where(value > 0, scale / (2 * value), np.sqrt(scale) * 1e8)
    if function == "GAMMADIST":
        return value, 2 * np.abs(value)
    if function in _GENTLE:
        return value, np.abs(value) + scale
    return value, np.abs(value) + sum(s for _, s in found)


def _winners(value: Any, found: list[tuple[Any, Any]]) -> Any:
    """The largest scale among the operands that a rounding error could make the result."""
    scales = [np.where(np.abs(v - value) <= _NEAR * (s + np.abs(value)), s, 0.0) for v, s in found]
    return np.maximum.reduce(np.broadcast_arrays(*scales))
