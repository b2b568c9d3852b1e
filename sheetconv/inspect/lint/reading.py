"""What a map reads through one address of its formula, set against the block that it reads.

The windows of a map, taken together, cover a rectangle. Where its input is smaller, the rest is a margin:
padding if it frames the input on both sides alike, a mistake if the map simply runs on past the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.filled_blocks import FilledBlock
from sheetconv.formulas.syntax import Apply, Node, Slot, TextNode
from sheetconv.inspect.lint.sheet import MOST_AREA, FindingKind, Sheet
from sheetconv.xlsx.a1 import ROWS

_NOT_SUMMED = {
    *("INDEX", "MATCH", "XMATCH", "LOOKUP", "VLOOKUP", "HLOOKUP", "XLOOKUP", "CHOOSE", "OFFSET", "INDIRECT"),
    *("COUNT", "COUNTA", "COUNTBLANK", "COUNTIF", "COUNTIFS", "ROWS", "COLUMNS", "ROW", "COLUMN", "TEXT"),
    *("ISBLANK", "ISNUMBER", "ISTEXT", "ISERROR", "N", "T", "VALUE", "CONCATENATE", "CONCAT", "TEXTJOIN"),
    *(
        "LEN",
        "LEFT",
        "RIGHT",
        "MID",
        "EXACT",
        "CELL",
        "SUMIF",
        "AVERAGEIF",
        "HYPERLINK",
        "REPT",
        "&",
        "FORMULATEXT",
    ),
}
_GUARDS = {"ISBLANK", "ISNUMBER", "ISTEXT", "N", "T"}


@dataclass(frozen=True)
class Margin:
    """Blank (or zero) cells that windows cover before and after the input, along one axis."""

    before: int
    after: int
    step: int

    @property
    def excess(self) -> int:
        """By how many cells the map is larger than its input allows; negative: it starts too early.

        0 where windows do not move along the axis: one band of a map may well lie at the border.
        """
        if not self.step:
            return 0
        over = self.after - self.before
        if over > 0:
            return -(-over // self.step)
        return -(-over // self.step) if -over >= self.step and self.before else 0


@dataclass(frozen=True)
class FormulaReading:
    """One slot of a map: the area that the windows cover, and what of it is filled.

    Attributes:
        slot: its number in the formula.
        area: the rectangle that all windows cover together.
        window: rows and columns of one window.
        inside: the filled part of the area; None when nothing is filled.
        rows, columns: the margins.
        whole: whether the windows join to one rectangle (else each was looked at for itself).
    """

    slot: int
    area: Area
    window: tuple[int, int]
    inside: Area | None
    rows: Margin
    columns: Margin
    whole: bool = True


@lru_cache(maxsize=4096)
def summed_slots(tree: Node | None) -> tuple[frozenset[int], frozenset[int]]:
    """Slots whose cells enter the result as numbers, and those that the formula asks about first (ISBLANK).

    Not among the former: what is copied, looked up, counted, compared with a text or with another cell.
    """
    found: set[int] = set()
    guarded: set[int] = set()
    waiting: list[tuple[Node, bool]] = [(tree, True)] if tree is not None else []
    while waiting:
        node, summed = waiting.pop()
        if isinstance(node, Slot):
            (found if summed else set()).add(node.index)
        elif isinstance(node, Apply):
            texts = any(isinstance(part, TextNode) for part in node.of)
            compared = node.name in ("=", "<>") and all(isinstance(part, Slot) for part in node.of)
            if node.name in _GUARDS or (texts and node.name in ("=", "<>")):
                guarded |= {part.index for part in node.of if isinstance(part, Slot)}
            inner = summed and node.name not in _NOT_SUMMED and not compared
            waiting += [(part, inner) for part in node.of]
    return (frozenset(found - guarded) if not isinstance(tree, Slot) else frozenset()), frozenset(guarded)


def readings(sheet: Sheet, grid: FilledBlock) -> list[FormulaReading]:
    """A reading for each summed slot of a map; whole columns and rows are left out.

    Where windows are far apart (weights of the units of a dense layer), each is a reading of its own.
    """
    known: dict[int, list[FormulaReading]] = sheet.book.notes.setdefault("readings", {})
    if id(grid) not in known:
        known[id(grid)] = list(_readings(sheet, grid))
    return known[id(grid)]


def _readings(sheet: Sheet, grid: FilledBlock) -> Iterator[FormulaReading]:
    done: set[Area] = set()
    together: dict[tuple[Area, tuple[int, int]], list[int]] = {}
    summed, guarded = summed_slots(grid.skeleton.tree)
    asked = {grid.slots[grid.first][slot] for slot in guarded}
    for slot in sorted(summed):
        first, union = grid.slots[grid.first][slot], grid.reach(slot)
        if first in asked:
            continue
        if first.row1 - first.row0 + 1 >= ROWS or first.size > MOST_AREA:
            continue
        fixed = grid.fixed(slot) or union.size > MOST_AREA
        block = None if fixed else _block(sheet.book[union.sheet], union)
        together.setdefault((block or union, _step(grid, slot)), []).append(slot)
    for (_, step), slots in together.items():
        first = _bounding([grid.slots[grid.first][slot] for slot in slots])
        window = first.row1 - first.row0 + 1, first.column1 - first.column0 + 1
        union = _bounding([grid.reach(slot) for slot in slots])
        if step[0] <= window[0] and step[1] <= window[1] and union.size <= MOST_AREA:
            found = [] if union in done else [union]
        else:
            found = sorted({areas[slot] for areas in grid.slots.values() for slot in slots} - done)
        done.update(found)
        for area in found:
            joined = found == [union]
            size = window if joined else (area.row1 - area.row0 + 1, area.column1 - area.column0 + 1)
            yield _reading(sheet, slots[0], area, size, step if joined else (0, 0), joined)


def _bounding(areas: list[Area]) -> Area:
    """The rectangle around areas of one sheet: a window that is written out term by term is one window."""
    return Area(
        areas[0].sheet,
        min(a.row0 for a in areas),
        min(a.column0 for a in areas),
        max(a.row1 for a in areas),
        max(a.column1 for a in areas),
    )


def _step(grid: FilledBlock, slot: int) -> tuple[int, int]:
    """How far the window moves from one lattice row, and column, to the next."""
    row, column = grid.first
    first = grid.slots[grid.first][slot]
    nexts = [grid.slots.get((row + grid.pitch[0], column)), grid.slots.get((row, column + grid.pitch[1]))]
    moved = [slots[slot] for slots in nexts if slots]
    down = max((abs(area.row0 - first.row0) for area in moved), default=0)
    return down, max((abs(area.column0 - first.column0) for area in moved), default=0)


def _reading(
    sheet: Sheet, slot: int, area: Area, window: tuple[int, int], step: tuple[int, int], joined: bool
) -> FormulaReading:
    mask = sheet.book[area.sheet].mask(area)
    filled = (mask == FindingKind.NUMBER) | (mask == FindingKind.FORMULA)
    if not filled.any():
        filled = (mask == FindingKind.ZERO) | (mask == FindingKind.OTHER)
    if not filled.any():
        nothing = Margin(0, 0, 1)
        return FormulaReading(slot, area, window, None, nothing, nothing, joined)
    block = _block(sheet.book[area.sheet], area)
    if block is not None and (met := block.meet(area)) is not None:
        inside = met  # what of the area belongs to the block that it reads most of
    else:
        filled |= mask == FindingKind.ZERO
        rows, columns = np.flatnonzero(filled.any(1)), np.flatnonzero(filled.any(0))
        inside = Area(
            area.sheet,
            area.row0 + int(rows[0]),
            area.column0 + int(columns[0]),
            area.row0 + int(rows[-1]),
            area.column0 + int(columns[-1]),
        )
    pitch = _pitch(filled)
    return FormulaReading(
        slot,
        area,
        window,
        inside,
        _margin(inside.row0 - area.row0, area.row1 - inside.row1, step[0], pitch[0]),
        _margin(inside.column0 - area.column0, area.column1 - inside.column1, step[1], pitch[1]),
        joined,
    )


def _margin(before: int, after: int, step: int, pitch: int) -> Margin:
    return Margin(before if before >= pitch else 0, after if after >= pitch else 0, step)


def _pitch(filled: np.ndarray) -> tuple[int, int]:
    """The even distance of filled rows and columns; 1 where they are not a full, even lattice."""
    result = []
    lines = [np.flatnonzero(filled.any(axis)) for axis in (1, 0)]
    if not filled[np.ix_(*lines)].all():
        return 1, 1
    for line in lines:
        gaps = set(np.diff(line).tolist())
        result.append(gaps.pop() if len(gaps) == 1 else 1)
    return result[0], result[1]


def _block(sheet: Sheet, area: Area) -> Area | None:
    """The block of the sheet with the largest part of an area, if it has most of the area's filled cells."""
    best, most = None, 0
    for other in sheet.blocks_in(area):
        met = other.meet(area)
        if met is not None and met.size > most:
            best, most = other, met.size
    filled = int(np.isin(sheet.mask(area), (FindingKind.NUMBER, FindingKind.FORMULA)).sum())
    return best if best is not None and 2 * most > filled else None


