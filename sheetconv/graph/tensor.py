"""Tensors, the operators of torch that they stand for, and the graph that holds them.

A `Tensor` carries two descriptions that must agree and that share no code: `expr`, what a cell computes,
and `operation`, the torch operator (a small tree of them) that gives the same tensor. Verification compares
the first, computed by a spreadsheet engine, with the second, computed by torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from sheetconv.errors import ModelError
from sheetconv.graph.affine import simplified
from sheetconv.graph.expr import (
    Aggregate,
    Coefficient,
    Entry,
    Expr,
    FloatArray,
    Read,
    Select,
    precedents,
    substitute,
    tensors_read,
    transform,
    walk,
)
from sheetconv.graph.index import Index, NotSeparable, Var, grid, split

Kind = Literal["input", "parameter", "activation"]


@dataclass(frozen=True)
class Operation:
    """A call of a torch operator: arguments are tensors, further calls, numbers, strings, None or lists."""

    target: str
    arguments: tuple[Any, ...]

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor among the arguments, at any depth."""
        yield from _tensors_in(self.arguments)


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Operation):
        yield from value.tensors()
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors_in(item)


@dataclass(eq=False)
class Tensor:
    """One tensor of the network, of shape `shape` (batch axis N = 1 first for activations).

    `expr` is None where the numbers themselves are stored: inputs and parameters. `placement` tells the
    layout how a parameter wants to lie (see `sheetconv.sheet.layout`), `partner` the tensor it follows; `whole`
    says that an input holds whole numbers, `within` the least and the greatest that it may hold (token numbers).
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind = "activation"
    expr: Expr | None = None
    operation: Operation | None = None
    module: str = ""
    operator: str = ""
    values: FloatArray | None = None
    view: bool = False
    signed: bool = True
    whole: bool = False
    within: tuple[int, int] | None = None
    placement: str = ""
    partner: Tensor | None = None
    axes: tuple[Var, ...] = field(default=())
    layer: str = ""
    state_shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.axes:
            letters = _letters(len(self.shape))
            self.axes = tuple(Var(n, s) for n, s in zip(letters, self.shape, strict=True))
        if not self.state_shape:
            self.state_shape = self.shape

    def reshape(self, shape: tuple[int, ...]) -> None:
        """Lay the same elements out in another shape; `state_shape` keeps the one that torch knows."""
        self.shape = shape
        self.axes = tuple(Var(n, s) for n, s in zip(_letters(len(shape)), shape, strict=True))
        if self.values is not None:
            self.values = self.values.reshape(shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return f"Tensor({self.name!r}, {self.shape})"

    def at(self, *index: Index | int) -> Read:
        """A read of one element."""
        from sheetconv.graph.index import as_index

        return Read(self, tuple(as_index(i) for i in index))


def _letters(rank: int) -> tuple[str, ...]:
    names = {0: (), 1: ("i",), 2: ("n", "j"), 3: ("n", "c", "x"), 4: ("n", "c", "y", "x")}
    return names.get(rank) or tuple(f"i{d}" for d in range(rank))


@dataclass
class Graph:
    """Tensors in the order in which they are computed; `inputs` and `outputs` among them."""

    tensors: list[Tensor]
    inputs: list[Tensor]
    outputs: list[Tensor]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.tensors)

    def __getitem__(self, name: str) -> Tensor:
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(name)

    def placed(self) -> list[Tensor]:
        """The tensors that have cells: all but the views that their readers look through."""
        return [t for t in self.tensors if not t.view]

    def check(self) -> None:
        """Raise `ModelError` where the graph breaks its own rules (a defect of a rule, not of a user)."""
        seen: set[Tensor] = set()
        for tensor in self.tensors:
            for read in tensors_read(tensor.expr) if tensor.expr else ():
                if read not in seen:
                    raise ModelError(f"{tensor.name} reads {read.name} before it is computed")
                if read.view:
                    raise ModelError(f"{tensor.name} reads the view {read.name}, which has no cells")
            if tensor.expr is not None:
                _check_ranks(tensor)
            elif tensor.kind == "activation":
                raise ModelError(f"{tensor.name} has no formula")
            seen.add(tensor)


def _check_ranks(tensor: Tensor) -> None:
    assert tensor.expr is not None
    windows = {v for e in walk(tensor.expr) if isinstance(e, Aggregate | Entry) for v in e.over}
    for expr in walk(tensor.expr):
        if not isinstance(expr, Read):
            continue
        if len(expr.at) != len(expr.tensor.shape):
            raise ModelError(f"{tensor.name} reads {expr.tensor.name} with {len(expr.at)} indices")
        unknown = (
            set().union(*(i.variables() for i in expr.at)) - windows - set(tensor.axes) if expr.at else set()
        )
        if unknown:
            raise ModelError(
                f"{tensor.name} uses a variable that is not its own: {sorted(map(str, unknown))}"
            )


def margins(graph: Graph) -> dict[Tensor, list[tuple[int, int]]]:
    """How many cells beyond its bounds each placed tensor is read, as (before, after) per axis.

    Reads of tensors that are no part of the graph do not count.
    """
    found = {t: [(0, 0)] * len(t.shape) for t in graph.placed()}
    for tensor in graph.placed():
        if tensor.expr is None:
            continue
        for low, high, read in reach(tensor):
            if read not in found:
                continue
            for axis, size in enumerate(read.shape):
                before, after = found[read][axis]
                found[read][axis] = (max(before, -low[axis]), max(after, high[axis] - size + 1))
    return found


def reach(tensor: Tensor) -> Iterator[tuple[list[int], list[int], Tensor]]:
    """Smallest and largest index of every read of the tensor's formula, per axis of the tensor read."""
    assert tensor.expr is not None
    env = grid(tensor.axes)
    if _simple(tensor.expr):
        for expr, over in _reads_with_windows(tensor.expr):
            low, high = [], []
            for index in expr.at:
                outer, inner = split(index, over)
                a, b = outer.evaluate(env), inner.evaluate(grid(over))
                low.append(int(np.min(a) + np.min(b)))
                high.append(int(np.max(a) + np.max(b)))
            yield low, high, expr.tensor
        return
    for read, _, coordinates in precedents(tensor.expr, env):
        if len(coordinates) and coordinates.shape[1]:
            yield coordinates.min(0).tolist(), coordinates.max(0).tolist(), read


