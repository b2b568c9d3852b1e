"""Expressions as plain data for JSON, and back: what the manifest of a workbook keeps of each formula.

A variable is written by its place: ``a0`` is the tensor's first axis, ``w0:3`` a window variable of size 3.
Reading is for files from strangers: only classes of the vocabulary are made, sizes are bounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from sheetconv.graph import expr as vocabulary
from sheetconv.graph import index as indices
from sheetconv.graph.expr import Expr
from sheetconv.graph.index import Index, Var
from sheetconv.graph.tensor import Tensor

MOST_WINDOW = 4_000_000
_CLASSES = {c.__name__: c for c in vars(vocabulary).values() if isinstance(c, type) and issubclass(c, Expr)}


def plain(expr: Expr, axes: Sequence[Var]) -> Any:
    """The expression of a tensor with these axes as lists, dicts, strings and numbers."""
    return _Writer(axes).value(expr)


def expression(data: Any, axes: Sequence[Var], tensors: Mapping[str, Tensor]) -> Expr:
    """The expression that `plain` wrote, reading `tensors` by name.

    Raises ValueError, KeyError or TypeError for anything that `plain` does not write.
    """
    found = _PlainReader(axes, tensors).value(data)
    if not isinstance(found, Expr):
        raise ValueError("not an expression")
    return found


class _Writer:
    def __init__(self, axes: Sequence[Var]):
        self.names = {axis: f"a{i}" for i, axis in enumerate(axes)}
        self.windows = 0

    def value(self, value: Any) -> Any:
        if isinstance(value, Expr):
            parts = (getattr(value, f.name) for f in fields(value))  # type: ignore[arg-type]
            return [type(value).__name__, *(self.value(p) for p in parts)]
        if isinstance(value, Index):
            return {"i": self.index(value)}
        if isinstance(value, tuple | list):
            return {"t": [self.value(v) for v in value]}
        if isinstance(value, np.ndarray):
            return {"d": value.tolist()}
        if isinstance(value, Tensor):
            return {"r": value.name}
        return value

    def index(self, index: Index) -> Any:
        match index:
            case Var():
                if index not in self.names:
                    self.names[index] = f"w{self.windows}:{index.size}"
                    self.windows += 1
                return self.names[index]
            case indices.Constant(value):
                return value
            case indices.Lookup(table, at):
                return ["[]", table.tolist(), self.index(at)]
            case indices.IndexOperation(operator, left, right):
                return [operator, self.index(left), self.index(right)]
        raise TypeError(f"not an index: {index!r}")


class _PlainReader:
    def __init__(self, axes: Sequence[Var], tensors: Mapping[str, Tensor]):
        self.axes, self.tensors = axes, tensors
        self.windows: dict[str, Var] = {}

    def value(self, data: Any) -> Any:
        if isinstance(data, list):
            made = _CLASSES[data[0]](*(self.value(v) for v in data[1:]))
            if math.prod(w.size for w in getattr(made, "over", ())) > MOST_WINDOW:
                raise ValueError("a window is out of bounds")
            return made
        if isinstance(data, dict):
            ((kind, content),) = data.items()
            if kind == "i":
                return self.index(content)
            if kind == "t":
                return tuple(self.value(v) for v in content)
            if kind == "d":
                return np.array(content, dtype=np.float64)
            return self.tensors[content] if kind == "r" else {}[kind]
        return data

    def index(self, data: Any) -> Index:
        if isinstance(data, str):
            return self.variable(data)
        if isinstance(data, int):
            return indices.Constant(data)
        if data[0] == "[]":
            return indices.Lookup(np.array(data[1], dtype=np.int64), self.index(data[2]))
        operator, left, right = data
        if operator not in indices._OPERATORS:
            raise ValueError(f"no operator {operator!r}")
        return indices.IndexOperation(operator, self.index(left), self.index(right))

    def variable(self, name: str) -> Var:
        if name.startswith("a"):
            return self.axes[int(name[1:])]
        if name not in self.windows:
            self.windows[name] = Var(name.partition(":")[0], int(name.partition(":")[2]))
            if sum(w.size for w in self.windows.values()) > MOST_WINDOW:
                raise ValueError("a window is out of bounds")
        return self.windows[name]
