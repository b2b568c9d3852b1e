"""Sums, means and extremes over axes (global average and max pooling among them)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Aggregate
from sheetconv.graph.index import Index, Var
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.registry import Build, example, rule


def _reduce(build: Build, x: Tensor, function: str, dims: Any, keep: bool, *, signed: bool = True) -> Tensor:
    rank = len(x.shape)
    wanted = [dims] if isinstance(dims, int) else list(dims or range(rank))
    wanted = [d % rank for d in wanted]
    build.title = {"AVERAGE": "Mean", "SUM": "Sum", "MAX": "Maximum", "MIN": "Minimum"}[function]
    build.title += f" over {'×'.join(str(x.shape[d]) for d in wanted)}"
    out = build.axes()
    over = {d: Var(f"k{d}", x.shape[d]) for d in wanted}
    rest = iter(out.axes)
    at: list[Index] = []
    for d in range(rank):
        if d in over:
            at.append(over[d])
            if keep:
                next(rest)
        else:
            at.append(next(rest))
    return build.emit(out, Aggregate(function, (x.at(*at),), tuple(over.values())), signed=signed)


@rule("aten.mean.dim", kind="mean")
def mean(build: Build, x: Tensor, dims: Any, keep: bool, dtype: Any = None) -> Tensor:
    """The mean over some axes: AVERAGE."""
    return _reduce(build, x, "AVERAGE", dims, keep, signed=x.signed)


@rule("aten.sum.dim_IntList", kind="sum")
def total(build: Build, x: Tensor, dims: Any, keep: bool, dtype: Any = None) -> Tensor:
    """The sum over some axes."""
    return _reduce(build, x, "SUM", dims, keep, signed=x.signed)


@rule("aten.mean.default", kind="mean")
def mean_all(build: Build, x: Tensor, dtype: Any = None) -> Tensor:
    """The mean of all elements."""
    return _reduce(build, x, "AVERAGE", None, False, signed=x.signed)


@rule("aten.sum.default", kind="sum")
def total_all(build: Build, x: Tensor, dtype: Any = None) -> Tensor:
    """The sum of all elements."""
    return _reduce(build, x, "SUM", None, False, signed=x.signed)


@rule("aten.amax.default", kind="max")
def amax(build: Build, x: Tensor, dims: Any, keep: bool) -> Tensor:
    """The maximum over some axes."""
    return _reduce(build, x, "MAX", dims, keep, signed=x.signed)


@rule("aten.amin.default", kind="min")
def amin(build: Build, x: Tensor, dims: Any, keep: bool) -> Tensor:
    """The minimum over some axes."""
    return _reduce(build, x, "MIN", dims, keep, signed=x.signed)


class _Reductions(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3)), x.amin((2, 3)), x.sum((-1, -2))], 1)
        return pooled + x.mean() * x.sum(1, keepdim=True).amax((2, 3))


@example("global mean, amax, sums", (1, 3, 4, 3))
def _reductions() -> nn.Module:
    return _Reductions()
