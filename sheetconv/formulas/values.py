"""What a formula's parts amount to, from the values that the file remembers: arithmetic and common functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sheetconv.errors import EngineError, LimitError
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Source
from sheetconv.formulas.syntax import Apply, Node, NumberNode, Slot
from sheetconv.xlsx.cells import Value, numbers

MOST_CELLS = 100_000
Array = np.ndarray


class Unknown(Exception):
    """A part of the formula has no number here: a function that is not read, a text, an error value."""


class Values:
    """Numbers of a workbook's cells as the file has them; `changed` overrides single cells (for derivatives)."""

    def __init__(self, source: Source, compute: bool = True) -> None:
        self.source = source
        self.changed: dict[tuple[str, int, int], float] = {}
        self.here: tuple[str, int, int] | None = None
        """The cell whose formula is read, for ROW() and COLUMN()."""
        self.engine = ""
        """The engine that computed the numbers, where the file has formulas without any; else empty."""
        self._computed: dict[str, tuple[int, int, Array]] = {}
        if compute and _uncomputed(source):
            self._compute()

    def _compute(self) -> None:
        from sheetconv.engines import DEFAULT, get

        extents = [(s, e) for s in self.source.sheets if (e := self.source.cells(s).extent) is not None]
        try:
            blocks = get(DEFAULT).evaluate(self.source.book.path, extents)
        except EngineError:
            return
        self.engine = DEFAULT
        for (sheet, extent), block in zip(extents, blocks, strict=True):
            self._computed[sheet] = (extent[0], extent[1], numbers(block))

    def value(self, cell: tuple[str, int, int]) -> Value:
        """What a cell shows: the file's cached value, or the engine's number."""
        sheet, row, column = cell
        if sheet not in self._computed:
            return self.source.cells(sheet).value(row, column)
        found = float(self._numbers(Area(*cell, row, column))[0, 0])
        return found if not np.isnan(found) else self.source.cells(sheet).value(row, column)

    def _numbers(self, area: Area) -> Array:
        if area.sheet not in self._computed:
            return np.array(self.source.cells(area.sheet).numbers(*area[1:]), dtype=float)
        top, left, block = self._computed[area.sheet]
        found = np.full((area.row1 - area.row0 + 1, area.column1 - area.column0 + 1), np.nan)
        r0, c0 = max(area.row0, top), max(area.column0, left)
        r1, c1 = min(area.row1, top + block.shape[0] - 1), min(area.column1, left + block.shape[1] - 1)
        if r0 <= r1 and c0 <= c1:
            inside = block[r0 - top : r1 - top + 1, c0 - left : c1 - left + 1]
            found[r0 - area.row0 : r1 - area.row0 + 1, c0 - area.column0 : c1 - area.column0 + 1] = inside
        return found

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
        found = self._numbers(area)
        for (sheet, row, column), value in self.changed.items():
            if (
                sheet == area.sheet
                and area.row0 <= row <= area.row1
                and area.column0 <= column <= area.column1
            ):
                found[row - area.row0, column - area.column0] = value
        return found


def _uncomputed(source: Source) -> bool:
    """Whether the file has formulas and no value for any of them."""
    sheets = [source.cells(sheet) for sheet in source.sheets]
    count = sum(cells.formula_count for cells in sheets)
    return 0 < count == sum(len(cells.uncomputed) for cells in sheets)


def evaluate(node: Node, slots: Sequence[Area], values: Values) -> Array:
    """Value of a part of a formula, float64 (rows, columns), (1, 1) for a single number.

    Blank cells and texts are NaN in ranges, which sums pass over, and 0 in arithmetic. Raises `Unknown`.
    """
    if isinstance(node, NumberNode):
        return np.array([[node.value]])
    if isinstance(node, Slot):
        return values.block(slots[node.index])
    if not isinstance(node, Apply):
        raise Unknown("a text")
    if node.name == "IF":
        return _if(node, slots, values)
    if node.name in ("ROW", "COLUMN", "ROWS", "COLUMNS"):
        return _position(node, slots, values)
    arguments = [evaluate(n, slots, values) for n in node.of]
    if node.name in _RANGES:
        return np.array([[float(_RANGES[node.name](*arguments))]])
    function = _FUNCTIONS.get(node.name)
    if function is None:
        raise Unknown(f"the function {node.name}")
    try:
        with np.errstate(all="ignore"):
            return _table(function(*(np.nan_to_num(a) for a in arguments)))
    except (ValueError, TypeError, IndexError) as error:
        raise Unknown(f"{node.name} of ranges that do not fit") from error


