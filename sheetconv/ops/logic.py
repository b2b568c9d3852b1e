"""Truth values as numbers: 1 holds, 0 does not (never TRUE or FALSE in a cell)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Aggregate, Binary, Expr, as_expr, call
from sheetconv.graph.index import Constant, Index, Var
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.arithmetic import operand
from sheetconv.ops.paths import over, passes, sums
from sheetconv.ops.registry import Build, Given, called, example, rule


def _is_zero(x: Expr) -> Expr:
    return Binary("=", x, as_expr(0))


@rule("aten.logical_not.default", "aten.bitwise_not.default", kind="logic", truth=(0,), linear=passes)
def opposite(build: Build, x: Tensor) -> Tensor:
    """1 where x is 0, else 0."""
    if "bitwise" in build.target:  # of truth values: the same
        build.target = "aten.logical_not.default"
    build.title = "Not"
    out = build.axes()
    return build.emit(out, call("IF", _is_zero(x.at(*out.axes)), 1, 0), signed=False)


_JOINT = {"and": ("And", 0, 0), "or": ("Or", 1, 1), "xor": ("Either", None, None)}


@rule(
    *(f"aten.logical_{n}.default" for n in _JOINT),
    *(f"aten.bitwise_{n}.Tensor" for n in _JOINT),
    kind="logic",
    truth=(0, 1),
    linear=sums,
)
def joint(build: Build, a: Tensor, b: Tensor) -> Tensor:
    """Of two truth values."""
    name = build.target.split(".")[1].rpartition("_")[2]
    build.target = f"aten.logical_{name}.default"
    build.title = _JOINT[name][0]
    out = build.axes()
    left, right = operand(build, out, a), operand(build, out, b)
    second = call("IF", _is_zero(right), 0, 1)
    expr = {
        "and": lambda: call("IF", _is_zero(left), 0, second),
        "or": lambda: call("IF", _is_zero(left), second, 1),
        "xor": lambda: call("IF", _is_zero(left), second, call("IF", _is_zero(right), 1, 0)),
    }[name]()
    return build.emit(out, expr, signed=False)


@rule("aten.any.default", "aten.any.dim", "aten.any.dims", kind="any", truth=(0,), linear=over)
def any_(build: Build, x: Tensor, dims: Any = None, keep: bool = False) -> Tensor:
    """1 where one element at least is not 0."""
    return _quantified(build, x, dims, keep, "SUM")


@rule("aten.all.default", "aten.all.dim", "aten.all.dims", kind="all", truth=(0,), linear=over)
def all_(build: Build, x: Tensor, dims: Any = None, keep: bool = False) -> Tensor:
    """1 where no element is 0."""
    return _quantified(build, x, dims, keep, "MIN")


def _quantified(build: Build, x: Tensor, dims: Any, keep: bool, function: str) -> Tensor:
    rank = len(x.shape)
    wanted = [d % rank for d in ([dims] if isinstance(dims, int) else list(dims or range(rank)))]
    build.title = "Any" if function == "SUM" else "All"
    out = build.axes()
    rest = iter(out.axes)
    window = {d: Var(f"k{d}", x.shape[d]) for d in wanted}
    at: list[Index] = []
    for d in range(rank):
        own = next(rest) if keep or d not in window else Constant(0)
        at.append(window.get(d, own))
    found = Aggregate(function, (x.at(*at),), tuple(window.values()))
    return build.emit(out, call("IF", _is_zero(found), 0, 1), signed=False)


class _Logic(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = x > 0, x < 1
        joined = [
            a & b,
            a | ~b,
            a ^ b,
            torch.logical_and(a, b),
            torch.logical_or(a, b),
            torch.logical_xor(a, b),
        ]
        found = sum((j * (i + 1.0) for i, j in enumerate(joined)), x)
        return (
            found
            + a.any(1, keepdim=True)
            + b.all(2, keepdim=True)
            + a.any() * 2
            + b.all()
            + ~a.any(1)[:, None]
        )


@example("truth values", (1, 3, 4))
def _logic() -> nn.Module:
    return _Logic()


called("aten.logical_not.default", Given((2, 3), 2))
called("aten.any.dims", Given((2, 3), 2), [0, 1])
called("aten.all.dims", Given((2, 3), 2), [1], True)
