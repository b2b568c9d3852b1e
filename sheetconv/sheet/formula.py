"""Formula text for all cells of a tensor at once.

The printer knows expressions and addresses and no layer. The window of an aggregate becomes as few rectangles
as the layout allows: one for a whole window of a stacked map, one per channel of a teaching map, single
cells for a dilated window. Activations are read by relative addresses, parameters by absolute ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import cast

import numpy as np

from sheetconv.errors import LimitError
from sheetconv.graph.expr import (
    Aggregate,
    Binary,
    Call,
    Coefficient,
    Entry,
    Expr,
    Negative,
    Number,
    Read,
    Select,
)
from sheetconv.graph.index import IntArray, Var, grid, split
from sheetconv.graph.tensor import Tensor
from sheetconv.sheet.layout import Place
from sheetconv.xlsx.address import area, quoted

MAX_CHARACTERS = 8192
MAX_ARGUMENTS = 255

# How tightly an expression binds; an operand that binds less tightly goes in parentheses.
_COMPARE, _SUM, _PRODUCT, _SIGN, _ATOM = range(5)
_LEVEL = {">": 0, ">=": 0, "<": 0, "<=": 0, "=": 0, "+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT}


@dataclass
class Text:
    """The text of an expression in every cell, and how tightly it binds."""

    cells: list[str]
    level: int = _ATOM


def number(value: float) -> str:
    """A literal that reads back as the same float."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value)).replace("e", "E")


