"""From the cells that a map reads to windows over planes: stride, offsets, and what lies outside.

For cell (i, j) of a map, a window's element stands at row y = s·i + dy and column x = t·j + dx of a plane. The
offsets (dy, dx) and the strides (s, t) follow from the elements inside the plane; those outside must be blank
or zero, and outside is where the same law puts them. Whatever else they hold makes the cell doubtful.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sheetconv.inspect.recover.cells import CellKind, Cells, Ids
from sheetconv.inspect.recover.tensors import Tensors
from sheetconv.inspect.recover.values import Unrecognised

_MOST_DOUBTFUL = 0.25
Positions = np.ndarray
"""Lattice positions of a map's cells, shape (n, 2)."""


@dataclass(frozen=True)
class WindowElement:
    """One element of the window: where it reads, as tensor, channel and offset; `index` numbers the terms."""

    index: int
    tensor: int
    channel: int
    dy: int
    dx: int


@dataclass(frozen=True)
class Windows:
    """All elements, the stride, and which of the n cells read something else than zeros outside (n,)."""

    elements: list[WindowElement]
    stride: tuple[int, int]
    doubtful: np.ndarray

    def box(self) -> tuple[int, int, int, int]:
        """(lowest dy, lowest dx, highest dy, highest dx)."""
        dys, dxs = [e.dy for e in self.elements], [e.dx for e in self.elements]
        return min(dys), min(dxs), max(dys), max(dxs)


def windows(reads: list[Ids], positions: Positions, tensors: Tensors, cells: Cells) -> Windows:
    """Read the law of a map from its terms: `reads` has, for each term, the cell read by each of the n cells.

    Raises `Unrecognised` when there is none.
    """
    found = []
    strides: list[set[int]] = [set(), set()]
    for index, ids in enumerate(reads):
        owner, flat = tensors.find(ids)
        inside = owner >= 0
        if not inside.any():
            if not _empty(ids, cells).all():
                raise Unrecognised("it reads cells that belong to no map and no image")
            continue
        tensor = int(np.bincount(owner[inside]).argmax())
        held = tensors.all[tensor]
        if not held.spatial:
            raise Unrecognised("it reads windows of a tensor without planes")
        _, rows, columns = held.ids.shape
        channel, rest = np.divmod(flat, rows * columns)
        mine = owner == tensor
        common = int(np.bincount(channel[mine]).argmax())
        mine &= channel == common
        y, x = np.divmod(rest, columns)
        for axis, place in enumerate((y, x)):
            step = _step(positions[mine, axis], place[mine])
            if step is not None:
                strides[axis].add(step)
        found.append((index, tensor, common, mine, y, x))
    if not found:
        raise Unrecognised("it reads blank cells only")
    if len(strides[0]) > 1 or len(strides[1]) > 1:
        raise Unrecognised("its windows do not move evenly")
    stride = tuple(strides[k].pop() if strides[k] else 1 for k in (0, 1))
    doubtful = np.zeros(len(positions), bool)
    elements = []
    for index, tensor, common, mine, y, x in found:
        down, right = y - stride[0] * positions[:, 0], x - stride[1] * positions[:, 1]
        top, left = int(np.median(down[mine])), int(np.median(right[mine]))
        _, rows, columns = tensors.all[tensor].ids.shape
        predicted = stride[0] * positions[:, 0] + top, stride[1] * positions[:, 1] + left
        within = (predicted[0] >= 0) & (predicted[0] < rows) & (predicted[1] >= 0) & (predicted[1] < columns)
        wrong = np.where(mine, (down != top) | (right != left), within | ~_empty(reads[index], cells))
        doubtful |= wrong
        elements.append(WindowElement(index, tensor, common, top, left))
    if doubtful.mean() > _MOST_DOUBTFUL:
        raise Unrecognised("its windows do not follow one law")
    return Windows(elements, (stride[0], stride[1]), doubtful)


def _empty(ids: Ids, cells: Cells) -> np.ndarray:
    """Whether cells add nothing to a sum: blank, text or a typed zero."""
    kinds = cells.kinds(ids)
    return (kinds != CellKind.FORMULA) & (cells.values(ids) == 0)


def _step(position: np.ndarray, place: np.ndarray) -> int | None:
    """By how much the place grows per lattice step; None where all positions are one."""
    low, high = int(position.argmin()), int(position.argmax())
    span = int(position[high] - position[low])
    if not span:
        return None
    step, rest = divmod(int(place[high] - place[low]), span)
    if rest or step < 1:
        raise Unrecognised("its windows do not move evenly")
    return step
