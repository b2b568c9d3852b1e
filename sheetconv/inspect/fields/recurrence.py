"""Size, jump and start of receptive fields, layer by layer (Dumoulin and Visin, 2016; Araujo et al., 2019).

Along one axis, output o reads the positions s·o + low … s·o + high of the layer before it. Stride s and window are
read off the index expression of the layer's formula, so no operator is named here, and a dilated, transposed or
resampling layer is no special case (upsampling has a stride below 1). With them

    size += (high − low)·jump      start += (low + high)/2·jump      jump ×= s

in pixels. Where a layer reads different windows in turn (upsampling by 2: each cell twice), no single line fits;
`slack` then says how far, at most, a unit's true box may lie off size and start. It is 0 for regular layers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sheetconv.graph.expr import Aggregate, Entry, Expr, Read, precedents, walk
from sheetconv.graph.index import IntArray, Var, grid
from sheetconv.graph.tensor import Graph, Tensor
from sheetconv.inspect.fields.boxes import spatial

_LONGEST_PERIOD = 8
_BEYOND = 16
_EXACT = 1e-9


@dataclass(frozen=True)
class Window:
    """What one layer reads along one axis: `size` positions (1 + high − low), `stride`, and `padding` before the first."""

    size: float
    stride: float
    padding: int


@dataclass(frozen=True)
class Reach:
    """Receptive fields along one axis of the image, in pixels.

    Attributes:
        axis: the tensor's own axis that moves the field; None when every unit has the same field.
        uneven: units do not follow one another in even steps along one axis (a flattened map): `size` and `start`
            are then those of all units' fields together, and `jump` means nothing.
        size, jump, start: width of a field, step from unit to unit, centre of the first unit's field.
        slack: how far a box may lie off these (0 where they are exact).
        interior: bool per position of `axis` (one entry if None): whether the field is cut by no border.
        window: what the layer itself reads.
    """

    axis: int | None
    size: float
    jump: float
    start: float
    slack: float
    interior: np.ndarray
    window: Window | None = None
    uneven: bool = False

    def ideal(self, position: int) -> tuple[float, float]:
        """First and last pixel of a unit's field where no border cuts it."""
        centre = self.start + self.jump * position
        return centre - (self.size - 1) / 2, centre + (self.size - 1) / 2

    def together(self) -> tuple[float, float]:
        """First and last pixel of the fields of all units together, uncut."""
        ends = (0, 0) if self.axis is None or self.uneven else (0, len(self.interior) - 1)
        return self.ideal(ends[0])[0], self.ideal(ends[1])[1]


Reaches = tuple[Reach, ...]
"""One for each axis of the image."""


def recurrence(graph: Graph, pixels: Tensor) -> dict[Tensor, Reaches]:
    """Reaches of every tensor that the pixels can change, in order."""
    axes = spatial(pixels)
    found: dict[Tensor, Reaches] = {
        pixels: tuple(Reach(a, 1, 1, 0, 0, np.ones(pixels.shape[a], bool)) for a in axes)
    }
    for tensor in graph:
        if tensor.kind == "activation" and tensor.expr is not None:
            reads = _Reads(tensor, tensor.expr)
            sources = [t for t in reads.tensors if t in found]
            if sources:
                found[tensor] = tuple(
                    _join([_step(reads, t, found[t][k]) for t in sources]) for k in range(len(axes))
                )
    del found[pixels]
    return found


