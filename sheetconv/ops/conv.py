"""Convolutions: a window of the input times the kernel, summed, plus the bias."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Any

import numpy as np
from torch import nn

from sheetconv.graph.affine import bounds
from sheetconv.graph.expr import Aggregate, Expr, Read
from sheetconv.graph.index import Index, Lookup, Var
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.registry import Build, Given, called, example, rule


def per_axis(value: Any, rank: int) -> tuple[int, ...]:
    """torch's "one number or one per axis" as one per axis."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return tuple(int(v) for v in (values * rank if len(values) == 1 else values))


def times(sizes: Sequence[int]) -> str:
    """Sizes as people write them: 3×3."""
    return "×".join(map(str, sizes))


def describe(name: str, kernel: Sequence[int], **options: Sequence[int]) -> str:
    """A layer's title from its sizes: ``Conv2d 3×3, stride 2, padding 1`` (defaults left out)."""
    parts = [f"{name} {times(kernel)}"]
    for option, values in options.items():
        if any(v != (0 if option == "padding" else 1) for v in values):
            parts.append(f"{option} {values[0] if len(set(values)) == 1 else times(values)}")
    return ", ".join(parts)


def with_bias(total: Expr, build: Build, out: Tensor, bias: Tensor | None) -> Expr:
    """Add the channel's bias; the bias cells lie beside the channels of `out`."""
    if bias is None:
        return total
    return total + build.parameter(bias, bias.shape, "channel", out).at(out.axes[1])


def _same(kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    return tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))


def _placement(rank: int) -> str:
    return "kernel" if rank < 3 else "rows"


def within_depth(at: Sequence[Index], x: Tensor) -> Index | None:
    """Of a volume, the elements of a window that lie in planes which exist: a plane has margins, a row of planes none."""
    inside: Index | None = None
    for place, size in zip(at[:-2], x.shape[len(x.shape) - len(at) : -2], strict=True):
        low, high = bounds(place)
        if low < 0 or high >= size:
            here = (place >= 0) & (place < size)
            inside = here if inside is None else inside & here
    return inside


