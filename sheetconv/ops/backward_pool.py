"""The way back through pooling and upsampling: to the winner of a window, in equal shares, or summed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sheetconv.errors import UnsupportedOperator
from sheetconv.graph.expr import Aggregate, Binary, Coefficient, Expr, Number, Read, Select, call
from sheetconv.graph.index import Constant, Index, Lookup, Var, maximum, minimum
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.conv import per_axis
from sheetconv.ops.registry import Build, rule


@rule("aten.max_pool2d_with_indices_backward.default", "max_pool2d_gradient", kind="maxback")
def max_pool_backward(
    build: Build,
    grad: Tensor,
    x: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    indices: Any = None,
) -> Tensor:
    """A window's gradient goes to its largest cell; of equal ones, as in torch, to the first in reading order.

    So a cell gets it if it is greater than all cells of the window before it and not less than any after it.
    """
    kernel, padding, dilation = per_axis(kernel, 2), per_axis(padding, 2), per_axis(dilation, 2)
    stride = per_axis(stride, 2) if stride else kernel
    if dilation != (1, 1):
        raise UnsupportedOperator(f"{build.module}: the gradient of a dilated max-pool has no rule")
    build.title = "To the largest of the window"
    out = build.axes()
    total: Expr | None = None
    for dy in range(-(-kernel[0] // stride[0])):
        for dx in range(-(-kernel[1] // stride[1])):
            windows = [_Window(out.axes[-2], kernel[0], stride[0], padding[0], dy, grad.shape[-2]),
                       _Window(out.axes[-1], kernel[1], stride[1], padding[1], dx, grad.shape[-1])]  # fmt: skip
            term = _share(out, grad, x, *windows)
            total = term if total is None else total + term
    assert total is not None
    # torch asks for the winners' positions, which have no cells here: they are found anew
    operation = Operation("max_pool2d_gradient", build.arguments[:7])
    return build.emit(out, total, operation=operation)


class _Window:
    """One of the windows that cover a position along an axis: number, first position, and the tap that it is."""

    def __init__(self, axis: Var, kernel: int, stride: int, padding: int, which: int, count: int) -> None:
        self.axis, self.kernel, self.size = axis, kernel, axis.size
        self.number = (axis + padding) // stride - which
        self.first = stride * self.number - padding
        self.inside = (self.number >= 0) & (self.number < count) & (axis < self.first + kernel)

    @property
    def has_before(self) -> Index:
        """1 where the window has a cell of the input before the position."""
        return maximum(self.first, 0) < self.axis

    @property
    def has_after(self) -> Index:
        """1 where it has one behind it."""
        return self.axis < minimum(self.first + (self.kernel - 1), self.size - 1)


def _share(out: Tensor, grad: Tensor, x: Tensor, down: _Window, across: _Window) -> Expr:
    """The gradient of one window in the cells that win it, else 0."""
    lead = out.axes[:-2]
    own: Read = x.at(*out.axes)
    given: Expr = grad.at(*lead, down.number, across.number)
    taps = (Var("ky", down.kernel), Var("kx", across.kernel))
    for after in (True, False):
        row, column = down.first + taps[0], across.first + taps[1]
        order, mine = taps[0] * across.kernel + taps[1], (
            (down.axis - down.first) * across.kernel + (across.axis - across.first)
        )  # fmt: skip
        others = (mine < order) if after else (order < mine)
        for at, size in ((row, down.size), (column, across.size)):
            others = others & (at >= 0) & (at < size)
        largest = Aggregate("MAX", (x.at(*lead, row, column),), taps, others)
        wins = call("IF", Binary(">=" if after else ">", own, largest), given, Number(0.0))
        sides = (down.has_after, across.has_after) if after else (down.has_before, across.has_before)
        given = Select(maximum(*sides), wins, given)
    return Select(down.inside & across.inside, given, Number(0.0))


@rule("aten._adaptive_avg_pool2d_backward.default", kind="avgback")
def adaptive_avg_backward(build: Build, grad: Tensor, x: Tensor) -> Tensor:
    """Every window's gradient in equal shares, as torch splits the input into windows."""
    build.title = "Equal shares of the mean's gradient"
    out = build.axes()
    at: list[Index] = []
    sizes: list[np.ndarray] = []
    for axis, count in zip(out.axes[-2:], grad.shape[-2:], strict=True):
        starts = np.arange(count) * axis.size // count
        ends = -(-(np.arange(1, count + 1) * axis.size) // count)
        if (starts[1:] != ends[:-1]).any():
            raise UnsupportedOperator(
                f"{build.module}: the gradient of overlapping adaptive windows has no rule"
            )
        owner = np.repeat(np.arange(count), ends - starts)
        at.append(Lookup(owner, axis))
        sizes.append((ends - starts)[owner])
    divisor = Coefficient(np.multiply.outer(*sizes).astype(float), tuple(out.axes[-2:]))
    return build.emit(out, grad.at(*out.axes[:-2], *at) / divisor)


@rule("aten.upsample_nearest2d_backward.default", kind="upback")
def nearest_backward(
    build: Build, grad: Tensor, size: Any, source: Any, scale_rows: Any = None, scale_columns: Any = None
) -> Tensor:
    """The sum over the cells that are copies of this one."""
    build.title = "Sum over the copies"
    out = build.axes()
    at: list[Index] = []
    over: list[Var] = []
    inside: Index | None = None
    scales = (scale_rows, scale_columns)
    for axis, length, scale in zip(out.axes[-2:], grad.shape[-2:], scales, strict=True):
        copied = _copied(axis.size, length, scale)
        counts = np.bincount(copied, minlength=axis.size)
        starts = np.concatenate([[0], counts.cumsum()[:-1]])
        tap = Var(f"k{axis.name}", int(counts.max()))
        at.append(Lookup(starts, axis) + tap)
        over.append(tap)
        if counts.min() != counts.max():
            here = tap < Lookup(counts, axis)
            inside = here if inside is None else inside & here
    return build.emit(out, Aggregate("SUM", (grad.at(*out.axes[:-2], *at),), tuple(over), inside))


def _copied(size: int, length: int, scale: float | None) -> np.ndarray:
    """For each of `length` positions the one of `size` that it copies, asked of torch itself."""
    row = torch.arange(size, dtype=torch.float64)[None, None, None]
    found = torch.ops.aten.upsample_nearest2d.default(row, [1, length], None, scale)
    return np.asarray(found[0, 0, 0].numpy().astype(np.int64))


@rule("aten.slice_backward.default", kind="sliceback")
def slice_backward(
    build: Build, grad: Tensor, sizes: Any, dim: int, start: int, end: int, step: int
) -> Tensor:
    """The gradient of a slice in its place, zeros around it."""
    build.title = "In its place, zeros around"
    out = build.axes()
    dim %= len(out.shape)
    begin = range(out.shape[dim])[slice(start, end, step)].start
    axis = out.axes[dim]
    offset = axis - begin
    number = offset // step
    here = (axis >= begin) & (number < grad.shape[dim]) & (offset % step).equals(0)
    read = grad.at(*(number if d == dim else a for d, a in enumerate(out.axes)))
    return build.emit(out, Select(here, read, Number(0.0)))


@rule("aten.select_backward.default", kind="selectback")
def select_backward(build: Build, grad: Tensor, sizes: Any, dim: int, which: int) -> Tensor:
    """The gradient of one position of an axis in its place, zeros elsewhere."""
    build.title = "In its place, zeros around"
    out = build.axes()
    dim, which = dim % len(out.shape), which % out.shape[dim % len(out.shape)]
    read = grad.at(*(a for d, a in enumerate(out.axes) if d != dim))
    return build.emit(out, Select(out.axes[dim].equals(Constant(which)), read, Number(0.0)))
