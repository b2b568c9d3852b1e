"""Sets of cells as disjoint rectangles, in bulk: union, difference and count without touching single cells.

Symbols: `boxes` is an int64 array (n, 4) of (first row, first column, last row, last column), inclusive, all
on one sheet; *bands* are the strips of rows between any two edges of boxes, within which nothing changes.
A band is swept from left to right over the boxes' edges (the usual plane sweep), all bands at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from sheetconv.errors import LimitError

Boxes = np.ndarray
EMPTY: Boxes = np.empty((0, 4), np.int64)
_AT_ONCE = 2_000_000
_MOST_EDGES = 2_000_000_000
_COLUMN_BITS = 15


def size(boxes: Boxes) -> int:
    """Number of cells of disjoint boxes."""
    if not len(boxes):
        return 0
    return int(((boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)).sum())


def overlapping(boxes: Boxes, box: tuple[int, int, int, int]) -> Boxes:
    """Those boxes that meet the rectangle `box`."""
    if not len(boxes):
        return boxes
    r0, c0, r1, c1 = box
    hit = (boxes[:, 0] <= r1) & (boxes[:, 2] >= r0) & (boxes[:, 1] <= c1) & (boxes[:, 3] >= c0)
    return boxes[hit]


def clipped(boxes: Boxes, box: tuple[int, int, int, int]) -> Boxes:
    """The parts of boxes inside the rectangle `box`."""
    inside = overlapping(boxes, box)
    r0, c0, r1, c1 = box
    return np.concatenate(
        [np.maximum(inside[:, :2], np.array([r0, c0])), np.minimum(inside[:, 2:], np.array([r1, c1]))], 1
    )


def bounds(boxes: Boxes) -> tuple[int, int, int, int]:
    """The smallest rectangle around boxes (at least one)."""
    r0, c0 = (int(v) for v in boxes[:, :2].min(0))
    r1, c1 = (int(v) for v in boxes[:, 2:].max(0))
    return r0, c0, r1, c1


def union(boxes: Boxes) -> Boxes:
    """The same cells as disjoint boxes, in row order; equal runs of neighbouring rows are one box."""
    return difference(boxes, EMPTY)


def difference(boxes: Boxes, taken: Boxes) -> Boxes:
    """Cells of `boxes` (may overlap) that are not in `taken`, as disjoint boxes in row order.

    Raises `LimitError` where boxes overlap so irregularly that billions of pieces would be needed.
    """
    boxes = _merged(boxes)
    if len(boxes) and len(taken):
        taken = _merged(overlapping(taken, bounds(boxes)))
    if len(boxes) <= 1 and not len(taken):
        return boxes
    both = np.concatenate([boxes, taken])
    edges = np.unique(np.concatenate([both[:, 0], both[:, 2] + 1]))
    runs = list(_sweep(edges, both, len(boxes)))
    return _stacked(np.concatenate(runs), edges)


def from_keys(keys: np.ndarray) -> Boxes:
    """Cells given as ascending ``row * 2**14 + column`` as disjoint boxes: runs in a row, then downwards."""
    if not len(keys):
        return EMPTY
    keys = np.asarray(keys, np.int64)
    rows, columns = keys >> 14, keys & 16383
    breaks = np.flatnonzero((np.diff(keys) != 1) | (np.diff(rows) != 0)) + 1
    first, last = np.concatenate([[0], breaks]), np.concatenate([breaks, [len(keys)]]) - 1
    edges, band = np.unique(rows[first], return_inverse=True)
    runs = np.stack([band.reshape(-1), columns[first], columns[last] + 1], 1)
    return _stacked(runs, edges, edges + 1)


def _merged(boxes: Boxes) -> Boxes:
    """Fewer boxes with the same union: those of equal columns joined along rows, of equal rows along columns."""
    for _ in range(2):
        before = len(boxes)
        if before <= 1:
            return boxes
        boxes = _joined(_joined(boxes, (1, 3, 0, 2)), (0, 2, 1, 3))
        if len(boxes) == before:
            break
    return boxes


def _joined(boxes: Boxes, order: tuple[int, int, int, int]) -> Boxes:
    """Union of intervals (last two of `order`) among boxes that are equal in the first two."""
    a, b, low, high = (boxes[:, i] for i in order)
    rank = np.lexsort((high, low, b, a))
    a, b, low, high = a[rank], b[rank], low[rank], high[rank]
    fresh = np.concatenate([[True], (a[1:] != a[:-1]) | (b[1:] != b[:-1])])
    group = np.cumsum(fresh)
    reach = np.maximum.accumulate(high + (group << 21)) - (group << 21)  # the highest end so far, per group
    start = fresh.copy()
    start[1:] |= low[1:] > reach[:-1] + 1
    first = np.flatnonzero(start)
    last = np.concatenate([first[1:], [len(a)]]) - 1
    joined = np.empty((len(first), 4), np.int64)
    for column, values in zip(order, (a[first], b[first], low[first], reach[last]), strict=True):
        joined[:, column] = values
    return joined


def _sweep(edges: np.ndarray, both: Boxes, positive: int) -> Iterator[np.ndarray]:
    """Runs (band, first column, column behind) of cells in the first `positive` boxes and in no other."""
    start = np.searchsorted(edges, both[:, 0])
    count = np.searchsorted(edges, both[:, 2] + 1) - start
    if count.sum() > _MOST_EDGES:
        raise LimitError(
            "these references overlap too irregularly to be put together; ask for fewer --levels"
        )
    weight = np.where(np.arange(len(both)) < positive, 1, 1 << 32)
    if count.sum() <= _AT_ONCE:
        yield _runs(both, weight, start, count)
        return
    order = np.argsort(start, kind="stable")
    load = (
        np.bincount(start, minlength=len(edges)) - np.bincount(start + count, minlength=len(edges) + 1)[:-1]
    )
    cuts = np.flatnonzero(np.diff(np.cumsum(np.cumsum(load)) // _AT_ONCE)) + 1
    for low, high in pairwise([0, *cuts.tolist(), len(edges)]):
        behind = int(np.searchsorted(start[order], high))
        part = order[:behind][(start + count)[order[:behind]] > low]
        first = np.maximum(start[part], low)
        yield _runs(both[part], weight[part], first, np.minimum((start + count)[part], high) - first)


def _runs(both: Boxes, weight: np.ndarray, start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The sweep itself: at each edge of a box the cover changes; runs lie where only wanted boxes cover."""
    which = np.repeat(np.arange(len(both)), count)
    band = start[which] + np.arange(len(which)) - (np.cumsum(count) - count)[which]
    at = np.concatenate(
        [(band << _COLUMN_BITS) | both[which, 1], (band << _COLUMN_BITS) | (both[which, 3] + 1)]
    )
    change = np.concatenate([weight[which], -weight[which]])
    order = np.argsort(at, kind="stable")
    at, cover = at[order], np.cumsum(change[order])
    last = np.concatenate([at[1:] != at[:-1], [True]])
    at, cover = at[last], cover[last]
    inside = (cover > 0) & (cover < 1 << 32)
    edge = np.flatnonzero(np.diff(np.concatenate([[False], inside]).astype(np.int8)))
    first, behind = edge[0::2], edge[1::2]
    mask = (1 << _COLUMN_BITS) - 1
    return np.stack([at[first] >> _COLUMN_BITS, at[first] & mask, at[behind] & mask], 1)


def _stacked(runs: np.ndarray, tops: np.ndarray, ends: np.ndarray | None = None) -> Boxes:
    """Runs of bands as boxes; a run goes on in the band below where that follows at once.

    `tops` are the first rows of the bands, `ends` the rows behind them (default: the next band's first).
    """
    if not len(runs):
        return EMPTY
    behind = np.append(tops[1:], tops[-1] + 1) if ends is None else ends
    order = np.lexsort((runs[:, 0], runs[:, 2], runs[:, 1]))
    band, left, right = runs[order].T
    goes_on = (left[1:] == left[:-1]) & (right[1:] == right[:-1]) & (tops[band[1:]] == behind[band[:-1]])
    first = np.flatnonzero(np.concatenate([[True], ~goes_on]))
    last = np.append(first[1:], len(band)) - 1
    boxes = np.stack([tops[band[first]], left[first], behind[band[last]] - 1, right[first] - 1], 1)
    return boxes[np.lexsort((boxes[:, 1], boxes[:, 0]))]
