"""What recognisers share: the formulas of a workbook in normal form, its cells, and the tensors found so far."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sheetconv.formulas.filled_blocks import FilledBlock
from sheetconv.inspect.recover.cells import Cells, Ids
from sheetconv.inspect.recover.tensors import RecoveredLayer, RecoveredTensor, Tensors
from sheetconv.inspect.recover.values import Poly, single


@dataclass(eq=False)
class Formula:
    """A map of formulas.

    Attributes:
        grid: its cells.
        poly: what they compute.
        ids: the cells that follow the map's formula, shape (n,).
        positions: their lattice positions, shape (n, 2).
        lattice: all cells of the map, those included that were changed by hand, shape (H, W).
    """

    grid: FilledBlock
    poly: Poly
    ids: Ids
    positions: np.ndarray
    lattice: Ids

    @property
    def count(self) -> int:
        """Number n of cells."""
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.lattice.shape[0], self.lattice.shape[1]


def formula(grid: FilledBlock, poly: Poly, cells: Cells) -> Formula:
    """Number the cells of a map."""
    ids = np.array([cells.number(grid.sheet, *at) for at in grid.cells], np.int64)
    positions = np.array(list(grid.cells.values()), np.int64)
    rows, columns = grid.shape
    _, row, column, _, _ = grid.area
    down, right = grid.pitch
    lattice = np.array(
        [
            [cells.number(grid.sheet, row + i * down, column + j * right) for j in range(columns)]
            for i in range(rows)
        ],
        np.int64,
    )
    return Formula(grid, poly, ids, positions, lattice)


def apart(one: Formula) -> list[Formula]:
    """The same cells as maps of one cell each."""
    here = np.zeros((1, 2), np.int64)
    return [
        Formula(one.grid, single(one.poly, k), one.ids[k : k + 1], here, one.ids[k : k + 1].reshape(1, 1))
        for k in range(one.count)
    ]


@dataclass(eq=False)
class Match:
    """A formula recognised: formulas with equal keys are channels or units of one layer.

    `build` makes the layer and its cells, (C, H, W) or (U,), of all that share the key.
    """

    formula: Formula
    key: Hashable
    data: Any
    build: Callable[[list[Match], SheetReader], tuple[Ids, RecoveredLayer]]


@dataclass(eq=False)
class SheetReader:
    """State of reading a workbook back."""

    cells: Cells
    tensors: Tensors
    readers_of: dict[int, int]
    """For each cell that is a factor of products: how many maps read it."""

    def tensor(self, index: int) -> RecoveredTensor:
        """A tensor by its number."""
        return self.tensors.all[index]


def per_cell(ids: Ids, count: int) -> Ids:
    """A factor's cells as (n,), also where an array formula gave one for all."""
    return np.broadcast_to(ids, (count,)) if ids.shape != (count,) else ids


def joined(inputs: list[RecoveredTensor]) -> tuple[str, list[int], tuple[int, int]]:
    """One tensor of planes from several: the expression, each input's first channel, and (H, W).

    Smaller planes are filled up with zeros below and at the right.
    """
    rows, columns = max(t.ids.shape[1] for t in inputs), max(t.ids.shape[2] for t in inputs)
    parts, offsets, at = [], [], 0
    for index, tensor in enumerate(inputs):
        offsets.append(at)
        at += tensor.ids.shape[0]
        below, right = rows - tensor.ids.shape[1], columns - tensor.ids.shape[2]
        parts.append(f"F.pad({{{index}}}, (0, {right}, 0, {below}))" if below or right else f"{{{index}}}")
    return (parts[0] if len(parts) == 1 else f"torch.cat([{', '.join(parts)}], 1)"), offsets, (rows, columns)


def flattened(inputs: list[RecoveredTensor]) -> tuple[str, list[int]]:
    """One vector from several tensors: the expression, and where each starts."""
    parts, offsets, at = [], [], 0
    for index, tensor in enumerate(inputs):
        offsets.append(at)
        at += tensor.ids.size
        parts.append(f"{{{index}}}.flatten(1)" if tensor.spatial else f"{{{index}}}")
    return (parts[0] if len(parts) == 1 else f"torch.cat([{', '.join(parts)}], 1)"), offsets


def planes(matches: list[Match]) -> Ids:
    """Lattices of the maps as planes, (C, H, W)."""
    return np.stack([m.formula.lattice for m in matches])


def vector(matches: list[Match]) -> Ids:
    """Cells of the maps as one vector, (U,)."""
    return np.concatenate([m.formula.ids for m in matches])


def size(pair: tuple[int, int]) -> str:
    """(3, 3) → "3", (3, 5) → "(3, 5)": as torch's layers take it."""
    return str(pair[0]) if pair[0] == pair[1] else f"({pair[0]}, {pair[1]})"
