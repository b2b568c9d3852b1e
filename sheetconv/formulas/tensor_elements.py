"""What a cell is called: in our workbooks the element of a tensor, elsewhere its address."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.naming import CellNames
from sheetconv.formulas.source import Cell, Source
from sheetconv.sheet.layout import Place

_WORDS = {"input": "pixel", "parameter": "weight", "activation": "activation"}


@dataclass(frozen=True)
class TensorElement:
    """A tensor's element: `index` without the batch axis where there is one; `role` is pixel, weight or activation."""

    layer: str
    tensor: str
    role: str
    index: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.tensor}[{','.join(map(str, self.index))}]"


class TensorElements:
    """The elements that cells of an open workbook hold, from its manifest (none without one)."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._tables: dict[int, dict[tuple[int, int], int]] = {}

    @cached_property
    def _boxes(self) -> list[tuple[Area, Place]]:
        return [(Area(p.sheet, *p.box()), p) for p in CellNames(self.source).places.values()]

    def element(self, cell: Cell) -> TensorElement | None:
        """The element in a cell; None for a cell of no tensor."""
        sheet, row, column = cell
        for number, (area, place) in enumerate(self._boxes):
            inside = area.row0 <= row <= area.row1 and area.column0 <= column <= area.column1
            if area.sheet == sheet and inside:
                flat = self._of(number, place).get((row, column))
                if flat is not None:
                    return _element(place, flat)
        return None

    def _of(self, number: int, place: Place) -> dict[tuple[int, int], int]:
        if number not in self._tables:
            rows, columns = (a.reshape(-1).tolist() for a in np.broadcast_arrays(*place.cells()))
            self._tables[number] = {at: k for k, at in enumerate(zip(rows, columns, strict=True))}
        return self._tables[number]


def _element(place: Place, flat: int) -> TensorElement:
    tensor = place.tensor
    index = tuple(int(i) for i in np.unravel_index(flat, tensor.shape or (1,)))
    batch = tensor.kind != "parameter" and len(index) > 1 and tensor.shape[0] == 1
    return TensorElement(tensor.layer, tensor.name, _WORDS[tensor.kind], index[1:] if batch else index)
