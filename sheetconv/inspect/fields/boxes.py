"""The exact field of every unit: the smallest box of pixels around all that its formulas lead to.

Works on expressions and knows no layer: the box of a cell is the box around the boxes of the cells that it
reads. Padding has no cells, so boxes are clipped at the borders of the image, and of every map in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sheetconv.formulas.paths import reads
from sheetconv.graph.index import IntArray
from sheetconv.graph.tensor import Graph, Tensor

Box = tuple[tuple[int, int], ...]
"""First and last index along each axis of the image that a box spans: ``((row0, row1), (column0, column1))``."""


@dataclass(frozen=True)
class Boxes:
    """Boxes of all units of a tensor: `low` and `high` are (units, axes) first and last pixel numbers.

    Units count in C order; the axes are those of `spatial`. A unit that sees padding only has low > high.
    """

    low: IntArray
    high: IntArray

    def __getitem__(self, unit: int) -> Box | None:
        """The box of one unit, None where it sees no pixel."""
        if (self.low[unit] > self.high[unit]).any():
            return None
        return tuple((int(a), int(b)) for a, b in zip(self.low[unit], self.high[unit], strict=True))


def spatial(pixels: Tensor) -> tuple[int, ...]:
    """The axes of an input that are places: all behind the channels, or the features where there is no more."""
    return tuple(range(2, len(pixels.shape))) or (len(pixels.shape) - 1,)


def all_boxes(graph: Graph, pixels: Tensor, until: Tensor | None = None) -> dict[Tensor, Boxes]:
    """Boxes of the units of every tensor that the pixels can change, up to `until` where it is given."""
    axes = spatial(pixels)
    at = np.stack(np.unravel_index(np.arange(pixels.size), pixels.shape), -1)[:, axes]
    found = {pixels: Boxes(at, at)}
    far = np.iinfo(np.int64).max
    for tensor in graph:
        low, high = np.full((tensor.size, len(axes)), far), np.full((tensor.size, len(axes)), -1)
        sees = False
        for source, cells, read in reads(tensor) if tensor.kind == "activation" else ():
            if source in found:
                sees = True
                _widen(low, high, found[source], cells, read)
        if sees:
            found[tensor] = Boxes(low, high)
        if tensor is until:
            break
    del found[pixels]
    return found


def _widen(low: IntArray, high: IntArray, seen: Boxes, cells: IntArray, read: IntArray) -> None:
    """Let the boxes of `cells` (ascending) take in the boxes of the cells that they read."""
    if not len(cells):
        return
    first = np.flatnonzero(np.diff(cells, prepend=-1))
    at = cells[first]
    low[at] = np.minimum(low[at], np.minimum.reduceat(seen.low[read], first))
    high[at] = np.maximum(high[at], np.maximum.reduceat(seen.high[read], first))


def boxes_of(lit: np.ndarray, shape: tuple[int, ...], axes: tuple[int, ...]) -> Boxes:
    """Boxes around sets of pixels: `lit` is bool (units, pixels), `shape` that of the image with its batch axis."""
    units = len(lit)
    planes = lit.reshape(units, *shape)
    low, high = np.empty((units, len(axes)), np.int64), np.empty((units, len(axes)), np.int64)
    for k, axis in enumerate(axes):
        others = tuple(a + 1 for a in range(len(shape)) if a != axis)
        line = np.asarray(planes.any(others) if others else planes)
        seen = line.any(1)
        low[:, k] = np.where(seen, line.argmax(1), np.iinfo(np.int64).max)
        high[:, k] = np.where(seen, shape[axis] - 1 - line[:, ::-1].argmax(1), -1)
    return Boxes(low, high)


def text(box: Box | None) -> str:
    """A box in words: ``rows 0–5, columns 22–27``."""
    if box is None:
        return "no pixel, padding only"
    names = ("rows", "columns") if len(box) == 2 else ("positions",) * len(box)
    return ", ".join(f"{n} {a}–{b}" for n, (a, b) in zip(names, box, strict=True))
