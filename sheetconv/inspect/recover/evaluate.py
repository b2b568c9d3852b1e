"""The formula of a map, worked out to its normal form (`sheetconv.inspect.recover.values`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain

import numpy as np

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.filled_blocks import FilledBlock
from sheetconv.formulas.source import Cell
from sheetconv.formulas.syntax import Apply, Node, NumberNode, Slot, TextNode, walk
from sheetconv.formulas.values import Unknown, constant
from sheetconv.formulas.values import number as value_of
from sheetconv.inspect.recover.cells import CellKind, Cells, shifted
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

_VARIANCES = ("VAR", "VARP", "VAR.P", "VAR.S", "STDEV", "STDEVP", "STDEV.P", "STDEV.S", "DEVSQ")

Table = list[list[Poly]]
"""Rows of polys; one number is a table of one."""

_EACH = {
    *("EXP", "LN", "SQRT", "TANH", "ABS", "SIGN", "SINH", "COSH", "ATAN", "SIN", "COS", "ERF", "LOG10"),
    *("=", "<>", "<", "<=", ">", ">=", "^", "IF", "POWER", "NOT", "AND", "OR", "INT"),
}


def evaluate(grid: FilledBlock, where: Cells) -> Poly:
    """What all cells of a map compute, in the order of `grid.cells`.

    Raises `Unrecognised` for a formula outside the vocabulary, with the reason.
    """
    tree = grid.skeleton.tree
    if tree is None:
        raise Unrecognised("its formula is written in a way that is not read")
    try:
        if not grid.spilled:
            cells_ = [(grid.sheet, *at) for at in grid.cells]
            return _single(_Evaluation([grid.slots[at] for at in grid.cells], where, cells_).table(tree))
        table = _Evaluation([grid.slots[grid.first]], where, [(grid.sheet, *grid.first)]).table(tree)
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


def _only_places(node: Node) -> bool:
    """Whether references are asked for where they stand only (ROW, ROWS …)."""
    if isinstance(node, Slot):
        return False
    if isinstance(node, Apply) and node.name in ("ROW", "COLUMN", "ROWS", "COLUMNS"):
        return True
    return not isinstance(node, Apply) or all(_only_places(n) for n in node.of)


def _single(table: Table) -> Poly:
    if len(table) != 1 or len(table[0]) != 1:
        raise Unrecognised("it is an array in a single cell")
    return table[0][0]


class _Evaluation:
    """One formula for n cells: `areas` has the slots of each."""

    def __init__(self, areas: list[tuple[Area, ...]], where: Cells, places: list[Cell]):
        self.areas, self.where, self.places = areas, where, places

    def table(self, node: Node) -> Table:
        if isinstance(node, NumberNode):
            return [[number(node.value)]]
        if isinstance(node, Slot):
            return self.slot(node.index)
        if isinstance(node, TextNode):
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
            "OFFSET": self.offset,
            "PRODUCT": lambda of: [[_operate("*", self.flat(of))]],
            **{n: partial(self.variance, n) for n in _VARIANCES},
            **{n: partial(self.squares, n) for n in ("SUMXMY2", "SUMX2MY2", "SUMX2PY2")},
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
                else np.isin(self.where.kinds(ids), (CellKind.NUMBER, CellKind.FORMULA))
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
        """The cell at a place that typed numbers and the formula's own place tell."""
        if not isinstance(of[0], Slot) or not 2 <= len(of) <= 3:
            raise Unrecognised("INDEX of something that is no range")
        areas = [slots[of[0].index] for slots in self.areas]
        heights = np.array([a.row1 - a.row0 + 1 for a in areas])
        widths = np.array([a.column1 - a.column0 + 1 for a in areas])
        row = self.positions(of[1])
        column = self.positions(of[2]) if len(of) == 3 else np.ones_like(row)
        if len(of) == 2:
            row, column = np.where(heights == 1, 1, row), np.where(heights == 1, row, column)
        if (row == 0).all() or (column == 0).all():
            return self.line(areas, row, column)
        if not ((row >= 1) & (row <= heights) & (column >= 1) & (column <= widths)).all():
            raise Unrecognised("INDEX picks a cell outside its range")
        corner = self.where.corner(areas)
        return [[cells(corner + (((row - 1) << 14) + column - 1))]]

    def line(self, areas: list[Area], row: np.ndarray, column: np.ndarray) -> Table:
        """INDEX with 0 for the row or the column: all of it."""
        corner = self.where.corner(areas)
        high = areas[0].row1 - areas[0].row0 + 1 if (row == 0).all() else 1
        wide = areas[0].column1 - areas[0].column0 + 1 if (column == 0).all() else 1
        start = corner + ((np.maximum(row, 1) - 1) << 14) + np.maximum(column, 1) - 1
        return [[cells(shifted(start, i, j)) for j in range(wide)] for i in range(high)]

    def positions(self, node: Node) -> np.ndarray:
        """Whole numbers (n,) that typed cells and the formula's place give; these cells are kept as they are."""
        read = [slots[s.index] for slots in self.areas for s in walk(node) if isinstance(s, Slot)]
        for area in dict.fromkeys(read):
            ids = self.where.inside(area)
            if (self.where.kinds(ids) == CellKind.FORMULA).any() and not _only_places(node):
                raise Unrecognised("INDEX picks a cell that changes")
            self.where.kept.update(ids.tolist())
        found = []
        for slots, place in zip(self.areas, self.places, strict=True):
            self.where.numbers.here = place
            try:
                found.append(int(value_of(node, slots, self.where.numbers)))
            except (Unknown, OverflowError, ValueError) as error:
                raise Unrecognised(f"INDEX at a place that is not read ({error})") from error
        return np.array(found, np.int64)

    def offset(self, of: tuple[Node, ...]) -> Table:
        """A range moved, and sized, by what typed numbers and the formula's own place tell."""
        if not isinstance(of[0], Slot) or not 3 <= len(of) <= 5:
            raise Unrecognised("OFFSET of something that is no range")
        areas = [slots[of[0].index] for slots in self.areas]
        down, right = self.positions(of[1]), self.positions(of[2])
        sizes = [areas[0].row1 - areas[0].row0 + 1, areas[0].column1 - areas[0].column0 + 1]
        for k, node in enumerate(of[3:]):
            size = self.positions(node)
            if (size != size[0]).any() or size[0] < 1:
                raise Unrecognised("the size of its range changes from cell to cell")
            sizes[k] = int(size[0])
        corner = self.where.corner(areas)
        place = np.array([(a.row0, a.column0) for a in areas])
        if (place[:, 0] + down < 0).any() or (place[:, 1] + right < 0).any():
            raise Unrecognised("OFFSET beyond the sheet")
        start = corner + (down << 14) + right
        return [[cells(shifted(start, i, j)) for j in range(sizes[1])] for i in range(sizes[0])]

    def variance(self, name: str, of: tuple[Node, ...]) -> Table:
        """VAR and STDEV, of a population or of a sample; DEVSQ."""
        polys = self.flat(of)
        mean = scale(add(polys), -1 / len(polys))
        differences = [add([p, mean]) for p in polys]
        squares = add(call("^", d, number(2.0)) for d in differences)
        if name == "DEVSQ":
            return [[squares]]
        count = len(polys) - (name in ("VAR", "VAR.S", "STDEV", "STDEV.S"))
        if count < 1:
            raise Unrecognised("the variance of one number")
        variance = scale(squares, 1 / count)
        return [[call("SQRT", variance) if name.startswith("STDEV") else variance]]

    def squares(self, name: str, of: tuple[Node, ...]) -> Table:
        """SUMXMY2, SUMX2MY2, SUMX2PY2 of two ranges."""
        one, two = self.flat(of[:1]), self.flat(of[1:])
        if len(one) != len(two):
            raise Unrecognised(f"{name} of ranges of different sizes")
        if name == "SUMXMY2":
            parts = [call("^", add([a, scale(b, -1.0)]), number(2.0)) for a, b in zip(one, two, strict=True)]
        else:
            sign = 1.0 if name == "SUMX2PY2" else -1.0
            parts = [
                add([multiply(a, a), scale(multiply(b, b), sign)]) for a, b in zip(one, two, strict=True)
            ]
        return [[add(parts)]]

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
