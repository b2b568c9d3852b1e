"""What a careful reviewer finds in a network sheet that someone built by hand.

Each rule is a function decorated with `rule`; it yields findings for one sheet: the cells, what is wrong,
what was expected and why. Findings are about blocks rather than cells where an edge of a map is at fault.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from sheetconv.read.cells import CellError
from sheetconv.trace.area import Area, rectangles
from sheetconv.trace.blocks import At, Block, formula_blocks, number_blocks
from sheetconv.trace.formula import tokens
from sheetconv.trace.source import Source

_SIZE = re.compile(r"(?<![\d.])(\d{1,4})\s*[x×X*]\s*(\d{1,4})(?![\d.])")
_VOLATILE = {"RAND(", "RANDBETWEEN(", "RANDARRAY(", "NOW(", "TODAY(", "OFFSET(", "INDIRECT("}
_MEAN = re.compile(
    r"(?:SUM|COUNT|COUNTIF|COUNTBLANK)\((?P<ref>[^()]*?)\)\)?/\(?(?P<n>\d+(?:\*\d+)*)\)?(?![\d.*:A-Za-z])",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, order=True)
class Finding:
    """One fault: the cells, the rule, what is there, what was expected and why."""

    area: Area
    rule: str
    message: str
    expected: str


class Sheet:
    """One sheet with its blocks, computed once for all rules."""

    def __init__(self, source: Source, name: str):
        self.source, self.name = source, name
        self.formulas = source.formulas(name)

    @cached_property
    def maps(self) -> list[Block]:
        """Blocks of formulas."""
        return formula_blocks(self.source, self.name)

    @cached_property
    def patches(self) -> list[Block]:
        """Blocks of typed numbers."""
        return number_blocks(self.source, self.name)

    @cached_property
    def form(self) -> dict[At, str]:
        """Relative form of every formula cell."""
        return {at: block.form or "" for block in self.maps for at in block.cells}

    @cached_property
    def texts(self) -> dict[At, str]:
        """Typed texts."""
        extent = self.source.cells(self.name).extent
        if extent is None:
            return {}
        values = self.source.cells(self.name).values(*extent)
        return {
            (r + extent[0], c + extent[1]): value
            for (r, c), value in ((at, values[at]) for at in zip(*values.nonzero(), strict=True))
            if isinstance(value, str) and (r + extent[0], c + extent[1]) not in self.formulas
        }

    def area(self, row: int, column: int) -> Area:
        """A cell of this sheet as an area."""
        return Area(self.name, row, column, row, column)


Rule = Callable[[Sheet], Iterator[Finding]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Register a rule under its function's name."""
    RULES[function.__name__.replace("_", "-")] = function
    return function


def lint(source: Source) -> list[Finding]:
    """Findings of all rules on all sheets, in sheet order."""
    return [
        f
        for name in source.sheets
        for sheet in [Sheet(source, name)]
        for r in RULES.values()
        for f in r(sheet)
    ]


@rule
def differs(sheet: Sheet) -> Iterator[Finding]:
    """A formula unlike its neighbours on both sides, which are alike; or a number typed over one."""
    candidates = {(r + d, c + e) for r, c in sheet.form for d, e in ((0, 1), (1, 0))}
    numbers = {at for patch in sheet.patches for at in patch.cells}
    for row, column in sorted(candidates & (sheet.form.keys() | numbers)):
        form = sheet.form.get((row, column))
        pairs = [((row, column - 1), (row, column + 1)), ((row - 1, column), (row + 1, column))]
        around = [sheet.form.get(at) for pair in pairs for at in pair]
        common, count = (
            Counter(f for f in around if f is not None).most_common(1)[0] if any(around) else ("", 0)
        )
        if (count >= 3 and form != common) or (
            count == 2 and form != common and _between(pairs, sheet, common)
        ):
            what = (
                "a number typed over a formula" if form is None else "the formula differs from its neighbours"
            )
            why = "its neighbours on both sides were filled from one formula"
            yield Finding(sheet.area(row, column), "differs", what, f"{common[:120]} ({why})")


def _between(pairs: list[tuple[At, At]], sheet: Sheet, form: str) -> bool:
    return any(all(sheet.form.get(at) == form for at in pair) for pair in pairs)


