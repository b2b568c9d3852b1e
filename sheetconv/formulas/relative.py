"""Formulas by their relative form: cells filled from one another share one form, read once.

A form is a list of *atoms*: areas whose bounds are fixed, or offsets from the cell. The quick way splits a
text at its references and looks the rest up; what a form cannot express (an intersection of moving ranges, a
table's current row) becomes a form for that one cell. References of many cells are then arithmetic on arrays.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sheetconv.formulas import references
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.references import FIXED, WHOLE, Cell, Piece, ReferenceReading
from sheetconv.xlsx.a1 import COLUMNS, ROWS, column_number
from sheetconv.xlsx.tokens import is_address, tokens

if TYPE_CHECKING:
    from sheetconv.formulas.source import Source

_REF = r"(?<![\w.$])(\$?)([A-Za-z]{1,3})(\$?)([1-9][0-9]{0,6})(?![\w.(])"
_BARE = re.compile(_REF)
_FULL = re.compile(
    r"""("(?:[^"]|"")*"|'(?:[^']|'')*'!?|(?<![\w.$\]!])[^\W\d][\w.]*(?::[^\W\d][\w.]*)?!)|""" + _REF
)
_QUOTES = re.compile("[\"'!]")
_NEVER_QUICK = re.compile(r"[\[#@]")
_WIDTH = 6
_AT_ONCE = 1_000_000
_letters: dict[str, int] = {}


class RelativeFormula(NamedTuple):
    """What remains of a text without its references, understood once for all texts that share it."""

    areas: tuple[tuple[tuple[int, ...], int, int], ...] | None
    """(numbers of sheets, place of the first corner among the references, place of the last) for each area;
    None where references are more than plain addresses and the evaluator must look."""
    corners: int
    """How many addresses the scanner finds; where the quick split finds others, nothing is shared."""


