"""Sums of products of inputs and weights: convolution and dense layers, with bias and activation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import gcd

import numpy as np

from sheetconv.inspect.recover.activations import strip, wrap
from sheetconv.inspect.recover.cells import CellKind, Ids
from sheetconv.inspect.recover.reader import (
    Formula,
    Match,
    SheetReader,
    flattened,
    joined,
    per_cell,
    planes,
    size,
    vector,
)
from sheetconv.inspect.recover.roles import split_products
from sheetconv.inspect.recover.tensors import Numbers, RecoveredLayer, RecoveredTensor
from sheetconv.inspect.recover.values import Poly, PolyCall, Unrecognised
from sheetconv.inspect.recover.windows import Windows, windows


@dataclass
class _Sum:
    """Terms of a sum: inputs (T arrays of n cells), weights (cells (n,) or none, times a number), bias likewise."""

    reads: list[Ids]
    weights: list[tuple[Ids | None, float]]
    bias: list[tuple[Ids, float]]
    constant: float
    shared: bool  # whether all cells of the map use the same weights
    literal: bool  # whether the weights stand in the formula itself

    @property
    def has_bias(self) -> bool:
        """Whether anything is added to the products."""
        return bool(self.bias) or self.constant != 0


@dataclass
class _Convolution:
    windows: Windows
    parts: _Sum
    activations: list[str]


@dataclass
class _Dense:
    columns: list[tuple[np.ndarray, np.ndarray]]  # per term: tensor number and place, each (n,)
    parts: _Sum
    activations: list[str]


def recognise(formula: Formula, reader: SheetReader) -> Match:
    """A convolution where all cells share weights that slide, else a dense layer."""
    inner, activations = strip(formula.poly)
    parts = _parts(inner, formula, reader)
    alone = formula.count == 1
    if parts.shared or alone:
        try:
            match = _convolution(parts, activations, formula, reader)
            if not (alone and _whole(match.data, reader)):
                return match
        except Unrecognised:
            if not alone:
                raise
    return _dense(parts, activations, formula, reader)


def _parts(poly: Poly, formula: Formula, reader: SheetReader) -> _Sum:
    n = formula.count
    if any(isinstance(f, PolyCall) for t in poly.terms for f in t.factors):
        raise Unrecognised("")
    products = [t for t in poly.terms if len(t.factors) == 2]
    singles = [t for t in poly.terms if len(t.factors) == 1]
    constant = sum(t.coefficient for t in poly.terms if not t.factors)
    if len(products) + len(singles) + (len(poly.terms) - len(products) - len(singles)) != len(
        poly.terms
    ) or any(len(t.factors) > 2 for t in poly.terms):
        raise Unrecognised("")
    reads: list[Ids] = []
    weights: list[tuple[Ids | None, float]] = []
    bias: list[tuple[Ids, float]] = []
    shared = True
    if products:
        pairs = [tuple(per_cell(f, n) for f in t.factors if not isinstance(f, PolyCall)) for t in products]
        reads, static, shared = split_products([(a, b) for a, b in pairs], formula, reader)
        if any((reader.cells.kinds(w) == CellKind.FORMULA).any() for w in static):
            raise Unrecognised("formulas compute its weights")
        weights = [(w, t.coefficient) for t, w in zip(products, static, strict=True)]
    for term in singles:
        ids = per_cell(_ids(term.factors[0]), n)
        found = (reader.tensors.find(ids)[0] >= 0).any()
        still = n > 1 and (ids == ids[0]).all()
        if (reader.cells.kinds(ids) == CellKind.FORMULA).any() and products:
            raise Unrecognised("it adds a map to a sum of products")
        if (products and (n == 1 or not found)) or (not products and still and not found):
            bias.append((ids, term.coefficient))
        elif products:
            raise Unrecognised("it adds a map to a sum of products")
        else:
            reads.append(ids)
            weights.append((None, term.coefficient))
    if not reads or (not products and len(reads) == 1):
        raise Unrecognised("")
    numbers = [ids for ids, _ in (*weights, *bias) if ids is not None]
    if not all(np.isfinite(reader.cells.values(ids)).all() for ids in numbers):
        raise Unrecognised("its weights are not numbers")
    return _Sum(reads, weights, bias, float(constant), shared, not products)


def _ids(factor: Ids | PolyCall) -> Ids:
    if isinstance(factor, PolyCall):
        raise Unrecognised("")
    return factor


def _convolution(parts: _Sum, activations: list[str], formula: Formula, reader: SheetReader) -> Match:
    found = windows(parts.reads, formula.positions, reader.tensors, reader.cells)
    pointwise = all((e.dy, e.dx) == (0, 0) for e in found.elements) and found.stride == (1, 1)
    if parts.literal and pointwise and formula.count > 1:
        raise Unrecognised("")
    if any((ids != ids[0]).any() for ids, _ in parts.bias):
        raise Unrecognised("its bias changes from cell to cell")
    used = tuple(sorted({e.tensor for e in found.elements}))
    data = _Convolution(found, parts, activations)
    key = "conv", formula.shape, found.stride, found.box(), used, tuple(activations), parts.has_bias
    return Match(formula, key, data, partial(_build_convolution, [reader.tensor(t) for t in used], used))


def _whole(data: _Convolution, reader: SheetReader) -> bool:
    """Whether a single window has the whole of each plane, and nothing around it: a dense layer."""
    top, left, bottom, right = data.windows.box()
    shapes = [reader.tensor(e.tensor).ids.shape[1:] for e in data.windows.elements]
    return top >= 0 and left >= 0 and all(bottom < h and right < w for h, w in shapes)


def _build_convolution(
    inputs: list[RecoveredTensor], used: tuple[int, ...], matches: list[Match], reader: SheetReader
) -> tuple[Ids, RecoveredLayer]:
    expression, offsets, (rows, columns) = joined(inputs)
    first: _Convolution = matches[0].data
    top, left, bottom, right = first.windows.box()
    dilation = tuple(
        _spacing([getattr(e, a) for m in matches for e in m.data.windows.elements]) for a in ("dy", "dx")
    )
    kernel = (bottom - top) // dilation[0] + 1, (right - left) // dilation[1] + 1
    channels = sum(t.ids.shape[0] for t in inputs)
    shape = (len(matches), channels, *kernel)
    weight = _Weights(shape)
    bias = Numbers.zeros(len(matches))
    for o, match in enumerate(matches):
        for e in match.data.windows.elements:
            c = offsets[used.index(e.tensor)] + e.channel
            place = o, c, (e.dy - top) // dilation[0], (e.dx - left) // dilation[1]
            weight.add(place, *match.data.parts.weights[e.index])
        _add_bias(bias, o, match.data.parts, 1)
    (height, width), stride = matches[0].formula.shape, first.windows.stride
    below, beside = (
        stride[0] * (height - 1) + bottom - (rows - 1),
        stride[1] * (width - 1) + right - (columns - 1),
    )
    options = [str(channels), str(len(matches)), size(kernel)]
    options += [f"stride={size(stride)}"] if stride != (1, 1) else []
    options += [f"dilation={size((dilation[0], dilation[1]))}"] if dilation != (1, 1) else []
    if _symmetric((rows, columns), (-top, -left), kernel, dilation, stride, (height, width)):
        options += [f"padding={size((-top, -left))}"] if (top, left) != (0, 0) else []
    else:
        expression = f"F.pad({expression}, ({-left}, {beside}, {-top}, {below}))"
    groups = _groups(weight.used, shape)
    if groups > 1:
        options.append(f"groups={groups}")
    parameters = {"weight": weight.numbers(groups)}
    if first.parts.has_bias:
        parameters["bias"] = bias
    else:
        options.append("bias=False")
    doubtful = [int(i) for m in matches for i in m.formula.ids[m.data.windows.doubtful]]
    layer = RecoveredLayer(
        "conv",
        inputs,
        wrap(f"{{self}}({expression})", first.activations),
        f"nn.Conv2d({', '.join(options)})",
        parameters,
        doubtful,
    )
    return planes(matches), layer


def _spacing(offsets: list[int]) -> int:
    return gcd(*(v - min(offsets) for v in offsets)) or 1


def _symmetric(
    plane: tuple[int, int],
    padding: tuple[int, int],
    kernel: tuple[int, int],
    dilation: tuple[int, ...],
    stride: tuple[int, int],
    out: tuple[int, int],
) -> bool:
    """Whether torch's own padding, equal on both sides, gives the map its size."""
    return all(
        p >= 0 and (n + 2 * p - d * (k - 1) - 1) // s + 1 == o
        for n, p, k, d, s, o in zip(plane, padding, kernel, dilation, stride, out, strict=True)
    )


