"""What-if data tables: a block of values that a program computes by trying inputs in one formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

from sheetconv.xlsx.a1 import Range, parse_cell, parse_range
from sheetconv.xlsx.address import cell, column_letters


class DataTable(NamedTuple):
    """A block, the cells that its inputs are tried in, and where inputs and formulas stand.

    With two inputs, the formula stands at the block's upper left corner, trial values above it and to its left.
    With one, the trial values stand above (`along_row`) or to the left, and formulas on the other side.
    """

    area: Range
    inputs: tuple[str, ...]
    along_row: bool

    @classmethod
    def read(cls, attributes: Mapping[str, str], at: str) -> Self:
        """From the attributes of ``<f t="dataTable">`` in the cell `at`."""
        both = attributes.get("dt2D") in ("1", "true")
        inputs = [attributes[name] for name in ("r1", "r2")[: 1 + both] if name in attributes]
        area = parse_range(attributes.get("ref", at))
        return cls(area, tuple(inputs), attributes.get("dtr") in ("1", "true"))

    def written(self) -> tuple[str, int, int]:
        """A formula for the block's first cell that reads what a cell of the block depends on, and its place.

        ``=TABLE(input, …, formula, trial value, …)``; filled over the block, it says the same of every cell.
        """
        row, column = self.area[:2]
        above, left = max(row - 1, 0), max(column - 1, 0)
        letters, number = f"{column_letters(column)}${above + 1}", f"${column_letters(left)}{row + 1}"
        if len(self.inputs) == 2:
            parts = [cell(above, left, absolute=True), letters, number]
        else:
            parts = [number, letters] if self.along_row else [letters, number]
        inputs = [cell(*parse_cell(text), absolute=True) for text in self.inputs]
        return f"=TABLE({','.join([*inputs, *parts])})", row, column
