"""Dense layers and matrix products."""

from __future__ import annotations

import torch
from torch import nn

from sheetconv.graph.expr import Aggregate, Expr, Read
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.registry import Build, example, rule

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


@rule("aten.matmul.default", "aten.bmm.default", "aten.mm.default", kind="matmul")
def matmul(build: Build, a: Tensor, b: Tensor) -> Tensor:
    """out[…, i, j] = Σ over k of a[…, i, k] · b[…, k, j]."""
    build.title = "Matrix product"
    out = build.axes()
    k = Var("k", a.shape[-1])
    rows = out.axes[: len(out.shape) - (len(b.shape) > 1)]
    i = rows[-1:] if len(a.shape) > 1 else ()
    j = out.axes[-1:] if len(b.shape) > 1 else ()
    batch = out.axes[: len(out.shape) - len(i) - len(j)]
    reads = (a.at(*_broadcast(a, 2, batch), *i, k), b.at(*_broadcast(b, 2, batch), k, *j))
    return build.emit(out, Aggregate("SUMPRODUCT", reads, (k,)))


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