class _Weights:
    """A convolution's weights (out, in, rows, columns) while they are gathered, element by element."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape, self.used = shape, np.zeros(shape[:2], bool)
        self.parts: list[tuple[tuple[int, ...], Ids | None, float]] = []

    def add(self, place: tuple[int, ...], ids: Ids | None, times: float) -> None:
        self.used[place[:2]] = True
        self.parts.append((place, ids, times))

    def numbers(self, groups: int) -> Numbers:
        """The weights with the input channels of each output channel's own group only."""
        out, channels = self.shape[0] // groups, self.shape[1] // groups
        found = Numbers.zeros(self.shape[0], channels, *self.shape[2:])
        for (o, c, *rest), ids, times in self.parts:
            place = o, c - o // out * channels, *rest
            if ids is None:
                found.constant[place] += times
            else:
                found.add(np.array(np.ravel_multi_index(place, found.constant.shape)), ids[:1], times)
        return found


def _groups(used: np.ndarray, shape: tuple[int, ...]) -> int:
    """Into how many groups the channels fall, each output channel reading its own group's inputs only."""
    out, channels = shape[:2]
    for groups in range(channels, 1, -1):
        if channels % groups == 0 and out % groups == 0:
            own = np.arange(out)[:, None] // (out // groups) == np.arange(channels) // (channels // groups)
            if not (used & ~own).any():
                return groups
    return 1


