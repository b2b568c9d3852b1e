"""Activations and other functions of one value.

The forms are those that every spreadsheet engine computes to about 1e-15: no overflow in a sigmoid, no
ERF (one engine has it only to 1e-10; the gamma distribution gives it exactly).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Binary, Expr, Negative, as_expr, call
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.arithmetic import operand
from sheetconv.ops.paths import passes, sums
from sheetconv.ops.registry import Build, Given, called, example, rule

Formula = Callable[..., Expr]


def _larger(a: Expr, b: float) -> Expr:
    return Binary(">", a, as_expr(b))


def _sigmoid(x: Expr) -> Expr:
    return 1 / (1 + call("EXP", call("MIN", Negative(x), 700)))


def _erf_gelu(x: Expr) -> Expr:
    # Φ(x) by the gamma distribution: erf(z) = sign(z)·P(1/2, z²)
    phi = 1 + call("SIGN", x) * call("GAMMADIST", x * x / 2, 0.5, 1, 1)
    return x * phi / 2


def _tanh_gelu(x: Expr) -> Expr:
    inner = as_expr(math.sqrt(2 / math.pi)) * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1 + call("TANH", inner))


def _gelu(x: Expr, approximate: str = "none") -> Expr:
    return _tanh_gelu(x) if approximate == "tanh" else _erf_gelu(x)


def _leaky_relu(x: Expr, slope: float = 0.01) -> Expr:
    return call("IF", _larger(x, 0), x, slope * x)


def _elu(x: Expr, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Expr:
    grown = x if input_scale == 1 else input_scale * x
    negative = alpha * (call("EXP", call("MIN", grown, 0)) - 1)
    chosen = call("IF", _larger(x, 0), x, negative)
    return chosen if scale == 1 else scale * chosen


def _softplus(x: Expr, beta: float = 1.0, threshold: float = 20.0) -> Expr:
    # torch returns x itself beyond the threshold
    z = x if beta == 1 else beta * x
    soft = call("LN", 1 + call("EXP", call("MIN", z, threshold)))
    return call("IF", _larger(z, threshold), x, soft if beta == 1 else soft / beta)


def _relu6(x: Expr) -> Expr:
    return call("MIN", call("MAX", x, 0), 6)


def _hard_sigmoid(x: Expr) -> Expr:
    return call("MIN", call("MAX", x + 3, 0), 6) / 6


def _hard_swish(x: Expr) -> Expr:
    return x * call("MIN", call("MAX", x + 3, 0), 6) / 6


def _clamp(x: Expr, low: Any = None, high: Any = None) -> Expr:
    bounded = x if low is None else call("MAX", x, low)
    return bounded if high is None else call("MIN", bounded, high)


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _erf(x: Expr) -> Expr:
    return call("SIGN", x) * call("GAMMADIST", x * x, 0.5, 1, 1)


def _log_sigmoid(x: Expr) -> Expr:
    return call("MIN", x, 0) - call("LN", 1 + call("EXP", Negative(call("ABS", x))))


def _hardshrink(x: Expr, bound: float = 0.5) -> Expr:
    return call("IF", _larger(call("ABS", x), bound), x, 0)


def _softshrink(x: Expr, bound: float = 0.5) -> Expr:
    return call("SIGN", x) * call("MAX", call("ABS", x) - bound, 0)


def _round_half_even(x: Expr) -> Expr:
    # halves go to the even neighbour, as in torch
    nearest = call("INT", x + 0.5)
    half = Binary("=", nearest - x, as_expr(0.5))
    odd = nearest - 2 * call("INT", nearest / 2)
    return call("IF", half, nearest - odd, nearest)


# aten name: (title, formula, whether results can be negative)
_FUNCTIONS: dict[str, tuple[str, Formula, bool]] = {
    "relu": ("ReLU", lambda x: call("MAX", 0, x), False),
    "leaky_relu": ("LeakyReLU", _leaky_relu, True),
    "gelu": ("GELU", _gelu, True),
    "silu": ("SiLU", lambda x: x * _sigmoid(x), True),
    "sigmoid": ("Sigmoid", _sigmoid, False),
    "tanh": ("Tanh", lambda x: call("TANH", x), True),
    "elu": ("ELU", _elu, True),
    "softplus": ("Softplus", _softplus, False),
    "hardswish": ("Hardswish", _hard_swish, True),
    "hardsigmoid": ("Hardsigmoid", _hard_sigmoid, False),
    "relu6": ("ReLU6", _relu6, False),
    "hardtanh": ("Hardtanh", _clamp, True),
    "clamp": ("Clamp", _clamp, True),
    "neg": ("Negative", lambda x: Negative(x), True),
    "exp": ("Exp", lambda x: call("EXP", x), False),
    "log": ("Log", lambda x: call("LN", x), True),
    "sqrt": ("Square root", lambda x: call("SQRT", x), False),
    "rsqrt": ("1 / square root", lambda x: 1 / call("SQRT", x), False),
    "abs": ("Absolute value", lambda x: call("ABS", x), False),
    "square": ("Square", lambda x: x * x, False),
    "reciprocal": ("Reciprocal", lambda x: 1 / x, True),
    "sign": ("Sign", lambda x: call("SIGN", x), True),
    "sgn": ("Sign", lambda x: call("SIGN", x), True),
    "floor": ("Floor", lambda x: call("INT", x), True),
    "ceil": ("Ceiling", lambda x: Negative(call("INT", Negative(x))), True),
    "round": ("Round", _round_half_even, True),
    "exp2": ("2 to the power", lambda x: call("EXP", x * math.log(2)), False),
    "expm1": ("Exp − 1", lambda x: call("EXP", x) - 1, True),
    "log2": ("Log to base 2", lambda x: call("LN", x) / math.log(2), True),
    "log10": ("Log to base 10", lambda x: call("LN", x) / math.log(10), True),
    "log1p": ("Log of 1 + x", lambda x: call("LN", 1 + x), True),
    "sin": ("Sine", lambda x: call("SIN", x), True),
    "cos": ("Cosine", lambda x: call("COS", x), True),
    "tan": ("Tangent", lambda x: call("SIN", x) / call("COS", x), True),
    "atan": ("Arctangent", lambda x: call("ATAN", x), True),
    "isnan": ("Is no number", lambda x: call("IF", Binary("=", x, x), 0, 1), False),
    "sinh": ("Sinh", lambda x: (call("EXP", x) - call("EXP", Negative(x))) / 2, True),
    "cosh": ("Cosh", lambda x: (call("EXP", x) + call("EXP", Negative(x))) / 2, False),
    "erf": ("Erf", _erf, True),
    "mish": ("Mish", lambda x: x * call("TANH", _softplus(x)), True),
    "selu": ("SELU", lambda x: _elu(x, _SELU_ALPHA, _SELU_SCALE), True),
    "celu": ("CELU", lambda x, a=1.0: _elu(x, a, 1.0, 1 / a), True),
    "log_sigmoid": ("LogSigmoid", _log_sigmoid, True),
    "hardshrink": ("Hardshrink", _hardshrink, True),
    "softshrink": ("Softshrink", _softshrink, True),
    "threshold": ("Threshold", lambda x, t, v: call("IF", _larger(x, t), x, v), True),
    "clamp_min": ("Clamp", lambda x, low: call("MAX", x, low), True),
    "clamp_max": ("Clamp", lambda x, high: call("MIN", x, high), True),
    "logit": ("Logit", lambda x, eps=None: call("LN", x / (1 - x)), True),
}


def _compile(build: Build, x: Tensor, *options: Any) -> Tensor:
    title, formula, signed = _FUNCTIONS[build.target.split(".")[1]]
    build.title = title
    out = build.axes()
    return build.emit(out, formula(x.at(*out.axes), *options), signed=signed)


for _name in _FUNCTIONS:
    rule(f"aten.{_name}.default", kind=_name, linear=passes)(_compile)


@rule("aten.rrelu_with_noise_functional.default", kind="leaky_relu", linear=lambda x, *_: (x * 1,))
def rrelu(build: Build, x: Tensor, noise: Any, lower: float, upper: float, training: bool, *_: Any) -> Tensor:
    """LeakyReLU with the mean of the slopes, as in evaluation."""
    if training or build.item:
        raise build.refuse("random slopes have no rule; call eval()")
    build.target, build.several = "aten.leaky_relu.default", False
    build.arguments = (x, (lower + upper) / 2)
    return _compile(build, *build.arguments)


@rule("aten.atan2.default", kind="atan2", linear=sums)
def atan2(build: Build, y: Tensor, x: Tensor) -> Tensor:
    """The angle of the point (x, y), from −π to π; 0 at the origin."""
    build.title = "Angle"
    out = build.axes()
    above, along = operand(build, out, y), operand(build, out, x)
    half = call("SIGN", above) * (math.pi / 2)
    behind = call("IF", Binary("<", above, as_expr(0)), -math.pi, math.pi)
    turned = call("IF", Binary("<", along, as_expr(0)), behind, 0)
    angle = call("ATAN", above / along) + turned
    return build.emit(out, call("IF", Binary("=", along, as_expr(0)), half, angle))


class _Angles(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        right, up = torch.tensor([1.0, -1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 2.0, 0.0])
        return (
            torch.atan2(x, x.flip(1))
            + torch.atan2(x[:, :1], right)
            + torch.atan2(up, x)
            + torch.atan2(up, right)
        )


@example("angles", (1, 3, 4))
def _angles() -> nn.Module:
    return _Angles()


class _Zoo(nn.Module):
    def __init__(self, *functions: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.functions = functions

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([f(x) for f in self.functions], 1)


@example("activations", (1, 1, 4, 4))
def _activations() -> nn.Module:
    f = nn.functional
    return _Zoo(
        torch.relu, f.leaky_relu, f.gelu, lambda x: f.gelu(x, approximate="tanh"), f.silu, torch.sigmoid,
        torch.tanh, f.elu, lambda x: f.softplus(20 * x), f.hardswish, f.hardsigmoid, f.relu6, f.hardtanh,
    )  # fmt: skip


@example("functions", (1, 1, 3, 3))
def _functions() -> nn.Module:
    return _Zoo(
        torch.exp, lambda x: torch.log(x.abs() + 1), lambda x: torch.sqrt(x * x + 1), lambda x: -x,
        lambda x: x.clamp(-0.5, 0.5), lambda x: torch.rsqrt(x.square() + 2), lambda x: (x.abs() + 1).reciprocal(),
    )  # fmt: skip


@example("more functions", (1, 1, 3, 4))
def _more() -> nn.Module:
    f = nn.functional
    return _Zoo(
        torch.sign, torch.sgn, torch.floor, torch.ceil, lambda x: torch.round(x * 2), torch.exp2, torch.expm1,
        lambda x: torch.log2(x.abs() + 1), lambda x: torch.log10(x.abs() + 1), lambda x: torch.log1p(x.abs()),
        torch.sin, torch.cos, torch.tan, torch.sinh, torch.cosh, torch.erf, lambda x: torch.logit(torch.sigmoid(x)),
        lambda x: x.clamp_min(0.2), lambda x: x.clamp_max(0.2), f.mish, f.selu, f.celu, f.logsigmoid, f.hardshrink,
        f.softshrink, lambda x: f.threshold(x, 0.1, 5.0), lambda x: x.trunc(),
        torch.atan, lambda x: x.isnan() + x,
    )  # fmt: skip


@example("rrelu", (1, 2, 3))
def _rrelu() -> nn.Module:
    return nn.RReLU()


called("aten.hardshrink.default", Given((2, 3)))
called("aten.softshrink.default", Given((2, 3)), 0.3)