class Printer:
    """Prints expressions of tensors that lie on `sheet`, given the places of the tensors that they read."""

    def __init__(self, places: Mapping[Tensor, Place], sheet: str) -> None:
        self.places = places
        self.sheet = sheet

    def formulas(self, tensor: Tensor) -> list[str]:
        """The formula of every element (C order), without the leading equals sign.

        Raises `LimitError` when a formula is longer than spreadsheets take.
        """
        assert tensor.expr is not None
        env = grid(tensor.axes)
        cells = self._text(tensor.expr, env, tensor.size).cells
        longest = max(cells, key=len)
        if len(longest) > MAX_CHARACTERS:
            raise LimitError(
                f"layer {tensor.name}: a formula would be {len(longest):,} characters long; "
                f"spreadsheets take {MAX_CHARACTERS:,}. Use fewer input channels or no dilation"
            )
        return cells

    def _text(self, expr: Expr, env: Mapping[Var, IntArray], n: int) -> Text:
        match expr:
            case Number(value):
                return Text([number(value)] * n, _SIGN if value < 0 else _ATOM)
            case Coefficient(table, at):
                values = np.broadcast_to(table[tuple(i.evaluate(env) for i in at)], (n,))
                return Text([number(v) for v in values.tolist()])
            case Read():
                return Text(self._areas(expr, (), env, n, np.zeros(1, dtype=np.int64)))
            case Aggregate():
                return self._aggregate(expr, env, n)
            case Entry():
                return self._entry(expr, env, n)
            case Negative(operand):
                inner = self._wrapped(operand, _SIGN, env, n)
                return Text([f"-{t}" for t in inner], _SIGN)
            case Call(function, ()):
                return Text([f"{function}()"] * n)
            case Call(function, arguments):
                parts = [self._text(a, env, n).cells for a in arguments]
                return Text([f"{function}({','.join(p)})" for p in zip(*parts, strict=True)])
            case Select(condition, yes, no):
                return self._select(condition.evaluate(env), yes, no, env, n)
            case Binary():
                return self._binary(expr, env, n)
        raise TypeError(f"not an expression: {expr!r}")

    def _entry(self, expr: Entry, env: Mapping[Var, IntArray], n: int) -> Text:
        ranges = self._areas(expr.range, expr.over, env, n, np.arange(math.prod(v.size for v in expr.over)))
        positions = [self._text(p, env, n).cells for p in expr.position]
        return Text([f"INDEX({','.join(parts)})" for parts in zip(ranges, *positions, strict=True)])

    def _wrapped(self, expr: Expr, level: int, env: Mapping[Var, IntArray], n: int) -> list[str]:
        text = self._text(expr, env, n)
        return text.cells if text.level >= level else [f"({t})" for t in text.cells]

    def _binary(self, expr: Binary, env: Mapping[Var, IntArray], n: int) -> Text:
        level = _LEVEL[expr.operator]
        left = self._wrapped(expr.left, level, env, n)
        # a - (b + c) and a / (b * c) need their parentheses, a + (b + c) would change the rounding
        right = self._wrapped(expr.right, level + 1, env, n)
        if expr.operator == "+":
            return Text([b if a == "0" else a if b == "0" else f"{a}+{b}" for a, b in zip(left, right, strict=True)],
                        level)  # fmt: skip
        return Text([f"{a}{expr.operator}{b}" for a, b in zip(left, right, strict=True)], level)

    def _select(self, chosen: IntArray, yes: Expr, no: Expr, env: Mapping[Var, IntArray], n: int) -> Text:
        taken = np.broadcast_to(chosen != 0, (n,))
        out: list[str] = [""] * n
        level = _ATOM
        for branch, mask in ((yes, taken), (no, ~taken)):
            where = np.flatnonzero(mask)
            if len(where):
                part = {v: np.broadcast_to(a, (n,))[where] for v, a in env.items()}
                text = self._text(branch, part, len(where))
                level = min(level, text.level)
                for i, t in zip(where.tolist(), text.cells, strict=True):
                    out[i] = t
        return Text(out, level)

    # --- windows ---------------------------------------------------------------------------------------

    def _aggregate(self, expr: Aggregate, env: Mapping[Var, IntArray], n: int) -> Text:
        if expr.where is None:
            return self._window(expr, env, n, None)
        inner = grid(expr.over)
        full = {
            **{v: np.broadcast_to(a, (n,))[:, None] for v, a in env.items()},
            **{v: a[None] for v, a in inner.items()},
        }
        mask = np.broadcast_to(expr.where.evaluate(full) != 0, (n, math.prod(v.size for v in expr.over)))
        patterns, which = np.unique(mask, axis=0, return_inverse=True)
        out: list[str] = [""] * n
        level = _ATOM
        for number_, pattern in enumerate(patterns):
            where = np.flatnonzero(which.reshape(-1) == number_)
            part = {v: np.broadcast_to(a, (n,))[where] for v, a in env.items()}
            text = self._window(expr, part, len(where), np.flatnonzero(pattern))
            level = min(level, text.level)
            for i, t in zip(where.tolist(), text.cells, strict=True):
                out[i] = t
        return Text(out, level)

    def _window(self, expr: Aggregate, env: Mapping[Var, IntArray], n: int, taps: IntArray | None) -> Text:
        groups = self._rectangles(expr, taps)
        if not groups:
            return Text(["0"] * n)
        parts = [[self._areas(o, expr.over, env, n, group) for o in expr.operands] for group in groups]
        if expr.function != "SUMPRODUCT":
            if len(parts) > MAX_ARGUMENTS:
                raise LimitError(
                    f"{expr.function} of {len(parts)} ranges; spreadsheets take {MAX_ARGUMENTS} arguments"
                )
            columns = [p[0] for p in parts]
            return Text([f"{expr.function}({','.join(c)})" for c in zip(*columns, strict=True)])
        terms = []
        for group, areas in zip(groups, parts, strict=True):
            if len(group) == 1:
                terms.append(["*".join(c) for c in zip(*areas, strict=True)])
            else:
                terms.append([f"SUMPRODUCT({','.join(c)})" for c in zip(*areas, strict=True)])
        if len(terms) == 1:
            return Text(terms[0], _ATOM if len(groups[0]) > 1 else _PRODUCT)
        return Text(["+".join(c) for c in zip(*terms, strict=True)], _SUM)

    def _rectangles(self, expr: Aggregate, taps: IntArray | None) -> list[IntArray]:
        """The window's elements (numbers in C order over `over`) in groups that are rectangles in every operand.

        In all operands an element must have the same place within its rectangle.
        """
        sizes = [v.size for v in expr.over]
        inner = grid(expr.over)
        offsets = [self._inner_offsets(o, expr.over, inner) for o in expr.operands]
        everything = np.arange(math.prod(sizes))
        keep = np.ones(len(everything), dtype=bool)
        if taps is not None:
            keep[:] = False
            keep[taps] = True
        shaped = everything.reshape(sizes)
        for depth in range(len(sizes) + 1):
            groups = [shaped[index].reshape(-1) for index in product(*(range(s) for s in sizes[:depth]))]
            groups = [g[keep[g]] for g in groups]
            groups = [g for g in groups if len(g)]
            if all(_is_rectangle(g, offsets) for g in groups):
                return groups
        raise AssertionError("single cells are rectangles")

    def _inner_offsets(
        self, read: Read, over: tuple[Var, ...], inner: Mapping[Var, IntArray]
    ) -> tuple[IntArray, IntArray]:
        place = self.places[read.tensor]
        count = math.prod(v.size for v in over)
        rows = np.zeros(count, dtype=np.int64)
        columns = np.zeros(count, dtype=np.int64)
        for axis, index in enumerate(read.at):
            _, part = split(index, over)
            base = self._base(index, over)
            at = np.broadcast_to(part.evaluate(inner), (count,)) + base
            rows = rows + place.offset(axis, at) - place.offset(axis, np.asarray([base]))
            columns = (
                columns
                + place.offset(axis, at, columns=True)
                - place.offset(axis, np.asarray([base]), columns=True)
            )
        return rows, columns

    @staticmethod
    def _base(index: object, over: tuple[Var, ...]) -> int:
        """Where tables of offsets are read for the shape of a window: their steps are even, so 0 will do."""
        return 0

    def _areas(
        self, read: Read, over: tuple[Var, ...], env: Mapping[Var, IntArray], n: int, group: IntArray
    ) -> list[str]:
        """The address, in every cell, of the rectangle that a group of window elements makes."""
        place = self.places[read.tensor]
        chosen = {v: a[group] for v, a in grid(over).items()}
        row0 = np.full(n, place.row, dtype=np.int64)
        column0 = np.full(n, place.column, dtype=np.int64)
        row1, column1 = row0.copy(), column0.copy()
        for axis, index in enumerate(read.at):
            outer, part = split(index, over)
            a = np.broadcast_to(outer.evaluate(env), (n,))
            b = np.broadcast_to(part.evaluate(chosen), (len(group),))
            for extreme, rows, columns in ((b.min(), row0, column0), (b.max(), row1, column1)):
                rows += place.offset(axis, a + extreme)
                columns += place.offset(axis, a + extreme, columns=True)
        absolute = read.tensor.kind == "parameter"
        prefix = "" if place.sheet == self.sheet else quoted(place.sheet) + "!"
        corners = np.stack([row0, column0, row1, column1], 1)
        unique, which = np.unique(corners, axis=0, return_inverse=True)
        texts = [
            prefix + area(*cast(tuple[int, int, int, int], tuple(u)), absolute=absolute)
            for u in unique.tolist()
        ]
        return [texts[i] for i in which.reshape(-1).tolist()]


def _is_rectangle(group: IntArray, offsets: list[tuple[IntArray, IntArray]]) -> bool:
    places: list[IntArray] = []
    shapes = set()
    for rows, columns in offsets:
        r, c = rows[group], columns[group]
        r, c = r - r.min(), c - c.min()
        height, width = int(r.max()) + 1, int(c.max()) + 1
        if height * width != len(group):
            return False
        places.append(r * width + c)
        shapes.add((height, width))
    first = places[0]
    return (
        len(shapes) == 1
        and len(np.unique(first)) == len(group)
        and all((p == first).all() for p in places[1:])
    )
