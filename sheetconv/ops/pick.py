"""Elements chosen by number: fixed positions (rolled, flipped, indexed) and positions that stand in other cells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from sheetconv.graph.expr import Coefficient, Entry, Expr, Number, Read, Select
from sheetconv.graph.index import Constant, Index, Lookup, Var
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.registry import Build, Given, called, example, rule


@rule("aten.flip.default", kind="flip")
def flip(build: Build, x: Tensor, dims: Any) -> Tensor:
    """Some axes backwards."""
    turned = {d % len(x.shape) for d in dims}
    build.title = "Flip"
    return build.view(x, lambda *axes: [x.shape[d] - 1 - a if d in turned else a for d, a in enumerate(axes)])


@rule("aten.roll.default", kind="roll")
def roll(build: Build, x: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """Elements moved along axes; what leaves at one end comes in at the other."""
    build.title = "Roll"
    if not dims:
        return _flat(build, x, np.roll(np.arange(x.size).reshape(x.shape), shifts[0]))
    moved: dict[int, int] = {}
    for shift, d in zip(shifts, dims, strict=True):
        moved[d % len(x.shape)] = moved.get(d % len(x.shape), 0) + int(shift)
    out = build.axes()
    at = [(a - moved[d]) % a.size if d in moved else a for d, a in enumerate(out.axes)]
    return build.emit(out, x.at(*at), signed=x.signed)


def _flat(build: Build, x: Tensor, numbers: np.ndarray) -> Tensor:
    """Element `numbers[cell]` of `x` in C order."""
    out = build.axes()
    place: Index | int = 0
    for axis in out.axes:
        place = axis + place * axis.size
    flat = Lookup(numbers.reshape(-1).astype(np.int64), place if isinstance(place, Index) else Constant(0))
    at: list[Index] = []
    for size in reversed(x.shape):
        at.insert(0, flat % size)
        flat = flat // size  # type: ignore[assignment]
    return build.emit(out, x.at(*at), signed=x.signed)


def fixed(value: Any) -> np.ndarray | None:
    """The numbers of a constant tensor of whole numbers, or of a list; None where they are computed."""
    if isinstance(value, Tensor):
        known = value.kind == "parameter" and value.values is not None
        return np.asarray(value.values, dtype=np.int64).reshape(value.state_shape) if known else None
    return np.asarray(value, dtype=np.int64)


def _taken(x: torch.Tensor, numbers: Any, shape: Any) -> torch.Tensor:
    return x.reshape(-1)[torch.tensor(numbers, dtype=torch.int64)].reshape(shape)


@rule("take", kind="take", own=_taken)
def take(build: Build, x: Tensor, numbers: Any, shape: Any) -> Tensor:
    """Elements of x by their number in C order, as a tensor of `shape`."""
    build.title = build.title or "Chosen elements"
    return _flat(build, x, np.asarray(numbers, dtype=np.int64))


def picked(build: Build, x: Tensor, chosen: np.ndarray) -> Tensor:
    """`take` in the place of another operator whose positions are fixed."""
    build.several = False
    build.target, build.arguments = "take", (x, chosen.reshape(-1).tolist(), list(build.shape))
    return take(build, *build.arguments)


def _numbers(x: Tensor) -> torch.Tensor:
    return torch.arange(x.size).reshape(x.shape)


@rule("aten.as_strided.default", kind="take")
def as_strided(build: Build, x: Tensor, size: Any, stride: Any, offset: Any = None) -> Tensor:
    """Elements at even steps through what lies one after the other."""
    build.title = "Strided"
    chosen = torch.as_strided(_numbers(x), size, stride, offset or 0)
    return picked(build, x, chosen.numpy())


@rule("aten.unfold.default", "aten.diagonal.default", kind="take")
def torch_view(build: Build, x: Tensor, *options: Any) -> Tensor:
    """Windows one after the other; the diagonal."""
    name = build.target.split(".")[1]
    build.title = name.capitalize()
    chosen = getattr(torch.ops.aten, name).default(_numbers(x), *options)
    return picked(build, x, chosen.numpy())


@rule("aten.tril.default", "aten.triu.default", kind="triangle")
def triangle(build: Build, x: Tensor, diagonal: int = 0) -> Tensor:
    """What lies below (above) a diagonal; 0 elsewhere."""
    lower = "tril" in build.target
    build.title = "Lower triangle" if lower else "Upper triangle"
    out = build.axes()
    *_, i, j = out.axes
    kept = j < i + (diagonal + 1) if lower else j >= i + diagonal
    return build.emit(out, Select(kept, x.at(*out.axes), Number(0.0)), signed=x.signed)


# --- positions in other cells ---------------------------------------------------------------------------


def _row_paths(weight: torch.Tensor, indices: torch.Tensor, *_: Any) -> torch.Tensor:
    total = weight.sum(0) + indices.unsqueeze(-1)
    return total * 1


@rule("aten.embedding.default", kind="embedding", whole=(1,), linear=_row_paths)
def embedding(build: Build, weight: Tensor, indices: Tensor, *options: Any) -> Tensor:
    """The row of a table that a number chooses (counted from 0)."""
    build.title = f"Embedding of {weight.state_shape[0]}"
    out = build.axes()
    *lead, e = out.axes
    weight = build.parameter(weight, weight.shape, "rows", out)
    row = Var("r", weight.shape[0])
    return build.emit(out, Entry(weight.at(row, e), (row,), (indices.at(*lead) + 1,)))


# Rows of the largest bag: a formula names each of them.
_BAG = 60


def _bag_paths(weight: torch.Tensor, indices: torch.Tensor, offsets: Any, *_: Any) -> Any:
    starts = [int(s) for s in offsets]
    ends = [*starts[1:], len(indices)]
    sums = [indices[a:b].sum() for a, b in zip(starts, ends, strict=True)]
    return (weight.sum(0) + torch.stack(sums).unsqueeze(-1),)


@rule("aten._embedding_bag.default", kind="embedding", whole=(1, 2), linear=_bag_paths)
def embedding_bag(
    build: Build,
    weight: Tensor,
    indices: Tensor,
    offsets: Any,
    scale: bool = False,
    mode: int = 0,
    sparse: bool = False,
    factors: Any = None,
    last: bool = False,
    padding: int = -1,
) -> Tensor:
    """The sum (mode 0) or mean (mode 1) of the rows that numbers choose, bag by bag."""
    starts = fixed(offsets)
    if mode not in (0, 1) or factors is not None or padding >= 0 or starts is None or last or build.item:
        raise build.refuse(
            "a bag has a rule as a sum or a mean, with fixed bounds, no factors and no padding"
        )
    lengths = np.diff([*starts.tolist(), indices.size])
    if not 0 < lengths.max() <= _BAG:
        raise build.refuse(f"a bag of {lengths.max()} rows has no rule; {_BAG} have")
    build.title = f"{'Mean' if mode else 'Sum'} of bags, embedding of {weight.state_shape[0]}"
    build.arguments = (weight, indices, starts.tolist(), False, mode)
    out = build.axes()
    bag, e = out.axes
    weight = build.parameter(weight, weight.shape, "rows", out)
    row = Var("r", weight.shape[0])
    total: Expr | None = None
    for turn in range(int(lengths.max())):
        place = Lookup(np.minimum(starts + turn, indices.size - 1), bag)
        found: Expr = Entry(weight.at(row, e), (row,), (indices.at(place) + 1,))
        if turn >= lengths.min():
            found = Select(Lookup((lengths > turn).astype(np.int64), bag), found, Number(0.0))
        total = found if total is None else total + found
    assert total is not None
    if mode:
        total = total / Coefficient(np.maximum(lengths, 1).astype(np.float64), (bag,))
    return build.emit(out, total)


def entry(build: Build, x: Tensor, at: list[Index], dim: int, position: Expr) -> Expr:
    """The element of `x` at `at`, but along `dim` where `position` (counted from 0) says."""
    if x.shape[dim] == 1:
        return x.at(*at)
    if len(x.shape) > 2 and dim < len(x.shape) - 2:
        raise build.refuse("positions in cells along other axes than the last two have no rule")
    along = Var("r", x.shape[dim])
    at = [along if d == dim else a for d, a in enumerate(at)]
    return Entry(Read(x, tuple(at)), (along,), (position + 1,))


def _all_along(x: torch.Tensor, dim: int, indices: torch.Tensor, *_: Any) -> torch.Tensor:
    """Any element along the axis, and the position itself."""
    total = x.sum(dim, keepdim=True)
    if indices.dim() == x.dim():
        return total + indices
    shape = [1] * x.dim()
    shape[dim] = -1
    return total + indices.reshape(shape)


@rule("aten.index_select.default", kind="index", whole=(2,), linear=_all_along)
def index_select(build: Build, x: Tensor, dim: int, indices: Any) -> Tensor:
    """Positions along an axis by number."""
    dim %= len(x.shape)
    build.title = "Chosen positions"
    numbers = fixed(indices)
    if numbers is not None:
        chosen = np.take(np.arange(x.size).reshape(x.shape), numbers, dim)
        return picked(build, x, chosen)
    out = build.axes()
    return build.emit(out, entry(build, x, list(out.axes), dim, indices.at(out.axes[dim])))


@rule("aten.gather.default", kind="gather", whole=(2,), linear=_all_along)
def gather(build: Build, x: Tensor, dim: int, indices: Any, sparse: bool = False) -> Tensor:
    """Along one axis the element that a number chooses, for each cell."""
    dim %= len(x.shape)
    build.title = "Gathered"
    numbers = fixed(indices)
    if numbers is not None:
        places = _numbers(x).gather(dim, torch.from_numpy(numbers))
        return picked(build, x, places.numpy())
    out = build.axes()
    return build.emit(out, entry(build, x, list(out.axes), dim, indices.at(*out.axes)))


def _indexed(x: torch.Tensor, indices: Any) -> torch.Tensor:
    """Any element along the axis whose positions are live."""
    live = next(d for d, i in enumerate(indices) if isinstance(i, torch.Tensor))
    zeros = [None if i is None else torch.zeros_like(i, dtype=torch.int64) if isinstance(i, torch.Tensor)
             else torch.tensor(i) for i in indices]  # fmt: skip
    found = torch.ops.aten.index.Tensor(x.sum(live, keepdim=True), zeros)
    first = next(d for d, i in enumerate(indices) if i is not None)
    position = indices[live]
    after = x.dim() - first - sum(i is not None for i in indices)
    result: torch.Tensor = found + position.reshape(*position.shape, *(1,) * after)
    return result


@rule("aten.index.Tensor", "aten._unsafe_index.Tensor", kind="index", whole=(1,), linear=_indexed)
def index(build: Build, x: Tensor, indices: Any) -> Tensor:
    """x[i, :, j]: several axes by number; one of them may stand in cells."""
    build.title = "Indexed"
    numbers = [None if i is None else fixed(i) for i in indices]
    live = [d for d, i in enumerate(indices) if i is not None and numbers[d] is None]
    if not live:
        pairs = [slice(None) if n is None else torch.from_numpy(n) for n in numbers]
        return picked(build, x, _numbers(x)[tuple(pairs)].numpy())
    given = [d for d, i in enumerate(indices) if i is not None]
    if len(live) > 1 or given != list(range(given[0], given[0] + len(given))):
        raise build.refuse("positions in cells along several axes have no rule")
    return _live_index(build, x, indices, numbers, live[0], given)


def _live_index(
    build: Build, x: Tensor, indices: Any, numbers: list[Any], live: int, given: list[int]
) -> Tensor:
    build.target = "aten.index.Tensor"
    build.arguments = (x, [i if n is None else n.tolist() for i, n in zip(indices, numbers, strict=True)])
    common = np.broadcast_shapes(*(_shape_of(indices[d], numbers[d]) for d in given))
    out = build.axes()
    own = out.axes[given[0] : given[0] + len(common)]
    rest = iter([*out.axes[: given[0]], *out.axes[given[0] + len(common) :]])
    at: list[Index] = []
    for d in range(len(x.shape)):
        if d not in given:
            at.append(next(rest))
        elif d == live:
            at.append(Constant(0))
        else:
            table = np.broadcast_to(numbers[d], common).reshape(-1)
            place: Any = 0
            for axis in own:
                place = axis + place * axis.size
            at.append(Lookup(table.astype(np.int64), place) if len(table) > 1 else Constant(int(table[0])))
    position = indices[live]
    lead = len(common) - len(position.shape)
    where = [0 if s == 1 else a for s, a in zip(position.shape, own[lead:], strict=True)]
    return build.emit(out, entry(build, x, at, live, position.at(*where)))


def _shape_of(tensor: Any, numbers: Any) -> tuple[int, ...]:
    return tensor.shape if numbers is None else numbers.shape


class _Moved(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.flip(1) + x.roll(1, 2) + x.roll((1, -1), (1, 2)) + x.roll(5)
        z = y[:, [2, 0, 1, 1]] + y[:, :, [1, 0, 0]] + x.index_select(1, torch.tensor([3, 2, 1, 0]))
        z = z + x.gather(1, torch.tensor([[[1, 0, 0]] * 4])) + y.as_strided((1, 4, 3), (12, 1, 4))
        return z.tril() + z.triu(1) * 2 + torch.diagonal(x, dim1=1, dim2=2).sum() + x.unfold(1, 2, 1).sum()


@example("rolled, flipped, indexed", (1, 4, 3))
def _moved() -> nn.Module:
    return _Moved()


class _Bags(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sum, self.mean = nn.EmbeddingBag(5, 3, mode="sum"), nn.EmbeddingBag(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        numbers = (x.abs() * 2).to(torch.int64).clamp(0, 4)
        ragged: torch.Tensor = self.mean(numbers.reshape(-1), torch.tensor([0, 1, 1, 4]))
        rows: torch.Tensor = self.sum(numbers[0])
        return rows + ragged.sum(1)[:3, None] * ragged[:3, :1]


@example("bags of an embedding", (1, 3, 3))
def _bags() -> nn.Module:
    return _Bags()


class _Looked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        number = (x.abs() * 2).to(torch.int64).clamp(0, 2)
        rows: torch.Tensor = self.table(number[:, 0])
        line = rows + x.gather(2, number)[:, :3, :]
        chosen = line[torch.arange(1), number[:, 0, 0]]
        return line + chosen + line.index_select(1, number[0, 1]) + math.pi


@example("embedding, positions in cells", (1, 3, 3))
def _looked() -> nn.Module:
    return _Looked()


called("take", Given((2, 3)), [5, 0, 0, 2], [2, 2])
called("aten._unsafe_index.Tensor", Given((3, 2)), [[2, 0, 1]])
