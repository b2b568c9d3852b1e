"""Order: sorted values and their positions, by counting for each element how many come before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sheetconv.graph.expr import Aggregate, Binary, Coefficient, Expr, Select, as_expr, call
from sheetconv.graph.index import Constant, Index, Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.paths import along, over
from sheetconv.ops.registry import Build, Given, called, example, rule

# Terms of the longest formula: beyond it a spreadsheet's limit of characters is near.
_MOST = 150


def _ranked(x: torch.Tensor, dim: int, descending: bool) -> torch.Tensor:
    order = torch.argsort(x, stable=True, dim=dim, descending=descending)
    return order.argsort(dim).to(torch.float64)


@rule("rank", kind="rank", own=_ranked, linear=lambda x, dim, *_: along(x, dim))
def rank(build: Build, x: Tensor, dim: int, descending: bool) -> Tensor:
    """How many elements along an axis come before each (of equal ones the first)."""
    build.title = "Rank"
    out = build.axes()
    return build.emit(out, _rank(build, x, out, dim, descending), signed=False)


def _rank(build: Build, x: Tensor, out: Tensor, dim: int, descending: bool) -> Expr:
    size = x.shape[dim]
    if size > _MOST:
        raise build.refuse(f"order among {size} elements would make too long a formula; {_MOST} have a rule")
    here = x.at(*out.axes)
    total: Expr | None = None
    for j in range(size):
        other = x.at(*(Constant(j) if d == dim else a for d, a in enumerate(out.axes)))
        strict = Binary(">" if descending else "<", other, here)
        equal = Binary(">=" if descending else "<=", other, here)
        before = Select(out.axes[dim] >= j + 1, call("IF", equal, 1, 0), call("IF", strict, 1, 0))
        total = before if total is None else total + before
    assert total is not None
    return total


def _ranks(build: Build, x: Tensor, dim: int, descending: bool) -> Tensor:
    return build.step(
        "rank",
        x.shape,
        Operation("rank", (x, dim, descending)),
        lambda t: _rank(build, x, t, dim, descending),
    )


def _placed(ranks: Tensor, values: Any, at: list[Index], dim: int, wanted: Index) -> Expr:
    """The value (or the position) of the element whose rank is `wanted`."""
    total: Expr | None = None
    for j in range(ranks.shape[dim]):
        place = [Constant(j) if d == dim else a for d, a in enumerate(at)]
        value = as_expr(float(j)) if values is None else values.at(*place)
        term = call("IF", Binary("=", ranks.at(*place), _number(wanted)), value, 0)
        total = term if total is None else total + term
    assert total is not None
    return total


def _number(index: Index) -> Expr:
    if isinstance(index, Constant):
        return as_expr(float(index.value))
    assert isinstance(index, Var)
    return Coefficient(np.arange(index.size, dtype=np.float64), (index,))


@rule("aten.topk.default", "aten.sort.default", "aten.sort.stable", kind="sort",
      linear=lambda x, *rest: _sorted_paths(x, *rest))  # fmt: skip
def ordered(build: Build, x: Tensor, *options: Any) -> Tensor:
    """Values in order, or (result 1) their positions counted from 0."""
    name = build.target.split(".")[1:]
    if name[0] == "topk" or name == ["sort", "stable"]:
        _, dim, descending = options[:3]
    else:
        dim, descending = options[:2]
    dim = (-1 if dim is None else dim) % len(x.shape)
    ranks = _ranks(build, x, dim, bool(descending))
    build.title = "Largest" if descending else "Smallest"
    out = build.axes()
    positions = name[0] == "argsort" or bool(build.item)
    expr = _placed(ranks, None if positions else x, list(out.axes), dim, out.axes[dim])
    return build.emit(out, expr, signed=x.signed)


@rule("aten.argsort.default", kind="sort", linear=lambda x, dim=-1, *_: along(x, dim))
def positions(build: Build, x: Tensor, *options: Any) -> Tensor:
    """The positions, counted from 0, that would bring the values into order."""
    return ordered(build, x, *options)


def _sorted_paths(x: torch.Tensor, *options: Any) -> Any:
    counts = [o for o in options if isinstance(o, int) and not isinstance(o, bool)]
    if len(counts) > 1:  # topk: number, axis
        found = x.sum(counts[1], keepdim=True)
        found = found.expand(*(counts[0] if d == counts[1] % x.dim() else s for d, s in enumerate(x.shape)))
    else:
        found = along(x, counts[0] if counts else -1)
    return found, found


@rule("aten.argmax.default", "aten.argmin.default", kind="argmax", linear=over)
def argmax(build: Build, x: Tensor, dim: int | None = None, keep: bool = False) -> Tensor:
    """The position, counted from 0, of the largest (smallest) element; of equal ones the first."""
    largest = "argmax" in build.target
    if dim is None:
        if len([s for s in x.shape if s > 1]) > 1:
            raise build.refuse("the position among several axes has no rule; flatten first")
        dim = max(range(len(x.shape)), key=lambda d: x.shape[d])
    dim %= len(x.shape)
    return _position(build, x, dim, bool(keep) and len(build.shape) == len(x.shape), largest)


def _position(build: Build, x: Tensor, dim: int, keep: bool, largest: bool) -> Tensor:
    ranks = _ranks(build, x, dim, largest)
    build.title = "Position of the largest" if largest else "Position of the smallest"
    out = build.axes()
    axes: list[Index] = list(out.axes)
    if not keep:
        axes = (
            [*axes[:dim], Constant(0), *axes[dim:]]
            if len(axes) == len(x.shape) - 1
            else [Constant(0)] * len(x.shape)
        )
    return build.emit(out, _placed(ranks, None, axes, dim, Constant(0)), signed=False)


@rule("aten.max.dim", "aten.min.dim", kind="max", linear=lambda x, d, keep=False: (over(x, d, keep),) * 2)
def extreme_of(build: Build, x: Tensor, dim: int, keep: bool = False) -> Tensor:
    """The largest (smallest) element along an axis, or (result 1) its position."""
    largest = "max" in build.target
    dim %= len(x.shape)
    if build.item:
        return _position(build, x, dim, keep, largest)
    build.title = "Maximum" if largest else "Minimum"
    out = build.axes()
    k = Var("k", x.shape[dim])
    at: list[Index] = list(out.axes)
    at[dim : dim + int(keep)] = [k]
    return build.emit(out, Aggregate("MAX" if largest else "MIN", (x.at(*at),), (k,)), signed=x.signed)


@rule("aten.max.default", "aten.min.default", kind="max", linear=lambda x: x.sum())
def extreme_of_all(build: Build, x: Tensor) -> Tensor:
    """The largest (smallest) of all elements."""
    function = "MAX" if "max" in build.target else "MIN"
    build.title = "Maximum" if function == "MAX" else "Minimum"
    out = build.axes()
    over_all = tuple(Var(f"k{d}", s) for d, s in enumerate(x.shape))
    return build.emit(out, Aggregate(function, (x.at(*over_all),), over_all), signed=x.signed)


class _Order(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top, places = x.topk(2, 1)
        ordered = x.sort(2, descending=True)[0] + x.sort(1)[1] + torch.argsort(x, dim=1)
        found = ordered + torch.sort(x, stable=True, dim=2)[0]
        best, where = x.max(1)
        least, least_at = x.min(2, keepdim=True)
        found = found + (top * places).sum(1, keepdim=True) + (best + where)[:, None] + least - least_at
        return (
            found + x.argmax(1, keepdim=True) + x.argmin(2)[..., None] + x.max() - x.min() * x[0, 0].argmax()
        )


@example("order", (1, 3, 4))
def _order() -> nn.Module:
    return _Order()


called("rank", Given((3, 4), 3), 1, True)
