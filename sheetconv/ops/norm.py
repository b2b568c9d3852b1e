"""Normalisation: batch-norm with its stored statistics, layer- and group-norm with their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Aggregate, Expr, Read, call
from sheetconv.graph.index import Index, Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.paths import passes
from sheetconv.ops.registry import Build, Given, called, example, rule


def _layer_paths(x: torch.Tensor, shape: Sequence[int], *_: Any) -> torch.Tensor:
    return x + x.sum(tuple(range(-len(shape), 0)), keepdim=True)


def _group_paths(x: torch.Tensor, groups: int, *_: Any) -> torch.Tensor:
    parts = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    return (parts + parts.sum(2, keepdim=True)).reshape(x.shape)


@rule("aten.batch_norm.default", kind="batchnorm", linear=passes)
def batch_norm(
    build: Build,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> Tensor:
    """(x − μ) / √(σ² + ε) · γ + β with the running statistics of the channel."""
    if mean is None or var is None or training:
        raise build.refuse("batch-norm in training mode has no rule; call eval()")
    build.title = "BatchNorm"
    out = build.axes()
    channel = out.axes[1]

    def of(parameter: Tensor) -> Read:
        return build.parameter(parameter, parameter.shape, "channel", out).at(channel)

    expr: Expr = (x.at(*out.axes) - of(mean)) / call("SQRT", of(var) + eps)
    expr = expr * of(weight) if weight is not None else expr
    return build.emit(out, expr + of(bias) if bias is not None else expr)


@rule("aten._native_batch_norm_legit_no_training.default", kind="batchnorm", linear=passes)
def batch_norm_exported(
    build: Build,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    momentum: float,
    eps: float,
) -> Tensor:
    """The same by the name that torch.export gives it."""
    if build.item:
        raise build.refuse("only the normalised values have a rule")
    build.target, build.several = "aten.batch_norm.default", False
    build.arguments = (x, weight, bias, mean, var, False, momentum, eps, False)
    return batch_norm(build, *build.arguments)


def _normalise(
    build: Build,
    x: Tensor,
    groups: Sequence[int],
    where: Callable[[Sequence[Var]], list[Index | int]],
    member: tuple[Var, ...],
    index: Callable[[Sequence[Var]], list[Index | int]],
    reshape: list[int],
    eps: float,
) -> tuple[Tensor, Callable[[Sequence[Var]], Expr]]:
    """Mean, centred values and variance in cells of their own; returns the centred tensor and 1/√ part.

    `groups` is the shape of the statistics, `where` the group of a cell, `index(group axes)` the members.
    """
    flat = Operation("aten.reshape.default", (x, reshape))
    last = [len(reshape) - 1]
    count = math.prod(v.size for v in member)
    mean_of = Operation("aten.mean.dim", (flat, last, True))
    mean = build.step(
        "mean",
        groups,
        Operation("aten.reshape.default", (mean_of, list(groups))),
        lambda t: Aggregate("AVERAGE", (x.at(*index(t.axes)),), member),
    )
    centred = build.step(
        "centred",
        x.shape,
        Operation("aten.reshape.default", (Operation("aten.sub.Tensor", (flat, mean_of)), list(x.shape))),
        lambda t: x.at(*t.axes) - mean.at(*where(t.axes)),
    )
    variance_of = Operation("aten.var.correction", (flat, last, 0))
    variance = build.step(
        "variance",
        groups,
        Operation("aten.reshape.default", (variance_of, list(groups))),
        lambda t: Aggregate("SUMPRODUCT", (centred.at(*index(t.axes)),) * 2, member) / count,
    )
    return centred, lambda axes: call("SQRT", variance.at(*where(axes)) + eps)


@rule("aten.layer_norm.default", kind="layernorm", linear=_layer_paths)
def layer_norm(
    build: Build,
    x: Tensor,
    shape: Any,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Tensor:
    """(x − mean) / √(variance + ε) · weight + bias over the last axes."""
    build.title = f"LayerNorm {'×'.join(map(str, shape))}"
    rank = len(x.shape) - len(shape)
    groups = x.shape[:rank]
    member = tuple(Var(f"k{d}", s) for d, s in enumerate(x.shape[rank:]))
    centred, deviation = _normalise(
        build,
        x,
        groups,
        lambda axes: list(axes[:rank]),
        member,
        lambda axes: [*axes, *member],
        [*groups, math.prod(x.shape[rank:])],
        eps,
    )
    out = build.axes()
    own = out.axes[rank:]
    expr: Expr = centred.at(*out.axes) / deviation(out.axes)
    if weight is not None:
        expr = expr * build.parameter(weight, weight.shape, "rows", out).at(*own)
    if bias is not None:
        expr = expr + build.parameter(bias, bias.shape, "rows", out).at(*own)
    return build.emit(out, expr)


@rule("aten.group_norm.default", kind="groupnorm", linear=_group_paths)
def group_norm(
    build: Build,
    x: Tensor,
    groups: int,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Tensor:
    """The same over each group of channels, with a weight and a bias per channel."""
    build.title = f"GroupNorm, {groups} groups"
    size = x.shape[1] // groups
    member = tuple(Var(f"k{d}", s) for d, s in enumerate((size, *x.shape[2:])))
    centred, deviation = _normalise(
        build,
        x,
        (x.shape[0], groups),
        lambda axes: [axes[0], axes[1] // size],
        member,
        lambda axes: [axes[0], axes[1] * size + member[0], *member[1:]],
        [x.shape[0], groups, x.size // groups],
        eps,
    )
    out = build.axes()
    expr: Expr = centred.at(*out.axes) / deviation(out.axes)
    for parameter, join in ((weight, "*"), (bias, "+")):
        if parameter is not None:
            value = build.parameter(parameter, parameter.shape, "channel", out).at(out.axes[1])
            expr = expr * value if join == "*" else expr + value
    return build.emit(out, expr)


@rule("aten.instance_norm.default", kind="instancenorm", linear=lambda x, *_: _group_paths(x, x.shape[1]))
def instance_norm(
    build: Build,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    var: Tensor | None,
    own: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> Tensor:
    """Each channel by its own mean and variance, or by running statistics."""
    if not own:
        build.target = "aten.batch_norm.default"
        build.arguments = (x, weight, bias, mean, var, False, momentum, eps, False)
        return batch_norm(build, *build.arguments)
    build.target = "aten.group_norm.default"
    build.arguments = (x, x.shape[1], weight, bias, eps, False)
    return group_norm(build, *build.arguments)


def _rms_paths(x: torch.Tensor, shape: Sequence[int], *_: Any) -> torch.Tensor:
    return _layer_paths(x, shape)


@rule("aten.rms_norm.default", kind="rmsnorm", linear=_rms_paths)
def rms_norm(
    build: Build, x: Tensor, shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / √(mean of x² + ε) · weight over the last axes."""
    if eps is None:
        eps = torch.finfo(torch.float64).eps
        build.arguments = (x, shape, weight, eps)
    build.title = f"RMSNorm {'×'.join(map(str, shape))}"
    lead = x.shape[: len(x.shape) - len(shape)]
    member = tuple(Var(f"k{d}", s) for d, s in enumerate(shape))
    dims = list(range(len(lead), len(x.shape)))
    square = build.step(
        "mean square",
        (*lead, *(1 for _ in shape)),
        Operation("aten.mean.dim", (Operation("aten.square.default", (x,)), dims, True)),
        lambda t: (
            Aggregate("SUMPRODUCT", (x.at(*t.axes[: len(lead)], *member),) * 2, member) / math.prod(shape)
        ),
    )
    out = build.axes()
    expr: Expr = x.at(*out.axes) / call("SQRT", square.at(*out.axes[: len(lead)], *(0 for _ in shape)) + eps)
    if weight is not None:
        own = out.axes[len(lead) :]
        expr = expr * build.parameter(weight, weight.shape, "rows", out).at(*own)
    return build.emit(out, expr)