def _add_bias(bias: Numbers, at: int, parts: _Sum, count: int) -> None:
    """Put the bias of a map (`count` 1), or of each of its cells, at a place."""
    places = np.arange(at, at + count)
    bias.constant[places] += parts.constant
    for ids, times in parts.bias:
        bias.add(places, ids[:count], times)


def _dense(parts: _Sum, activations: list[str], formula: Formula, reader: SheetReader) -> Match:
    columns = []
    used: set[int] = set()
    for ids in parts.reads:
        owner, flat = reader.tensors.find(ids)
        missing = owner < 0
        if missing.any() and (reader.cells.values(ids[missing]) != 0).any():
            raise Unrecognised("it reads cells that belong to no map and no image")
        used |= set(owner[~missing].tolist())
        columns.append((owner, flat))
    if not used:
        raise Unrecognised("it reads blank cells only")
    if formula.count > 1 and parts.literal and len(parts.reads) < 3:
        raise Unrecognised("")
    order = tuple(sorted(used))
    data = _Dense(columns, parts, activations)
    key = "dense", order, tuple(activations), parts.has_bias
    return Match(formula, key, data, partial(_build_dense, [reader.tensor(t) for t in order], order))


def _build_dense(
    inputs: list[RecoveredTensor], used: tuple[int, ...], matches: list[Match], reader: SheetReader
) -> tuple[Ids, RecoveredLayer]:
    expression, offsets = flattened(inputs)
    start = dict(zip(used, offsets, strict=True))
    total = sum(t.ids.size for t in inputs)
    units = sum(m.formula.count for m in matches)
    weight, bias, at = Numbers.zeros(units, total), Numbers.zeros(units), 0
    for match in matches:
        data: _Dense = match.data
        unit = np.arange(at, at + match.formula.count)
        for (owner, flat), (ids, times) in zip(data.columns, data.parts.weights, strict=True):
            there = owner >= 0
            place = (
                unit[there] * total + np.array([start[int(t)] for t in owner[there]], np.int64) + flat[there]
            )
            if ids is None:
                np.add.at(weight.constant.reshape(-1), place, times)
            else:
                weight.add(place, ids[there], times)
        _add_bias(bias, at, data.parts, match.formula.count)
        at += match.formula.count
    first: _Dense = matches[0].data
    parameters = {"weight": weight}
    options = [str(total), str(units)]
    if first.parts.has_bias:
        parameters["bias"] = bias
    else:
        options.append("bias=False")
    layer = RecoveredLayer(
        "dense",
        inputs,
        wrap(f"{{self}}({expression})", first.activations),
        f"nn.Linear({', '.join(options)})",
        parameters,
    )
    return vector(matches), layer
