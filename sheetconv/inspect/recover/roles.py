"""In a sum of products, which factor is the input and which the weight.

What formulas compute is the input and what is typed the weight. Where both are typed, the formulas do not say: in
a convolution, all cells of the map read the same weights while the window moves; in a dense layer of several
units, all read the same inputs while the weights change; where nothing moves, several maps read the input.
"""

from __future__ import annotations

import numpy as np

from sheetconv.inspect.recover.cells import CellKind, Ids
from sheetconv.inspect.recover.reader import Formula, SheetReader
from sheetconv.inspect.recover.values import Unrecognised

_LARGEST_KERNEL = 121
Pair = tuple[Ids, Ids]


def split_products(
    pairs: list[Pair], formula: Formula, reader: SheetReader
) -> tuple[list[Ids], list[Ids], bool]:
    """(inputs, weights, whether all cells share the weights), each a list of T arrays of n cells.

    Raises `Unrecognised` where formulas compute both factors, or where both move with the cell.
    """
    sides = [tuple(_computed(factor, reader) for factor in pair) for pair in pairs]
    if any(one and two for one, two in sides):
        raise Unrecognised("formulas compute both factors of its products")
    told = [pair[::-1] if side[1] else pair for pair, side in zip(pairs, sides, strict=True)]
    open_ = [k for k, (one, two) in enumerate(sides) if not (one or two)]
    if formula.count == 1:
        if open_:
            flips = [
                side[1] for side in sides if any(side)
            ]  # written in the same order as those that are told
            swap = sum(flips) * 2 > len(flips) if flips else _swap_single([told[k] for k in open_], reader)
            for k in open_:
                told[k] = told[k][::-1] if swap else told[k]
        return [p[0] for p in told], [p[1] for p in told], True
    fixed = [((one == one[0]).all(), (two == two[0]).all()) for one, two in told]
    if any(one == two for one, two in fixed):
        if any(not one and not two for one, two in fixed):
            raise Unrecognised("both factors of its products move from cell to cell")
        raise Unrecognised("")
    if open_ and _still_is_input([told[k] for k in open_], [fixed[k] for k in open_], formula, told, sides):
        told = [p if k not in open_ or fixed[k][0] else p[::-1] for k, p in enumerate(told)]
    else:
        told = [p if k not in open_ or fixed[k][1] else p[::-1] for k, p in enumerate(told)]
    weights_fixed = {bool((p[1] == p[1][0]).all()) for p in told}
    if len(weights_fixed) > 1:
        raise Unrecognised("some of its weights move from cell to cell, others stay")
    return [p[0] for p in told], [p[1] for p in told], weights_fixed.pop()


def _still_is_input(
    open_: list[Pair], fixed: list[tuple[bool, bool]], formula: Formula, told: list[Pair], sides: list[tuple]
) -> bool:
    """Whether, of typed factors, those that stay are a dense layer's inputs (and those that move its weights)."""
    known = [bool((p[0] == p[0][0]).all()) for p, side in zip(told, sides, strict=True) if any(side)]
    if known:  # as where one factor is computed
        return known[0]
    ids = np.concatenate([one if still[1] else two for (one, two), still in zip(open_, fixed, strict=True)])
    apart = len(np.unique(ids)) == len(ids)
    return apart and (len(open_) > _LARGEST_KERNEL or min(formula.shape) == 1)


def _swap_single(pairs: list[Pair], reader: SheetReader) -> bool:
    """Whether the second factor of a single cell's products, all typed, is the input."""
    sides = [np.concatenate([p[k] for p in pairs]) for k in (0, 1)]
    known = [float((reader.tensors.find(side)[0] >= 0).mean()) for side in sides]
    if known[0] != known[1]:
        return known[1] > known[0]
    read = [sum(reader.readers_of.get(int(i), 0) for i in side) for side in sides]
    return read[1] > read[0]


def _computed(ids: Ids, reader: SheetReader) -> bool:
    """Whether formulas compute the cells (or some of them, where a window reaches beyond a map)."""
    return bool((reader.cells.kinds(ids) == CellKind.FORMULA).any())


def typed_inputs(pairs: list[Pair], formula: Formula, reader: SheetReader) -> list[Ids]:
    """Cells that products read as input and that hold typed numbers; empty where roles cannot be told."""
    try:
        data, _, _ = split_products(pairs, formula, reader)
    except Unrecognised:
        data = _matrix_input(pairs, formula, reader)
    ids = np.concatenate(data) if data else np.empty(0, np.int64)
    return [ids[reader.cells.kinds(ids) == CellKind.NUMBER]]


def _matrix_input(pairs: list[Pair], formula: Formula, reader: SheetReader) -> list[Ids]:
    """Of two typed matrices multiplied, the one that several maps read, else the one whose rows are the product's."""
    if any(_computed(side, reader) for pair in pairs for side in pair):
        return []
    sides = [np.stack([p[k] for p in pairs], 1) for k in (0, 1)]
    read = [
        sum(reader.readers_of.get(int(i), 0) for i in np.unique(side)) / len(np.unique(side))
        for side in sides
    ]
    row = formula.positions[:, 0]
    by_row = [all((side[row == r] == side[row == r][0]).all() for r in np.unique(row)) for side in sides]
    which = int(read[1] > read[0]) if read[0] != read[1] else int(by_row[1] and not by_row[0])
    return [p[which] for p in pairs]
