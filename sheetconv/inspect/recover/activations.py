"""Activations around a formula, as sheets write them: MAX(0, x), IF(x>0, x, 0), x*(x>0), 1/(1+EXP(-x)), TANH(x)."""

from __future__ import annotations

from sheetconv.inspect.recover.values import Poly, PolyCall, PolyTerm, equal, scale
from sheetconv.inspect.recover.values import call as make_call

_PYTHON = {"relu": "F.relu({})", "sigmoid": "torch.sigmoid({})", "tanh": "torch.tanh({})"}


def strip(poly: Poly) -> tuple[Poly, list[str]]:
    """What is inside, and the names of the activations around it, innermost first.

    MAX(0, a, b, …) of several values is the rectified maximum: MAX(a, b, …) inside, relu around.
    """
    names: list[str] = []
    while (found := _outer(poly)) is not None:
        poly, name = found
        if name:
            names.insert(0, name)
    return poly, names


def wrap(expression: str, names: list[str]) -> str:
    """The expression within its activations."""
    for name in names:
        expression = _PYTHON[name].format(expression)
    return expression


def _outer(poly: Poly) -> tuple[Poly, str] | None:
    call = poly.call
    if call is None:
        return _masked(poly)
    if call.name == "MAX":
        return _rectified(call)
    if call.name == "TANH":
        return call.of[0], "tanh"
    if call.name == "1/":
        return _sigmoid(call.of[0])
    if call.name == "IF" and len(call.of) == 3:
        return _chosen(call)
    return (call.of[0], "") if call.name == "()" else None


def _rectified(call: PolyCall) -> tuple[Poly, str] | None:
    zeros = [p for p in call.of if p.constant == 0]
    others = [p for p in call.of if p.constant is None]
    if not zeros or len(zeros) + len(others) != len(call.of) or not others:
        return None
    if len(others) == 1:
        return others[0], "relu"
    return make_call("MAX", *others), "relu"


def _condition(poly: Poly) -> tuple[Poly, bool] | None:
    """(x, whether the condition is that x is positive) for x>0, x>=0, 0<x …"""
    call = poly.call
    if call is None or call.name not in (">", ">=", "<", "<="):
        return None
    left, right = call.of
    greater = call.name[0] == ">"
    if right.constant == 0:
        return left, greater
    return (right, not greater) if left.constant == 0 else None


def _chosen(call: PolyCall) -> tuple[Poly, str] | None:
    condition = _condition(call.of[0])
    if condition is None:
        return None
    x, positive = condition
    kept, other = (call.of[1], call.of[2]) if positive else (call.of[2], call.of[1])
    return (x, "relu") if other.constant == 0 and equal(kept, x) else None


def _masked(poly: Poly) -> tuple[Poly, str] | None:
    """``x*(x>0)``, with x one cell or a longer sum."""
    if len(poly.terms) != 1 or len(poly.terms[0].factors) != 2 or poly.terms[0].coefficient != 1:
        return None
    for x, mask in (poly.terms[0].factors, poly.terms[0].factors[::-1]):
        if isinstance(mask, PolyCall):
            inner = x.of[0] if isinstance(x, PolyCall) and x.name == "()" else Poly((PolyTerm(1.0, (x,)),))
            condition = _condition(Poly((PolyTerm(1.0, (mask,)),)))
            if condition and condition[1] and equal(condition[0], inner):
                return inner, "relu"
    return None


def _sigmoid(below: Poly) -> tuple[Poly, str] | None:
    """1/(1+EXP(-x))."""
    constants = [t for t in below.terms if not t.factors]
    rest = [t for t in below.terms if t.factors]
    if len(constants) != 1 or constants[0].coefficient != 1 or len(rest) != 1 or rest[0].coefficient != 1:
        return None
    factor = rest[0].factors[0]
    if len(rest[0].factors) == 1 and isinstance(factor, PolyCall) and factor.name == "EXP":
        return scale(factor.of[0], -1.0), "sigmoid"
    return None
