"""Formula text for many cells of a tensor at once.

The printer knows expressions and addresses and no layer. The window of an aggregate becomes as few rectangles
as the layout allows: one for a whole window of a stacked map, one per channel of a teaching map, single
cells for a dilated window. Activations are read by relative addresses, parameters by absolute ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from xml.sax.saxutils import escape

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
from sheetconv.sheet.text import (
    ATOM,
    COMPARE,
    PRODUCT,
    SIGN,
    SUM,
    Bytes,
    Piece,
    Text,
    area_text,
    chosen,
    column,
    matrix,
    strings,
)
from sheetconv.xlsx.address import quoted

MAX_CHARACTERS = 8192  # with the equals sign
MAX_ARGUMENTS = 255

_LEVEL = dict.fromkeys((">", ">=", "<", "<=", "="), COMPARE) | {
    "+": SUM,
    "-": SUM,
    "*": PRODUCT,
    "/": PRODUCT,
}

Env = Mapping[Var, IntArray]


def number(value: float) -> str:
    """A literal that reads back as the same float."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value)).replace("e", "E")


def cells_of(tensor: Tensor, numbers: IntArray) -> dict[Var, IntArray]:
    """The values of a tensor's axes in some of its cells (their numbers in C order)."""
    index = np.unravel_index(numbers, tensor.shape) if tensor.shape else ()
    return {v: np.asarray(i, dtype=np.int64) for v, i in zip(tensor.axes, index, strict=True)}


