"""The way back through activations, softmax, batch-norm and the losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from sheetconv.errors import UnsupportedOperator
from sheetconv.graph.expr import Aggregate, Binary, Expr, Number, as_expr, call
from sheetconv.graph.index import Index, Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.arithmetic import operand
from sheetconv.ops.registry import Build, rule

_SIXTH = 0.1666666716337204  # torch's kernel has 1/6 in single precision, whatever the numbers are


def _if(sign: str, value: Expr, bound: float, yes: Expr, no: Expr) -> Expr:
    return call("IF", Binary(sign, value, as_expr(bound)), yes, no)


def _logistic(x: Expr) -> Expr:
    return 1 / (1 + call("EXP", call("MIN", 0 - x, 700)))


def _silu(g: Expr, x: Expr) -> Expr:
    return g * _logistic(x) * (1 + x * (1 - _logistic(x)))


def _gelu(g: Expr, x: Expr, approximate: str = "none") -> Expr:
    if approximate != "none":
        k = math.sqrt(2 / math.pi)
        t = call("TANH", k * (x + 0.044715 * x * x * x))
        return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x))
    phi = (1 + call("SIGN", x) * call("GAMMADIST", x * x / 2, 0.5, 1, 1)) / 2
    density = call("EXP", 0 - x * x / 2) / math.sqrt(2 * math.pi)
    return g * (phi + x * density)


def _leaky(g: Expr, x: Expr, slope: float, result: bool) -> Expr:
    return _if(">", x, 0, g, slope * g)


def _elu(g: Expr, alpha: float, scale: float, input_scale: float, result: bool, x: Expr) -> Expr:
    grown = x + alpha * scale if result else alpha * scale * call("EXP", call("MIN", input_scale * x, 0))
    return _if(">", x, 0, g * scale, g * input_scale * grown)


def _softplus(g: Expr, x: Expr, beta: float, threshold: float) -> Expr:
    return _if(">", beta * x, threshold, g, g * _logistic(beta * x))


def _between(g: Expr, x: Expr, low: float, high: float) -> Expr:
    return _if("<=", x, low, Number(0.0), _if(">=", x, high, Number(0.0), g))


def _hardsigmoid(g: Expr, x: Expr) -> Expr:
    return _between(g * _SIXTH, x, -3, 3)


def _hardswish(g: Expr, x: Expr) -> Expr:
    return _if("<=", x, -3, Number(0.0), _if(">=", x, 3, g, g * (x / 3 + 0.5)))


# aten name: (title, formula of the gradient above and of the saved input or output)
_FUNCTIONS: dict[str, tuple[str, Callable[..., Expr]]] = {
    "threshold_backward": ("Where the ReLU is open", lambda g, x, t: _if(">", x, t, g, Number(0.0))),
    "sigmoid_backward": ("Gradient × s(1 − s)", lambda g, s: g * s * (1 - s)),
    "tanh_backward": ("Gradient × (1 − t²)", lambda g, t: g * (1 - t * t)),
    "leaky_relu_backward": ("LeakyReLU's slope", _leaky),
    "elu_backward": ("ELU's slope", _elu),
    "gelu_backward": ("GELU's slope", _gelu),
    "silu_backward": ("SiLU's slope", _silu),
    "softplus_backward": ("Softplus's slope", _softplus),
    "hardtanh_backward": ("Where it is open", _between),
    "hardsigmoid_backward": ("Hardsigmoid's slope", _hardsigmoid),
    "hardswish_backward": ("Hardswish's slope", _hardswish),
}


def _compile(build: Build, *arguments: Any) -> Tensor:
    title, formula = _FUNCTIONS[build.target.split(".")[1]]
    build.title = title
    out = build.axes()
    return build.emit(
        out, formula(*(operand(build, out, a) if isinstance(a, Tensor) else a for a in arguments))
    )


for _name in _FUNCTIONS:
    rule(f"aten.{_name}.default", kind=_name.replace("_backward", "back"))(_compile)


def _along(t: Tensor, dim: int) -> tuple[list[Index], Var]:
    k = Var("k", t.shape[dim])
    at: list[Index] = list(t.axes)
    at[dim] = k
    return at, k


@rule("aten._softmax_backward_data.default", kind="softmaxback")
def softmax_backward(build: Build, grad: Tensor, output: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """p · (g − Σ g·p)."""
    build.title = "p × (gradient − mean gradient)"
    out = build.axes()
    at, k = _along(out, dim % len(out.shape))
    mean = Aggregate("SUMPRODUCT", (grad.at(*at), output.at(*at)), (k,))
    return build.emit(out, output.at(*out.axes) * (grad.at(*out.axes) - mean))


@rule("aten._log_softmax_backward_data.default", kind="logsoftmaxback")
def log_softmax_backward(build: Build, grad: Tensor, output: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """g − p · Σ g, with p = exp(output): the probability less 1 for the label."""
    build.title = "Probability − target"
    out = build.axes()
    at, k = _along(out, dim % len(out.shape))
    total = Aggregate("SUM", (grad.at(*at),), (k,))
    return build.emit(out, grad.at(*out.axes) - call("EXP", output.at(*out.axes)) * total)


@rule("aten.native_batch_norm_backward.default", kind="normback")
def batch_norm_backward(
    build: Build,
    grad: Tensor,
    x: Tensor,
    weight: Tensor | None,
    mean: Tensor,
    var: Tensor,
    save_mean: Any,
    save_invstd: Any,
    train: bool,
    eps: float,
    mask: Any,
) -> Tensor:
    """With running statistics: item 0 is g·γ/√(σ²+ε), 1 is Σ g·(x−μ)/√(σ²+ε), 2 is Σ g."""
    if train:
        raise UnsupportedOperator(f"{build.module}: the gradient of batch-norm in training mode has no rule")
    stored = (grad, x, weight, mean, var, None, None, False, eps, [True, True, True])
    operation = Operation("getitem", (Operation(build.target, stored), build.item))
    build.title = ("Gradient × γ / √(σ² + ε)", "γ: sum of gradient × normalised", "β: sum of the gradient")[
        build.item
    ]
    out = build.axes()
    if build.item == 0:
        deviation = call("SQRT", var.at(out.axes[1]) + eps)
        scaled = grad.at(*out.axes) / deviation
        return build.emit(
            out, scaled if weight is None else scaled * weight.at(out.axes[1]), operation=operation
        )
    over = tuple(Var(f"k{d}", s) for d, s in enumerate(grad.shape) if d != 1)
    at: list[Index] = [*over[:1], out.axes[0], *over[1:]]
    if build.item == 2:
        return build.emit(out, Aggregate("SUM", (grad.at(*at),), over), operation=operation)
    normal = build.step(
        "normalised", x.shape, Operation("aten.batch_norm.default", (x, None, None, mean, var, False, 0.1, eps, False)),
        lambda t: (x.at(*t.axes) - mean.at(t.axes[1])) / call("SQRT", var.at(t.axes[1]) + eps),
    )  # fmt: skip
    return build.emit(out, Aggregate("SUMPRODUCT", (grad.at(*at), normal.at(*at)), over), operation=operation)


@rule("aten.ones_like.default", kind="one")
def ones_like(build: Build, x: Tensor, *options: Any) -> Tensor:
    """1 in every cell: where a backward pass begins."""
    build.title = "d loss / d loss"
    return build.emit(build.axes(), Number(1.0), operation=Operation("aten.ones_like.default", (x,)))


@rule("aten.mse_loss.default", kind="mse")
def mse_loss(build: Build, x: Tensor, target: Tensor, reduction: int = 1) -> Tensor:
    """The mean of the squared differences, which have cells of their own."""
    _mean_only(build, reduction)
    build.title = "Mean squared error"
    apart = build.step(
        "difference",
        x.shape,
        Operation("aten.sub.Tensor", (x, target)),
        lambda t: x.at(*t.axes) - target.at(*t.axes),
    )
    over = tuple(Var(v.name, v.size) for v in apart.axes)
    return build.emit(
        build.axes(), Aggregate("SUMPRODUCT", (apart.at(*over),) * 2, over) / x.size, signed=False
    )


@rule("aten.mse_loss_backward.default", kind="mseback")
def mse_backward(build: Build, grad: Tensor, x: Tensor, target: Tensor, reduction: int) -> Tensor:
    """2 (x − target) / n."""
    _mean_only(build, reduction)
    build.title = "2 (output − target) / n"
    out = build.axes()
    apart = x.at(*out.axes) - target.at(*out.axes)
    return build.emit(out, operand(build, out, grad) * (2 * apart / x.size))


def _mean_only(build: Build, reduction: int) -> None:
    if reduction != 1:
        raise UnsupportedOperator(f"{build.module}: the squared error has a rule for its mean only")