class _Reads:
    """The reads of a tensor's formula: their indices, and the coordinates along one axis of a cross of cells."""

    def __init__(self, tensor: Tensor, expr: Expr) -> None:
        self.tensor, self.expr = tensor, expr
        self.found: dict[Tensor, list[tuple[Read, tuple[Var, ...]]]] = {}
        over = {id(o): e.over for e in walk(expr) if isinstance(e, Aggregate) for o in e.operands}
        over |= {id(e.range): e.over for e in walk(expr) if isinstance(e, Entry)}
        for e in walk(expr):
            if isinstance(e, Read) and e.tensor.kind != "parameter":
                self.found.setdefault(e.tensor, []).append((e, over.get(id(e), ())))

    @property
    def tensors(self) -> list[Tensor]:
        return list(self.found)

    def moved_by(self, source: Tensor, axis: int) -> list[int]:
        """Own axes that a position along `axis` of the source depends on."""
        variables = frozenset().union(*(read.at[axis].variables() for read, _ in self.found[source]))
        return [m for m, v in enumerate(self.tensor.axes) if v in variables and v.size > 1] or [
            m for m, v in enumerate(self.tensor.axes) if v in variables
        ]

    def span(self, source: Tensor, axis: int, own: int | None) -> tuple[IntArray, IntArray, IntArray]:
        """Positions along `own` that read the source, and the first and last that they read along `axis`."""
        shape = self.tensor.shape
        middle = [np.array([s // 2]) if d != own and d > 1 else np.arange(s) for d, s in enumerate(shape)]
        env = dict(
            zip(self.tensor.axes, (a.reshape(-1) for a in np.meshgrid(*middle, indexing="ij")), strict=True)
        )
        position = env[self.tensor.axes[own]] if own is not None else np.zeros(1, np.int64)
        n = shape[own] if own is not None else 1
        low, high = np.full(n, np.iinfo(np.int64).max), np.full(n, np.iinfo(np.int64).min)
        for tensor, cells, at in precedents(self.expr, env):
            if tensor is source and len(cells):
                place = position[cells] if own is not None else np.zeros(len(cells), np.int64)
                np.minimum.at(low, place, at[:, axis])
                np.maximum.at(high, place, at[:, axis])
        defined = np.flatnonzero(low <= high)
        return defined, low[defined], high[defined]

    def beyond(self, source: Tensor, axis: int, own: int) -> float | None:
        """Stride of a layer with so few units that they do not show it: its index, continued past the last."""
        variable = self.tensor.axes[own]
        low, high = np.full(_BEYOND, np.inf), np.full(_BEYOND, -np.inf)
        for read, over in self.found[source]:
            env = {v: np.zeros((1, 1), np.int64) for v in self.tensor.axes}
            env |= {v: a[None] for v, a in grid(over).items()} | {variable: np.arange(_BEYOND)[:, None]}
            try:
                at = read.at[axis].evaluate(env)
            except IndexError:  # a table for the positions that exist
                return None
            low, high = np.minimum(low, at.min(-1)), np.maximum(high, at.max(-1))
        found = line((low + high) / 2)
        return None if found is None else found[0]


def _step(reads: _Reads, source: Tensor, before: Reach) -> Reach:
    """The reach of a tensor through one source."""
    if before.uneven:
        whole = not any(
            reads.moved_by(source, axis) for axis in range(len(source.shape)) if source.shape[axis] > 1
        )
        return replace(_uneven(before), uneven=not whole)
    if before.axis is None:
        return replace(before, window=None)
    own = reads.moved_by(source, before.axis)
    at, low, high = reads.span(source, before.axis, own[0] if own else None)
    if len(own) > 1 or not len(at):
        return _uneven(before)
    if not own:
        return _whole(before, int(low[0]), int(high[0]))
    return _moving(reads, source, before, own[0], at, low, high)


def _uneven(before: Reach) -> Reach:
    low, high = before.together()
    size, start = high - low + 1, (low + high) / 2
    return Reach(None, size, before.jump, start, before.slack, np.zeros(1, bool), uneven=True)


def _whole(before: Reach, low: int, high: int) -> Reach:
    inside = low >= 0 and high < len(before.interior)
    interior = np.array([inside and bool(before.interior[low : high + 1].all())])
    window = Window(high - low + 1, 0, max(0, -low))
    size, start = before.size + (high - low) * before.jump, before.start + (low + high) / 2 * before.jump
    return Reach(None, size, before.jump, start, before.slack, interior, window)


def _moving(
    reads: _Reads, source: Tensor, before: Reach, own: int, at: IntArray, low: IntArray, high: IntArray
) -> Reach:
    n, count = len(before.interior), reads.tensor.shape[own]
    found = line((low + high) / 2) if len(at) > 3 else None
    if found is None:
        stride = reads.beyond(source, before.axis or 0, own) or n / count
        regular = np.ones(len(at), bool)
    else:
        stride, regular = found
    residue = np.stack([low - stride * at, high - stride * at])
    inner = residue[:, regular]
    span = float((high - low)[regular].max())
    middle = inner.mean(0)
    offset = float(middle.min() + middle.max()) / 2
    off = residue - np.array([[offset - span / 2], [offset + span / 2]])
    # by how much a usual window differs from the line, and by how much any window (at a border, say) leaves it
    slack = float(max(np.abs(off[:, regular]).max(), -off[0].min(), off[1].max()))
    if not stride or np.abs(residue.mean(0) - offset).max() > max(4, n / 2):
        return _uneven(before)
    usual = (
        (residue >= inner.min(1, keepdims=True) - _EXACT) & (residue <= inner.max(1, keepdims=True) + _EXACT)
    ).all(0)
    interior = np.zeros(count, bool)
    for o, a, b in zip(at[usual], low[usual], high[usual], strict=True):
        interior[o] = a >= 0 and b < n and before.interior[a : b + 1].all()
    window = Window(span + 1, stride, max(0, int(span / 2 - offset + _EXACT)))
    return Reach(
        own,
        before.size + span * before.jump,
        before.jump * stride,
        before.start + offset * before.jump,
        before.slack + slack * before.jump if slack > _EXACT else before.slack,
        interior,
        window,
    )


def line(centre: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Slope of centres (n,) of windows that repeat after a few units, and which units lie in the middle part that shows it."""
    for period in range(1, min(_LONGEST_PERIOD, len(centre) - 1) + 1):
        steps = centre[period:] - centre[:-period]
        first, last = len(steps) // 4, max(len(steps) // 4 + 1, -(-3 * len(steps) // 4))
        part = steps[first:last]
        if len(part) >= min(period, 2) and (part == part[0]).all():
            regular = np.zeros(len(centre), bool)
            regular[first : last + period] = True
            return float(part[0]) / period, regular
    return None


def _join(reaches: list[Reach]) -> Reach:
    """The field of a layer that reads several: from the lowest edge to the highest, where they step together."""
    widest = max(reaches, key=lambda r: r.size)
    if len(reaches) == 1:
        return widest
    low, high = min(r.together()[0] for r in reaches), max(r.together()[1] for r in reaches)
    slack = max(r.slack for r in reaches)
    if widest.axis is None and not widest.uneven and (low, high) == widest.together():
        return replace(widest, slack=slack)  # one part sees in every unit all that the others see
    if any(r.uneven for r in reaches) or len({(r.axis, round(r.jump, 9)) for r in reaches}) > 1:
        return replace(_uneven(widest), size=high - low + 1, start=(low + high) / 2, slack=slack)
    low, high = min(r.ideal(0)[0] for r in reaches), max(r.ideal(0)[1] for r in reaches)
    interior = np.logical_and.reduce([r.interior for r in reaches])
    return replace(widest, size=high - low + 1, start=(low + high) / 2, slack=slack, interior=interior)
