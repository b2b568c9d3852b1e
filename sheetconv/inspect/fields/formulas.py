"""Which pixels a cell's number comes from, by the formulas that are in the file and nothing else.

Every formula cell gets the set of pixels that its references lead to, directly or through other formulas. Sets are
bit patterns, one row of bytes for each cell; cells are taken in the order in which they can be computed, with an
explicit stack. No formula is run and no manifest is asked: only where the pixels lie must be known.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sheetconv.errors import LimitError, WorkbookError
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Cell, Source
from sheetconv.graph.index import IntArray

MOST_CELLS = 40_000_000
MOST_BYTES = 2_000_000_000
_NOTHING, _WAITING, _OPEN = 0, -1, -2


class PixelSets:
    """Sets of pixels of the cells of an open workbook.

    `pixels` are the image's cells in order, each (sheet, row, column). Raises `LimitError` for workbooks too large
    to keep the sets of, `WorkbookError` where formulas depend on themselves.
    """

    def __init__(self, source: Source, pixels: list[Cell]) -> None:
        self.source, self.count = source, len(pixels)
        self.width = -(-len(pixels) // 8)
        self.rows: dict[
            str, np.ndarray
        ] = {}  # of each sheet's cells: row of `sets`, or one of the marks above
        self.sets = np.zeros((len(pixels) + 1, self.width), np.uint8)  # row 0: no pixel
        self.used = len(pixels) + 1
        self.sets[1:] = np.packbits(np.eye(len(pixels), dtype=bool), axis=1)
        for number, (sheet, row, column) in enumerate(pixels):
            grid = self._grid(sheet)
            if row < grid.shape[0] and column < grid.shape[1]:
                grid[row, column] = number + 1

    def lit(self, sheet: str, rows: IntArray, columns: IntArray) -> np.ndarray:
        """Bool (cells, pixels): which pixels lead to each of the cells."""
        grid = self._grid(sheet)
        self._settle((sheet, int(r), int(c)) for r, c in zip(rows, columns, strict=True))
        inside = (rows < grid.shape[0]) & (columns < grid.shape[1])
        which = np.where(inside, grid[np.where(inside, rows, 0), np.where(inside, columns, 0)], _NOTHING)
        return np.unpackbits(self.sets[which], axis=1, count=self.count).astype(bool)

    def _grid(self, sheet: str) -> np.ndarray:
        if sheet not in self.rows:
            extent = self.source.cells(sheet).extent or (0, 0, 0, 0)
            formulas = self.source.formulas(sheet)
            height = max(extent[2], *(r for r, _ in formulas), 0) + 1 if formulas else extent[2] + 1
            width = max(extent[3], *(c for _, c in formulas), 0) + 1 if formulas else extent[3] + 1
            if height * width > MOST_CELLS:
                raise LimitError(
                    f"sheet {sheet!r} spans {height:,}×{width:,} cells; too large to prove fields in"
                )
            grid = np.zeros((height, width), np.int32)
            for row, column in formulas:
                grid[row, column] = _WAITING
            self.rows[sheet] = grid
        return self.rows[sheet]

    def _settle(self, cells: Iterable[Cell]) -> None:
        """Find the sets of cells and of all formulas that they depend on."""
        for start in cells:
            grid = self._grid(start[0])
            if start[1] >= grid.shape[0] or start[2] >= grid.shape[1] or grid[start[1:]] != _WAITING:
                continue
            stack = [start]
            opened: dict[Cell, list[tuple[Area, np.ndarray]]] = {}
            while stack:
                cell = stack[-1]
                mark = self._grid(cell[0])[cell[1:]]
                if mark not in (_WAITING, _OPEN):
                    stack.pop()
                    continue
                blocks = opened.pop(cell, None) or self._blocks(cell)
                waiting = _unsettled(blocks)
                if not waiting:
                    self._close(cell, blocks)
                    stack.pop()
                elif mark == _OPEN and any(self._grid(c[0])[c[1:]] == _OPEN for c in waiting):
                    raise WorkbookError(
                        f"{Area(*cell, *cell[1:])} depends on itself; a circular sum has no field"
                    )
                else:
                    self._grid(cell[0])[cell[1:]] = _OPEN
                    opened[cell] = blocks
                    stack += waiting

    def _blocks(self, cell: Cell) -> list[tuple[Area, np.ndarray]]:
        found = []
        for area in self.source.precedents(cell).areas:
            grid = self._grid(area.sheet)
            block = grid[area.row0 : area.row1 + 1, area.column0 : area.column1 + 1]
            if block.size:
                found.append((area, block))
        return found

    def _close(self, cell: Cell, blocks: list[tuple[Area, np.ndarray]]) -> None:
        which = [block.reshape(-1) for _, block in blocks]
        read = np.unique(np.concatenate(which)) if which else np.zeros(0, np.int32)
        read = read[read > 0]
        grid = self._grid(cell[0])
        if len(read) < 2:
            grid[cell[1:]] = read[0] if len(read) else _NOTHING
            return
        if self.used == len(self.sets):
            if self.sets.nbytes > MOST_BYTES:
                raise LimitError("this workbook has too many formulas to prove every field; choose a --layer")
            self.sets = np.concatenate([self.sets, np.zeros_like(self.sets)])
        self.sets[self.used] = np.bitwise_or.reduce(self.sets[read])
        grid[cell[1:]] = self.used
        self.used += 1


def _unsettled(blocks: list[tuple[Area, np.ndarray]]) -> list[Cell]:
    """The formula cells among those read whose sets are not known yet."""
    waiting = []
    for area, block in blocks:
        if block.min() < 0:
            rows, columns = np.nonzero(block < 0)
            waiting += [
                (area.sheet, area.row0 + int(r), area.column0 + int(c))
                for r, c in zip(rows, columns, strict=True)
            ]
    return waiting
