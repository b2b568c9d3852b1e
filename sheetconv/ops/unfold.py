"""im2col: every window of an image as a column of a matrix (torch calls it unfold)."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from sheetconv.graph.expr import Expr, Number, Select
from sheetconv.graph.index import Index
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.conv import describe, per_axis
from sheetconv.ops.registry import Build, example, rule


@rule("aten.im2col.default", kind="im2col")
def im2col(build: Build, x: Tensor, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Tensor:
    """(N, C, H, W) to (N, C·kh·kw, L): row c·kh·kw + ky·kw + kx of column l is that element of window l."""
    kernel, dilation = per_axis(kernel, 2), per_axis(dilation, 2)
    padding, stride = per_axis(padding, 2), per_axis(stride, 2)
    build.title = describe("im2col", kernel, stride=stride, padding=padding, dilation=dilation)
    out = build.axes()
    n, row, column = out.axes
    height, width = kernel
    across = (x.shape[3] + 2 * padding[1] - dilation[1] * (width - 1) - 1) // stride[1] + 1
    taps = (row // width % height, row % width)
    starts = (column // across, column % across)
    at = [s * a + d * t - p for s, a, d, t, p in zip(stride, starts, dilation, taps, padding, strict=True)]
    expr: Expr = x.at(n, row // (height * width), *at)
    if any(padding):
        inside: Index | None = None
        for position, size in zip(at, x.shape[2:], strict=True):
            here = (position >= 0) & (position < size)
            inside = here if inside is None else inside & here
        assert inside is not None
        expr = Select(inside, expr, Number(0.0))
    return build.emit(out, expr, signed=x.signed)


@rule("aten.col2im.default", kind="col2im")
def col2im(
    build: Build, x: Tensor, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any
) -> Tensor:
    """The way back: each cell of the image sums the elements of all windows that lie on it."""
    kernel, dilation = per_axis(kernel, 2), per_axis(dilation, 2)
    padding, stride = per_axis(padding, 2), per_axis(stride, 2)
    build.title = describe("col2im", kernel, stride=stride, padding=padding, dilation=dilation)
    out = build.axes()
    n, c, *place = out.axes
    counts = [
        (s + 2 * p - d * (k - 1) - 1) // step + 1
        for s, p, d, k, step in zip(out.shape[2:], padding, dilation, kernel, stride, strict=True)
    ]
    total: Expr = Number(0.0)
    for taps in np.ndindex(*kernel):
        starts, inside = [], None
        for axis, p, d, t, step, count in zip(place, padding, dilation, taps, stride, counts, strict=True):
            at = axis + (p - d * t)
            window = at // step
            here = (at % step).equals(0) & (window >= 0) & (window < count)
            inside = here if inside is None else inside & here
            starts.append(window)
        row = c * (kernel[0] * kernel[1]) + (taps[0] * kernel[1] + taps[1])
        assert inside is not None
        total = total + Select(inside, x.at(n, row, starts[0] * counts[1] + starts[1]), Number(0.0))
    return build.emit(out, total, signed=x.signed)


@example("col2im", (1, 8, 12))
def _back() -> nn.Module:
    return nn.Fold((4, 5), 2)


@example("col2im padding, stride, dilation", (1, 4, 6))
def _back_options() -> nn.Module:
    return nn.Fold((4, 5), 2, dilation=2, padding=1, stride=2)


@example("im2col", (1, 2, 5, 6))
def _plain() -> nn.Module:
    return nn.Unfold(3)


@example("im2col padding, stride, dilation", (1, 2, 6, 7))
def _options() -> nn.Module:
    return nn.Unfold((2, 3), dilation=(2, 1), padding=1, stride=2)
