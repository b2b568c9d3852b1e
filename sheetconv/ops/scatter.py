"""Parts of a tensor replaced: what `y[:, 1] = …` becomes when nothing is changed in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Select
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.registry import Build, example, rule


@rule("aten.copy.default", kind="same")
def copy(build: Build, old: Tensor, new: Any, *options: Any) -> Tensor:
    """`new`, in the shape of `old`."""
    build.title = "Copy"
    if not isinstance(new, Tensor):
        raise build.refuse("a number copied into a tensor has no rule")
    lead = len(build.shape) - len(new.shape)
    view = build.view(
        new, lambda *axes: [0 if s == 1 else a for s, a in zip(new.shape, axes[lead:], strict=True)]
    )
    view.operation = Operation("aten.expand.default", (new, list(build.shape)))
    return view


@rule("aten.select_scatter.default", kind="scatter")
def select_scatter(build: Build, x: Tensor, source: Tensor, dim: int, which: int) -> Tensor:
    """x with one position of an axis replaced."""
    dim, which = dim % len(x.shape), which % x.shape[dim]
    build.title = f"Element {which} replaced"
    out = build.axes()
    rest = [a for d, a in enumerate(out.axes) if d != dim]
    here = out.axes[dim].equals(which)
    return build.emit(out, Select(here, source.at(*rest), x.at(*out.axes)))


@rule("aten.slice_scatter.default", kind="scatter")
def slice_scatter(
    build: Build, x: Tensor, source: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Tensor:
    """x with every `step`-th element from `start` replaced."""
    dim %= len(x.shape)
    places = range(x.shape[dim])[slice(start, end, step)]
    build.title = "Slice replaced"
    out = build.axes()
    axis = out.axes[dim]
    offset = axis - places.start
    here = (axis >= places.start) & (axis < places.stop) & (offset % step).equals(0)
    at = [offset // step if d == dim else a for d, a in enumerate(out.axes)]
    return build.emit(out, Select(here, source.at(*at), x.at(*out.axes)))


class _Replaced(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        y[:, 1] = y[:, 0] * 3
        y[:, :, 1:4:2] = x[:, :, :1]
        y[:, 0].mul_(2)
        y.view(-1).sub_(0.5)
        z = torch.relu_(y.view(-1))
        return y + z.reshape(y.shape).sum()


@example("slices and views changed in place", (1, 2, 5))
def _replaced() -> nn.Module:
    return _Replaced()