def holes(sheet: Sheet, reading: FormulaReading) -> list[tuple[int, int]]:
    """Blank cells inside the filled part; none where the filled cells stand on an even lattice."""
    if reading.inside is None:
        return []
    mask = sheet.book[reading.inside.sheet].mask(reading.inside)
    filled = mask != FindingKind.BLANK
    if max(_pitch(filled)) > 1:
        return []
    merged = sheet.source.cells(reading.inside.sheet).merged
    blank = (
        (reading.inside.row0 + int(r), reading.inside.column0 + int(c))
        for r, c in zip(*np.nonzero(~filled), strict=True)
    )
    return [(r, c) for r, c in blank if not any(a <= r <= e and b <= c <= f for a, b, e, f in merged)]


def blank_lines(sheet: Sheet, reading: FormulaReading) -> bool:
    """Whether a whole row or column of the area, outside the block in it, is blank."""
    if reading.inside is None:
        return False
    blank = sheet.book[reading.area.sheet].mask(reading.area) == FindingKind.BLANK
    area, inside = reading.area, reading.inside
    rows = [r for r in range(area.row0, area.row1 + 1) if not inside.row0 <= r <= inside.row1]
    columns = [c for c in range(area.column0, area.column1 + 1) if not inside.column0 <= c <= inside.column1]
    return any(blank[r - area.row0].all() for r in rows) or any(
        blank[:, c - area.column0].all() for c in columns
    )


def texts(sheet: Sheet, area: Area) -> list[tuple[int, int]]:
    """Cells of an area that hold typed text."""
    mask = sheet.book[area.sheet].mask(area)
    return [
        (area.row0 + int(r), area.column0 + int(c))
        for r, c in zip(*np.nonzero(mask == FindingKind.TEXT), strict=True)
    ]


def outside(sheet: Sheet, reading: FormulaReading) -> list[tuple[int, int]]:
    """Cells of the margin that hold a number other than 0, or a formula: not padding, another block."""
    if reading.inside is None:
        return []
    mask, inside, area = sheet.book[reading.area.sheet].mask(reading.area), reading.inside, reading.area
    foreign = (mask == FindingKind.NUMBER) | (mask == FindingKind.FORMULA)
    foreign[
        inside.row0 - area.row0 : inside.row1 - area.row0 + 1,
        inside.column0 - area.column0 : inside.column1 - area.column0 + 1,
    ] = False
    return [(area.row0 + int(r), area.column0 + int(c)) for r, c in zip(*np.nonzero(foreign), strict=True)]
