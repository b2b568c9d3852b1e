"""Blocks of a sheet: formulas filled from one another (equal in relative form), and patches of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Source

At = tuple[int, int]


@dataclass(frozen=True)
class Block:
    """Cells that belong together: a map of formulas of one relative form, or a patch of typed numbers.

    `area` bounds them; `rows` and `columns` are those in use (pooled cells may stand in every second one).
    """

    area: Area
    cells: frozenset[At]
    form: str | None = None

    @property
    def rows(self) -> list[int]:
        """Sheet rows that hold a cell of the block."""
        return sorted({row for row, _ in self.cells})

    @property
    def columns(self) -> list[int]:
        """Sheet columns that hold a cell of the block."""
        return sorted({column for _, column in self.cells})

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns in use."""
        return len(self.rows), len(self.columns)


def number_blocks(source: Source, sheet: str) -> list[Block]:
    """Patches of typed numbers that touch along an edge."""
    extent = source.cells(sheet).extent
    if extent is None:
        return []
    formulas = source.formulas(sheet)
    values = source.cells(sheet).numbers(*extent)
    rows, columns = (values == values).nonzero()
    cells = {(int(r) + extent[0], int(c) + extent[1]) for r, c in zip(rows, columns, strict=True)}
    return [_block(sheet, part, None) for part in components(cells - formulas.keys(), reach=1)]


def components(cells: Iterable[At], reach: int) -> list[set[At]]:
    """Split cells into parts linked by steps of at most `reach` along a row or a column."""
    left = set(cells)
    steps = [(s * d, 0) for d in range(1, reach + 1) for s in (1, -1)]
    steps += [(0, step) for step, _ in steps]
    parts = []
    while left:
        part, frontier = set(), [left.pop()]
        while frontier:
            row, column = frontier.pop()
            part.add((row, column))
            for down, right in steps:
                at = row + down, column + right
                if at in left:
                    left.remove(at)
                    frontier.append(at)
        parts.append(part)
    return parts


def _block(sheet: str, cells: set[At], form: str | None) -> Block:
    rows, columns = [r for r, _ in cells], [c for _, c in cells]
    return Block(Area(sheet, min(rows), min(columns), max(rows), max(columns)), frozenset(cells), form)