@rule("aten.conv1d.default", "aten.conv1d.padding", kind="conv")
@rule("aten.conv2d.default", "aten.conv2d.padding", kind="conv")
@rule("aten.conv3d.default", "aten.conv3d.padding", kind="conv")
def convolution(
    build: Build,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    """out[n, o, y, x] = Σ over c, ky, kx of input[n, c, s·y + d·ky − p, …] · weight[o, c, ky, kx] + bias[o]."""
    kernel = weight.shape[2:]
    rank = len(kernel)
    stride, dilation = per_axis(stride, rank), per_axis(dilation, rank)
    if isinstance(padding, str):
        padding = (0,) * rank if padding == "valid" else _same(kernel, dilation)
    padding = per_axis(padding, rank)
    build.title = describe(f"Conv{rank}d", kernel, stride=stride, padding=padding, dilation=dilation)
    if groups > 1:
        build.title += f", {groups} groups"
    out = build.axes()
    n, o, *place = out.axes
    inputs, outputs = weight.shape[1], weight.shape[0] // groups
    c = Var("c", inputs)
    taps = [Var(f"k{a.name}", k) for a, k in zip(place, kernel, strict=True)]
    at = [s * a + d * t - p for a, s, d, t, p in zip(place, stride, dilation, taps, padding, strict=True)]
    channel = (o // outputs) * inputs + c if groups > 1 else c
    weight = build.parameter(weight, weight.shape, _placement(rank), x)
    reads = (x.at(n, channel, *at), weight.at(o, c, *taps))
    total = Aggregate("SUMPRODUCT", reads, (c, *taps), within_depth(at, x))
    return build.emit(out, with_bias(total, build, out, bias))


def _phases(size: int, kernel: int, stride: int, padding: int, dilation: int) -> tuple[np.ndarray, int, int]:
    """For each residue of (y + p) modulo the stride the first tap that hits, the step to the next, and their number.

    Tap k hits when y + p − d·k is a multiple of the stride; the first such k is −1 where there is none.
    """
    step = stride // gcd(stride, dilation)
    first = np.full(stride, kernel, dtype=np.int64)
    for residue in range(stride):
        hits = [k for k in range(min(kernel, step)) if (residue - dilation * k) % stride == 0]
        if hits:
            first[residue] = hits[0]
    return first, step, -(-kernel // step)


@rule(
    "aten.conv_transpose2d.input",
    "aten.conv_transpose1d.default",
    "aten.conv_transpose3d.input",
    kind="deconv",
)
def transposed(
    build: Build,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    """out[y] = Σ over the taps k with (y + p − d·k) divisible by s of input[(y + p − d·k) / s] · weight[k]."""
    kernel = weight.shape[2:]
    rank = len(kernel)
    stride, padding, dilation = per_axis(stride, rank), per_axis(padding, rank), per_axis(dilation, rank)
    build.title = describe(f"ConvTranspose{rank}d", kernel, stride=stride, padding=padding, dilation=dilation)
    out = build.axes()
    n, o, *place = out.axes
    inputs, outputs = weight.shape[0] // groups, weight.shape[1]
    c = Var("c", inputs)
    over: list[Var] = [c]
    source: list[Index] = []
    tap: list[Index] = []
    inside: Index | None = None
    for axis, size, k, s, p, d in zip(place, x.shape[2:], kernel, stride, padding, dilation, strict=True):
        first, step, count = _phases(size, k, s, p, d)
        t = Var(f"t{axis.name}", count)
        start = Lookup(first, (axis + p) % s)
        # (y + p − d·(start + step·t)) / s, whose numerator without t is divisible by s where a tap hits
        position = (axis + p - d * start) // s - (d * step // s) * t
        number = start + step * t
        here = (number < k) & (position >= 0) & (position < size)
        inside = here if inside is None else inside & here
        over.append(t)
        source.append(position)
        tap.append(number)
    channel: Index = (o // outputs) * inputs + c if groups > 1 else c
    weight = build.parameter(weight, weight.shape, _placement(rank), x)
    operands: tuple[Read, ...] = (x.at(n, channel, *source), weight.at(channel, o % outputs, *tap))
    total = Aggregate("SUMPRODUCT", operands, tuple(over), inside)
    return build.emit(out, with_bias(total, build, out, bias))


@example("conv2d stride, padding", (1, 2, 7, 6))
def _strided() -> nn.Module:
    return nn.Conv2d(2, 3, 3, stride=2, padding=1)


@example("conv2d dilation", (1, 1, 9, 9))
def _dilated() -> nn.Module:
    return nn.Conv2d(1, 2, 3, dilation=2, padding=2, bias=False)


@example("conv2d depthwise and pointwise", (1, 4, 6, 6))
def _depthwise() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, padding=1), nn.Conv2d(4, 6, 1, groups=2))


@example("conv2d padding='same'", (1, 1, 6, 6))
def _same_padding() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 4, padding="same"), nn.Conv2d(2, 1, 3, padding="valid"))


@example("conv2d stacked layout", (1, 20, 5, 5))
def _stacked() -> nn.Module:
    return nn.Sequential(nn.Conv2d(20, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 3, 3, stride=2))


@example("conv1d", (1, 3, 12))
def _one_dimension() -> nn.Module:
    return nn.Sequential(nn.Conv1d(3, 4, 3, stride=2, padding=1), nn.Conv1d(4, 4, 3, dilation=2, groups=2))


@example("conv_transpose2d", (1, 2, 4, 5))
def _transposed() -> nn.Module:
    return nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1)


@example("conv_transpose2d dilation, groups", (1, 4, 3, 3))
def _transposed_dilated() -> nn.Module:
    return nn.ConvTranspose2d(4, 2, 3, stride=2, dilation=3, groups=2, bias=False)


@example("conv_transpose1d", (1, 2, 5))
def _transposed_1d() -> nn.Module:
    return nn.ConvTranspose1d(2, 3, 4, stride=2)


@example("conv3d, conv_transpose3d", (1, 2, 3, 4, 3))
def _volumes() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(2, 2, 3, padding=1),
        nn.Conv3d(2, 2, 2, padding="same"),
        nn.ConvTranspose3d(2, 1, 2, stride=2),
    )


called("aten.conv1d.padding", Given((1, 2, 5)), Given((3, 2, 3)), None, [1], "same")
