"""Arithmetic of two tensors, broadcast as torch does, or of a tensor and a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Binary, Expr, ExprLike, as_expr, call
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.paths import passes, sums
from sheetconv.ops.registry import Build, Given, called, example, rule

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


def raised(base: Expr, exponent: Expr) -> Expr:
    """A base that is not negative to a positive power, by logarithms (every engine has them alike)."""
    by_logarithm = call("EXP", exponent * call("LN", base))
    return call("IF", Binary("=", base, as_expr(0)), 0, by_logarithm)


@rule("aten.pow.Tensor_Scalar", kind="power", linear=passes)
def power(build: Build, a: Tensor, exponent: Any) -> Tensor:
    """a to a power; whole ones are multiplied out (an engine's own power is an error where the result underflows)."""
    build.title = f"Power {exponent:g}"
    out = build.axes()
    value: Expr = a.at(*out.axes)
    whole = float(exponent).is_integer() and 0 < abs(exponent) <= 8
    if exponent in (0.5, -0.5):
        result: Expr = call("SQRT", value)
    elif whole:
        result = value
        for _ in range(int(abs(exponent)) - 1):
            result = result * value
    else:
        result = raised(value, as_expr(abs(exponent)))
    signed = whole and bool(exponent % 2)
    return build.emit(out, result if exponent > 0 else 1 / result, signed=signed)


@rule("aten.pow.Scalar", "aten.pow.Tensor_Tensor", kind="power", linear=sums)
def power_of(build: Build, a: Any, exponent: Tensor) -> Tensor:
    """a^b, in every cell."""
    build.title = "Power"
    out = build.axes()
    if not isinstance(a, Tensor):
        if a <= 0:
            raise build.refuse(f"{a} to a power has no formula")
        return build.emit(out, call("EXP", exponent.at(*out.axes) * math.log(a)), signed=False)
    return build.emit(out, raised(operand(build, out, a), operand(build, out, exponent)))


@rule("aten.remainder.Scalar", "aten.remainder.Tensor", kind="remainder", linear=sums)
def remainder(build: Build, a: Any, b: Any) -> Tensor:
    """a − b · ⌊a / b⌋."""
    build.title = "Remainder"
    out = build.axes()
    left, right = operand(build, out, a), operand(build, out, b)
    return build.emit(out, left - right * call("INT", left / right))


@rule("aten.floor_divide.default", "aten.floor_divide.Scalar", kind="quotient", linear=sums)
def floor_divide(build: Build, a: Any, b: Any) -> Tensor:
    """⌊a / b⌋."""
    build.title = "Whole quotient"
    out = build.axes()
    return build.emit(out, call("INT", operand(build, out, a) / operand(build, out, b)))


@rule("aten.div.Tensor_mode", "aten.div.Scalar_mode", kind="quotient", linear=sums)
def divide_rounding(build: Build, a: Any, b: Any, rounding_mode: Any = None) -> Tensor:
    """a / b, rounded down or towards zero."""
    from sheetconv.ops.cast import truncated

    build.title = "Quotient"
    out = build.axes()
    quotient = operand(build, out, a) / operand(build, out, b)
    whole = {"floor": lambda q: call("INT", q), "trunc": truncated}.get(rounding_mode, lambda q: q)
    return build.emit(out, whole(quotient))


@rule("aten.clamp.Tensor", kind="clamp", linear=lambda x, *b: sum((v for v in b if v is not None), x * 1))
def clamp_between(build: Build, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Between bounds that are tensors."""
    build.title = "Clamp"
    out = build.axes()
    expr: Expr = operand(build, out, x)
    expr = call("MAX", expr, operand(build, out, low)) if low is not None else expr
    return build.emit(out, call("MIN", expr, operand(build, out, high)) if high is not None else expr)


class _Powers(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        big = x.abs() + 0.5
        y = big**0.5 + big**-0.5 + big**1.5 + x**3 + big**-2 + 2**x + big**x + x % 0.7 + big % big[:, :1]
        y = y + x // 0.3 + torch.floor_divide(x, big) + torch.div(x, 0.4, rounding_mode="trunc")
        return y + torch.div(x, big, rounding_mode="floor") + torch.clamp(x, min=-big[:, :1], max=big) + x**4


@example("powers, quotients, remainders", (1, 3, 3))
def _powers() -> nn.Module:
    return _Powers()


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


for _name in ("add", "sub", "mul", "div", "floor_divide"):
    called(f"aten.{_name}.Scalar", Given((2, 3)), 0.7)
called("aten.div.Scalar_mode", Given((2, 3)), 0.7, "trunc")
