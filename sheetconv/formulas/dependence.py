"""Which cells of a block depend on other cells of the same block: layers side by side, or steps over time.

Blocks that no chain of references leads back to are let go first, by their bounding rectangles; what remains is
looked at cell by cell. A cell's *rank* is the largest number of cells of its own block on a chain that leads to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sheetconv.formulas.cell_range import Area
    from sheetconv.formulas.filled_blocks import FilledBlock

At = tuple[int, int]
MOST_READS, MOST_RANKS = 4_000_000, 40_000_000
Ranks = dict[At, int]


def ranks(blocks: Sequence[FilledBlock]) -> list[Ranks]:
    """For each block the ranks of its cells; empty where no cell depends on another, or where that is not told."""
    found: list[Ranks] = [{} for _ in blocks]
    chosen = _on_chains(blocks)
    cells = [(b, at) for b in chosen for at in blocks[b].cells]
    if not cells or len(cells) * len(chosen) > MOST_RANKS:
        return found
    column = {b: k for k, b in enumerate(chosen)}
    number = {(blocks[b].sheet, *at): k for k, (b, at) in enumerate(cells)}
    reads = _reads(blocks, cells, number)
    if reads is None:
        return found
    rank = np.zeros((len(cells), len(chosen)), np.int32)
    for k in _in_order(reads):
        if reads[k]:
            rank[k] = rank[reads[k]].max(0)
        rank[k, column[cells[k][0]]] += 1
    for k, (b, at) in enumerate(cells):
        found[b][at] = int(rank[k, column[b]])  # 0 for cells on a circle
    return [ranks_ if len(set(ranks_.values()) - {0}) > 1 else {} for ranks_ in found]


def _on_chains(blocks: Sequence[FilledBlock]) -> list[int]:
    """Blocks that may lie on a chain from a block back to itself."""
    by_sheet: dict[str, list[int]] = defaultdict(list)
    for b, block in enumerate(blocks):
        by_sheet[block.sheet].append(b)
    boxes = {s: np.array([blocks[b].area[1:] for b in members]) for s, members in by_sheet.items()}
    reads: list[set[int]] = []
    for block in blocks:
        hit: set[int] = set()
        for slot in range(len(block.slots[block.first])):
            area = block.reach(slot)
            if area.sheet in boxes:
                box = boxes[area.sheet]
                met = (box[:, 0] <= area.row1) & (box[:, 2] >= area.row0)
                met &= (box[:, 1] <= area.column1) & (box[:, 3] >= area.column0)
                hit.update(by_sheet[area.sheet][k] for k in np.flatnonzero(met).tolist())
        reads.append(hit)
    left = set(range(len(blocks)))
    while True:
        read = set().union(*(reads[b] for b in left)) if left else set()
        stay = {b for b in left if b in read and reads[b] & left}
        if stay == left:
            return sorted(left)
        left = stay


def _reads(
    blocks: Sequence[FilledBlock], cells: list[tuple[int, At]], number: dict[tuple[str, int, int], int]
) -> list[list[int]] | None:
    """For each cell the numbers of the cells that it reads; None where these are too many."""
    found, total = [], 0
    places: dict[str, np.ndarray] = {}
    for sheet in {blocks[b].sheet for b, _ in cells}:
        places[sheet] = np.array([(*at, k) for (s, *at), k in number.items() if s == sheet])
    for b, at in cells:
        mine: set[int] = set()
        for area in set(blocks[b].slots[at]):
            if area.sheet in places:
                mine.update(_inside(area, places[area.sheet], number))
        found.append(list(mine))
        total += len(mine)
        if total > MOST_READS:
            return None
    return found


def _inside(area: Area, places: np.ndarray, number: dict[tuple[str, int, int], int]) -> list[int]:
    if area.size <= 64:
        cells = (
            (area.sheet, r, c)
            for r in range(area.row0, area.row1 + 1)
            for c in range(area.column0, area.column1 + 1)
        )
        return [number[cell] for cell in cells if cell in number]
    r, c = places[:, 0], places[:, 1]
    inside = (r >= area.row0) & (r <= area.row1) & (c >= area.column0) & (c <= area.column1)
    found: list[int] = places[inside, 2].tolist()
    return found


def _in_order(reads: list[list[int]]) -> list[int]:
    """Cells behind all that they read; those on a circle, and what reads them, are left out."""
    readers: list[list[int]] = [[] for _ in reads]
    waiting = [len(r) for r in reads]
    for k, read in enumerate(reads):
        for other in read:
            readers[other].append(k)
    order = [k for k, n in enumerate(waiting) if n == 0]
    for k in order:
        for reader in readers[k]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                order.append(reader)
    return order
