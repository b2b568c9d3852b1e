"""Pooling: the maximum or the mean of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sheetconv.graph.expr import Aggregate, Coefficient, Expr
from sheetconv.graph.index import Index, Lookup, Var
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.conv import describe, per_axis, times, within_depth
from sheetconv.ops.paths import adaptive_sum, window_sum
from sheetconv.ops.registry import Build, example, rule


def _windows(
    x: Tensor, out: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[list[Index], list[Var], Index | None]:
    """Where the windows lie in `x`, their variables, and which elements count if some must not be read.

    Elements beyond the input are blank margin cells, which MAX and AVERAGE pass over; they are left out of
    the formula only where they could not be part of a range (dilated windows).
    """
    place = out.axes[len(out.shape) - len(kernel) :]
    sizes = x.shape[len(x.shape) - len(kernel) :]
    taps = [Var(f"k{a.name}", k) for a, k in zip(place, kernel, strict=True)]
    at = [s * a + d * t - p for a, s, d, t, p in zip(place, stride, dilation, taps, padding, strict=True)]
    inside: Index | None = within_depth(at, x)
    if any(d > 1 for d in dilation):
        for i, size in zip(at, sizes, strict=True):
            here = (i >= 0) & (i < size)
            inside = here if inside is None else inside & here
    return at, taps, inside


def _rank(build: Build) -> int:
    return int(build.target.partition("pool")[2][0])


@rule("aten.max_pool2d_with_indices.default", "aten.max_pool3d_with_indices.default", kind="maxpool",
      linear=lambda *a: (window_sum(*a),))  # fmt: skip
def max_pool_of_two(build: Build, x: Tensor, *options: Any) -> Tensor:
    """The maxima alone; their positions have no rule."""
    if build.item:
        raise build.refuse("only the maxima have a rule, not their positions")
    return max_pool(build, x, *options)


@rule(
    "aten.max_pool2d.default",
    "aten.max_pool1d.default",
    "aten.max_pool3d.default",
    kind="maxpool",
    linear=window_sum,
)
def max_pool(
    build: Build, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Tensor:
    """The maximum of each window (ceil_mode lets windows hang over the far border)."""
    rank = _rank(build)
    kernel, dilation, padding = per_axis(kernel, rank), per_axis(dilation, rank), per_axis(padding, rank)
    stride = per_axis(stride, rank) if stride else kernel
    build.title = describe(f"MaxPool{rank}d", kernel, stride=stride, padding=padding, dilation=dilation)
    out = build.axes()
    at, taps, inside = _windows(x, out, kernel, stride, padding, dilation)
    lead = out.axes[: len(out.shape) - rank]
    return build.emit(out, Aggregate("MAX", (x.at(*lead, *at),), tuple(taps), inside), signed=x.signed)


def _counts(size: int, out: int, kernel: int, stride: int, padding: int) -> np.ndarray:
    """Cells of each window within the padded input: the divisor when padding counts (torch's rule)."""
    start = np.arange(out) * stride - padding
    return np.minimum(start + kernel, size + padding) - start


@rule("aten.avg_pool2d.default", "aten.avg_pool1d.default", "aten.avg_pool3d.default", kind="avgpool")
def avg_pool(
    build: Build,
    x: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window; the padding counts as zeros unless `count_include_pad` is off."""
    rank = _rank(build)
    kernel, padding = per_axis(kernel, rank), per_axis(padding, rank)
    stride = per_axis(stride, rank) if stride else kernel
    build.title = describe(f"AvgPool{rank}d", kernel, stride=stride, padding=padding)
    out = build.axes()
    at, taps, inside = _windows(x, out, kernel, stride, padding, (1,) * rank)
    read = x.at(*out.axes[: len(out.shape) - rank], *at)
    counts = [
        _counts(*sizes)
        for sizes in zip(x.shape[-rank:], out.shape[-rank:], kernel, stride, padding, strict=True)
    ]
    full = all((c == k).all() for c, k in zip(counts, kernel, strict=True))
    plain = not any(padding) and full
    expr: Expr
    if divisor_override is None and (plain or not count_include_pad):
        expr = Aggregate("AVERAGE", (read,), tuple(taps), inside)
    else:
        table = counts[0]
        for further in counts[1:]:
            table = np.multiply.outer(table, further)
        if divisor_override is not None:
            table = np.full_like(table, divisor_override)
        divisor = Coefficient(table.astype(float), tuple(out.axes[-rank:]))
        expr = Aggregate("SUM", (read,), tuple(taps), inside) / divisor
    return build.emit(out, expr, signed=x.signed)


@rule(
    "aten.adaptive_avg_pool2d.default",
    "aten.adaptive_avg_pool1d.default",
    "aten.adaptive_avg_pool3d.default",
    kind="avgpool",
)
def adaptive_avg(build: Build, x: Tensor, size: Any) -> Tensor:
    """Means of windows from floor(i·H/h) to ceil((i+1)·H/h), as torch splits them."""
    return _adaptive(build, x, "AVERAGE", _rank(build))


@rule(
    "aten.adaptive_max_pool2d.default",
    "aten.adaptive_max_pool1d.default",
    "aten.adaptive_max_pool3d.default",
    kind="maxpool",
    linear=adaptive_sum,
)
def adaptive_max(build: Build, x: Tensor, size: Any) -> Tensor:
    """Maxima of the same windows."""
    return _adaptive(build, x, "MAX", _rank(build))


@rule("aten.avg_pool2d_backward.default", kind="sumpool")
def sum_pool_backward(
    build: Build,
    grad: Tensor,
    x: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """The sum, for each input cell, over the windows that it is in, by the number of cells of a window.

    With a divisor of 1 this counts the paths through windows whose weights are all 1.
    """
    kernel, padding = per_axis(kernel, 2), per_axis(padding, 2)
    stride = per_axis(stride, 2) if stride else kernel
    build.title = describe("Back through sums of", kernel, stride=stride, padding=padding)
    out = build.axes()
    total = windows_with(grad, out, kernel, stride, padding)
    divisor = divisor_override or _divisor(build, x, grad, kernel, stride, padding, count_include_pad)
    return build.emit(out, total if divisor == 1 else total / divisor)


def _divisor(
    build: Build, x: Tensor, grad: Tensor, kernel: Any, stride: Any, padding: Any, padded: bool
) -> int:
    """The number of cells that all windows divide by; raises `UnsupportedOperator` where they do not agree."""
    counts = [
        _counts(*sizes) for sizes in zip(x.shape[-2:], grad.shape[-2:], kernel, stride, padding, strict=True)
    ]
    if any((c != k).any() for c, k in zip(counts, kernel, strict=True)) or (any(padding) and not padded):
        raise build.refuse("the gradient of means over windows of unequal sizes has no rule")
    return int(kernel[0] * kernel[1])


def windows_with(
    later: Tensor, out: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> Expr:
    """The sum of the cells of `later` (N, C, H, W) whose window covers a cell of `out`, in the same channel.

    Window j covers y if s·j − p ≤ y ≤ s·j − p + k − 1: j runs from ceil((y + p − k + 1) / s) to (y + p) div s.
    """
    *lead, _, _ = out.axes
    at, over = [], []
    inside: Index | None = None
    sizes = later.shape[-2:]
    for axis, size, k, s, p in zip(out.axes[-2:], sizes, kernel, stride, padding, strict=True):
        t = Var(f"t{axis.name}", -(-k // s))
        j = (axis + (p - k + s)) // s + t
        here = (j >= 0) & (j < size) & (j < (axis + p) // s + 1)
        inside = here if inside is None else inside & here
        at.append(j)
        over.append(t)
    return Aggregate("SUM", (later.at(*lead, *at),), tuple(over), inside)


def _adaptive(build: Build, x: Tensor, function: str, rank: int) -> Tensor:
    out = build.axes()
    lead = out.axes[: len(out.shape) - rank]
    at, taps, inside = [], [], None
    for axis, size in zip(out.axes[-rank:], x.shape[-rank:], strict=True):
        starts = np.arange(axis.size) * size // axis.size
        lengths = -(-(np.arange(1, axis.size + 1) * size) // axis.size) - starts
        tap = Var(f"k{axis.name}", int(lengths.max()))
        at.append(Lookup(starts, axis) + tap)
        taps.append(tap)
        if lengths.min() != lengths.max():
            here = tap < Lookup(lengths, axis)
            inside = here if inside is None else inside & here
    name = "AvgPool" if function == "AVERAGE" else "MaxPool"
    build.title = f"Adaptive{name}{rank}d to {times(out.shape[-rank:])}"
    expr = Aggregate(function, (x.at(*lead, *at),), tuple(taps), inside)
    if function == "MAX":  # torch returns the positions of the maxima too
        if build.item:
            raise build.refuse("only the maxima have a rule, not their positions")
        build.several = True
    return build.emit(out, expr, signed=x.signed)


@example("max_pool2d ceil_mode, padding", (1, 2, 7, 7))
def _max_ceil() -> nn.Module:
    return nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)


@example("max_pool2d dilation, negative values", (1, 1, 8, 8))
def _max_dilated() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2, 1, padding=1, dilation=2))


@example("avg_pool2d padding counted", (1, 2, 6, 7))
def _avg_counted() -> nn.Module:
    return nn.AvgPool2d(3, 2, padding=1, ceil_mode=True)


@example("avg_pool2d padding not counted", (1, 1, 6, 6))
def _avg_not_counted() -> nn.Module:
    return nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)


@example("adaptive pools", (1, 2, 7, 9))
def _adaptive_pools() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d((5, 4)), nn.AdaptiveMaxPool2d((2, 3)))


@example("pools in one dimension", (1, 2, 11))
def _one_dimension() -> nn.Module:
    return nn.Sequential(nn.MaxPool1d(2), nn.AvgPool1d(3, 1, padding=1), nn.AdaptiveAvgPool1d(2))


class _Paths(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        back = torch.ops.aten.avg_pool2d_backward
        wide = back(x[:, :1, :4, :5], x[:, :1], [3, 3], [2, 2], [1, 1], False, True, 1)
        return torch.cat([back(wide[:, :, :, :8], x[:, :1], [1, 2], [1, 1], [0, 0], False, True, 1), x], 1)


@example("back through sums of windows", (1, 2, 7, 9))
def _paths() -> nn.Module:
    return _Paths()


@example("pools in three dimensions", (1, 2, 4, 5, 4))
def _volumes() -> nn.Module:
    return nn.Sequential(
        nn.MaxPool3d(2, 1, padding=1), nn.AvgPool3d((2, 2, 1), padding=(1, 0, 0)), nn.AdaptiveAvgPool3d((2, 2, 3)),
        nn.AdaptiveMaxPool3d((1, 2, 2)),
    )  # fmt: skip


class _Positions(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = nn.functional.max_pool2d(x, 2, return_indices=True)[0]
        return flat + nn.functional.max_pool3d(x[:, None], (1, 2, 2), return_indices=True)[0][:, 0]


@example("max-pools that return positions too", (1, 2, 4, 4))
def _positions() -> nn.Module:
    return _Positions()


@example("adaptive max-pool in one dimension", (1, 2, 7))
def _adaptive_line() -> nn.Module:
    return nn.Sequential(nn.AdaptiveMaxPool1d(3), nn.LPPool1d(2, 1, stride=1))
