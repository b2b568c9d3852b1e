"""The formula of a map, worked out to its normal form (`sheetconv.inspect.recover.values`)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import numpy as np

from sheetconv.formulas.area import Area
from sheetconv.formulas.grids import Grid
from sheetconv.formulas.tree import Apply, Node, Number, Slot, Text
from sheetconv.formulas.values import Unknown, constant
from sheetconv.inspect.recover.cells import Cells, Kind, shifted
from sheetconv.inspect.recover.values import (
    MOST_TERMS,
    Poly,
    Unrecognised,
    add,
    call,
    cells,
    multiply,
    number,
    scale,
    stacked,
)

Table = list[list[Poly]]
"""Rows of polys; one number is a table of one."""

_EACH = {
    *("EXP", "LN", "SQRT", "TANH", "ABS", "SIGN", "SINH", "COSH", "ATAN", "SIN", "COS", "ERF", "LOG10"),
    *("=", "<>", "<", "<=", ">", ">=", "^", "IF", "POWER", "NOT", "AND", "OR", "INT"),
}


def evaluate(grid: Grid, where: Cells) -> Poly:
    """What all cells of a map compute, in the order of `grid.cells`.

    Raises `Unrecognised` for a formula outside the vocabulary, with the reason.
    """
    tree = grid.skeleton.tree
    if tree is None:
        raise Unrecognised("its formula is written in a way that is not read")
    try:
        if not grid.spilled:
            return _single(_Evaluation([grid.slots[at] for at in grid.cells], where).table(tree))
        table = _Evaluation([grid.slots[grid.first]], where).table(tree)
    except RecursionError as error:  # the depth of trees is bounded; this is a second fence
        raise Unrecognised("its formula is nested too deeply") from error
    rows, columns = len(table), len(table[0])
    picked = []
    for i, j in grid.cells.values():
        i, j = (0 if rows == 1 else i), (0 if columns == 1 else j)
        if i >= rows or j >= columns:
            raise Unrecognised("its array formula fills more cells than it has values")
        picked.append(table[i][j])
    return stacked(picked)


def _single(table: Table) -> Poly:
    if len(table) != 1 or len(table[0]) != 1:
        raise Unrecognised("it is an array in a single cell")
    return table[0][0]


class _Evaluation:
    """One formula for n cells: `areas` has the slots of each."""

    def __init__(self, areas: list[tuple[Area, ...]], where: Cells):
        self.areas, self.where = areas, where

    def table(self, node: Node) -> Table:
        if isinstance(node, Number):
            return [[number(node.value)]]
        if isinstance(node, Slot):
            return self.slot(node.index)
        if isinstance(node, Text):
            raise Unrecognised(f"it works with the text {node.value[:20]!r}")
        if not isinstance(node, Apply):
            raise Unrecognised("it hands a LAMBDA to a function that is not read")
        special: dict[str, Callable[[tuple[Node, ...]], Table]] = {
            "{}": self.constants,
            "SUM": lambda of: [[add(self.flat(of))]],
            "AVERAGE": self.average,
            "SUMPRODUCT": self.sumproduct,
            "MMULT": self.mmult,
            "TRANSPOSE": lambda of: [list(row) for row in zip(*self.table(of[0]), strict=True)],
            "MAX": lambda of: [[call("MAX", *self.flat(of))]],
            "MIN": lambda of: [[call("MIN", *self.flat(of))]],
            "SUMSQ": lambda of: [[add(multiply(p, p) for p in self.flat(of))]],
            "INDEX": self.index,
        }
        if node.name in special:
            return special[node.name](node.of)
        return self.each(node.name, [self.table(part) for part in node.of])

    def slot(self, index: int) -> Table:
        areas = [slots[index] for slots in self.areas]
        rows, columns = areas[0].row1 - areas[0].row0 + 1, areas[0].column1 - areas[0].column0 + 1
        if rows * columns > MOST_TERMS:
            raise Unrecognised(f"it reads {rows * columns:,} cells at once")
        if any((a.row1 - a.row0 + 1, a.column1 - a.column0 + 1) != (rows, columns) for a in areas):
            raise Unrecognised("the size of its range changes from cell to cell")
        corner = self.where.corner(areas)
        return [[cells(shifted(corner, i, j)) for j in range(columns)] for i in range(rows)]

    def flat(self, of: tuple[Node, ...]) -> list[Poly]:
        return [poly for part in of for poly in chain.from_iterable(self.table(part))]

    def constants(self, rows: tuple[Node, ...]) -> Table:
        return [self.flat(row.of) for row in rows if isinstance(row, Apply)]

    def average(self, of: tuple[Node, ...]) -> Table:
        """Blank cells do not count; where their number changes from cell to cell the call is kept."""
        polys = self.flat(of)
        counted = []
        for poly in polys:
            ids = poly.cell
            there = (
                np.array([True])
                if ids is None
                else np.isin(self.where.kinds(ids), (Kind.NUMBER, Kind.FORMULA))
            )
            if there.any() and not there.all():
                return [[call("AVERAGE", *polys)]]
            if there.all():
                counted.append(poly)
        if not counted:
            raise Unrecognised("it averages nothing")
        return [[scale(add(counted), 1 / len(counted))]]

    def sumproduct(self, of: tuple[Node, ...]) -> Table:
        tables = [self.table(part) for part in of]
        product = tables[0]
        for table in tables[1:]:
            if (len(table), len(table[0])) != (len(product), len(product[0])):
                raise Unrecognised("SUMPRODUCT of ranges of different sizes")
            product = self.each("*", [product, table])
        return [[add(chain.from_iterable(product))]]

    def mmult(self, of: tuple[Node, ...]) -> Table:
        if len(of) != 2:
            raise Unrecognised("MMULT takes two ranges")
        left, right = self.table(of[0]), self.table(of[1])
        if len(left[0]) != len(right):
            raise Unrecognised("MMULT of ranges that do not fit")
        if len(left) * len(right) * len(right[0]) > MOST_TERMS:
            raise Unrecognised("a matrix product of too many terms")
        columns = list(zip(*right, strict=True))
        return [
            [add(multiply(a, b) for a, b in zip(row, column, strict=True)) for column in columns]
            for row in left
        ]

    def index(self, of: tuple[Node, ...]) -> Table:
        table = self.table(of[0])
        places = [_single(self.table(part)).constant for part in of[1:]]
        if any(p is None for p in places) or not 1 <= len(places) <= 2:
            raise Unrecognised("INDEX picks a cell that changes")
        row, column = int(places[0] or 0), int(places[1] or 0) if len(places) == 2 else 1
        if len(places) == 1 and len(table) == 1:
            row, column = 1, row
        if not (1 <= row <= len(table) and 1 <= column <= len(table[0])):
            raise Unrecognised("INDEX picks a cell outside its range")
        return [[table[row - 1][column - 1]]]

    def each(self, name: str, tables: list[Table]) -> Table:
        """Apply an operator cell by cell; one number, one row or one column goes with every other."""
        if not tables:
            raise Unrecognised(f"{name} is not read")
        rows, columns = max(len(t) for t in tables), max(len(t[0]) for t in tables)
        for t in tables:
            if len(t) not in (1, rows) or len(t[0]) not in (1, columns):
                raise Unrecognised("ranges of different sizes")
        if rows * columns * len(tables) > MOST_TERMS:
            raise Unrecognised("an array of too many cells")
        return [
            [
                _operate(name, [t[i if len(t) > 1 else 0][j if len(t[0]) > 1 else 0] for t in tables])
                for j in range(columns)
            ]
            for i in range(rows)
        ]


def _operate(name: str, of: list[Poly]) -> Poly:
    if name == "+":
        return add(of)
    if name == "-":
        return scale(of[0], -1.0)
    if name == "*":
        product = of[0]
        for factor in of[1:]:
            product = multiply(product, factor)
        return product
    if name == "1/":
        below = of[0].constant
        return call("1/", of[0]) if not below else number(1 / below)
    constants = [p.constant for p in of]
    if of and all(c is not None for c in constants):
        try:
            return number(constant(name, [c for c in constants if c is not None]))
        except Unknown as error:
            raise Unrecognised(f"{error} of constants") from error
    if name in ("LOG", "LOG10"):
        base = constants[1] if name == "LOG" and len(of) == 2 else 10.0
        if base is None or base <= 0 or base == 1:
            raise Unrecognised("a logarithm to a base that changes")
        return scale(call("LN", of[0]), 1 / float(np.log(base)))
    if name in _EACH:
        return call("^" if name == "POWER" else name, *of)
    raise Unrecognised(f"{name} is not read")