class Forms:
    """All forms of a workbook. Numbers of sheets are their places in `Source.sheets`."""

    def __init__(self, source: Source):
        self.source = source
        self._atoms = array("q")  # sheet, row0, column0, row1, column1, mask
        self._starts = array("q", [0])
        self.notes: dict[int, tuple[str, ...]] = {}
        self._known: dict[tuple[object, ...], int] = {}
        self._skeletons: dict[tuple[int, str], RelativeFormula] = {}

    def form(self, sheet: int, index: int) -> int:
        """The form of the formula written in the known cell `index` of a sheet."""
        grid = self.source.grid(sheet)
        found = int(grid.form[index])
        if found < 0:
            found = grid.form[index] = self._read(sheet, index)
        return found

    def _read(self, sheet: int, index: int) -> int:
        cells = self.source.grid(sheet).cells
        listed, (row, column) = self.source.grid(sheet).listed(index), self.source.grid(sheet).position(index)
        written = cells.written(listed)
        if isinstance(written, tuple):
            return self._quick(sheet, *written)
        key = (sheet, written)
        if key not in self._known:
            text, at_row, at_column = cells.master(written, row, column)
            reading = references.read(self.source, text, (self.source.sheets[sheet], at_row, at_column))
            self._known[key] = self._add(reading) if reading.movable else -1
        if self._known[key] >= 0:
            return self._known[key]
        return self._quick(sheet, cells.formula(row, column) or "", row, column)

    def _quick(self, sheet: int, text: str, row: int, column: int) -> int:
        if _NEVER_QUICK.search(text):
            return self._slow(text, (self.source.sheets[sheet], row, column))
        step, pattern = (6, _FULL) if _QUOTES.search(text) else (5, _BARE)
        pieces = pattern.split(text)
        corners: list[int] = []
        rest = pieces[0::step]
        if step == 6:
            rest = [v for pair in zip(rest, [*pieces[1::6], ""], strict=True) for v in pair]
        for i in range(step - 4, len(pieces), step):
            letters = pieces[i + 1]
            if letters is None:  # a string or a sheet's name
                continue
            number, fixed_column, fixed_row = int(pieces[i + 3]) - 1, pieces[i], pieces[i + 2]
            place = _letters.get(letters)
            if place is None:
                place = _letters[letters] = column_number(letters)
            if place >= COLUMNS or number >= ROWS:  # looks like an address, is a name
                return self._slow(text, (self.source.sheets[sheet], row, column))
            corners += (
                1 if fixed_row else 0,
                number if fixed_row else number - row,
                2 if fixed_column else 0,
                place if fixed_column else place - column,
            )
            rest.append("")
        return self._lookup(sheet, text, row, column, rest, corners)

    def _lookup(
        self, sheet: int, text: str, row: int, column: int, rest: list[str | None], corners: list[int]
    ) -> int:
        bones = "\0".join("" if v is None else v for v in rest)
        key = (sheet, bones, *corners)
        found = self._known.get(key)
        if found is not None and found >= 0:
            return found
        cell = (self.source.sheets[sheet], row, column)
        skeleton = self._skeletons.get((sheet, bones))
        if skeleton is None:
            skeleton = self._skeletons[sheet, bones] = _skeleton(self.source, text, sheet)
        if found is not None or skeleton.corners * 4 != len(corners):
            return self._slow(text, cell)
        if skeleton.areas is None:
            return self._slow(text, cell, key)
        for sheets, a, b in skeleton.areas:
            for number in sheets:
                self._atoms.extend((number, *_area(corners[4 * a : 4 * a + 4], corners[4 * b : 4 * b + 4])))
        return self._close(key)

    def _slow(self, text: str, cell: Cell, key: tuple[object, ...] | None = None) -> int:
        reading = references.read(self.source, text, cell)
        # Whole columns and rows stand in the key as they are written, so they do not move with the cell.
        reading.pieces = [Piece(p.area, p.mask | FIXED) if p.mask & WHOLE else p for p in reading.pieces]
        if key is not None and not reading.movable:
            self._known[key] = -1
            key = None
        return self._add(reading, key)

    def _add(self, reading: ReferenceReading, key: tuple[object, ...] | None = None) -> int:
        _, row, column = reading.cell
        for area, mask in dict.fromkeys(reading.pieces):
            if not reading.movable:
                mask |= FIXED
            moves = (0 if mask & bit else at for bit, at in zip((1, 2, 4, 8), (row, column) * 2, strict=True))
            bounds = (v - m for v, m in zip(area[1:], moves, strict=True))
            self._atoms.extend((self.source.number(area.sheet), *bounds, mask))
        number = self._close(key)
        if reading.notes:
            self.notes[number] = tuple(dict.fromkeys(reading.notes))
        return number

    def _close(self, key: tuple[object, ...] | None) -> int:
        self._starts.append(len(self._atoms) // _WIDTH)
        number = len(self._starts) - 2
        if key is not None:
            self._known[key] = number
        return number

    # --- what cells read --------------------------------------------------------------------------

    def areas(self, form: int, row: int, column: int) -> list[tuple[int, int, int, int, int]]:
        """What one cell of this form reads: (sheet's number, row0, column0, row1, column1)."""
        found = []
        for at in range(self._starts[form] * _WIDTH, self._starts[form + 1] * _WIDTH, _WIDTH):
            sheet, r0, c0, r1, c1, mask = self._atoms[at : at + _WIDTH]
            if mask & FIXED != FIXED:
                r0, r1 = _moved(r0, r1, mask & 1, mask & 4, row, ROWS)
                c0, c1 = _moved(c0, c1, mask & 2, mask & 8, column, COLUMNS)
            if mask & WHOLE:
                used = self.source.used(Area(self.source.sheets[sheet], r0, c0, r1, c1))
                if used is None:
                    continue
                r0, c0, r1, c1 = used[1:]
            found.append((sheet, r0, c0, r1, c1))
        return found

    def boxes(self, sheet: int, cells: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """What many cells read, in portions: (place in `cells`, sheet's number, boxes (n, 4)), int64 all.

        `cells` are known cells of the sheet in which formulas are written.
        """
        grid = self.source.grid(sheet)
        for index in cells[grid.form[cells] < 0].tolist():
            self.form(sheet, index)
        forms = grid.form[cells]
        starts = np.frombuffer(self._starts, np.int64)  # a view: it must be gone before forms are added
        first, counts = starts[forms], starts[forms + 1] - starts[forms]
        del starts
        cuts = np.flatnonzero(np.diff(np.cumsum(counts) // _AT_ONCE, prepend=0))
        for part in np.split(np.arange(len(cells)), cuts):
            if counts[part].sum():
                yield self._portion(part, grid.keys[cells[part]], first[part], counts[part])

    def _portion(
        self, part: np.ndarray, keys: np.ndarray, starts: np.ndarray, counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        each = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        atoms = np.frombuffer(self._atoms, np.int64).reshape(-1, _WIDTH)
        taken = atoms[np.repeat(starts, counts) + each]
        del atoms
        sheet, boxes, mask = taken[:, 0], taken[:, 1:5], taken[:, 5]
        place, at = np.repeat(part, counts), np.repeat(keys, counts)
        for column, (bit, origin, most) in enumerate(
            ((1, at >> 14, ROWS), (2, at & 16383, COLUMNS), (4, at >> 14, ROWS), (8, at & 16383, COLUMNS))
        ):
            boxes[:, column] = np.where(mask & bit, boxes[:, column], (boxes[:, column] + origin) % most)
        ordered = np.concatenate(
            [np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1
        )
        whole = np.flatnonzero(mask & WHOLE)
        if not len(whole):
            return place, sheet, ordered
        keep = np.ones(len(ordered), bool)
        for i in whole.tolist():
            used = self.source.used(Area(self.source.sheets[int(sheet[i])], *map(int, ordered[i])))
            keep[i] = used is not None
            if used is not None:
                ordered[i] = used[1:]
        return place[keep], sheet[keep], ordered[keep]


def _moved(low: int, high: int, low_fixed: int, high_fixed: int, by: int, most: int) -> tuple[int, int]:
    a = low if low_fixed else (low + by) % most
    b = high if high_fixed else (high + by) % most
    return (a, b) if a <= b else (b, a)


def _area(first: list[int], last: list[int]) -> tuple[int, int, int, int, int]:
    """Two corners (row fixed, row, column fixed, column) as the bounds and mask of an atom."""
    mask = first[0] | first[2] | last[0] << 2 | last[2] << 2
    return first[1], first[3], last[1], last[3], mask


def _skeleton(source: Source, text: str, sheet: int) -> RelativeFormula:
    areas: list[tuple[tuple[int, ...], int, int]] = []
    corner, before = 0, "("
    gap, plain = False, True
    for token in tokens(text):
        if token.kind == "space":
            gap = True
            continue
        if token.kind == "area" and is_address(token):
            sheets = [source.sheets[sheet]] if token.sheet is None else source.sheets_named(token.sheet)
            last = corner + (":" in token.text)
            areas.append((tuple(source.number(s) for s in sheets), corner, last))
            corner = last + 1
            plain &= bool(sheets) and not (gap and _ends_operand(before))
        else:
            plain &= _plain(source, token.kind, token.text, source.sheets[sheet])
        gap, before = False, token.text
    return RelativeFormula(tuple(areas) if plain else None, corner)


def _plain(source: Source, kind: str, text: str, sheet: str) -> bool:
    if kind == "function":
        name = text[:-1].upper()
        return not name.endswith(
            ("INDIRECT", "OFFSET", "LET", "LAMBDA", "ANCHORARRAY", "ROW", "COLUMN", "ROWS", "COLUMNS")
        ) and not source.has_name(text[:-1], sheet)
    if kind == "name":
        return text.upper() in ("TRUE", "FALSE")
    return kind in ("string", "number") or (kind == "other" and text not in ":#@")


def _ends_operand(text: str) -> bool:
    return text[-1:].isalnum() or text[-1:] in "_)"
