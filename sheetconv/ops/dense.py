"""Dense layers and matrix products."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Aggregate, Expr, Read, call
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.graph.windows import directions, through_all
from sheetconv.ops.arithmetic import operand
from sheetconv.ops.registry import Build, Given, called, example, rule

# A dense layer after `flatten` reads the feature maps where they are, if there are at most this many;
# beyond that the flattened vector gets cells of its own and the weights one matrix.
FOLDED_PLANES = 8


def _planes_behind(x: Tensor) -> Tensor | None:
    """The (1, C, H, W) tensor that `x` of shape (1, C·H·W) flattens, if the layer should read it directly."""
    seen = x
    while seen.view and isinstance(seen.expr, Read) and seen.size == seen.expr.tensor.size:
        if seen.operation is None or not any(
            w in seen.operation.target for w in ("flatten", "view", "reshape")
        ):
            return None
        seen = seen.expr.tensor
    folded = seen is not x and len(seen.shape) == 4 and len(x.shape) == 2
    return seen if folded and seen.shape[1] <= FOLDED_PLANES and seen.shape[2] > 1 else None


@rule("aten.linear.default", kind="dense")
def linear(build: Build, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """out[…, o] = Σ over j of x[…, j] · weight[o, j] + bias[o]."""
    build.title = f"Linear {weight.state_shape[1]} → {weight.state_shape[0]}"
    out = build.axes()
    *lead, o = out.axes
    planes = _planes_behind(x)
    if planes is not None and weight.kind == "parameter" and not weight.placement:
        weight = build.parameter(weight, (weight.shape[0], *planes.shape[1:]), "planes", planes)
        over = tuple(Var(v.name, v.size) for v in planes.axes[1:])
        reads = (planes.at(0, *over), weight.at(o, *over))
    else:
        if planes is None and x.view and len(x.shape) == 2:
            x.view = False  # one column of cells and one range, rather than hundreds of single products
        j = Var("j", weight.shape[-1])
        placement = "columns" if len(x.shape) == 2 else "rows"
        weight = build.parameter(weight, weight.shape, placement, x)
        over = (j,)
        reads = (x.at(*lead, j), weight.at(o, j))
    total: Expr = Aggregate("SUMPRODUCT", reads, over)
    if bias is not None:
        total = total + build.parameter(bias, bias.shape, "channel" if len(x.shape) == 2 else "row", out).at(
            o
        )
    return build.emit(out, total)


def in_rows(build: Build, x: Tensor) -> Tensor:
    """(…, K, J) as (…, J, K) in cells of their own, unless K lies along rows already.

    A row times a row is one SUMPRODUCT; a row times a column would be a product for each element.
    """
    a, b = Var("a", 2), Var("b", 2)
    if "across" in directions(through_all(x.at(*(0,) * (len(x.shape) - 2), a, b)), (a,)):
        return _flipped(build, x, list(range(len(x.shape))), view=True)
    return _flipped(build, x, list(range(len(x.shape))), view=False)


def _flipped(build: Build, x: Tensor, order: list[int], *, view: bool) -> Tensor:
    order[-2:] = order[-1], order[-2]
    tensor = build.step(
        "transposed",
        [x.shape[d] for d in order],
        Operation("aten.permute.default", (x, order)),
        lambda t: x.at(*t.axes[:-2], t.axes[-1], t.axes[-2]),
    )
    tensor.view = view
    return tensor


@rule("aten.matmul.default", "aten.bmm.default", "aten.mm.default", kind="matmul")
def matmul(build: Build, a: Tensor, b: Tensor) -> Tensor:
    """out[…, i, j] = Σ over k of a[…, i, k] · b[…, k, j]."""
    build.title = "Matrix product"
    turned = len(a.shape) > 2 and len(b.shape) > 2 and a.shape[-1] > 2
    if turned:
        b = in_rows(build, b)
    out = build.axes()
    k = Var("k", a.shape[-1])
    rows = out.axes[: len(out.shape) - (len(b.shape) > 1)]
    i = rows[-1:] if len(a.shape) > 1 else ()
    j = out.axes[-1:] if len(b.shape) > 1 else ()
    batch = out.axes[: len(out.shape) - len(i) - len(j)]
    other = b.at(*_broadcast(b, 2, batch), *((*j, k) if turned else (k, *j)))
    reads = (a.at(*_broadcast(a, 2, batch), *i, k), other)
    return build.emit(out, Aggregate("SUMPRODUCT", reads, (k,)))


@rule("aten.addmm.default", "aten.baddbmm.default", kind="dense")
def addmm(build: Build, bias: Tensor, a: Tensor, b: Tensor, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """β · bias + α · a · b."""
    build.title = "Matrix product, added"
    out = build.axes()
    *batch, i, j = out.axes
    k = Var("k", a.shape[-1])
    total: Expr = Aggregate("SUMPRODUCT", (a.at(*batch, i, k), b.at(*batch, k, j)), (k,))
    added = operand(build, out, bias)
    total = total if alpha == 1 else alpha * total
    return build.emit(out, total + (added if beta == 1 else beta * added))


@rule("aten._trilinear.default", kind="bilinear")
def trilinear(build: Build, a: Tensor, weight: Tensor, b: Tensor, *options: Any) -> Tensor:
    """out[n, o] = Σ over i of a[n, i] · (Σ over j of weight[o, i, j] · b[n, j]), the inner sums in cells."""
    if [list(o) for o in options[:4]] != [[1, 3], [0], [1, 2], [2, 3]]:
        raise build.refuse("of sums of threefold products only that of a bilinear layer has a rule")
    outputs, left, right = weight.state_shape
    build.title = f"Bilinear {left} × {right} → {outputs}"
    weight = build.parameter(weight, weight.shape, "rows", b)
    flat = Operation("aten.reshape.default", (weight, [outputs * left, right]))
    shape = [a.shape[0], outputs, left]
    rows = Operation("aten.reshape.default", (Operation("aten.linear.default", (b, flat, None)), shape))
    j = Var("j", right)
    inner = build.step(
        "inner",
        shape,
        rows,
        lambda t: Aggregate("SUMPRODUCT", (weight.at(*t.axes[1:], j), b.at(t.axes[0], j)), (j,)),
    )
    out = build.axes()
    n, o = out.axes
    i = Var("i", left)
    return build.emit(out, Aggregate("SUMPRODUCT", (inner.at(n, o, i), a.at(n, i)), (i,)))


def _distance_paths(a: torch.Tensor, b: torch.Tensor, *_: Any) -> torch.Tensor:
    return a.sum(-1).unsqueeze(-1) + b.sum(-1).unsqueeze(-2)


@rule("aten._cdist_forward.default", kind="distance", linear=_distance_paths)
def distances(build: Build, a: Tensor, b: Tensor, order: float, *mode: Any) -> Tensor:
    """The distance of each row of a from each row of b: √Σ (a − b)², or Σ |a − b|; differences in cells."""
    if order not in (1, 2):
        raise build.refuse(f"distances of order {order:g} have no rule; 1 and 2 have")
    build.arguments = (a, b, float(order), 2)  # 2: by differences, not by products of matrices
    build.title = f"Distances of order {order:g}"
    apart = Operation(
        "aten.sub.Tensor",
        (Operation("aten.unsqueeze.default", (a, -2)), Operation("aten.unsqueeze.default", (b, -3))),
    )
    if order == 1:
        apart = Operation("aten.abs.default", (apart,))

    def difference(t: Tensor) -> Expr:
        *batch, p, r, k = t.axes
        lead = tuple(batch)
        found = a.at(*_broadcast(a, 2, lead), p, k) - b.at(*_broadcast(b, 2, lead), r, k)
        return call("ABS", found) if order == 1 else found

    apart_at = build.step("differences", [*build.shape, a.shape[-1]], apart, difference)
    out = build.axes()
    k = Var("k", a.shape[-1])
    read = apart_at.at(*out.axes, k)
    if order == 1:
        return build.emit(out, Aggregate("SUM", (read,), (k,)), signed=False)
    return build.emit(out, call("SQRT", Aggregate("SUMPRODUCT", (read, read), (k,))), signed=False)


def _broadcast(t: Tensor, own: int, batch: tuple[Var, ...]) -> list[Var | int]:
    """Indices of the leading axes of `t`, 0 where it is broadcast."""
    lead = t.shape[: max(0, len(t.shape) - own)]
    return [0 if size == 1 else v for size, v in zip(lead, batch[len(batch) - len(lead) :], strict=True)]


@example("linear after few planes", (1, 2, 4, 4))
def _folded() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 5), nn.ReLU(), nn.Linear(5, 3, bias=False))


@example("linear after many planes", (1, 10, 2, 2))
def _flattened() -> nn.Module:
    return nn.Sequential(nn.Conv2d(10, 12, 1), nn.Flatten(), nn.Linear(48, 4))


@example("linear on a sequence", (1, 5, 6))
def _sequence() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))


class _Gram(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.matmul(x, x.transpose(-1, -2)) @ x[0]


@example("matmul", (1, 4, 3))
def _matmul() -> nn.Module:
    return _Gram()


class _Added(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(x, x, x, alpha=0.5) + torch.addmm(x[0, 0], x[0], x[0], beta=2)


@example("products added", (1, 3, 3))
def _added() -> nn.Module:
    return _Added()


called("aten.mm.default", Given((2, 3)), Given((3, 4)))


class _Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pairs = nn.Bilinear(4, 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both: torch.Tensor = self.pairs(x, x[..., 1:] * 2)
        return both.sum() + torch.cdist(x, x[:, :2] * 2) + torch.cdist(x, x[:, :2] + 1, p=1)


@example("bilinear, distances", (1, 3, 4))
def _pairs() -> nn.Module:
    return _Pairs()
