"""A number taken apart: the products in a cell's formula, largest first, with each input's share.

Understood are sums of products (`SUMPRODUCT(a, b)`, `SUMPRODUCT(a*b)`, `SUM(a*b)` with ranges of one shape);
other formulas are answered by the cells that they read, with values and no shares.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sheetconv.errors import UsageError
from sheetconv.read.cells import Value
from sheetconv.trace.area import Area
from sheetconv.trace.formula import tokens
from sheetconv.trace.source import Cell, Source

MOST_TERMS = 100_000
_PRODUCT = re.compile(r"(?:SUMPRODUCT|SUM)\(\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Term:
    """One product: both cells, both values, and their product."""

    left: Area
    right: Area
    left_value: float
    right_value: float

    @property
    def product(self) -> float:
        """left × right."""
        return self.left_value * self.right_value


@dataclass(frozen=True)
class Explanation:
    """A cell's formula and value, its products (in formula order), and the areas that it reads."""

    cell: Area
    formula: str
    value: Value
    groups: tuple[tuple[Area, Area, tuple[Term, ...]], ...]
    reads: tuple[Area, ...]

    def shares(self) -> list[tuple[Area, float]]:
        """Share of each group (input channel) in the sum of the products' sizes, 0 … 1."""
        sizes = [sum(abs(t.product) for t in terms) for _, _, terms in self.groups]
        total = sum(sizes) or 1.0
        return [(left, size / total) for (left, _, _), size in zip(self.groups, sizes, strict=True)]


def explain(source: Source, cell: Cell) -> Explanation:
    """Take a cell apart, from the values cached in the file; `UsageError` where no formula stands."""
    here = Area(*cell, *cell[1:])
    formula = source.formula(cell)
    if formula is None:
        raise UsageError(f"{here} holds no formula; there is nothing to take apart")
    reads = source.precedents(cell).areas
    groups = tuple((a, b, _terms(source, a, b)) for a, b in _pairs(formula, cell[0], reads))
    return Explanation(here, formula, source.cells(cell[0]).value(*cell[1:]), groups, reads)


def _pairs(formula: str, sheet: str, reads: tuple[Area, ...]) -> list[tuple[Area, Area]]:
    """Ranges multiplied with each other: one function that holds two of one shape, joined by , or *."""
    known = {str(a): a for a in reads} | {str(a).rpartition("!")[2]: a for a in reads if a.sheet == sheet}
    pairs: list[tuple[Area, Area]] = []
    last: Area | None = None
    inside = joined = False
    for token in tokens(formula):
        if token.kind == "function":
            inside, last = bool(_PRODUCT.match(token.text)), None
            multiplies = token.text.upper().startswith("SUMPRODUCT")
        elif token.kind in ("area", "name") and inside:
            key = (f"{token.sheet}!" if token.sheet else "") + token.text.replace("$", "")
            area = known.get(key)
            if area and last and joined and _shape(area) == _shape(last):
                pairs.append((last, area))
                last = None
            else:
                last = area
        elif token.kind != "space":
            joined = token.text == "*" or (token.text == "," and inside and multiplies)
    return pairs


def _shape(area: Area) -> tuple[int, int]:
    return area.row1 - area.row0, area.column1 - area.column0


def _terms(source: Source, a: Area, b: Area) -> tuple[Term, ...]:
    if a.size > MOST_TERMS:
        raise UsageError(f"{a} has {a.size:,} terms; a sum of up to {MOST_TERMS:,} can be taken apart")
    left, right = (source.cells(x.sheet).numbers(*x[1:]) for x in (a, b))
    return tuple(
        Term(_cell(a, r, c), _cell(b, r, c), float(left[r, c]), float(right[r, c]))
        for r in range(left.shape[0])
        for c in range(left.shape[1])
        if left[r, c] == left[r, c] and right[r, c] == right[r, c]
    )


def _cell(area: Area, row: int, column: int) -> Area:
    at = area.row0 + row, area.column0 + column
    return Area(area.sheet, *at, *at)