def _settled(module: nn.Module) -> nn.Module:
    """Parameters and running statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(5)
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return module


@example("batch_norm", (1, 3, 4, 5))
def _batch_norm() -> nn.Module:
    return _settled(nn.BatchNorm2d(3))


@example("layer_norm", (1, 4, 6))
def _layer_norm() -> nn.Module:
    return _settled(nn.LayerNorm(6))


@example("layer_norm over planes", (1, 2, 4, 3))
def _layer_norm_planes() -> nn.Module:
    return _settled(nn.LayerNorm((2, 4, 3)))


@example("group_norm", (1, 4, 3, 3))
def _group_norm() -> nn.Module:
    return _settled(nn.GroupNorm(2, 4))


@example("instance_norm, rms_norm", (1, 2, 3, 4))
def _instance_norm() -> nn.Module:
    return nn.Sequential(
        _settled(nn.InstanceNorm2d(2, affine=True)), _settled(nn.RMSNorm(4)), nn.RMSNorm((3, 4), eps=1e-4),
        _settled(nn.InstanceNorm2d(2, track_running_stats=True)),
    )  # fmt: skip


called(
    "aten.batch_norm.default",
    Given((1, 2, 3)),
    None,
    None,
    Given((2,)),
    Given((2,), 9),
    False,
    0.1,
    0.01,
    False,
)