def _simple(expr: Expr) -> bool:
    """No cell-dependent choice: the extremes of an index are those of its two parts."""
    if any(isinstance(e, Select | Coefficient) for e in walk(expr)):
        return False
    if any(isinstance(e, Aggregate) and e.where is not None for e in walk(expr)):
        return False
    try:
        for read, over in _reads_with_windows(expr):
            for index in read.at:
                split(index, over)
    except NotSeparable:
        return False
    return True


def _reads_with_windows(expr: Expr) -> Iterator[tuple[Read, tuple[Var, ...]]]:
    for node in walk(expr):
        if isinstance(node, Aggregate):
            yield from ((operand, node.over) for operand in node.operands)
        elif isinstance(node, Entry):
            yield node.range, node.over
    aggregated = {id(o) for node in walk(expr) if isinstance(node, Aggregate) for o in node.operands}
    aggregated |= {id(node.range) for node in walk(expr) if isinstance(node, Entry)}
    yield from ((e, ()) for e in walk(expr) if isinstance(e, Read) and id(e) not in aggregated)


def through_view(read: Read) -> Read:
    """The same element, read from the tensor that a view looks at."""
    view = read.tensor
    assert isinstance(view.expr, Read)
    found = substitute(view.expr, dict(zip(view.axes, read.at, strict=True)))
    assert isinstance(found, Read)
    return Read(found.tensor, tuple(simplified(i) for i in found.at))


def look_through(expr: Expr, views: Iterable[Tensor]) -> Expr:
    """The expression with every read of one of `views` replaced by a read of what it shows."""
    wanted = set(views)

    def resolve(read: Read) -> Expr:
        while read.tensor in wanted:
            read = through_view(read)
        return read

    return transform(expr, resolve, lambda i: i)
