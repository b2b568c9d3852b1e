"""Operators that only move elements: views, which need no cells, and copies, which a reader wants to see."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sheetconv.graph.expr import Expr, Number, Select
from sheetconv.graph.index import Index, IndexLike, Lookup
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.registry import Build, Given, called, example, rule


def _unflatten(flat: Index, shape: tuple[int, ...]) -> list[IndexLike]:
    found: list[IndexLike] = []
    for size in reversed(shape):
        found.append(flat % size)
        flat = flat // size
    return found[::-1]


@rule(
    "aten.flatten.using_ints",
    "aten.reshape.default",
    "aten.unflatten.int",
    "aten.squeeze.default",
    "aten.squeeze.dim",
    "aten.squeeze.dims",
    "aten.unsqueeze.default",
    kind="reshape",
)
def reshape(build: Build, x: Tensor, *sizes: Any) -> Tensor:
    """The same elements in C order under another shape."""
    name = build.target.split(".")[1].strip("_").capitalize()
    build.title = f"{name} to {'×'.join(map(str, build.shape))}"

    def index(*axes: Index) -> list[IndexLike]:
        flat: IndexLike = 0
        for axis, size in zip(axes, build.shape, strict=True):
            flat = flat * size + axis if size > 1 else flat
        return _unflatten(flat if isinstance(flat, Index) else axes[0] * 0, x.shape)

    return build.view(x, index)


@rule("aten.permute.default", "aten.transpose.int", "aten.t.default", "aten.numpy_T.default", kind="permute")
def permute(build: Build, x: Tensor, *dims: Any) -> Tensor:
    """Axes in another order."""
    rank = len(x.shape)
    order = list(range(rank))
    if "transpose" in build.target:
        a, b = dims[0] % rank, dims[1] % rank
        order[a], order[b] = order[b], order[a]
    else:
        order = [d % rank for d in dims[0]] if dims else order[::-1]
    build.title = f"Axes {'×'.join(map(str, build.shape))}"
    return build.view(x, lambda *axes: [axes[order.index(d)] for d in range(rank)])


@rule("aten.slice.Tensor", kind="slice")
def slice_(build: Build, x: Tensor, dim: int, start: int | None, end: int | None, step: int) -> Tensor:
    """Every `step`-th element from `start`."""
    begin = range(x.shape[dim])[slice(start, end, step)].start
    dim %= len(x.shape)
    build.title = "Slice"
    return build.view(x, lambda *axes: [a * step + begin if d == dim else a for d, a in enumerate(axes)])


@rule("aten.select.int", kind="select")
def select(build: Build, x: Tensor, dim: int, which: int) -> Tensor:
    """One position of an axis, which disappears."""
    dim, which = dim % len(x.shape), which % x.shape[dim]
    build.title = f"Element {which}"
    return build.view(x, lambda *axes: [*axes[:dim], which, *axes[dim:]])


@rule("aten.expand.default", "aten.broadcast_to.default", kind="expand")
def expand(build: Build, x: Tensor, sizes: Any, implicit: bool = False) -> Tensor:
    """Axes of size 1 repeated."""
    lead = len(build.shape) - len(x.shape)
    build.title = "Expand"
    return build.view(
        x, lambda *axes: [0 if s == 1 else a for s, a in zip(x.shape, axes[lead:], strict=True)]
    )


@rule(
    "aten.chunk.default", "aten.split.Tensor", "aten.split_with_sizes.default",
    "aten.split_with_sizes_copy.default", "aten.unsafe_split.Tensor", "aten.unsafe_chunk.default",
    kind="split",
)  # fmt: skip
def split(build: Build, x: Tensor, sizes: Any, dim: int = 0) -> Tensor:
    """A piece of an axis: number `build.item` of those that it is cut into."""
    dim %= len(x.shape)
    total, which = x.shape[dim], build.item
    if isinstance(sizes, int):
        size = -(-total // sizes) if "chunk" in build.target else sizes
        sizes = [min(size, total - s) for s in range(0, total, size)]
    start = sum(sizes[:which])
    build.title = f"Part {which}"
    return build.view(x, lambda *axes: [a + start if d == dim else a for d, a in enumerate(axes)])


@rule("aten.unbind.int", kind="select")
def unbind(build: Build, x: Tensor, dim: int = 0) -> Tensor:
    """Position `build.item` of an axis, which disappears."""
    return select(build, x, dim, build.item)


@rule(
    "aten.contiguous.default", "aten.clone.default", "aten.alias.default", "aten.detach.default",
    "aten.lift_fresh_copy.default", "aten.dropout.default", "aten.feature_dropout.default",
    "aten.alpha_dropout.default", "aten.feature_alpha_dropout.default", "aten.native_dropout.default",
    kind="same",
)  # fmt: skip
def same(build: Build, x: Tensor, *options: Any) -> Tensor:
    """Nothing happens (dropout is off in evaluation)."""
    if "dropout" in build.target and options[1] and options[0]:
        raise build.refuse("dropout in training mode has no rule; make it depend on self.training")
    build.title = "Dropout (off)" if "dropout" in build.target else "Same"
    tensor = build.view(x, lambda *axes: axes)
    tensor.operation = Operation("aten.alias.default", (x,))
    return tensor


@rule("aten.pad.default", "aten.constant_pad_nd.default", kind="pad")
def pad(build: Build, x: Tensor, widths: Any, mode: Any = "constant", value: Any = 0.0) -> Tensor:
    """A border of one value; negative widths crop."""
    if "constant_pad_nd" in build.target:
        mode, value = "constant", mode if isinstance(mode, int | float) else 0.0
    if mode != "constant":
        return _mirrored(build, x, widths, mode)
    rank = len(x.shape)
    before = [0] * rank
    for i in range(len(widths) // 2):
        before[rank - 1 - i] = int(widths[2 * i])
    crop = all(w <= 0 for w in widths)
    border = sorted({abs(int(w)) for w in widths})
    build.title = f"{'Crop' if crop else 'Pad'} {border[0] if len(border) == 1 else border}"
    out = build.axes()
    at = [axis - b for axis, b in zip(out.axes, before, strict=True)]
    expr: Expr = x.at(*at)
    if not crop:
        inside: Index | None = None
        for position, size, own in zip(at, x.shape, out.shape, strict=True):
            if own != size:
                here = (position >= 0) & (position < size)
                inside = here if inside is None else inside & here
        if inside is not None:
            expr = Select(inside, expr, Number(float(value or 0.0)))
    return build.emit(out, expr, signed=x.signed)


_BORDERS = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _mirrored(build: Build, x: Tensor, widths: Any, mode: str) -> Tensor:
    """A border of copies: mirrored, repeated, or from the other side."""
    rank = len(x.shape)
    tables = [np.arange(size) for size in x.shape]
    for i in range(len(widths) // 2):
        axis, before, after = rank - 1 - i, int(widths[2 * i]), int(widths[2 * i + 1])
        numbers = np.pad(tables[axis], (max(before, 0), max(after, 0)), mode=_BORDERS[mode])  # type: ignore[call-overload]
        tables[axis] = numbers[max(-before, 0) : len(numbers) - max(-after, 0)]
    build.title = f"Pad, {mode}"
    out = build.axes()
    pairs = zip(tables, out.axes, x.shape, strict=True)
    at = [axis if len(t) == size else Lookup(t, axis) for t, axis, size in pairs]
    return build.emit(out, x.at(*at), signed=x.signed)


@rule("aten.cat.default", kind="cat")
def cat(build: Build, parts: Any, dim: int = 0) -> Tensor:
    """Tensors one after the other along an axis."""
    dim %= len(build.shape)
    build.title = f"Concatenate {'+'.join(str(p.shape[dim]) for p in parts)}"
    out = build.axes()
    start = build.shape[dim]
    expr: Expr | None = None
    for part in reversed(parts):
        start -= part.shape[dim]
        read = part.at(*(a - start if d == dim else a for d, a in enumerate(out.axes)))
        expr = read if expr is None else Select(out.axes[dim] < start + part.shape[dim], read, expr)
    assert expr is not None
    return build.emit(out, expr, signed=any(p.signed for p in parts))


@rule("aten.pixel_shuffle.default", kind="pixelshuffle")
def pixel_shuffle(build: Build, x: Tensor, factor: int) -> Tensor:
    """(N, C·r², H, W) to (N, C, H·r, W·r)."""
    build.title = f"PixelShuffle ×{factor}"
    out = build.axes()
    n, c, y, xx = out.axes
    channel = c * factor * factor + (y % factor) * factor + xx % factor
    return build.emit(out, x.at(n, channel, y // factor, xx // factor), signed=x.signed)


class _Moves(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.cat([x[:, 1:], x[:, :1] * 2], 1)
        y = nn.functional.pad(y, (1, 2, 0, 1), value=0.5).permute(0, 2, 3, 1)
        a, b = y.reshape(1, y.shape[1], -1).transpose(1, 2).chunk(2, 1)
        return nn.functional.pad(a + b, (-1, 0)).unsqueeze(0).squeeze(1)[..., ::2]


@example("cat, pad, crop, permute, reshape, chunk, slice", (1, 2, 4, 3))
def _moves() -> nn.Module:
    return _Moves()


@example("convolution of a crop (a view may not be read beyond its border)", (1, 1, 8, 8))
def _cropped() -> nn.Module:
    class Crop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x[:, :, 2:-2, 2:-2])

    return Crop()


@example("reflect, replicate and circular padding", (1, 2, 4, 3))
def _borders() -> nn.Module:
    return nn.Sequential(
        nn.ReflectionPad2d((1, 2, 3, 0)), nn.ReplicationPad2d((2, 1, 0, 1)), nn.CircularPad2d((1, 0, 2, 1))
    )


@example("pixel_shuffle", (1, 8, 3, 2))
def _pixel_shuffle() -> nn.Module:
    return nn.PixelShuffle(2)


for _target, *_options in (
    ("flatten.using_ints", 1), ("unflatten.int", 1, [1, 3]), ("squeeze.default",), ("squeeze.dims", [0]), ("numpy_T.default",),
    ("contiguous.default",), ("detach.default",), ("lift_fresh_copy.default",), ("dropout.default", 0.5, False),
    ("alpha_dropout.default", 0.5, False), ("feature_dropout.default", 0.5, False), ("feature_alpha_dropout.default", 0.5, False),
    ("broadcast_to.default", [2, 1, 3, 4]), ("constant_pad_nd.default", [1, 0, 2, 1], 0.5),
):  # fmt: skip
    called(f"aten.{_target}", Given((1, 3, 4)), *_options)
called("aten.t.default", Given((3, 4)))
for _target, *_options in (
    ("chunk.default", 2, 1), ("split.Tensor", 2, 1), ("split_with_sizes.default", [1, 3], 1), ("unsafe_chunk.default", 3, 2),
    ("split_with_sizes_copy.default", [3, 1], 1), ("unsafe_split.Tensor", 3, 1), ("unbind.int", 1), ("native_dropout.default", 0.5, False),
):  # fmt: skip
    called(f"aten.{_target}", Given((1, 4, 3)), *_options)
