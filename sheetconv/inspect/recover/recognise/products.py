"""Sums of products of inputs and weights: convolution and dense layers, with bias and activation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import gcd

import numpy as np

from sheetconv.inspect.recover.activations import strip, wrap
from sheetconv.inspect.recover.cells import Ids
from sheetconv.inspect.recover.reader import (
    Formula,
    Match,
    Reader,
    flattened,
    joined,
    per_cell,
    planes,
    size,
    vector,
)
from sheetconv.inspect.recover.roles import split_products
from sheetconv.inspect.recover.tensors import Layer, Tensor
from sheetconv.inspect.recover.values import Call, Poly, Unrecognised
from sheetconv.inspect.recover.windows import Windows, windows


@dataclass
class _Sum:
    """Terms of a sum: inputs (T arrays of n cells), weights (n, T), bias (n,)."""

    reads: list[Ids]
    weights: np.ndarray
    bias: np.ndarray
    has_bias: bool
    shared: bool  # whether all cells of the map use the same weights
    literal: bool  # whether the weights stand in the formula itself


@dataclass
class _Convolution:
    windows: Windows
    weights: np.ndarray
    bias: float
    has_bias: bool
    activations: list[str]


@dataclass
class _Dense:
    columns: list[tuple[np.ndarray, np.ndarray]]  # per term: tensor number and place, each (n,)
    weights: np.ndarray
    bias: np.ndarray
    has_bias: bool
    activations: list[str]


def recognise(formula: Formula, reader: Reader) -> Match:
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


def _parts(poly: Poly, formula: Formula, reader: Reader) -> _Sum:
    n = formula.count
    if any(isinstance(f, Call) for t in poly.terms for f in t.factors):
        raise Unrecognised("")
    products = [t for t in poly.terms if len(t.factors) == 2]
    singles = [t for t in poly.terms if len(t.factors) == 1]
    constant = sum(t.coefficient for t in poly.terms if not t.factors)
    if len(products) + len(singles) + (len(poly.terms) - len(products) - len(singles)) != len(
        poly.terms
    ) or any(len(t.factors) > 2 for t in poly.terms):
        raise Unrecognised("")
    bias = np.full(n, float(constant))
    reads: list[Ids] = []
    weights: list[np.ndarray] = []
    has_bias, shared = bool(constant), True
    if products:
        pairs = [tuple(per_cell(f, n) for f in t.factors if not isinstance(f, Call)) for t in products]
        data, static, shared = split_products([(a, b) for a, b in pairs], formula, reader)
        reads = data
        weights = [t.coefficient * reader.cells.values(w) for t, w in zip(products, static, strict=True)]
        for term in singles:
            ids = per_cell(_ids(term.factors[0]), n)
            if (reader.tensors.find(ids)[0] >= 0).any() and n > 1:
                raise Unrecognised("it adds a map to a sum of products")
            bias = bias + term.coefficient * reader.cells.values(ids)
            has_bias = True
    else:
        for term in singles:
            ids = per_cell(_ids(term.factors[0]), n)
            if n > 1 and (ids == ids[0]).all() and not (reader.tensors.find(ids)[0] >= 0).any():
                bias, has_bias = bias + term.coefficient * reader.cells.values(ids), True
            else:
                reads.append(ids)
                weights.append(np.full(n, term.coefficient))
    if not reads or (not products and len(reads) == 1):
        raise Unrecognised("")
    table = np.stack(weights, 1)
    if not np.isfinite(table).all() or not np.isfinite(bias).all():
        raise Unrecognised("its weights are not numbers")
    return _Sum(reads, table, bias, has_bias, shared, not products)


def _ids(factor: Ids | Call) -> Ids:
    if isinstance(factor, Call):
        raise Unrecognised("")
    return factor


def _convolution(parts: _Sum, activations: list[str], formula: Formula, reader: Reader) -> Match:
    found = windows(parts.reads, formula.positions, reader.tensors, reader.cells)
    pointwise = all((e.dy, e.dx) == (0, 0) for e in found.elements) and found.stride == (1, 1)
    if parts.literal and pointwise and formula.count > 1:
        raise Unrecognised("")
    if np.ptp(parts.bias) > 0:
        raise Unrecognised("its bias changes from cell to cell")
    used = tuple(sorted({e.tensor for e in found.elements}))
    data = _Convolution(found, parts.weights[0], float(parts.bias[0]), parts.has_bias, activations)
    key = "conv", formula.shape, found.stride, found.box(), used, tuple(activations), parts.has_bias
    return Match(formula, key, data, partial(_build_convolution, [reader.tensor(t) for t in used], used))


def _whole(data: _Convolution, reader: Reader) -> bool:
    """Whether a single window has the whole of each plane, and nothing around it: a dense layer."""
    top, left, bottom, right = data.windows.box()
    shapes = [reader.tensor(e.tensor).ids.shape[1:] for e in data.windows.elements]
    return top >= 0 and left >= 0 and all(bottom < h and right < w for h, w in shapes)


def _build_convolution(
    inputs: list[Tensor], used: tuple[int, ...], matches: list[Match], reader: Reader
) -> tuple[Ids, Layer]:
    expression, offsets, (rows, columns) = joined(inputs)
    first: _Convolution = matches[0].data
    top, left, bottom, right = first.windows.box()
    dilation = tuple(
        _spacing([getattr(e, a) for m in matches for e in m.data.windows.elements]) for a in ("dy", "dx")
    )
    kernel = (bottom - top) // dilation[0] + 1, (right - left) // dilation[1] + 1
    channels = sum(t.ids.shape[0] for t in inputs)
    weight = np.zeros((len(matches), channels, *kernel))
    for o, match in enumerate(matches):
        for e in match.data.windows.elements:
            c = offsets[used.index(e.tensor)] + e.channel
            weight[o, c, (e.dy - top) // dilation[0], (e.dx - left) // dilation[1]] += match.data.weights[
                e.index
            ]
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
    if len(matches) == channels > 1 and _depthwise(weight):
        weight = np.stack([weight[o, o : o + 1] for o in range(channels)])
        options.append(f"groups={channels}")
    parameters = {"weight": weight}
    if first.has_bias:
        parameters["bias"] = np.array([m.data.bias for m in matches])
    else:
        options.append("bias=False")
    doubtful = [int(i) for m in matches for i in m.formula.ids[m.data.windows.doubtful]]
    layer = Layer(
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


def _depthwise(weight: np.ndarray) -> bool:
    """Whether output channel c reads input channel c only."""
    return not any(weight[o, c].any() for o in range(len(weight)) for c in range(weight.shape[1]) if c != o)


def _dense(parts: _Sum, activations: list[str], formula: Formula, reader: Reader) -> Match:
    columns = []
    used: set[int] = set()
    for index, ids in enumerate(parts.reads):
        owner, flat = reader.tensors.find(ids)
        missing = owner < 0
        if missing.any() and (reader.cells.values(ids[missing]) != 0).any():
            raise Unrecognised("it reads cells that belong to no map and no image")
        parts.weights[missing, index] = 0.0
        used |= set(owner[~missing].tolist())
        columns.append((owner, flat))
    if not used:
        raise Unrecognised("it reads blank cells only")
    if formula.count > 1 and parts.literal and len(parts.reads) < 3:
        raise Unrecognised("")
    order = tuple(sorted(used))
    data = _Dense(columns, parts.weights, parts.bias, parts.has_bias, activations)
    key = "dense", order, tuple(activations), parts.has_bias
    return Match(formula, key, data, partial(_build_dense, [reader.tensor(t) for t in order], order))


def _build_dense(
    inputs: list[Tensor], used: tuple[int, ...], matches: list[Match], reader: Reader
) -> tuple[Ids, Layer]:
    expression, offsets = flattened(inputs)
    start = dict(zip(used, offsets, strict=True))
    total = sum(t.ids.size for t in inputs)
    rows = []
    for match in matches:
        data: _Dense = match.data
        weight = np.zeros((match.formula.count, total))
        unit = np.arange(match.formula.count)
        for index, (owner, flat) in enumerate(data.columns):
            place = np.array([start.get(int(t), 0) for t in owner]) + np.where(owner >= 0, flat, 0)
            np.add.at(weight, (unit, place), data.weights[:, index])
        rows.append(weight)
    first: _Dense = matches[0].data
    parameters = {"weight": np.concatenate(rows)}
    options = [str(total), str(len(parameters["weight"]))]
    if first.has_bias:
        parameters["bias"] = np.concatenate([m.data.bias for m in matches])
    else:
        options.append("bias=False")
    layer = Layer(
        "dense",
        inputs,
        wrap(f"{{self}}({expression})", first.activations),
        f"nn.Linear({', '.join(options)})",
        parameters,
    )
    return vector(matches), layer
