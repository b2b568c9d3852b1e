"""The way back: which formulas read a rectangle. All references of the workbook, indexed by sheet and row.

References are sorted by the power of two that holds their height, then by first row, so that those which can
meet a rectangle are found by two binary searches for each power.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

import numpy as np

from sheetconv.errors import LimitError
from sheetconv.formulas import box_sets as region
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Source
from sheetconv.formulas.walk import Found, flat_boxes

MOST_REFERENCES = 40_000_000
FEW = 32


class _Index:
    """The references to one sheet: boxes int32 (n, 4) and who reads them (sheet's number, index of the cell)."""

    def __init__(self, boxes: np.ndarray, sheets: np.ndarray, owners: np.ndarray):
        height = np.frexp((boxes[:, 2] - boxes[:, 0]).astype(np.float64))[1]  # 2**height > rows - 1
        order = np.lexsort((boxes[:, 0], height))
        self.boxes, self.sheets, self.owners = boxes[order], sheets[order], owners[order]
        self.heights, first = np.unique(height[order], return_index=True)
        self.first = np.append(first, len(order)).tolist()
        self._rows = memoryview(np.ascontiguousarray(self.boxes[:, 0]).data)

    def few(self, box: tuple[int, int, int, int]) -> list[tuple[int, int]] | None:
        """Readers (sheet's number, index) of a rectangle, without arrays; None where there may be many."""
        r0, c0, r1, c1 = box
        found = []
        for i, height in enumerate(self.heights.tolist()):
            low = bisect_left(self._rows, r0 - 2**height, self.first[i], self.first[i + 1])
            high = bisect_left(self._rows, r1 + 1, low, self.first[i + 1])
            if high - low > FEW:
                return None
            for place in range(low, high):
                _, left, bottom, right = self.boxes[place].tolist()
                if bottom >= r0 and left <= c1 and right >= c0:
                    found.append((int(self.sheets[place]), int(self.owners[place])))
        return found

    def meeting(self, box: tuple[int, int, int, int]) -> np.ndarray:
        """Places of the references that meet a rectangle."""
        r0, c0, r1, c1 = box
        found = []
        for i, height in enumerate(self.heights.tolist()):
            start, stop = self.first[i], self.first[i + 1]
            rows = self.boxes[start:stop, 0]
            low, high = start + np.searchsorted(rows, [r0 - 2**height, r1 + 1])
            b = self.boxes[low:high]
            found.append(low + np.flatnonzero((b[:, 2] >= r0) & (b[:, 1] <= c1) & (b[:, 3] >= c0)))
        return np.concatenate(found)


class Readers:
    """Dependents of `start`, level by level: call `step` until it returns None.

    Raises `LimitError` where the workbook's formulas hold more than `MOST_REFERENCES` references.
    """

    def __init__(self, source: Source, start: Area):
        self.source = source
        self._index, self._untraceable = _indexed(source)
        self._seen: dict[int, np.ndarray] = {}
        number = source.number(start.sheet)
        self._frontier = {number: np.array([start[1:]], np.int64)}
        self._origin = {number: source.grid(number).inside(start[1:])}

    def step(self) -> Found | None:
        """The next level; None where nothing more reads the last one."""
        narrow = self._narrow()
        found = self._wide() if narrow is None else narrow
        return found if found.boxes else None

    def _narrow(self) -> Found | None:
        """A level of few cells, in plain Python."""
        boxes = [(n, *b) for n, part in self._frontier.items() if len(part) <= FEW for b in part.tolist()]
        if len(boxes) > FEW or len(boxes) < sum(map(len, self._frontier.values())):
            return None
        owners: set[tuple[int, int]] = set()
        for number, *box in boxes:
            index = self._index.get(number)
            few = [] if index is None else index.few((box[0], box[1], box[2], box[3]))
            if few is None:
                return None
            owners.update(few)
        if any(self.source.grid(number).cells.arrays for number, _ in owners):
            return None
        fresh = [(number, owner) for number, owner in owners if not self._flags(number)[owner]]
        for number, owner in fresh:
            self._flags(number)[owner] = True
        flat = flat_boxes([(number, self.source.grid(number).view[owner]) for number, owner in fresh])
        parts: dict[int, list[list[int]]] = defaultdict(list)
        for at in range(0, len(flat), 5):
            parts[flat[at]].append(flat[at + 1 : at + 5])
        self._frontier = {n: np.array(p, np.int64) for n, p in parts.items()}
        return Found(flat, [])

    def _flags(self, number: int) -> np.ndarray:
        if number not in self._seen:
            self._seen[number] = np.zeros(len(self.source.grid(number).keys), bool)
        return self._seen[number]

    def _wide(self) -> Found:
        owners: dict[int, list[np.ndarray]] = defaultdict(list)
        for index, boxes in [(self._index[n], b) for n, b in self._frontier.items() if n in self._index]:
            for r0, c0, r1, c1 in boxes.tolist():
                hit = index.meeting((r0, c0, r1, c1))
                sheets = index.sheets[hit]
                for other in np.unique(sheets).tolist():
                    owners[other].append(index.owners[hit[sheets == other]])
        found = Found([], [])
        self._frontier = {}
        for number, parts in sorted(owners.items()):
            boxes = self._fresh(number, np.unique(np.concatenate(parts)))
            if len(boxes):
                self._frontier[number] = boxes
                found.boxes += np.insert(boxes, 0, number, axis=1).reshape(-1).tolist()
        return found

    def _fresh(self, number: int, owners: np.ndarray) -> np.ndarray:
        seen = self._flags(number)
        owners = owners[~seen[owners]]
        seen[owners] = True
        grid = self.source.grid(number)
        return region.from_keys(grid.keys[grid.owned(owners)])

    def found(self) -> dict[int, np.ndarray]:
        """Formulas met so far and those of the start, by number of sheet."""
        result = {n: np.flatnonzero(seen) for n, seen in self._seen.items()}
        for number, cells in self._origin.items():
            owners = self.source.grid(number).owner[cells]
            both = np.concatenate([result.get(number, np.empty(0, np.int64)), owners[owners >= 0]])
            result[number] = np.unique(both)
        return result

    def notes(self) -> list[tuple[Area, str]]:
        """Formulas anywhere in the workbook whose references cannot be followed: they might be dependents."""
        return self._untraceable


def _indexed(source: Source) -> tuple[dict[int, _Index], list[tuple[Area, str]]]:
    parts: dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = defaultdict(list)
    notes: dict[tuple[str, int], list[int]] = defaultdict(list)
    total = 0
    for number in range(len(source.sheets)):
        cells = source.grid(number).formulas
        for place, sheets, boxes in source.forms.boxes(number, cells):
            total += len(place)
            if total > MOST_REFERENCES:
                raise LimitError(
                    f"the workbook's formulas hold over {MOST_REFERENCES:,} references; "
                    "trace the precedents of single cells instead"
                )
            for other in np.unique(sheets).tolist():
                on = sheets == other
                owners = cells[place[on]].astype(np.int32)
                parts[other].append(
                    (boxes[on].astype(np.int32), np.full(len(owners), number, np.int32), owners)
                )
        if source.forms.notes:
            grid = source.grid(number)
            for index in cells.tolist():
                for text in source.forms.notes.get(int(grid.form[index]), ()):
                    notes[text, number].append(grid.view[index])
    found = {
        other: _Index(*(np.concatenate(columns) for columns in zip(*p, strict=True)))
        for other, p in parts.items()
    }
    return found, [
        (Area(source.sheets[number], *box), text)
        for (text, number), keys in notes.items()
        for box in region.from_keys(np.array(keys, np.int64)).tolist()
    ]
