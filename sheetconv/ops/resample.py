"""Upsampling: nearest neighbour copies a cell, bilinear mixes four."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sheetconv.graph.expr import Coefficient, Expr, Number, Select
from sheetconv.graph.index import Lookup, minimum
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.registry import Build, example, rule


def _matrix(build: Build, x: Tensor, axis: int) -> np.ndarray:
    """The (out, in) matrix of the resize along one axis, asked of torch itself on unit vectors."""
    size = x.shape[axis]
    other = 5 - axis
    basis = torch.eye(size, dtype=torch.float64)
    image = basis[None, :, :, None] if axis == 2 else basis[None, :, None, :]
    image = image.expand(*(x.shape[other] if d == other else s for d, s in enumerate(image.shape)))
    overload = build.target.split(".")
    operator = getattr(getattr(torch.ops.aten, overload[1]), overload[2])
    resized = operator(image.contiguous(), *build.arguments[1:])
    rows = resized.select(other, 0)[0]
    return np.asarray(rows.numpy().T)


@rule("aten.upsample_nearest2d.vec", "aten._upsample_nearest_exact2d.vec", kind="upsample")
def nearest(build: Build, x: Tensor, size: Any, scales: Any) -> Tensor:
    """out[y, x] = input at the nearest smaller position (y div 2, x div 2 for a factor of 2)."""
    build.title = f"Upsample nearest to {build.shape[2]}×{build.shape[3]}"
    out = build.axes()
    n, c, *place = out.axes
    at = [Lookup(_matrix(build, x, d).argmax(1), a) for d, a in zip((2, 3), place, strict=True)]
    return build.emit(out, x.at(n, c, *at), signed=x.signed)


@rule("aten.upsample_bilinear2d.vec", kind="upsample")
def bilinear(build: Build, x: Tensor, size: Any, align_corners: bool, scales: Any) -> Tensor:
    """Up to four neighbours, weighted by their nearness; weights that are 0 do not appear."""
    build.title = f"Upsample bilinear to {build.shape[2]}×{build.shape[3]}"
    out = build.axes()
    n, c, y, xx = out.axes
    rows, columns = _matrix(build, x, 2), _matrix(build, x, 3)
    first = [(m != 0).argmax(1) for m in (rows, columns)]
    expr: Expr = Number(0.0)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.multiply.outer(_taps(rows, first[0] + dy), _taps(columns, first[1] + dx))
            read = x.at(
                n,
                c,
                minimum(Lookup(first[0], y) + dy, x.shape[2] - 1),
                minimum(Lookup(first[1], xx) + dx, x.shape[3] - 1),
            )
            present = Lookup((weight != 0).astype(np.int64).reshape(-1), y * xx.size + xx)
            expr = expr + Select(present, Coefficient(weight, (y, xx)) * read, Number(0.0))
    return build.emit(out, expr, signed=x.signed)


def _taps(matrix: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Entry `columns[i]` of each row i, 0 beyond the last."""
    padded = np.pad(matrix, ((0, 0), (0, 1)))
    return np.asarray(padded[np.arange(len(padded)), np.minimum(columns, matrix.shape[1])])


@example("upsample nearest", (1, 2, 3, 4))
def _nearest() -> nn.Module:
    return nn.Sequential(nn.UpsamplingNearest2d(scale_factor=2), nn.Upsample(size=(5, 9)))


@example("upsample bilinear", (1, 1, 3, 4))
def _bilinear() -> nn.Module:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Upsample(size=(5, 7), mode="bilinear", align_corners=True),
    )
