"""Upsampling: nearest neighbour copies a cell, bilinear mixes four."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sheetconv.graph.expr import Coefficient, Expr, Number, Select
from sheetconv.graph.index import Index, Lookup, minimum
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.registry import Build, example, rule


def _matrix(build: Build, x: Tensor, axis: int) -> np.ndarray:
    """The (out, in) matrix of the resize along one axis, asked of torch itself on unit vectors."""
    size = x.shape[axis]
    line = [size if d == axis else 1 for d in range(2, len(x.shape))]
    basis = torch.eye(size, dtype=torch.float64).reshape(size, 1, *line).expand(size, 1, *x.shape[2:])
    _, name, variant = build.target.split(".")
    resized = getattr(getattr(torch.ops.aten, name), variant)(basis.contiguous(), *build.arguments[1:])
    for d in reversed(range(2, len(x.shape))):
        resized = resized if d == axis else resized.select(d, 0)
    return np.asarray(resized[:, 0].numpy().T)


def _mixed(build: Build, x: Tensor) -> Tensor:
    """Every output mixes neighbours along each axis by that axis's own weights."""
    out = build.axes()
    n, c, *place = out.axes
    matrices = [_matrix(build, x, d) for d in range(2, len(x.shape))]
    first = [(m != 0).argmax(1) for m in matrices]
    spans = [
        int((m.shape[1] - (m[:, ::-1] != 0).argmax(1) - f).max())
        for m, f in zip(matrices, first, strict=True)
    ]
    flat: Index = place[0]
    for axis in place[1:]:
        flat = flat * axis.size + axis
    expr: Expr = Number(0.0)
    for steps in np.ndindex(*spans):
        weight = np.ones(())
        at: list[Index] = []
        for m, f, step, axis, size in zip(matrices, first, steps, place, x.shape[2:], strict=True):
            weight = np.multiply.outer(weight, _taps(m, f + step))
            at.append(minimum(Lookup(f, axis) + int(step), size - 1))
        present = Lookup((weight != 0).astype(np.int64).reshape(-1), flat)
        term = Coefficient(weight, tuple(place)) * x.at(n, c, *at)
        expr = expr + Select(present, term, Number(0.0))
    return build.emit(out, expr, signed=x.signed)


@rule(
    "aten.upsample_bicubic2d.vec", "aten.upsample_linear1d.vec", "aten.upsample_trilinear3d.vec",
    "aten._upsample_bilinear2d_aa.vec", "aten._upsample_bicubic2d_aa.vec", kind="upsample",
)  # fmt: skip
def resize(build: Build, x: Tensor, size: Any, align_corners: bool, scales: Any) -> Tensor:
    """Neighbours weighted as torch weights them."""
    name = build.target.split("_")[1 if build.target[5] != "_" else 2]
    build.title = f"Upsample {name.rstrip('123d')} to {'×'.join(map(str, build.shape[2:]))}"
    return _mixed(build, x)


@rule(
    "aten.upsample_nearest1d.vec", "aten.upsample_nearest3d.vec", "aten._upsample_nearest_exact1d.vec",
    "aten._upsample_nearest_exact3d.vec", kind="upsample",
)  # fmt: skip
def nearest_line(build: Build, x: Tensor, size: Any, scales: Any) -> Tensor:
    """The nearest element along each axis."""
    build.title = f"Upsample nearest to {'×'.join(map(str, build.shape[2:]))}"
    out = build.axes()
    n, c, *place = out.axes
    at = [Lookup(_matrix(build, x, d).argmax(1), a) for d, a in enumerate(place, start=2)]
    return build.emit(out, x.at(n, c, *at), signed=x.signed)


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
    return _mixed(build, x)


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


@example("upsample bicubic, antialiased", (1, 1, 3, 4))
def _bicubic() -> nn.Module:
    class Resized(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            f = nn.functional.interpolate
            y = f(f(x, scale_factor=2, mode="bicubic"), (4, 4), mode="bilinear", antialias=True)
            return f(f(y, (3, 5), mode="bicubic", antialias=True), (4, 6), mode="nearest-exact")

    return Resized()


@example("upsample lines and volumes", (1, 1, 2, 3, 2))
def _volumes() -> nn.Module:
    class Resized(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            f = nn.functional.interpolate
            y = f(f(x, scale_factor=2, mode="trilinear", align_corners=True), (2, 3, 3))
            y = f(y, (3, 2, 2), mode="nearest-exact")
            lines = f(f(y[:, :, 0].flatten(2), scale_factor=2, mode="linear"), 5)
            return f(lines, 4, mode="nearest-exact")

    return Resized()
