"""Integer index expressions: which cell of another tensor a cell reads.

An index is written in variables, as a teacher writes ``s*i + k - p``; evaluated on whole arrays of
variable values, it gives the coordinates for every cell of a tensor at once. An *axis* variable runs over
the cells of the tensor that is defined, a *window* variable over the cells that one of them reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

IntArray = np.ndarray[Any, np.dtype[np.int64]]

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "//": np.floor_divide,
    "%": np.remainder,
    "<": np.less,
    ">=": np.greater_equal,
    "==": np.equal,
    "&": np.logical_and,
    "min": np.minimum,
    "max": np.maximum,
}


class NotSeparable(Exception):
    """An index mixes axis and window variables in a way that is not a sum of the two."""


class Index:
    """Base of index expressions; Python's integer operators build larger ones."""

    def __add__(self, other: IndexLike) -> Index:
        return binary("+", self, other)

    def __radd__(self, other: IndexLike) -> Index:
        return binary("+", other, self)

    def __sub__(self, other: IndexLike) -> Index:
        return binary("-", self, other)

    def __rsub__(self, other: IndexLike) -> Index:
        return binary("-", other, self)

    def __mul__(self, other: IndexLike) -> Index:
        return binary("*", self, other)

    __rmul__ = __mul__

    def __floordiv__(self, other: IndexLike) -> Index:
        return binary("//", self, other)

    def __mod__(self, other: IndexLike) -> Index:
        return binary("%", self, other)

    def __lt__(self, other: IndexLike) -> Index:
        return binary("<", self, other)

    def __ge__(self, other: IndexLike) -> Index:
        return binary(">=", self, other)

    def __and__(self, other: IndexLike) -> Index:
        return binary("&", self, other)

    def equals(self, other: IndexLike) -> Index:
        """1 where both are equal, else 0 (``==`` itself stays identity)."""
        return binary("==", self, other)

    def variables(self) -> frozenset[Var]:
        """All variables that occur."""
        raise NotImplementedError

    def evaluate(self, values: Mapping[Var, IntArray]) -> IntArray:
        """The index for arrays of variable values (broadcast against each other)."""
        raise NotImplementedError

    def substitute(self, replace: Mapping[Var, Index]) -> Index:
        """The same index with variables replaced."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Var(Index):
    """A variable that runs over ``0 … size-1``; two variables are the same only if they are one object."""

    name: str
    size: int

    def variables(self) -> frozenset[Var]:
        """All variables that occur."""
        return frozenset((self,))

    def evaluate(self, values: Mapping[Var, IntArray]) -> IntArray:
        """See `Index.evaluate`."""
        return values[self]

    def substitute(self, replace: Mapping[Var, Index]) -> Index:
        """See `Index.substitute`."""
        return replace.get(self, self)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class Constant(Index):
    """A fixed integer."""

    value: int

    def variables(self) -> frozenset[Var]:
        """All variables that occur."""
        return frozenset()

    def evaluate(self, values: Mapping[Var, IntArray]) -> IntArray:
        """See `Index.evaluate`."""
        return np.asarray(self.value, dtype=np.int64)

    def substitute(self, replace: Mapping[Var, Index]) -> Index:
        """See `Index.substitute`."""
        return self

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, eq=False)
class IndexOperation(Index):
    """Two indices joined by one of the operators above."""

    operator: str
    left: Index
    right: Index

    def variables(self) -> frozenset[Var]:
        """All variables that occur."""
        return self.left.variables() | self.right.variables()

    def evaluate(self, values: Mapping[Var, IntArray]) -> IntArray:
        """See `Index.evaluate`."""
        result = _OPERATORS[self.operator](self.left.evaluate(values), self.right.evaluate(values))
        return np.asarray(result, dtype=np.int64)

    def substitute(self, replace: Mapping[Var, Index]) -> Index:
        """See `Index.substitute`."""
        return binary(self.operator, self.left.substitute(replace), self.right.substitute(replace))

    def __str__(self) -> str:
        return f"({self.left} {self.operator} {self.right})"


@dataclass(frozen=True, eq=False)
class Lookup(Index):
    """An entry of a fixed table of integers (how torch rounds a resize, say)."""

    table: IntArray
    at: Index

    def variables(self) -> frozenset[Var]:
        """All variables that occur."""
        return self.at.variables()

    def evaluate(self, values: Mapping[Var, IntArray]) -> IntArray:
        """See `Index.evaluate`."""
        return np.asarray(self.table, dtype=np.int64)[self.at.evaluate(values)]

    def substitute(self, replace: Mapping[Var, Index]) -> Index:
        """See `Index.substitute`."""
        return Lookup(self.table, self.at.substitute(replace))

    def __str__(self) -> str:
        return f"table[{self.at}]"


IndexLike = Index | int


def as_index(value: IndexLike) -> Index:
    """An integer as a constant index; an index as it is."""
    return value if isinstance(value, Index) else Constant(int(value))


def binary(operator: str, left: IndexLike, right: IndexLike) -> Index:
    """Join two indices, folding constants and the neutral elements 0 and 1."""
    a, b = as_index(left), as_index(right)
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(int(_OPERATORS[operator](a.value, b.value)))
    if isinstance(b, Constant):
        if (operator in "+-" and b.value == 0) or (operator in ("*", "//") and b.value == 1):
            return a
        if operator == "%" and b.value == 1:
            return Constant(0)
    if isinstance(a, Constant):
        if (operator == "+" and a.value == 0) or (operator == "*" and a.value == 1):
            return b
        if operator == "*" and a.value == 0:
            return a
    return IndexOperation(operator, a, b)


def minimum(left: IndexLike, right: IndexLike) -> Index:
    """The smaller of two indices."""
    return binary("min", left, right)


def maximum(left: IndexLike, right: IndexLike) -> Index:
    """The larger of two indices."""
    return binary("max", left, right)


def split(index: Index, window: Iterable[Var]) -> tuple[Index, Index]:
    """Write `index` as (part without window variables) + (part with nothing but them).

    Raises `NotSeparable` where it is not such a sum.
    """
    inside = frozenset(window)
    used = index.variables()
    if not used & inside:
        return index, Constant(0)
    if used <= inside:
        return Constant(0), index
    if isinstance(index, IndexOperation) and index.operator in "+-":
        left, right = split(index.left, inside), split(index.right, inside)
        return tuple(binary(index.operator, a, b) for a, b in zip(left, right, strict=True))  # type: ignore[return-value]
    if isinstance(index, IndexOperation) and index.operator == "*":
        for factor, other in ((index.left, index.right), (index.right, index.left)):
            if isinstance(factor, Constant):
                outer, inner = split(other, inside)
                return factor * outer, factor * inner
    raise NotSeparable(str(index))


def grid(variables: Iterable[Var]) -> dict[Var, IntArray]:
    """Values of `variables` over their full box, flattened in C order (last variable fastest)."""
    found = tuple(variables)
    if not found:
        return {}
    axes = np.meshgrid(*(np.arange(v.size) for v in found), indexing="ij")
    return {v: axis.reshape(-1) for v, axis in zip(found, axes, strict=True)}
