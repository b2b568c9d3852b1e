"""Sums, means and extremes over axes (global average and max pooling among them)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Aggregate, Expr, Select, call
from sheetconv.graph.index import Constant, Index, Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.paths import over
from sheetconv.ops.registry import Build, Given, called, example, rule


def _reduce(build: Build, x: Tensor, function: str, dims: Any, keep: bool, *, signed: bool = True) -> Tensor:
    rank = len(x.shape)
    wanted = [dims] if isinstance(dims, int) else list(dims or range(rank))
    wanted = [d % rank for d in wanted]
    build.title = {"AVERAGE": "Mean", "SUM": "Sum", "MAX": "Maximum", "MIN": "Minimum"}[function]
    build.title += f" over {'×'.join(str(x.shape[d]) for d in wanted)}"
    out = build.axes()
    window = {d: Var(f"k{d}", x.shape[d]) for d in wanted}
    at = _places(x, window, out, keep)
    return build.emit(out, Aggregate(function, (x.at(*at),), tuple(window.values())), signed=signed)


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


@rule("aten.amax.default", kind="max", linear=over)
def amax(build: Build, x: Tensor, dims: Any, keep: bool) -> Tensor:
    """The maximum over some axes."""
    return _reduce(build, x, "MAX", dims, keep, signed=x.signed)


@rule("aten.amin.default", kind="min", linear=over)
def amin(build: Build, x: Tensor, dims: Any, keep: bool) -> Tensor:
    """The minimum over some axes."""
    return _reduce(build, x, "MIN", dims, keep, signed=x.signed)


def _variance_paths(
    x: torch.Tensor, dims: Any = None, correction: Any = 1, keep: bool = False
) -> torch.Tensor:
    return over(x, dims, keep)


@rule("aten.var.correction", kind="variance", linear=_variance_paths)
def variance(build: Build, x: Tensor, dims: Any, correction: Any = 1, keep: bool = False) -> Tensor:
    """Σ (x − mean)² / (n − correction), from the centred values in cells of their own."""
    rank = len(x.shape)
    wanted = [d % rank for d in ([dims] if isinstance(dims, int) else list(dims or range(rank)))]
    kept = [1 if d in wanted else s for d, s in enumerate(x.shape)]
    mean_of = Operation("aten.mean.dim", (x, wanted, True))
    window = {d: Var(f"k{d}", x.shape[d]) for d in wanted}
    average = build.step(
        "mean",
        kept,
        mean_of,
        lambda t: Aggregate(
            "AVERAGE", (x.at(*(window.get(d, a) for d, a in enumerate(t.axes))),), tuple(window.values())
        ),
    )
    centred = build.step(
        "centred",
        x.shape,
        Operation("aten.sub.Tensor", (x, mean_of)),
        lambda t: x.at(*t.axes) - average.at(*(0 if d in window else a for d, a in enumerate(t.axes))),
    )
    build.title = f"Variance over {'×'.join(str(x.shape[d]) for d in wanted)}"
    out = build.axes()
    read = centred.at(*_places(x, window, out, keep))
    count = math.prod(x.shape[d] for d in wanted) - (1 if correction is None else correction)
    return build.emit(
        out, Aggregate("SUMPRODUCT", (read, read), tuple(window.values())) / count, signed=False
    )


def _places(x: Tensor, window: Mapping[int, Var], out: Tensor, keep: bool) -> list[Index]:
    """Where the elements of `x` are that a cell of a reduction reads."""
    rest = iter(out.axes)
    at: list[Index] = []
    for d in range(len(x.shape)):
        if d in window:
            at.append(window[d])
            if keep:
                next(rest)
        else:
            at.append(next(rest))
    return at


class _Reductions(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3)), x.amin((2, 3)), x.sum((-1, -2))], 1)
        return pooled + x.mean() * x.sum(1, keepdim=True).amax((2, 3))


@rule("aten.cumsum.default", kind="cumsum")
def cumsum(build: Build, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """The sum of all elements up to each."""
    dim %= len(x.shape)
    build.title = "Running sum"
    out = build.axes()
    k = Var("k", x.shape[dim])
    at = [k if d == dim else a for d, a in enumerate(out.axes)]
    return build.emit(out, Aggregate("SUM", (x.at(*at),), (k,), k < out.axes[dim] + 1), signed=x.signed)


_MOST = 40
"""Factors of the longest running product: a formula names each of them."""


@rule("aten.cumprod.default", kind="cumprod", linear=lambda x, dim, *_: x.cumsum(dim))
def cumprod(build: Build, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """The product of all elements up to each."""
    dim %= len(x.shape)
    if x.shape[dim] > _MOST:
        raise build.refuse(f"a running product of {x.shape[dim]} elements has no rule; {_MOST} have")
    build.title = "Running product"
    out = build.axes()
    products: list[Expr] = []
    for j in range(x.shape[dim]):
        factor = x.at(*(Constant(j) if d == dim else a for d, a in enumerate(out.axes)))
        products.append(products[-1] * factor if products else factor)
    expr = products.pop()
    for j, shorter in reversed(list(enumerate(products))):
        expr = Select(out.axes[dim].equals(j), shorter, expr)
    return build.emit(out, expr)


@rule("aten.prod.dim_int", kind="product", linear=over)
def product(build: Build, x: Tensor, dim: int, keep: bool = False, dtype: Any = None) -> Tensor:
    """The product along an axis."""
    dim %= len(x.shape)
    build.title = f"Product of {x.shape[dim]}"
    out = build.axes()
    rest = [a for d, a in enumerate(out.axes) if not keep or d != dim]
    expr: Expr | None = None
    for j in range(x.shape[dim]):
        factor = x.at(*rest[:dim], j, *rest[dim:])
        expr = factor if expr is None else expr * factor
    assert expr is not None
    return build.emit(out, expr)


_INFINITE = 1e30  # stands for infinity, see `sheetconv.compile.capture`


@rule("aten.linalg_vector_norm.default", kind="norm", linear=lambda x, p=2, *rest: over(x, *rest))
def vector_norm(
    build: Build, x: Tensor, order: Any = 2, dims: Any = None, keep: bool = False, dtype: Any = None
) -> Tensor:
    """√Σ x², or Σ |x|, or the largest |x|."""
    rank = len(x.shape)
    wanted = [d % rank for d in ([dims] if isinstance(dims, int) else list(dims or range(rank)))]
    window = {d: Var(f"k{d}", x.shape[d]) for d in wanted}
    build.title = f"Norm {order:g}"
    if order not in (1, 2, _INFINITE):
        raise build.refuse(f"a norm of order {order:g} has no rule; 1, 2 and infinity have")
    over_all = tuple(window.values())
    if order == 2:
        out = build.axes()
        read = x.at(*_places(x, window, out, keep))
        return build.emit(out, call("SQRT", Aggregate("SUMPRODUCT", (read, read), over_all)), signed=False)
    sizes = build.step(
        "absolute", x.shape, Operation("aten.abs.default", (x,)), lambda t: call("ABS", x.at(*t.axes))
    )
    out = build.axes()
    read = sizes.at(*_places(x, window, out, keep))
    return build.emit(out, Aggregate("SUM" if order == 1 else "MAX", (read,), over_all), signed=False)


class _Running(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = nn.functional.normalize(x, dim=1) + x.norm() + x.norm(dim=2, keepdim=True) + x.norm(p=1)
        scaled = scaled + x.cumprod(1)
        return scaled + x.cumsum(1) + x.prod(1)[:, None] + x.prod(2, keepdim=True)


@example("running sums, products, norms", (1, 3, 4))
def _running_example() -> nn.Module:
    return _Running()


class _Spread(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.var(1, correction=0) + x.var((2, 3)).sum() + x.std(1, keepdim=True).mean(1)


@example("variance", (1, 3, 4, 3))
def _spread() -> nn.Module:
    return _Spread()


@example("global mean, amax, sums", (1, 3, 4, 3))
def _reductions() -> nn.Module:
    return _Reductions()


called("aten.cumsum.default", Given((1, 3, 4)), 2)
called("aten.cumprod.default", Given((1, 3, 4)), 2)
