"""In a sum of products, which factor is the input and which the weight.

The formulas do not say. In a convolution, all cells of the map read the same weights while the window moves; in
a dense layer of several units, all read the same inputs while the weights change. Where a product has nothing
that moves, the input is what formulas compute, or what several maps read.
"""

from __future__ import annotations

import numpy as np

from sheetconv.inspect.recover.cells import Ids, Kind
from sheetconv.inspect.recover.reader import Formula, Reader
from sheetconv.inspect.recover.values import Unrecognised

_LARGEST_KERNEL = 121
Pair = tuple[Ids, Ids]


def split_products(pairs: list[Pair], formula: Formula, reader: Reader) -> tuple[list[Ids], list[Ids], bool]:
    """(inputs, weights, whether all cells share the weights), each a list of T arrays of n cells.

    Raises `Unrecognised` where both factors move with the cell.
    """
    if formula.count == 1:
        swap = _swap_single(pairs, reader)
        return [p[swap] for p in pairs], [p[1 - swap] for p in pairs], True
    still, moving = [], []
    for one, two in pairs:
        fixed = (one == one[0]).all(), (two == two[0]).all()
        if fixed[0] == fixed[1]:
            raise Unrecognised("both factors of its products move from cell to cell" if not fixed[0] else "")
        still.append(one if fixed[0] else two)
        moving.append(two if fixed[0] else one)
    if _still_is_input(still, moving, formula, reader):
        return still, moving, False
    return moving, still, True


def _still_is_input(still: list[Ids], moving: list[Ids], formula: Formula, reader: Reader) -> bool:
    """Whether the factors that stay are a dense layer's inputs (and those that move its weights)."""
    computed = _computed(still, reader), _computed(moving, reader)
    if computed[0] != computed[1]:
        return computed[0]
    ids = np.concatenate(moving)
    apart = len(np.unique(ids)) == len(ids)
    return apart and (len(moving) > _LARGEST_KERNEL or min(formula.shape) == 1)


def _swap_single(pairs: list[Pair], reader: Reader) -> int:
    """Which factor (0 or 1) of a single cell's products is the input."""
    sides = [np.concatenate([p[k] for p in pairs]) for k in (0, 1)]
    computed = [_computed([side], reader) for side in sides]
    if computed[0] != computed[1]:
        return int(computed[1])
    known = [float((reader.tensors.find(side)[0] >= 0).mean()) for side in sides]
    if known[0] != known[1]:
        return int(known[1] > known[0])
    read = [sum(reader.readers_of.get(int(i), 0) for i in side) for side in sides]
    return int(read[1] > read[0])


def _computed(ids: list[Ids], reader: Reader) -> bool:
    """Whether formulas compute most of the cells."""
    return bool((reader.cells.kinds(np.concatenate(ids)) == Kind.FORMULA).mean() > 0.5)


def typed_inputs(pairs: list[Pair], formula: Formula, reader: Reader) -> list[Ids]:
    """Cells that products read as input and that hold typed numbers; empty where roles cannot be told."""
    try:
        data, _, _ = split_products(pairs, formula, reader)
    except Unrecognised:
        return []
    ids = np.concatenate(data)
    return [ids[reader.cells.kinds(ids) == Kind.NUMBER]]