def _table(found: Any) -> Array:
    made = np.asarray(found, dtype=float)
    return made if made.ndim == 2 else made.reshape(1, -1)


def constant(name: str, of: Sequence[float]) -> float:
    """A function of plain numbers; raises `Unknown` for one that is not read or has no number there."""
    arguments = [np.array([[v]]) for v in of]
    try:
        if name in _RANGES:
            found = np.array([[float(_RANGES[name](*arguments))]])
        elif name == "IF" and len(of) == 3:
            found = arguments[1] if of[0] else arguments[2]
        else:
            with np.errstate(all="ignore"):
                found = _table(_FUNCTIONS[name](*arguments))
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise Unknown(f"the function {name}") from error
    if found.size != 1 or not np.isfinite(found[0, 0]):
        raise Unknown(f"{name} without a number")
    return float(found[0, 0])


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


def _position(node: Apply, slots: Sequence[Area], values: Values) -> Array:
    """ROW, COLUMN, ROWS and COLUMNS: where a reference stands, not what stands there."""
    if not node.of and values.here is not None and node.name in ("ROW", "COLUMN"):
        _, row, column = values.here
        return np.array([[float((row if node.name == "ROW" else column) + 1)]])
    if len(node.of) != 1 or not isinstance(node.of[0], Slot):
        raise Unknown(f"{node.name} of something that is no reference")
    area = slots[node.of[0].index]
    if node.name == "ROW":
        return np.arange(area.row0 + 1, area.row1 + 2, dtype=float)[:, None]
    if node.name == "COLUMN":
        return np.arange(area.column0 + 1, area.column1 + 2, dtype=float)[None]
    sizes = area.row1 - area.row0 + 1, area.column1 - area.column0 + 1
    return np.array([[float(sizes[node.name == "COLUMNS"])]])


def _match(wanted: Array, block: Array, kind: Array | None = None) -> float:
    flat, x = block.reshape(-1), float(wanted.flat[0])
    if kind is not None and kind.flat[0] == 0:
        hit = np.flatnonzero(flat == x)
        found = hit[:1]
    else:
        found = (
            np.flatnonzero(flat <= x)[-1:]
            if kind is None or kind.flat[0] > 0
            else np.flatnonzero(flat >= x)[-1:]
        )
    if not len(found):
        raise Unknown("MATCH without a match")
    return float(found[0] + 1)


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
    "MATCH": _match,
    "PRODUCT": lambda *a: float(_flat(a).prod()),
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
    "LOG": lambda x, *base: np.log(x) / np.log(base[0]) if base else np.log10(x),
    "LOG10": np.log10,
    "SQRT": np.sqrt,
    "ABS": np.abs,
    "SIGN": np.sign,
    "TANH": np.tanh,
    "SIN": np.sin,
    "COS": np.cos,
    "TAN": np.tan,
    "SINH": np.sinh,
    "COSH": np.cosh,
    "ATAN": np.arctan,
    "ASIN": np.arcsin,
    "ACOS": np.arccos,
    "ERF": lambda x: np.vectorize(math.erf, otypes=[float])(x),
    "PI": lambda: np.array([[math.pi]]),
    "RADIANS": np.radians,
    "DEGREES": np.degrees,
    "INT": np.floor,
    "TRUNC": np.trunc,
    "@": lambda x: x if x.size == 1 else _refuse(),
    "ROUND": lambda a, b: np.round(a, int(b.flat[0])),
    "MOD": np.mod,
    "TRANSPOSE": np.transpose,
    "MMULT": np.matmul,
    "AND": lambda *a: np.array([[float(all(x.all() for x in a))]]),
    "OR": lambda *a: np.array([[float(any(x.any() for x in a))]]),
    "NOT": np.logical_not,
    "CHOOSE": lambda k, *a: a[int(k.flat[0]) - 1] if 1 <= k.flat[0] <= len(a) else _refuse(),
    "GAMMADIST": lambda x, shape, scale, _: (
        np.vectorize(math.erf)(np.sqrt(x)) if shape.flat[0] == 0.5 and scale.flat[0] == 1 else _refuse()
    ),
}


def _refuse() -> Array:
    raise ValueError("only the shape 1/2 is known")