class Printer:
    """Prints expressions of tensors that lie on `sheet`, given the places of the tensors that they read.

    With `xml` the text is as it stands in a file (`<` as `&lt;`).
    """

    def __init__(self, places: Mapping[Tensor, Place], sheet: str, *, xml: bool = False) -> None:
        self.places = places
        self.sheet = sheet
        self.xml = xml
        self._found: dict[tuple[int, bytes], list[IntArray]] = {}

    def formulas(self, tensor: Tensor) -> list[str]:
        """The formula of every element (C order), without the leading equals sign."""
        return strings([self.text(tensor, np.arange(tensor.size))], tensor.size)

    def text(self, tensor: Tensor, numbers: IntArray) -> Bytes:
        """The formulas of some elements, without the equals sign, as a piece (see `sheetconv.sheet.text`).

        Raises `LimitError` when a formula is longer than spreadsheets take.
        """
        assert tensor.expr is not None
        n = len(numbers)
        found = matrix(self._text(tensor.expr, cells_of(tensor, numbers), n).pieces, n)
        if found.shape[1] >= MAX_CHARACTERS:
            longest = int((found != 0).sum(1).max()) + 1
            if longest > MAX_CHARACTERS:
                raise LimitError(
                    f"layer {tensor.name}: a formula would be {longest:,} characters long; "
                    f"spreadsheets take {MAX_CHARACTERS:,}. Use fewer input channels or no dilation"
                )
        return found

    def _constant(self, text: str) -> bytes:
        return (escape(text) if self.xml else text).encode()

    def _text(self, expr: Expr, env: Env, n: int) -> Text:
        match expr:
            case Number(value):
                return Text([number(value).encode()], SIGN if value < 0 else ATOM, value == 0)
            case Coefficient(table, at):
                values = np.broadcast_to(table[tuple(i.evaluate(env) for i in at)], (n,))
                level = SIGN if (values < 0).any() else ATOM
                return Text([column([number(v).encode() for v in values.tolist()])], level, values == 0)
            case Read():
                return Text(self._areas(expr, (), env, n, np.zeros(1, dtype=np.int64)))
            case Aggregate():
                return self._aggregate(expr, env, n)
            case Entry():
                over = np.arange(math.prod(v.size for v in expr.over))
                ranges = self._areas(expr.range, expr.over, env, n, over)
                positions = [self._text(p, env, n).pieces for p in expr.position]
                if (
                    len(positions) == 1
                    and self._inner_offsets(expr.range, expr.over, grid(expr.over))[1].any()
                ):
                    positions.insert(
                        0, [b"1"]
                    )  # with one coordinate some programs count the rows of a single row
                return Text([b"INDEX(", *_joined(b",", [ranges, *positions]), b")"])
            case Negative(operand):
                return Text([b"-", *self._text(operand, env, n).wrapped(SIGN)], SIGN)
            case Call(function, arguments):
                parts = [self._text(a, env, n).pieces for a in arguments]
                return Text([self._constant(f"{function}("), *_joined(b",", parts), b")"])
            case Select(condition, yes, no):
                taken = np.broadcast_to(condition.evaluate(env) != 0, (n,))
                return self._parts([(taken, yes), (~taken, no)], env, n)
            case Binary():
                return self._binary(expr, env, n)
        raise TypeError(f"not an expression: {expr!r}")

    def _binary(self, expr: Binary, env: Env, n: int) -> Text:
        level = _LEVEL[expr.operator]
        left, right = self._text(expr.left, env, n), self._text(expr.right, env, n)
        # a - (b + c) and a / (b * c) need their parentheses, a + (b + c) would change the rounding
        a, b = left.wrapped(level), right.wrapped(level + 1)
        both = [*a, self._constant(expr.operator), *b]
        if expr.operator != "+":
            return Text(both, level)
        no_left, no_right = (np.broadcast_to(np.asarray(t.zero), (n,)) for t in (left, right))
        if not (no_left.any() or no_right.any()):
            return Text(both, level)
        cases = [(no_left, b), (no_right & ~no_left, a), (~no_left & ~no_right, both)]
        picked = [(np.flatnonzero(mask), pieces) for mask, pieces in cases if mask.any()]
        zero = no_left & no_right
        if len(picked) == 1:
            return Text(list(picked[0][1]), level, zero)
        return Text([chosen([(w, _some(p, w)) for w, p in picked], n)], level, zero)

    def _parts(
        self, parts: Sequence[tuple[IntArray, Expr | tuple[Aggregate, IntArray]]], env: Env, n: int
    ) -> Text:
        """Different expressions (or windows with some of their taps) for different cells, given by masks."""
        found: list[tuple[IntArray, Sequence[Piece]]] = []
        zero = np.zeros(n, dtype=bool)
        level = ATOM
        for mask, what in parts:
            where = np.flatnonzero(mask)
            if not len(where):
                continue
            part = {v: np.broadcast_to(a, (n,))[where] for v, a in env.items()}
            count = len(where)
            text = (
                self._text(what, part, count) if isinstance(what, Expr) else self._window(*what, part, count)
            )
            level = min(level, text.level)
            zero[where] = text.zero
            if len(where) == n:
                return text
            found.append((where, text.pieces))
        return Text([chosen(found, n)], level, zero)

    # --- windows ---------------------------------------------------------------------------------------

    def _aggregate(self, expr: Aggregate, env: Env, n: int) -> Text:
        if expr.where is None:
            return self._window(expr, None, env, n)
        full = {
            **{v: np.broadcast_to(a, (n,))[:, None] for v, a in env.items()},
            **{v: a[None] for v, a in grid(expr.over).items()},
        }
        mask = np.broadcast_to(expr.where.evaluate(full) != 0, (n, math.prod(v.size for v in expr.over)))
        patterns, which = np.unique(mask, axis=0, return_inverse=True)
        which = which.reshape(-1)
        return self._parts(
            [(which == i, (expr, np.flatnonzero(pattern))) for i, pattern in enumerate(patterns)], env, n
        )

    def _window(self, expr: Aggregate, taps: IntArray | None, env: Env, n: int) -> Text:
        groups = self._rectangles(expr, taps)
        if not groups:
            return Text([b"0"], ATOM, True)
        parts = [[self._areas(o, expr.over, env, n, group) for o in expr.operands] for group in groups]
        function = expr.function.encode()
        if expr.function != "SUMPRODUCT":
            if len(parts) > MAX_ARGUMENTS:
                raise LimitError(
                    f"{expr.function} of {len(parts)} ranges; spreadsheets take {MAX_ARGUMENTS} arguments"
                )
            return Text([function + b"(", *_joined(b",", [p[0] for p in parts]), b")"])
        terms: list[list[Piece]] = []
        for group, areas in zip(groups, parts, strict=True):
            if len(group) == 1:
                terms.append(_joined(b"*", areas))
            else:
                terms.append([function + b"(", *_joined(b",", areas), b")"])
        if len(terms) == 1:
            return Text(terms[0], ATOM if len(groups[0]) > 1 else PRODUCT)
        return Text(_joined(b"+", terms), SUM)

    def _rectangles(self, expr: Aggregate, taps: IntArray | None) -> list[IntArray]:
        """The window's elements (numbers in C order over `over`) in groups that are rectangles in every operand.

        In all operands an element must have the same place within its rectangle.
        """
        key = (id(expr), b"" if taps is None else taps.tobytes() + b".")
        if key not in self._found:
            self._found[key] = self._search(expr, taps)
        return self._found[key]

    def _search(self, expr: Aggregate, taps: IntArray | None) -> list[IntArray]:
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

    def _inner_offsets(self, read: Read, over: tuple[Var, ...], inner: Env) -> tuple[IntArray, IntArray]:
        """Where a window's elements lie from its first; tables of offsets are read from 0, since their steps are even."""
        place = self.places[read.tensor]
        count = math.prod(v.size for v in over)
        rows = np.zeros(count, dtype=np.int64)
        columns = np.zeros(count, dtype=np.int64)
        for axis, index in enumerate(read.at):
            _, part = split(index, over)
            at = np.broadcast_to(part.evaluate(inner), (count,))
            zero = np.zeros(1, dtype=np.int64)
            rows = rows + place.offset(axis, at) - place.offset(axis, zero)
            columns = columns + place.offset(axis, at, columns=True) - place.offset(axis, zero, columns=True)
        return rows, columns

    def _areas(self, read: Read, over: tuple[Var, ...], env: Env, n: int, group: IntArray) -> list[Piece]:
        """The address, in every cell, of the rectangle that a group of window elements makes."""
        place = self.places[read.tensor]
        inside = {v: a[group] for v, a in grid(over).items()}
        row0 = np.full(n, place.row, dtype=np.int64)
        column0 = np.full(n, place.column, dtype=np.int64)
        row1, column1 = row0.copy(), column0.copy()
        for axis, index in enumerate(read.at):
            outer, part = split(index, over)
            a = np.broadcast_to(outer.evaluate(env), (n,))
            b = np.broadcast_to(part.evaluate(inside), (len(group),))
            for extreme, rows, columns in ((b.min(), row0, column0), (b.max(), row1, column1)):
                rows += place.offset(axis, a + extreme)
                columns += place.offset(axis, a + extreme, columns=True)
        texts = area_text(row0, column0, row1, column1, absolute=read.tensor.kind == "parameter")
        if place.sheet == self.sheet:
            return texts
        return [self._constant(quoted(place.sheet) + "!"), *texts]


def _joined(separator: bytes, parts: Sequence[Sequence[Piece]]) -> list[Piece]:
    """Texts with a separator between them."""
    out: list[Piece] = []
    for i, part in enumerate(parts):
        out += [separator, *part] if i else part
    return out


def _some(pieces: Sequence[Piece], where: IntArray) -> list[Piece]:
    return [p if isinstance(p, bytes) else p[where] for p in pieces]


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
