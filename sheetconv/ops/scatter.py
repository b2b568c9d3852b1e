"""Parts of a tensor replaced: what `y[:, 1] = …` becomes when nothing is changed in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from sheetconv.graph.expr import Expr, Number, Select
from sheetconv.graph.index import Constant, Index, Lookup
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.pick import fixed
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


def _written(build: Build, x: Tensor, values: Tensor, sources: list[list[int]], add: bool) -> Tensor:
    """x with elements of `values` (by their numbers in C order, `sources` for each cell) put or added."""
    out = build.axes()
    place: Index = Constant(0)
    for axis in out.axes:
        place = axis + place * axis.size
    expr: Expr = x.at(*out.axes)
    for turn in range(max(map(len, sources), default=0)):
        table = np.array([s[turn] if turn < len(s) else -1 for s in sources], dtype=np.int64)
        here = Lookup((table >= 0).astype(np.int64), place)
        flat: Index = Lookup(np.maximum(table, 0), place)
        at: list[Index] = []
        for size in reversed(values.shape):
            at.insert(0, flat % size)
            flat = flat // size
        read = values.at(*at)
        expr = expr + Select(here, read, Number(0.0)) if add else Select(here, read, expr)
    return build.emit(out, expr)


# Cells of the most that are added to one: a formula names each of them, for some cells.
_MOST = 12


def _sources(build: Build, places: np.ndarray, numbers: np.ndarray, add: bool) -> list[list[int]]:
    """For each cell the numbers of the elements that go there; of several that are put, the last."""
    found: list[list[int]] = [[] for _ in range(math.prod(build.shape))]
    for place, number in zip(places.reshape(-1).tolist(), numbers.reshape(-1).tolist(), strict=True):
        found[place] = [*found[place], number] if add else [number]
    if max(map(len, found)) > _MOST:
        raise build.refuse(f"more than {_MOST} elements added to one cell have no rule")
    return found


@rule("aten.index_put.default", kind="put", whole=(1,))
def index_put(build: Build, x: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """x with elements at fixed positions replaced, or with something added to them."""
    numbers = [None if i is None else fixed(i) for i in indices]
    if any(n is None and i is not None for n, i in zip(numbers, indices, strict=True)):
        raise build.refuse("positions in cells have no rule when something is put there")
    build.title = "Added at positions" if accumulate else "Put at positions"
    build.arguments = (x, [n if n is None else n.tolist() for n in numbers], values, accumulate)
    chosen = tuple(slice(None) if n is None else torch.from_numpy(n) for n in numbers)
    places = torch.arange(x.size).reshape(x.shape)[chosen]
    which = torch.arange(values.size).reshape(values.shape).expand(places.shape)
    sources = _sources(build, places.numpy(), which.numpy(), accumulate)
    return _written(build, x, values, sources, accumulate)


@rule("aten.scatter_add.default", kind="put")
def scatter_add(build: Build, x: Tensor, dim: int, indices: Any, values: Tensor) -> Tensor:
    """x with elements added along an axis, each where a fixed number says."""
    numbers = fixed(indices)
    if numbers is None:
        raise build.refuse("positions in cells have no rule when something is added there")
    build.title = "Added at positions"
    places = torch.arange(x.size).reshape(x.shape).gather(dim, torch.from_numpy(numbers))
    which = torch.arange(values.size).reshape(values.shape)[tuple(slice(s) for s in numbers.shape)]
    # the same as a put into one long row, which a manifest can hold as lists of numbers
    source = Operation("take", (values, which.reshape(-1).tolist(), [which.numel()]))
    row = Operation("aten.reshape.default", (x, [-1]))
    put = Operation("aten.index_put.default", (row, [places.reshape(-1).tolist()], source, True))
    build.target, build.arguments = "aten.reshape.default", (put, list(x.shape))
    return _written(build, x, values, _sources(build, places.numpy(), which.numpy(), True), True)


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


class _Put(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        y[:, [0, 2]] = 0.5
        y[:, [1, 1], [0, 3]] = x[:, 0, :2]
        z = torch.index_put(y, (torch.tensor([0, 0]), torch.tensor([1, 1])), x[0, :2], accumulate=True)
        numbers = torch.tensor([[[0, 1, 2, 2], [1, 1, 1, 0], [2, 0, 2, 2]]])
        return z.scatter_add(1, numbers, x).scatter_add(2, numbers[:, :2, :3], x * 3)


@example("put and added at positions", (1, 3, 4))
def _put() -> nn.Module:
    return _Put()
