"""What several pages use: numbers picked by other cells, windows that move, conditions that light a window up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sheetconv.graph.expr import Coefficient, Entry, Expr, call
from sheetconv.graph.index import Index, Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import Maker
from sheetconv.sheet.layout import Place


def count(axis: Var, start: int = 0) -> Expr:
    """The number of a cell along one of its own axes, counted from `start`, as a literal in its formula."""
    return Coefficient(np.arange(start, start + axis.size, dtype=np.float64), (axis,))


def entry(tensor: Tensor, position: Expr, *lead: Index | int) -> Expr:
    """INDEX over the last axis: the element at `position` (from 1), the other axes being `lead`."""
    k = Var("k", tensor.shape[-1])
    return Entry(tensor.at(*lead, k), (k,), (position,))


def entry2(tensor: Tensor, row: Expr, column: Expr, *lead: Index | int) -> Expr:
    """INDEX over the last two axes: the element at row and column (from 1)."""
    ky, kx = Var("ky", tensor.shape[-2]), Var("kx", tensor.shape[-1])
    return Entry(tensor.at(*lead, ky, kx), (ky, kx), (row, column))


def nth(maker: Maker, name: str, pick: Tensor, stack: Tensor) -> Tensor:
    """Number `pick` (from 1) of a list of numbers (K,), as a tensor (1,)."""
    return maker.made(name, (1,), lambda t: entry(stack, pick.at(0)), Operation("choose", (pick, stack)))


def nth_map(maker: Maker, name: str, pick: Tensor, stack: Tensor) -> Tensor:
    """Number `pick` (from 1) of a few maps (K, C, H, W), as a tensor (1, C, H, W)."""

    def formula(t: Tensor) -> Expr:
        _, c, y, x = t.axes
        return call("CHOOSE", pick.at(0), *(stack.at(k, c, y, x) for k in range(stack.shape[0])))

    return maker.made(name, (1, *stack.shape[1:]), formula, Operation("choose", (pick, stack)))


def window(
    maker: Maker, name: str, source: Tensor, row: Tensor | int, column: Tensor | int, height: int, width: int
) -> Tensor:
    """The part of a map (…, H, W) at a row and column (from 0), held by other cells or fixed, as (1, 1, height, width)."""
    lead = [0] * (len(source.shape) - 2)

    def formula(t: Tensor) -> Expr:
        return entry2(source, _counted(row, t.axes[2]), _counted(column, t.axes[3]), *lead)

    cut = Operation("window", (source, row, column, height, width))
    found = Operation("aten.reshape.default", (cut, [1, 1, height, width]))
    return maker.made(name, (1, 1, height, width), formula, found)


def _counted(start: Tensor | int, axis: Var) -> Expr:
    """Where along an axis (from 1) a window that starts at `start` (from 0) has each of its cells."""
    return start.at(0) + count(axis, 1) if isinstance(start, Tensor) else count(axis, start + 1)


def put_maps(
    maker: Maker,
    tensor: Tensor,
    row: int,
    column: int,
    across: int,
    reach: Mapping[Tensor, list[tuple[int, int]]],
    gap: int = 0,
) -> Place:
    """Maps (1, C, H, W) in rows of `across`, each with the blank margin that its readers need, or at least `gap`."""
    (top, bottom), (left, right) = reach[tensor][2:]
    channels, height, width = tensor.shape[1:]
    number, zero = np.arange(channels), np.zeros(max(channels, height, width), dtype=np.int64)
    down, aside = height + max(top + bottom, gap), width + max(left + right, gap)
    rows = [zero[:1], number // across * down, np.arange(height), zero[:width]]
    columns = [zero[:1], number % across * aside, zero[:height], np.arange(width)]
    place = Place(maker.name, tensor, rows, columns, (top, left, bottom, right), row, column, (2, 3))
    maker.draft.places[tensor] = place
    return place


def inside(
    canvas: Canvas, at: tuple[int, int], axes: tuple[int, int], start: Sequence[str], size: Sequence[int]
) -> str:
    """Whether a cell lies in a window, by the small numbers beside its map.

    `at` is the cell, `axes` the column of the row numbers and the row of the column numbers; `start` holds the
    addresses (or formulas) of the window's first row and column, `size` its height and width.
    """
    row, column = canvas.at(at[0], axes[0], row=False), canvas.at(axes[1], at[1], column=False)
    tests = []
    for number, first, length in zip((row, column), start, size, strict=True):
        tests += [f"{number}>={first}", f"{number}<{first}+{length}"]
    return f"AND({','.join(tests)})"
