"""Expressions: what one cell of a tensor computes, written once for all of its cells.

The vocabulary is small and closed: numbers, reads of other tensors, calls of spreadsheet functions,
aggregates over a window, entries chosen by other cells, arithmetic, and a choice that is settled when the
workbook is written. The numpy
evaluator in this module defines what each of them means; a read beyond a tensor's bounds is a **blank cell**
of its margin: 0 in a sum or product, passed over by MAX, MIN and AVERAGE.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sheetconv.graph.index import Index, IntArray, Var, grid

if TYPE_CHECKING:
    from sheetconv.graph.tensor import Tensor

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

# Cells × window elements evaluated at once (bounds memory: about 8 bytes × a few arrays each).
_CHUNK = 4_000_000


class Expr:
    """Base of expressions; Python's arithmetic operators build larger ones."""

    def __add__(self, other: ExprLike) -> Expr:
        return Binary("+", self, as_expr(other))

    def __radd__(self, other: ExprLike) -> Expr:
        return Binary("+", as_expr(other), self)

    def __sub__(self, other: ExprLike) -> Expr:
        return Binary("-", self, as_expr(other))

    def __rsub__(self, other: ExprLike) -> Expr:
        return Binary("-", as_expr(other), self)

    def __mul__(self, other: ExprLike) -> Expr:
        return Binary("*", self, as_expr(other))

    def __rmul__(self, other: ExprLike) -> Expr:
        return Binary("*", as_expr(other), self)

    def __truediv__(self, other: ExprLike) -> Expr:
        return Binary("/", self, as_expr(other))

    def __rtruediv__(self, other: ExprLike) -> Expr:
        return Binary("/", as_expr(other), self)

    def __neg__(self) -> Expr:
        return Negative(self)


ExprLike = Expr | float | int


def as_expr(value: ExprLike) -> Expr:
    """A number as an expression; an expression as it is."""
    return value if isinstance(value, Expr) else Number(float(value))


@dataclass(frozen=True, eq=False)
class Number(Expr):
    """The same literal in every cell."""

    value: float


@dataclass(frozen=True, eq=False)
class Coefficient(Expr):
    """A literal that depends on the cell: an entry of a fixed table (weights of a bilinear resize)."""

    table: FloatArray
    at: tuple[Index, ...]


@dataclass(frozen=True, eq=False)
class Read(Expr):
    """One cell of another tensor (inside an `Aggregate`: one cell per value of the window variables)."""

    tensor: Tensor
    at: tuple[Index, ...]


@dataclass(frozen=True, eq=False)
class Aggregate(Expr):
    """SUMPRODUCT, SUM, MAX, MIN or AVERAGE of reads over the box of the `over` variables.

    With `where`, only the elements for which it is not 0 take part (it may depend on the cell).
    """

    function: str
    operands: tuple[Read, ...]
    over: tuple[Var, ...]
    where: Index | None = None


@dataclass(frozen=True, eq=False)
class Entry(Expr):
    """INDEX: the element of a range that numbers in other cells choose, counted from 1 along each `over` variable.

    The range (one or two variables) is fixed; only the position is live. A position outside is an error in a
    spreadsheet, so cells that feed it need a validation.
    """

    range: Read
    over: tuple[Var, ...]
    position: tuple[Expr, ...]


@dataclass(frozen=True, eq=False)
class Call(Expr):
    """A spreadsheet function of single values."""

    function: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, eq=False)
class Binary(Expr):
    """Arithmetic (+ - * / ^) or a comparison (> >= < <= =), as spreadsheets write them."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, eq=False)
class Negative(Expr):
    """Minus an expression."""

    operand: Expr


@dataclass(frozen=True, eq=False)
class Select(Expr):
    """`yes` in the cells where `condition` is not 0, else `no`; settled cell by cell, not a formula's IF."""

    condition: Index
    yes: Expr
    no: Expr


def call(function: str, *arguments: ExprLike) -> Call:
    """A function call with numbers allowed as arguments."""
    return Call(function, tuple(as_expr(a) for a in arguments))


_PARTS: dict[type[Expr], tuple[str, ...]] = {}
"""Names of fields by class: `fields` takes longer than all else of a walk."""


def _parts(kind: type[Expr]) -> tuple[str, ...]:
    if kind not in _PARTS:
        _PARTS[kind] = tuple(field.name for field in fields(kind))  # type: ignore[arg-type]
    return _PARTS[kind]


