"""Pooling: the maximum, mean or sum over windows of one plane, or over all of a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from sheetconv.inspect.recover.activations import strip, wrap
from sheetconv.inspect.recover.cells import CellKind, Ids
from sheetconv.inspect.recover.reader import Formula, Match, SheetReader, per_cell, planes, size, vector
from sheetconv.inspect.recover.tensors import RecoveredLayer, RecoveredTensor
from sheetconv.inspect.recover.values import Poly, PolyCall, Unrecognised
from sheetconv.inspect.recover.windows import Windows, windows


@dataclass
class _Pool:
    kind: str  # max, sum, mean (of the cells that are filled)
    factor: float  # of the sum
    windows: Windows
    channel: int
    activations: list[str]


def recognise(formula: Formula, reader: SheetReader) -> Match:
    """A window over one plane, or a vector's maximum, sum or mean."""
    inner, activations = strip(formula.poly)
    kind, factor, reads = _elements(inner, formula)
    filled = [ids for ids in reads if (reader.cells.kinds(ids) != CellKind.BLANK).any()]
    if len(filled) < 2:
        raise Unrecognised("")
    owner, _ = reader.tensors.find(np.concatenate(filled))
    tensors = set(owner.tolist()) - {-1}
    if len(tensors) == 1 and not reader.tensor(next(iter(tensors))).spatial:
        return _whole_vector(kind, factor, filled, activations, formula, reader, next(iter(tensors)))
    found = windows(filled, formula.positions, reader.tensors, reader.cells)
    places = {(e.tensor, e.channel) for e in found.elements}
    top, left, bottom, right = found.box()
    kernel = bottom - top + 1, right - left + 1
    if len(places) > 1 or len({(e.dy, e.dx) for e in found.elements}) != kernel[0] * kernel[1]:
        raise Unrecognised("")
    if len(found.elements) != kernel[0] * kernel[1]:
        raise Unrecognised("")
    tensor, channel = places.pop()
    data = _Pool(kind, factor, found, channel, activations)
    key = "pool", kind, factor, kernel, found.stride, (top, left), formula.shape, tensor, tuple(activations)
    return Match(formula, key, data, partial(_build, reader.tensor(tensor)))


def _elements(poly: Poly, formula: Formula) -> tuple[str, float, list[Ids]]:
    """The kind of pooling and the cells of its window."""
    call = poly.call
    n = formula.count
    if call is not None and call.name in ("MAX", "MIN", "AVERAGE"):
        ids = [p.cell for p in call.of]
        if any(i is None for i in ids) or call.name == "MIN":
            raise Unrecognised("")
        return ("max" if call.name == "MAX" else "mean"), 1.0, [per_cell(i, n) for i in ids if i is not None]
    factors = [t.factors[0] for t in poly.terms if len(t.factors) == 1]
    cells = [per_cell(f, n) for f in factors if not isinstance(f, PolyCall)]
    weights = {t.coefficient for t in poly.terms}
    if len(cells) != len(poly.terms) or len(weights) != 1:
        raise Unrecognised("")
    return "sum", weights.pop(), cells


def _build(tensor: RecoveredTensor, matches: list[Match], reader: SheetReader) -> tuple[Ids, RecoveredLayer]:
    matches.sort(key=lambda m: m.data.channel)
    first: _Pool = matches[0].data
    top, left, bottom, right = first.windows.box()
    kernel, stride = (bottom - top + 1, right - left + 1), first.windows.stride
    (height, width), (channels, rows, columns) = matches[0].formula.shape, tensor.ids.shape
    chosen = [m.data.channel for m in matches]
    source = "{0}" if chosen == list(range(channels)) else f"{{0}}[:, {chosen}]"
    doubtful = [int(i) for m in matches for i in m.formula.ids[m.data.windows.doubtful]]
    everything = (top, left, *kernel) == (0, 0, rows, columns)
    if everything and (height, width) == (1, 1):
        expression = _reduced(first.kind, first.factor, source, rows * columns)
        layer = RecoveredLayer("pool", [tensor], wrap(expression, first.activations), doubtful=doubtful)
        return vector(matches), layer
    if stride == (1, 1) and (height, width) == (1, 1):
        stride = kernel
    source = _padded(source, first.kind, (rows, columns), kernel, stride, (top, left), (height, width))
    step = "" if stride == kernel else f", {size(stride)}"
    if first.kind == "max":
        expression = f"F.max_pool2d({source}, {size(kernel)}{step})"
    else:
        count = kernel[0] * kernel[1]
        mean = first.kind == "mean" or abs(first.factor * count - 1) < 1e-12
        if mean:
            expression = f"F.avg_pool2d({source}, {size(kernel)}{step})"
        else:
            step = step or f", {size(stride)}"
            pooled = f"F.avg_pool2d({source}, {size(kernel)}{step}, divisor_override=1)"
            expression = pooled + times(first.factor)
    return planes(matches), RecoveredLayer(
        "pool", [tensor], wrap(expression, first.activations), doubtful=doubtful
    )


def _padded(
    source: str,
    kind: str,
    plane: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    start: tuple[int, int],
    out: tuple[int, int],
) -> str:
    """The plane with what windows see around it: nothing for a maximum, zeros for a sum."""
    ends = [stride[k] * (out[k] - 1) + start[k] + kernel[k] - plane[k] for k in (0, 1)]
    if start == (0, 0) and all((plane[k] - kernel[k]) // stride[k] + 1 == out[k] for k in (0, 1)):
        return source
    if kind == "mean" and (min(start) < 0 or max(ends) > 0):
        raise Unrecognised("a mean that leaves out blank cells around the input")
    value = ", value=-torch.inf" if kind == "max" else ""
    return f"F.pad({source}, ({-start[1]}, {ends[1]}, {-start[0]}, {ends[0]}){value})"


def _reduced(kind: str, factor: float, source: str, count: int) -> str:
    """Over whole planes: (N, C)."""
    if kind == "max":
        return f"{source}.amax((2, 3))"
    if kind == "mean" or abs(factor * count - 1) < 1e-12:
        return f"{source}.mean((2, 3))"
    return f"{source}.sum((2, 3))" + times(factor)


def times(factor: float) -> str:
    """``/ 144`` for 1/144, else ``* factor``; empty for 1."""
    inverse = 1 / factor
    if factor == 1:
        return ""
    return (
        f" / {round(inverse)}" if abs(inverse - round(inverse)) < 1e-12 * abs(inverse) else f" * {factor!r}"
    )


def _whole_vector(
    kind: str,
    factor: float,
    reads: list[Ids],
    activations: list[str],
    formula: Formula,
    reader: SheetReader,
    index: int,
) -> Match:
    """The maximum, sum or mean of a whole vector."""
    tensor = reader.tensor(index)
    if formula.count != 1 or sorted(int(i[0]) for i in reads) != sorted(tensor.ids.ravel().tolist()):
        raise Unrecognised("")
    count = tensor.ids.size
    mean = kind == "mean" or (kind == "sum" and abs(factor * count - 1) < 1e-12)
    expression = {"max": "{0}.amax(1, keepdim=True)", "sum": "{0}.sum(1, keepdim=True)"}.get(kind, "")
    expression = (
        "{0}.mean(1, keepdim=True)" if mean else expression + (times(factor) if kind == "sum" else "")
    )

    def build(matches: list[Match], _: SheetReader) -> tuple[Ids, RecoveredLayer]:
        return vector(matches[:1]), RecoveredLayer("pool", [tensor], wrap(expression, activations))

    return Match(formula, ("vector", kind, index, int(formula.ids[0])), None, build)
