"""Receptive fields in a workbook that someone else made: measured from its formulas, block by block.

Nothing says what the layers are, so a layer is a block of cells with one formula filled over it, and the image is the
patch of typed numbers, read in part by some formula, from which the longest chain of blocks leads on (a kernel is
read whole by every cell, and the last layer's weights lead nowhere but to the outputs). Size, jump and start are then measured from the pixels that each cell's references lead to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sheetconv.errors import UsageError, WorkbookError
from sheetconv.formulas.blocks import Block, number_blocks
from sheetconv.formulas.cell_range import Area, parse_area
from sheetconv.formulas.filled_blocks import all_grids
from sheetconv.formulas.source import Cell, Source
from sheetconv.formulas.syntax import Skeletons
from sheetconv.inspect.fields.boxes import Boxes, boxes_of
from sheetconv.inspect.fields.formulas import PixelSets
from sheetconv.inspect.fields.recurrence import Reach, line
from sheetconv.inspect.fields.report import FieldRow

_LONGEST_CHAIN = 200


@dataclass
class Measured:
    """A block of formulas with the boxes of its cells: `places` are their rows and columns within the block."""

    block: Block
    row: FieldRow
    cells: list[Cell]
    places: np.ndarray
    boxes: Boxes


@dataclass
class Foreign:
    """What was measured: where the image lies, and the blocks that depend on it, in order."""

    image: Area
    blocks: list[Measured]

    def block(self, text: str, sheets: list[str]) -> Measured:
        """The block that an address lies in; raises `UsageError`."""
        area = parse_area(text, sheets)
        for measured in self.blocks:
            if any((area.sheet, area.row0, area.column0) == cell for cell in measured.cells):
                return measured
        known = ", ".join(m.row.layer for m in self.blocks[:20])
        raise UsageError(
            f"{area} lies in no block of formulas that depends on {self.image}; there are {known}"
        )


def measure(path: Path, image: str | None = None) -> Foreign:
    """Measure every block of formulas of a workbook that depends on the image (an address; found when None).

    Raises `WorkbookError` where no image is found or nothing depends on it.
    """
    with Source(path) as source:
        blocks = [
            Block(g.area, frozenset(g.cells), g.skeleton.text) for g in all_grids(source, Skeletons(source))
        ]
        area = parse_area(image, source.sheets) if image else _image(source, blocks, path)
        pixels = [
            (area.sheet, r, c)
            for r in range(area.row0, area.row1 + 1)
            for c in range(area.column0, area.column1 + 1)
        ]
        sets = PixelSets(source, pixels)
        found = [m for block in blocks if (m := _measured(source, sets, block, area)) is not None]
    if not found:
        raise WorkbookError(f"{path}: no formula depends on {area}; name the image with --image")
    return Foreign(
        area, sorted(found, key=lambda m: (m.row.reaches[0].size * m.row.reaches[1].size, m.block.area))
    )


def _image(source: Source, blocks: list[Block], path: Path) -> Area:
    patches = [b.area for sheet in source.sheets for b in number_blocks(source, sheet)]
    reads = [_reads(source, block) for block in blocks]
    partly: set[Area] = set()
    for areas in reads:
        partly |= {p for p in patches for read in areas if (met := p.meet(read)) is not None and met != p}
    if not partly:
        raise WorkbookError(
            f"{path}: no patch of numbers looks like an image; name it with --image SHEET!A1:B9"
        )
    depth = _depths(blocks, reads)
    chain = {
        p: max(depth[k] for k, areas in enumerate(reads) if any(p.meet(read) for read in areas))
        for p in partly
    }
    return max(partly, key=lambda a: (chain[a], a.size))


def _reads(source: Source, block: Block) -> list[Area]:
    """What some cells of a block read: its first two and its last."""
    cells = sorted(block.cells)
    few = [*cells[:2], cells[-1]]
    return [area for at in few for area in source.precedents((block.area.sheet, *at)).areas]


def _depths(blocks: list[Block], reads: list[list[Area]]) -> list[int]:
    """For each block the number of blocks on the longest chain that starts with it (those on circles count once)."""
    readers = [
        [k for k, areas in enumerate(reads) if k != b and any(blocks[b].area.meet(a) for a in areas)]
        for b in range(len(blocks))
    ]
    depth = [1] * len(blocks)
    for _ in range(min(len(blocks), _LONGEST_CHAIN)):
        longer = [1 + max((depth[k] for k in found), default=0) for found in readers]
        if longer == depth:
            break
        depth = longer
    return depth


def _measured(source: Source, sets: PixelSets, block: Block, image: Area) -> Measured | None:
    at = np.array(sorted(block.cells), np.int64)
    lit = sets.lit(block.area.sheet, at[:, 0], at[:, 1])
    if not lit.any():
        return None
    shape = image.row1 - image.row0 + 1, image.column1 - image.column0 + 1
    boxes = boxes_of(lit, shape, (0, 1))
    places = np.stack([np.searchsorted(block.rows, at[:, 0]), np.searchsorted(block.columns, at[:, 1])], -1)
    reaches = tuple(_reach(axis, places[:, axis], boxes, shape[axis]) for axis in (0, 1))
    cells = [(block.area.sheet, int(r), int(c)) for r, c in at]
    formula = source.formula(cells[0]) or ""
    operator = formula if len(formula) <= 40 else formula[:39] + "…"
    return Measured(block, FieldRow(str(block.area), operator, block.shape, reaches), cells, places, boxes)


def _reach(axis: int, place: np.ndarray, boxes: Boxes, size: int) -> Reach:
    """Size, jump and start along one axis, from the cells whose fields no border cuts (the largest ones)."""
    count = int(place.max()) + 1
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(low, place, boxes.low[:, axis])
    np.maximum.at(high, place, boxes.high[:, axis])
    width = int((high - low + 1).max())
    whole = np.flatnonzero(high - low + 1 == width)
    centre = (low[whole] + high[whole]) / 2
    if (centre == centre[0]).all():
        jump: float | None = None
    else:
        found = line(centre) if (np.diff(whole) == 1).all() and len(whole) > 2 else None
        jump = found[0] if found else float((centre[-1] - centre[0]) / (whole[-1] - whole[0]))
    step = jump or 0.0
    off = centre - step * whole
    start = float(off.min() + off.max()) / 2
    own = axis if jump is not None else None
    interior = np.isin(np.arange(count), whole) if own is not None else np.ones(1, bool)
    return Reach(own, width, step or 1.0, start, float(np.abs(off - start).max()), interior)