def children(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly inside."""
    found: list[Expr] = []
    for name in _parts(type(expr)):
        value = getattr(expr, name)
        if isinstance(value, Expr):
            found.append(value)
        elif isinstance(value, tuple):
            found.extend(v for v in value if isinstance(v, Expr))
    return tuple(found)


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything inside it, outermost first."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def transform(expr: Expr, read: Callable[[Read], Expr], index: Callable[[Index], Index]) -> Expr:
    """A copy with every read and every index replaced (`index` is applied before `read`).

    Raises TypeError when a read inside an aggregate would become something that is not a read.
    """
    if isinstance(expr, Read):
        return read(Read(expr.tensor, tuple(index(i) for i in expr.at)))
    changed: dict[str, Any] = {}
    for name in _parts(type(expr)):
        value = getattr(expr, name)
        if isinstance(value, Expr):
            changed[name] = transform(value, read, index)
        elif isinstance(value, Index):
            changed[name] = index(value)
        elif isinstance(value, tuple):
            changed[name] = tuple(
                transform(v, read, index)
                if isinstance(v, Expr)
                else index(v)
                if isinstance(v, Index) and not isinstance(v, Var)
                else v
                for v in value
            )
    copy = replace(expr, **changed)  # type: ignore[type-var]
    if isinstance(copy, Aggregate) and not all(isinstance(o, Read) for o in copy.operands):
        raise TypeError("an aggregate reads tensors, not expressions")
    if isinstance(copy, Entry) and not isinstance(copy.range, Read):
        raise TypeError("a range is one of cells, not of expressions")
    if isinstance(copy, Coefficient):
        return replace(copy, at=tuple(index(i) for i in expr.at))  # type: ignore[attr-defined]
    return copy


def substitute(expr: Expr, variables: Mapping[Var, Index]) -> Expr:
    """The same expression with axis variables replaced."""
    return transform(expr, lambda r: r, lambda i: i.substitute(variables))


def tensors_read(expr: Expr) -> list[Tensor]:
    """Every tensor that is read, once, in order of appearance."""
    return list(dict.fromkeys(e.tensor for e in walk(expr) if isinstance(e, Read)))


# --- the numpy reading of an expression ---------------------------------------------------------------


def _gather(
    read: Read, env: Mapping[Var, IntArray], values: Mapping[Tensor, FloatArray]
) -> tuple[FloatArray, np.ndarray]:
    coordinates = np.broadcast_arrays(*(i.evaluate(env) for i in read.at)) if read.at else []
    inside: Any = np.asarray(True)
    for c, size in zip(coordinates, read.tensor.shape, strict=True):
        inside = inside & (c >= 0) & (c < size)
    clipped = tuple(np.clip(c, 0, s - 1) for c, s in zip(coordinates, read.tensor.shape, strict=True))
    return np.where(inside, values[read.tensor][clipped], 0.0), inside


# The cumulative gamma distribution of shape 1/2 and scale 1 is erf(√x); no other shape is used.
_gamma_half = np.vectorize(lambda x: math.erf(math.sqrt(x)), otypes=[float])


def _choose(number: Any, values: Sequence[Any]) -> Any:
    """Value number `number`, counted from 1; in a branch that is not taken the number may be any."""
    at, *found = np.broadcast_arrays(number, *values)
    index = np.clip(np.nan_to_num(at).astype(np.int64) - 1, 0, len(found) - 1)
    return np.take_along_axis(np.stack(found), index[None], 0)[0]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "EXP": np.exp,
    "LN": np.log,
    "SQRT": np.sqrt,
    "ABS": np.abs,
    "TANH": np.tanh,
    "ATAN": np.arctan,
    "POWER": np.power,
    "SIN": np.sin,
    "COS": np.cos,
    "MAX": lambda *a: np.maximum.reduce(np.broadcast_arrays(*a)),
    "MIN": lambda *a: np.minimum.reduce(np.broadcast_arrays(*a)),
    "IF": np.where,
    "INT": np.floor,
    "MOD": np.mod,
    "CHOOSE": lambda k, *a: _choose(k, a),
    "SIGN": np.sign,
    "RAND": lambda: np.asarray(math.nan),  # nobody can know it
    "GAMMADIST": lambda x, shape, scale, cumulative: _gamma_half(x),
}

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "=": np.equal,
}


def _elements(
    expr: Aggregate, env: Mapping[Var, IntArray], values: Mapping[Tensor, FloatArray]
) -> tuple[np.ndarray, FloatArray]:
    """Of an aggregate's elements in each cell (cells, window): which take part, and their products."""
    inner = {v: a[None, :] for v, a in grid(expr.over).items()}
    full = {**{v: a[:, None] for v, a in env.items()}, **inner}
    parts, filled = zip(*(_gather(o, full, values) for o in expr.operands), strict=True)
    present = np.logical_and.reduce(np.broadcast_arrays(*filled))
    if expr.where is not None:
        present = present & (expr.where.evaluate(full) != 0)
    present, product = np.broadcast_arrays(present, np.multiply.reduce(np.broadcast_arrays(*parts)))
    return present, product


def _aggregate(expr: Aggregate, env: Mapping[Var, IntArray], values: Mapping[Tensor, FloatArray]) -> Any:
    present, product = _elements(expr, env, values)
    if expr.function in ("SUM", "SUMPRODUCT"):
        return np.where(present, product, 0.0).sum(-1)
    if expr.function == "AVERAGE":
        return np.where(present, product, 0.0).sum(-1) / present.sum(-1)
    if expr.function == "MAX":
        return np.where(present, product, -np.inf).max(-1)
    return np.where(present, product, np.inf).min(-1)


def _entry(expr: Entry, env: Mapping[Var, IntArray], values: Mapping[Tensor, FloatArray]) -> FloatArray:
    chosen = dict(env)
    for variable, position in zip(expr.over, expr.position, strict=True):
        at = np.asarray(_evaluate(position, env, values)).astype(np.int64) - 1
        chosen[variable] = np.clip(at, 0, variable.size - 1)
    return _gather(expr.range, chosen, values)[0]


def _evaluate(expr: Expr, env: Mapping[Var, IntArray], values: Mapping[Tensor, FloatArray]) -> Any:
    match expr:
        case Number(value):
            return np.asarray(value)
        case Coefficient(table, at):
            return table[tuple(i.evaluate(env) for i in at)]
        case Read():
            return _gather(expr, env, values)[0]
        case Aggregate():
            return _aggregate(expr, env, values)
        case Entry():
            return _entry(expr, env, values)
        case Negative(operand):
            return -_evaluate(operand, env, values)
        case Binary(operator, left, right):
            return _OPERATORS[operator](_evaluate(left, env, values), _evaluate(right, env, values))
        case Call(function, arguments):
            return _FUNCTIONS[function](*(_evaluate(a, env, values) for a in arguments))
        case Select(condition, yes, no):
            chosen = condition.evaluate(env) != 0
            return np.where(chosen, _evaluate(yes, env, values), _evaluate(no, env, values))
    raise TypeError(f"not an expression: {expr!r}")


def evaluate(expr: Expr, axes: Sequence[Var], values: Mapping[Tensor, FloatArray]) -> FloatArray:
    """The value of `expr` in every cell of a tensor with these axes, from the values of the tensors it reads.

    Returns float64 of shape ``tuple(v.size for v in axes)``.
    """
    shape = tuple(v.size for v in axes)
    env = grid(axes)
    cells = math.prod(shape)
    window = max(
        (math.prod(v.size for v in e.over) for e in walk(expr) if isinstance(e, Aggregate)), default=1
    )
    step = max(1, _CHUNK // window)
    out = np.empty(cells)
    with np.errstate(all="ignore"):  # IF evaluates both branches, one of which may overflow
        for start in range(0, cells, step):
            part = {v: a[start : start + step] for v, a in env.items()}
            out[start : start + step] = _evaluate(expr, part, values)
    return out.reshape(shape)


# --- the precedents of a cell -------------------------------------------------------------------------


def precedents(expr: Expr, env: Mapping[Var, IntArray]) -> Iterator[tuple[Tensor, IntArray, IntArray]]:
    """What the cells given by `env` (arrays of one length, one entry a cell) read.

    Yields (tensor, cell numbers (n,), coordinates (n, rank)) for each read in the expression; coordinates
    beyond the bounds of the tensor are cells of its margin. Only the branch that `Select` takes is followed.
    """
    cells = len(next(iter(env.values()))) if env else 1
    yield from _precedents(expr, env, np.arange(cells))


def _precedents(
    expr: Expr, env: Mapping[Var, IntArray], cells: IntArray
) -> Iterator[tuple[Tensor, IntArray, IntArray]]:
    match expr:
        case Read():
            yield _coordinates(expr, env, cells[:, None])
        case Aggregate():
            full = {
                **{v: a[:, None] for v, a in env.items()},
                **{v: a[None] for v, a in grid(expr.over).items()},
            }
            for operand in expr.operands:
                yield _coordinates(operand, full, cells[:, None], expr.over, expr.where)
        case Entry():
            full = {
                **{v: a[:, None] for v, a in env.items()},
                **{v: a[None] for v, a in grid(expr.over).items()},
            }
            yield _coordinates(expr.range, full, cells[:, None], expr.over)
            for position in expr.position:
                yield from _precedents(position, env, cells)
        case Select(condition, yes, no):
            chosen = np.broadcast_to(condition.evaluate(env) != 0, cells.shape)
            for branch, taken in ((yes, chosen), (no, ~chosen)):
                if taken.any():
                    part = {v: np.broadcast_to(a, cells.shape)[taken] for v, a in env.items()}
                    yield from _precedents(branch, part, cells[taken])
        case _:
            for child in children(expr):
                yield from _precedents(child, env, cells)


def _coordinates(
    read: Read,
    env: Mapping[Var, IntArray],
    cells: IntArray,
    over: tuple[Var, ...] = (),
    where: Index | None = None,
) -> tuple[Tensor, IntArray, IntArray]:
    size = math.prod(v.size for v in over)
    shape = (len(cells), size)
    at = [np.broadcast_to(_as_column(i.evaluate(env)), shape) for i in read.at]
    keep = np.ones(shape, dtype=bool)
    if where is not None:
        keep = np.broadcast_to(where.evaluate(env) != 0, shape)
    stacked = np.stack([a[keep] for a in at], -1) if at else np.empty((int(keep.sum()), 0), dtype=np.int64)
    return read.tensor, np.broadcast_to(cells, shape)[keep], stacked


def _as_column(values: IntArray) -> IntArray:
    return values[:, None] if values.ndim == 1 else values