@rule
def reads_blank(sheet: Sheet) -> Iterator[Finding]:
    """Formulas that read blank or text cells, unless blank cells frame the input on all sides (padding)."""
    for block in sheet.maps:
        readers: dict[tuple[str, bool], set[At]] = defaultdict(set)
        hit: dict[tuple[str, bool], set[Area]] = defaultdict(set)
        for at in block.cells:
            for area in sheet.source.precedents((sheet.name, *at)).areas:
                for kind, found in _bad_cells(sheet.source, area):
                    key = (kind, area.sheet != sheet.name)
                    readers[key].add(at)
                    hit[key].update(found)
        for (kind, elsewhere), cells in readers.items():
            if kind == "blank" and _frames(block, cells):
                continue
            bad = rectangles(c for a in hit[kind, elsewhere] for c in _each(a))
            where = ", ".join(map(str, bad[:4])) + (" …" if len(bad) > 4 else "")
            size = "×".join(map(str, block.shape))
            excess = _excess(block, cells)
            yield Finding(
                rectangles((sheet.name, *at) for at in cells)[0],
                "reads-" + kind,
                f"{len(cells)} of the {size} map at {block.area} read {kind} cells {where}{excess}",
                "every cell of a window inside the input, or blank padding on all sides alike",
            )


def _excess(block: Block, cells: set[At]) -> str:
    columns, rows = {c for _, c in cells}, {r for r, _ in cells}
    if len(block.columns) > len(columns) and len(rows) == len(block.rows):
        return f": the map is {len(columns)} column{'s' * (len(columns) > 1)} wider than its input allows"
    if len(block.rows) > len(rows) and len(columns) == len(block.columns):
        return f": the map is {len(rows)} row{'s' * (len(rows) > 1)} taller than its input allows"
    return ""


def _frames(block: Block, cells: set[At]) -> bool:
    rows, columns = {r for r, _ in cells}, {c for _, c in cells}
    ends = {block.rows[0], block.rows[-1]} <= rows and {block.columns[0], block.columns[-1]} <= columns
    return ends and len(cells) < len(block.cells) and len(block.cells) > 3


def _each(area: Area) -> Iterator[tuple[str, int, int]]:
    for row in range(area.row0, area.row1 + 1):
        for column in range(area.column0, area.column1 + 1):
            yield area.sheet, row, column


def _bad_cells(source: Source, area: Area, *, all_blank: bool = False) -> list[tuple[str, list[Area]]]:
    """Blank and text cells of an area; gaps of a spaced grid pass unless `all_blank`."""
    cache: dict[object, list[tuple[str, list[Area]]]] = source.__dict__.setdefault("_bad", {})
    key = area, all_blank
    if key not in cache:
        kinds: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        values = source.cells(area.sheet).values(*area[1:])
        formulas = source.formulas(area.sheet)
        for sheet, row, column in _each(area):
            value = values[row - area.row0, column - area.column0]
            if (row, column) not in formulas and (value is None or isinstance(value, str)):
                kinds["blank" if value is None else "text"].append((sheet, row, column))
        blank = {(row, column) for _, row, column in kinds.get("blank", [])}
        if blank and not all_blank and _spaced({at[1:] for at in _each(area)} - blank):
            del kinds["blank"]
        cache[key] = [(kind, rectangles(cells)) for kind, cells in kinds.items()]
    return cache[key]


def _spaced(filled: set[At]) -> bool:
    """Whether the cells are a full grid in every n-th row and column, as hand-filled pooling leaves them."""
    rows, columns = sorted({r for r, _ in filled}), sorted({c for _, c in filled})
    steps = [{b - a for a, b in pairwise(line)} for line in (rows, columns)]
    even = all(len(step) == 1 for step in steps) and max(max(step) for step in steps) > 1
    return len(filled) == len(rows) * len(columns) and even


