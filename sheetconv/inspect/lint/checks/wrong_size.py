"""Labels such as 26x26 or "12 by 12" whose stated size is not that of the block they name."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from sheetconv.formulas.cell_range import Area
from sheetconv.inspect.lint.checks.too_large import excess
from sheetconv.inspect.lint.reading import readings
from sheetconv.inspect.lint.sheet import Finding, FindingKind, Patch, Sheet

_SIZE = re.compile(r"(?<![\w.,])\d{1,4}(?:\s*(?:[x×X*✕]|by|mal)\s*\d{1,4})+(?![\d]|[.,]\d)", re.IGNORECASE)
_WINDOW = re.compile(r"kernel|filter|window|pool|stride|weight|conv|field|patch|mask", re.IGNORECASE)
_RESHAPED = re.compile(r"flatten|reshape|view", re.IGNORECASE)
_LARGEST_WINDOW = 11
_WIDEST_FRAME, _LONGEST, _MANY = 3, 60, 50
At = tuple[int, int]
Size = tuple[int, int]


@dataclass
class _Named:
    """A block that a label may name: where it stands, the sizes it may be said to have, the windows it uses."""

    area: Area
    sizes: set[Size]
    windows: set[Size]
    shown: Size
    from_formulas: bool


def check(sheet: Sheet) -> Iterator[Finding]:
    """One finding for each label."""
    stated = {at: m for at, text in sheet.texts.items() if len(text) <= _LONGEST and (m := _stated(text))}
    labels = {at: sizes for at, sizes in stated.items() if not _in_table(at, sheet, stated)}
    if not labels:
        return
    blocks = _blocks(sheet)
    owners: dict[int, list[At]] = {}
    near: dict[At, list[_Named]] = {}
    for at in labels:
        flat = any(1 in size for size in labels[at])
        near[at] = [b for b in _near(at, blocks) if flat or 1 not in b.shown]
        for block in near[at][:1]:
            owners.setdefault(id(block), []).append(at)
    for at, sizes in labels.items():
        if not near[at]:
            continue
        block = near[at][0]
        others = [b for b in near[at][1:] if id(b) not in owners]
        if any(_fits(sizes, sheet.texts[at], b) for b in (block, *others)):
            continue
        rows, columns = block.shown
        yield Finding(
            sheet.cell(at),
            "wrong-size",
            f"the label {sheet.texts[at][:60]!r} does not fit the block {block.area}, which is {rows}×{columns}",
            f"{rows}×{columns}",
        )


def _in_table(at: At, sheet: Sheet, stated: dict[At, list[tuple[int, ...]]]) -> bool:
    """Whether a text stands in a list or a table of texts, which describes rather than names a block."""
    row, column = at
    above_below = (row - 1, column), (row + 1, column)
    beside = (row, column - 1), (row, column + 1)
    if any(near in stated for near in above_below) or _RESHAPED.search(sheet.texts[at]):
        return True
    return any(near in sheet.texts for near in above_below) and any(near in sheet.texts for near in beside)


def _stated(text: str) -> list[tuple[int, ...]]:
    """Sizes in a text: "conv1: 2 x 26 x 26, 3x3 kernel" → [(2, 26, 26), (3, 3)]."""
    found = [tuple(int(n) for n in re.findall(r"\d+", m.group())) for m in _SIZE.finditer(text)]
    return found if len(found) <= 2 else []  # more is a description


def _fits(stated: list[tuple[int, ...]], text: str, block: _Named) -> bool:
    allowed = block.sizes | {(c, r) for r, c in block.sizes}
    cells = {r * c for r, c in allowed if r > 1 and c > 1}
    for size in stated:
        if len(size) == 2 and size in allowed:
            return True
        if len(size) > 2 and any(pair in allowed for pair in itertools.pairwise(size)):
            return True  # channels before or after the plane, or a tensor of several planes
        if any(n % count == 0 for n in size for count in cells):
            return True  # units by inputs: the planes of an input, flattened
        if len(size) > 2 and any(prod(size) in (count * n for n in (1, *size)) for count in cells):
            return True  # channels interleaved with rows
        if any(prod(size) % count == 0 and prod(size) >= _MANY * count for count in cells):
            return True  # a matrix of which the block is one of very many parts
    only_windows = all(len(size) == 2 and size in block.windows for size in stated)
    small = all(max(size) <= _LARGEST_WINDOW for size in stated)
    return only_windows and small and _WINDOW.search(text) is not None


def _blocks(sheet: Sheet) -> list[_Named]:
    found = []
    for grid in sheet.maps:
        if len(grid.cells) < 4:
            continue
        rows, columns = grid.shape
        over = excess(sheet, grid)
        over = max(over[0], 0), max(over[1], 0)
        windows = {r.window for r in readings(sheet, grid)} | {
            (r.rows.step, r.columns.step) for r in readings(sheet, grid)
        }
        true = rows - over[0], columns - over[1]
        area = grid.area
        spread = area.row1 - area.row0 + 1, area.column1 - area.column0 + 1
        sizes = {true} | ({spread} if grid.pitch == (1, 1) and not any(over) else set())
        found.append(_Named(area, sizes, windows, true, True))
    for patch in sheet.patches:
        if len(patch.cells) >= 4:
            inner = {
                (a.row1 - a.row0 + 1, a.column1 - a.column0 + 1)
                for a in sheet.book.fixed_areas.get(sheet.name, ())
                if (met := a.meet(patch.area)) and met == a
            }
            found.append(_Named(patch.area, _framed(sheet, patch) | inner, set(), patch.shape, False))
    return found


def _framed(sheet: Sheet, patch: Patch) -> set[Size]:
    """The size of a patch, and its sizes without frames of zeros around it (padding that was typed)."""
    area, found = patch.area, {patch.shape}
    for _ in range(_WIDEST_FRAME):
        mask = sheet.mask(area)
        if (
            min(mask.shape) < 4
            or (mask[[0, -1]] != FindingKind.ZERO).any()
            or (mask[:, [0, -1]] != FindingKind.ZERO).any()
        ):
            break
        area = Area(area.sheet, area.row0 + 1, area.column0 + 1, area.row1 - 1, area.column1 - 1)
        found.add((mask.shape[0] - 2, mask.shape[1] - 2))
    return found


def _near(at: At, blocks: list[_Named]) -> list[_Named]:
    """Blocks that a label at a cell may name, the likeliest first: below it, right of it, above."""
    ranked = []
    row, column = at
    for block in blocks:
        _, r0, c0, r1, c1 = block.area
        if c0 - 2 <= column <= c1 and 1 <= r0 - row <= 3:
            ranked.append(((0, r0 - row, max(c0 - column, 0), column - c0), block))
        elif r0 - 1 <= row <= r1 + 1 and 1 <= c0 - column <= 3:
            ranked.append(((1, c0 - column, abs(row - r0), 0), block))
        elif c0 - 1 <= column <= c1 and 1 <= row - r1 <= 2:
            ranked.append(((2, row - r1, abs(column - c0), 0), block))
    return [block for _, block in sorted(ranked, key=lambda r: r[0])]
