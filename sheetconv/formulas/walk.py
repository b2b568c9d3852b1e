"""The walk behind a trace: one level after another, in bulk where levels are wide, cell by cell where narrow.

What was seen is kept three ways: a flag for each known cell of a sheet (see `sheetconv.formulas.cell_index`), a set of
single blank cells met by narrow levels, and rectangles met by wide ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from sheetconv.formulas import box_sets as region
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Source

NARROW_FORMULAS, NARROW_CELLS = 64, 1024
_MOST_LOOSE = 2_000_000


@dataclass
class Found:
    """A level: sheet's number, row0, column0, row1, column1 of each box, one after another in flat lists."""

    boxes: list[int]
    blank: list[int]


class _Seen:
    """What the walk has met on one sheet."""

    def __init__(self, count: int):
        self.flags = bytearray(count)
        self.expanded = bytearray(count)
        self.loose: set[int] = set()  # keys of blank cells that the file does not list
        self.boxes = region.EMPTY


class Walk:
    """Precedents of `start`, level by level: call `step` until it returns None."""

    def __init__(self, source: Source, start: Area):
        self.source = source
        self._seen: dict[int, _Seen] = {}
        self._notes: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        number = source.number(start.sheet)
        grid = source.grid(number)
        self._frontier: dict[int, list[int]] = {}
        self._queue(number, grid.owner[grid.inside(start[1:])])

    def step(self) -> Found | None:
        """The next level; None where nothing new is read."""
        narrow = sum(map(len, self._frontier.values())) <= NARROW_FORMULAS
        found = self._narrow() if narrow else None
        found = self._wide() if found is None else found
        return found if found.boxes else None

    def expanded(self) -> dict[int, np.ndarray]:
        """Known cells whose formulas were read, by number of sheet."""
        return {
            number: np.flatnonzero(np.frombuffer(seen.expanded, np.uint8))
            for number, seen in self._seen.items()
            if any(seen.expanded)
        }

    def notes(self) -> list[tuple[Area, str]]:
        """What could not be followed: (cells, text)."""
        return [
            (Area(self.source.sheets[number], *box), text)
            for text, sheets in self._notes.items()
            for number, keys in sheets.items()
            for box in region.from_keys(np.unique(np.array(keys, np.int64))).tolist()
        ]

    def _on(self, number: int) -> _Seen:
        if number not in self._seen:
            self._seen[number] = _Seen(len(self.source.grid(number).keys))
        return self._seen[number]

    def _note(self, number: int, index: int, form: int) -> None:
        for text in self.source.forms.notes.get(form, ()):
            self._notes[text][number].append(self.source.grid(number).view[index])

    def _queue(self, number: int, owners: np.ndarray) -> None:
        """Put formulas into the frontier, each once in the whole walk."""
        expanded = np.frombuffer(self._on(number).expanded, np.uint8)
        fresh = np.unique(owners[owners >= 0])
        fresh = fresh[expanded[fresh] == 0]
        if len(fresh):
            expanded[fresh] = 1
            self._frontier[number] = [*self._frontier.get(number, ()), *fresh.tolist()]

    # --- narrow levels: plain Python, no arrays ---------------------------------------------------

    def _narrow(self) -> Found | None:
        areas: list[tuple[int, int, int, int, int]] = []
        total, forms = 0, self.source.forms
        for number, indices in self._frontier.items():
            grid = self.source.grid(number)
            for index in indices:
                found = forms.areas(forms.form(number, index), *grid.position(index))
                areas += found
                total += sum((a[3] - a[1] + 1) * (a[4] - a[2] + 1) for a in found)
            if total > NARROW_CELLS:
                return None
        for number, indices in self._frontier.items():
            for index in indices:
                if forms.notes:
                    self._note(number, index, forms.form(number, index))
        self._frontier = {}
        fresh: list[tuple[int, int]] = []
        blank: list[tuple[int, int]] = []
        for area in areas:
            self._visit(area, fresh, blank)
        return Found(flat_boxes(fresh), flat_boxes(blank))

    def _visit(
        self, area: tuple[int, int, int, int, int], fresh: list[tuple[int, int]], blank: list[tuple[int, int]]
    ) -> None:
        number, r0, c0, r1, c1 = area
        grid, seen = self.source.grid(number), self._on(number)
        keys, count = grid.view, len(seen.flags)
        for row in range(r0, r1 + 1):
            at = bisect_left(keys, row << 14 | c0)
            for key in range(row << 14 | c0, (row << 14 | c1) + 1):
                if at < count and keys[at] == key:
                    if not seen.flags[at]:
                        seen.flags[at] = 1
                        fresh.append((number, key))
                        if not grid.filled[at]:
                            blank.append((number, key))
                        owner = int(grid.owner[at])
                        if owner >= 0 and not seen.expanded[owner]:
                            seen.expanded[owner] = 1
                            self._frontier.setdefault(number, []).append(owner)
                    at += 1
                elif key not in seen.loose and not _covers(seen.boxes, key >> 14, key & 16383):
                    seen.loose.add(key)
                    fresh.append((number, key))
                    blank.append((number, key))
        if len(seen.loose) > _MOST_LOOSE:
            self._settle(seen)

    def _settle(self, seen: _Seen) -> None:
        loose = np.fromiter(seen.loose, np.int64, len(seen.loose))
        seen.boxes = np.concatenate([seen.boxes, region.from_keys(np.sort(loose))])
        seen.loose = set()

    # --- wide levels: arrays ----------------------------------------------------------------------

    def _wide(self) -> Found:
        read: dict[int, list[np.ndarray]] = defaultdict(list)
        for number, indices in self._frontier.items():
            cells = np.array(indices, np.int64)
            for _, sheets, boxes in self.source.forms.boxes(number, cells):
                for sheet in np.unique(sheets).tolist():
                    read[sheet].append(region.union(boxes[sheets == sheet]))
            if self.source.forms.notes:
                forms = self.source.grid(number).form[cells].tolist()
                for index, form in zip(indices, forms, strict=True):
                    self._note(number, index, form)
        self._frontier = {}
        found = Found([], [])
        for number in sorted(read):
            self._take(number, np.concatenate(read[number]), found)
        return found

    def _take(self, number: int, boxes: np.ndarray, found: Found) -> None:
        """Add what is new on a sheet to the level, to what was seen and to the frontier."""
        grid, seen = self.source.grid(number), self._on(number)
        boxes = region.union(boxes)
        inside = np.unique(np.concatenate([grid.inside(tuple(b)) for b in boxes.tolist()]))
        flags = np.frombuffer(seen.flags, np.uint8)
        taken = [region.overlapping(seen.boxes, region.bounds(boxes))]
        old = inside[flags[inside] == 1]
        if len(old):
            taken.append(region.from_keys(grid.keys[old]))
        if seen.loose:
            taken.append(region.from_keys(np.sort(np.fromiter(seen.loose, np.int64, len(seen.loose)))))
        fresh = region.difference(boxes, np.concatenate(taken))
        new = inside[flags[inside] == 0]
        flags[new] = 1
        self._add(number, fresh, found.boxes)
        filled = new[grid.filled[new]]
        if region.size(fresh) > len(filled):
            self._add(number, region.difference(fresh, region.from_keys(grid.keys[filled])), found.blank)
            seen.boxes = np.concatenate([seen.boxes, fresh])
        self._queue(number, grid.owner[new])

    @staticmethod
    def _add(number: int, boxes: np.ndarray, flat: list[int]) -> None:
        flat += np.insert(boxes, 0, number, axis=1).reshape(-1).tolist()


def _covers(boxes: np.ndarray, row: int, column: int) -> bool:
    if not len(boxes):
        return False
    return len(region.overlapping(boxes, (row, column, row, column))) > 0


def flat_boxes(cells: list[tuple[int, int]]) -> list[int]:
    """A few cells (sheet's number, key) as boxes in a flat list: runs in a row, then equal runs downwards."""
    if len(cells) == 1:
        number, key = cells[0]
        return [number, key >> 14, key & 16383, key >> 14, key & 16383]
    runs: list[list[int]] = []
    for number, key in sorted(cells):
        row, column = key >> 14, key & 16383
        if runs and runs[-1][0] == number and runs[-1][1] == row and runs[-1][4] == column - 1:
            runs[-1][4] = column
        else:
            runs.append([number, row, column, row, column])
    boxes: list[list[int]] = []
    for run in runs:
        above = next(
            (b for b in reversed(boxes) if (b[0], b[2], b[4], b[3]) == (run[0], run[2], run[4], run[1] - 1)),
            None,
        )
        if above:
            above[3] = run[3]
        else:
            boxes.append(run)
    return [v for box in boxes for v in box]
