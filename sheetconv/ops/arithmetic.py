"""Arithmetic of two tensors, broadcast as torch does, or of a tensor and a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Expr, ExprLike, as_expr, call
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.paths import passes, sums
from sheetconv.ops.registry import Build, example, rule

_JOIN: dict[str, tuple[str, Callable[[Expr, ExprLike], Expr]]] = {
    "add": ("Add", lambda a, b: a + b),
    "sub": ("Subtract", lambda a, b: a - b),
    "mul": ("Multiply", lambda a, b: a * b),
    "div": ("Divide", lambda a, b: a / b),
}


def operand(build: Build, out: Tensor, value: Any) -> Expr:
    """An argument in every cell of `out`: a number, or a tensor broadcast as torch does."""
    if not isinstance(value, Tensor):
        return as_expr(float(value))
    if value.kind == "parameter":
        value = build.parameter(value, value.shape, "rows", out)
    lead = len(out.shape) - len(value.shape)
    at = [0 if size == 1 else axis for size, axis in zip(value.shape, out.axes[lead:], strict=True)]
    return value.at(*at)


@rule(
    *(f"aten.{n}.{kind}" for n in ("add", "sub", "mul", "div") for kind in ("Tensor", "Scalar")),
    kind="join",
    linear=sums,
)
def join(build: Build, a: Any, b: Any, alpha: Any = 1) -> Tensor:
    """a ∘ b in every cell (`alpha` scales b in add and sub)."""
    title, operator = _JOIN[build.target.split(".")[1]]
    build.title = title
    out = build.axes()
    right = operand(build, out, b)
    return build.emit(out, operator(operand(build, out, a), right if alpha == 1 else alpha * right))


@rule("aten.rsub.Scalar", kind="join", linear=passes)
def rsub(build: Build, a: Tensor, b: Any, alpha: Any = 1) -> Tensor:
    """b − a."""
    build.title = "Subtract"
    out = build.axes()
    return build.emit(out, as_expr(float(b)) - alpha * operand(build, out, a))


@rule("aten.minimum.default", "aten.maximum.default", kind="extreme", linear=sums)
def extreme(build: Build, a: Tensor, b: Tensor) -> Tensor:
    """The smaller or the larger of two tensors in every cell."""
    function = "MIN" if "minimum" in build.target else "MAX"
    build.title = "Smaller" if function == "MIN" else "Larger"
    out = build.axes()
    return build.emit(out, call(function, operand(build, out, a), operand(build, out, b)))


@rule("aten.pow.Tensor_Scalar", kind="power", linear=passes)
def power(build: Build, a: Tensor, exponent: Any) -> Tensor:
    """a to a whole power, multiplied out (an engine's own power is an error where the result underflows)."""
    from sheetconv.errors import UnsupportedOperator

    if exponent not in (1, 2, 3, 4):
        raise UnsupportedOperator(f"{build.module}: pow with exponent {exponent} has no rule; 1 to 4 have")
    build.title = f"Power {exponent}"
    out = build.axes()
    value: Expr = a.at(*out.axes)
    result = value
    for _ in range(int(exponent) - 1):
        result = result * value
    return build.emit(out, result, signed=bool(exponent % 2))


class _Arithmetic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([[[0.5]], [[2.0]], [[-1.5]]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = (x * self.scale + 1) / (2 + x[:, :1] * x[:, 1:2] / 8)
        y = torch.minimum(y, torch.maximum(x, self.scale))
        return torch.sub(y - x, x.mean((2, 3), keepdim=True), alpha=0.5) - (1 - x) ** 2


@example("arithmetic with broadcasting", (1, 3, 3, 4))
def _arithmetic() -> nn.Module:
    return _Arithmetic()


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x) + x)


@example("residual add", (1, 2, 5, 5))
def _residual() -> nn.Module:
    return _Residual()
