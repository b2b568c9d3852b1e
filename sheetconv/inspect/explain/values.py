"""What a formula's parts amount to, from the values that the file remembers: arithmetic and common functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sheetconv.errors import LimitError
from sheetconv.formulas.area import Area
from sheetconv.formulas.source import Source
from sheetconv.formulas.tree import Apply, Node, Number, Slot

MOST_CELLS = 100_000
Array = np.ndarray


class Unknown(Exception):
    """A part of the formula has no number here: a function that is not read, a text, an error value."""


class Values:
    """Numbers of a workbook's cells as the file has them; `changed` overrides single cells (for derivatives)."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.changed: dict[tuple[str, int, int], float] = {}

    def block(self, area: Area) -> Array:
        """Numbers of an area, float64 (rows, columns), NaN for blank cells, texts, errors and missing values."""
        used = self.source.used(area)
        if used is None:
            return np.full((1, 1), np.nan)
        if area.size > MOST_CELLS and used.size < area.size:
            area = used  # a whole column
        if area.size > MOST_CELLS:
            raise LimitError(
                f"{area} has {area.size:,} cells; sums of up to {MOST_CELLS:,} can be taken apart"
            )
        found = np.array(self.source.cells(area.sheet).numbers(*area[1:]), dtype=float)
        for (sheet, row, column), value in self.changed.items():
            if (
                sheet == area.sheet
                and area.row0 <= row <= area.row1
                and area.column0 <= column <= area.column1
            ):
                found[row - area.row0, column - area.column0] = value
        return found


def evaluate(node: Node, slots: Sequence[Area], values: Values) -> Array:
    """Value of a part of a formula, float64 (rows, columns), (1, 1) for a single number.

    Blank cells and texts are NaN in ranges, which sums pass over, and 0 in arithmetic. Raises `Unknown`.
    """
    if isinstance(node, Number):
        return np.array([[node.value]])
    if isinstance(node, Slot):
        return values.block(slots[node.index])
    if not isinstance(node, Apply):
        raise Unknown("a text")
    if node.name == "IF":
        return _if(node, slots, values)
    arguments = [evaluate(n, slots, values) for n in node.of]
    if node.name in _RANGES:
        return np.array([[float(_RANGES[node.name](*arguments))]])
    function = _FUNCTIONS.get(node.name)
    if function is None:
        raise Unknown(f"the function {node.name}")
    try:
        with np.errstate(all="ignore"):
            return np.asarray(function(*(np.nan_to_num(a) for a in arguments)), dtype=float)
    except (ValueError, TypeError, IndexError) as error:
        raise Unknown(f"{node.name} of ranges that do not fit") from error


def number(node: Node, slots: Sequence[Area], values: Values) -> float:
    """The same for a part that is one number; raises `Unknown` for a range."""
    found = evaluate(node, slots, values)
    if found.size != 1:
        raise Unknown("a range where one number is needed")
    return float(np.nan_to_num(found[0, 0]))


def _if(node: Apply, slots: Sequence[Area], values: Values) -> Array:
    if not 2 <= len(node.of) <= 3:
        raise Unknown("IF with other arguments than three")
    chosen = number(node.of[0], slots, values) != 0
    if not chosen and len(node.of) == 2:
        return np.zeros((1, 1))
    return evaluate(node.of[1 if chosen else 2], slots, values)


def _chain(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def joined(*arguments: Any) -> Any:
        total = arguments[0]
        for other in arguments[1:]:
            total = function(total, other)
        return total

    return joined


def _flat(arguments: Sequence[Array]) -> Array:
    found = np.concatenate([a.reshape(-1) for a in arguments])
    return found[~np.isnan(found)]


def _sumproduct(*arguments: Array) -> float:
    if len({a.shape for a in arguments}) > 1:
        raise Unknown("SUMPRODUCT of ranges that do not fit")
    return float(np.multiply.reduce([np.nan_to_num(a) for a in arguments]).sum())


def _index(block: Array, row: Array, column: Array | None = None) -> float:
    r, c = int(row.flat[0]), int(column.flat[0]) if column is not None else 0
    if column is None and 1 in block.shape:
        return float(block.reshape(-1)[r - 1])
    if not (1 <= r <= block.shape[0] and 1 <= c <= block.shape[1]):
        raise Unknown("INDEX beyond its range")
    return float(block[r - 1, c - 1])


# Functions of ranges, which see blank cells as NaN.
_RANGES: Mapping[str, Callable[..., float]] = {
    "SUM": lambda *a: float(_flat(a).sum()),
    "SUMPRODUCT": _sumproduct,
    "AVERAGE": lambda *a: float(_flat(a).mean()) if len(_flat(a)) else math.nan,
    "MAX": lambda *a: float(_flat(a).max(initial=-math.inf)) if len(_flat(a)) else 0.0,
    "MIN": lambda *a: float(_flat(a).min(initial=math.inf)) if len(_flat(a)) else 0.0,
    "COUNT": lambda *a: float(len(_flat(a))),
    "SUMSQ": lambda *a: float((_flat(a) ** 2).sum()),
    "INDEX": _index,
}

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "+": _chain(np.add),
    "*": _chain(np.multiply),
    "-": np.negative,
    "1/": np.reciprocal,
    "^": np.power,
    "POWER": np.power,
    "=": np.equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "EXP": np.exp,
    "LN": np.log,
    "SQRT": np.sqrt,
    "ABS": np.abs,
    "SIGN": np.sign,
    "TANH": np.tanh,
    "SIN": np.sin,
    "COS": np.cos,
    "INT": np.floor,
    "ROUND": lambda a, b: np.round(a, int(b.flat[0])),
    "MOD": np.mod,
    "TRANSPOSE": np.transpose,
    "MMULT": np.matmul,
    "AND": lambda *a: float(all(x.all() for x in a)),
    "OR": lambda *a: float(any(x.any() for x in a)),
    "NOT": np.logical_not,
    "CHOOSE": lambda k, *a: a[int(k.flat[0]) - 1] if 1 <= k.flat[0] <= len(a) else np.nan,
    "GAMMADIST": lambda x, shape, scale, _: (
        np.vectorize(math.erf)(np.sqrt(x)) if shape.flat[0] == 0.5 and scale.flat[0] == 1 else _refuse()
    ),
}


def _refuse() -> Array:
    raise ValueError("only the shape 1/2 is known")