@rule
def wrong_size(sheet: Sheet) -> Iterator[Finding]:
    """A label such as 26x26 that is not the size of the block under or beside it."""
    blocks = [b for b in (*sheet.maps, *sheet.patches) if len(b.cells) > 3]
    for (row, column), text in sheet.texts.items():
        match = _SIZE.search(text)
        near = [b for b in blocks if _labels(row, column, b)]
        if match and near:
            block = min(near, key=lambda b: abs(b.area.row0 - row) + abs(b.area.column0 - column))
            stated = int(match[1]), int(match[2])
            merged = {b.shape for b in near}
            if stated not in merged:
                rows, columns = block.shape
                yield Finding(
                    sheet.area(row, column),
                    "wrong-size",
                    f"the label {text[:40]!r} does not fit the block {block.area}, which is {rows}×{columns}",
                    f"{rows}×{columns}",
                )


def _labels(row: int, column: int, block: Block) -> bool:
    _, r0, c0, r1, c1 = block.area
    above = 1 <= r0 - row <= 2 and c0 - 1 <= column <= c1
    left = r0 - 1 <= row <= r1 and 1 <= c0 - column <= 2
    return above or left or (1 <= row - r1 <= 1 and c0 <= column <= c1)


@rule
def denominator(sheet: Sheet) -> Iterator[Finding]:
    """SUM(block)/n or COUNT(block)/n where n is not the number of cells of the block."""
    for block in sheet.maps:
        at = min(block.cells)
        text = sheet.formulas[at]
        match = _MEAN.search(text.replace(" ", ""))
        areas = sheet.source.precedents((sheet.name, *at)).areas
        if match and areas:
            number = 1
            for factor in match["n"].split("*"):
                number *= int(factor)
            blank = sum(
                b.size
                for kind, found in _bad_cells(sheet.source, areas[0], all_blank=True)
                for b in found
                if kind == "blank"
            )
            size = areas[0].size - blank
            if number != size and size > 1:
                yield Finding(
                    sheet.area(*at),
                    "denominator",
                    f"divides by {number:,}, but {areas[0]} has {size:,} filled cells",
                    f"{size}",
                )


@rule
def stray_value(sheet: Sheet) -> Iterator[Finding]:
    """In a small kernel: the one value that breaks a pattern all its other rows or columns keep."""
    numbers = sheet.source.cells(sheet.name)
    for patch in sheet.patches:
        rows, columns = patch.shape
        if not (3 <= rows <= 7 and 3 <= columns <= 7 and len(patch.cells) == rows * columns):
            continue
        values = numbers.numbers(*patch.area[1:])
        for lines, turned in ((values, False), (values.T, True)):
            odd = [i for i, line in enumerate(lines) if len(set(line)) > 1]
            if len(odd) == 1 and len(lines) >= 3:
                common, count = Counter(lines[odd[0]]).most_common(1)[0]
                wrong = [j for j, v in enumerate(lines[odd[0]]) if v != common]
                if count >= 2 and len(wrong) == 1:
                    i, j = (wrong[0], odd[0]) if turned else (odd[0], wrong[0])
                    yield Finding(
                        sheet.area(patch.area.row0 + i, patch.area.column0 + j),
                        "stray-value",
                        f"{values[i, j]:g} breaks the pattern of the kernel {patch.area}",
                        f"{common:g}, as in the rest of its {'column' if turned else 'row'}",
                    )


@rule
def volatile(sheet: Sheet) -> Iterator[Finding]:
    """Functions that change with every recalculation."""
    for block in sheet.maps:
        for name in {t.text.upper() for t in tokens(sheet.formulas[min(block.cells)])} & _VOLATILE:
            what = f"{name[:-1]} is computed anew at every change"
            yield Finding(block.area, "volatile", what, "a typed value or a reference that stays")


@rule
def text_numbers(sheet: Sheet) -> Iterator[Finding]:
    """Numbers stored as text, which sums pass over in silence."""
    for (row, column), text in sheet.texts.items():
        if re.fullmatch(r"\s*[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?\s*", text):
            yield Finding(
                sheet.area(row, column), "text-number", f"the number {text!r} is stored as text", "a number"
            )


@rule
def errors(sheet: Sheet) -> Iterator[Finding]:
    """Error values, as last computed."""
    extent = sheet.source.cells(sheet.name).extent
    if extent:
        values = sheet.source.cells(sheet.name).values(*extent)
        for row, column in zip(*values.nonzero(), strict=True):
            if isinstance(values[row, column], CellError):
                at = sheet.area(int(row) + extent[0], int(column) + extent[1])
                yield Finding(at, "error", f"the value is {values[row, column]}", "a number")
