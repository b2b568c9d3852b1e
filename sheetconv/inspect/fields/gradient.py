"""Which pixels change a unit, asked of torch: the derivative of the linearised network, where it is not zero.

The network's own operators run in torch, with all weights one, and a linear or increasing stand-in for every
operator through which values could cancel or stay behind: a ReLU passes everything, a maximum becomes the sum of
its window, a difference a sum. The derivative is taken forwards, one pixel after the other (a Jacobian's columns),
so that one pass serves all units of all layers. Shares nothing with the expressions of `sheetconv.graph`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor as Values

from sheetconv.compile.reference import run
from sheetconv.graph.index import IntArray
from sheetconv.graph.tensor import Graph, Operation, Tensor
from sheetconv.ops.registry import RULES, functional

_PIXELS_AT_ONCE = 98


def lit_pixels(graph: Graph, pixels: Tensor, units: Mapping[Tensor, IntArray]) -> dict[Tensor, np.ndarray]:
    """For each tensor and each of its `units` (numbers in C order) which pixels change them.

    Returns bool arrays (units, pixels). Raises what torch raises for an operator that it cannot differentiate.
    """
    derivative = path_derivative(graph, pixels, units)
    return {t: d != 0 for t, d in derivative.items()}


def path_derivative(
    graph: Graph, pixels: Tensor, units: Mapping[Tensor, IntArray]
) -> dict[Tensor, np.ndarray]:
    """The derivatives themselves, float64 (units, pixels): in a network of plain sums, the number of paths."""
    wanted = [t for t in graph if t in units]
    picks = [torch.from_numpy(np.asarray(units[t], np.int64)) for t in wanted]
    needed = _needed(graph, pixels, wanted)
    ones = {
        t: torch.ones(t.state_shape, dtype=torch.float64)
        for t in graph
        if t.kind != "activation" and t is not pixels
    }

    def forwards(x: Values) -> Values:
        values = _run(needed, {**ones, pixels: x})
        return torch.cat([values[t].reshape(-1)[p] for t, p in zip(wanted, picks, strict=True)])

    x = torch.ones(pixels.state_shape, dtype=torch.float64)

    def column(direction: Values) -> Values:
        return torch.func.jvp(forwards, (x,), (direction.reshape(x.shape),))[1]

    basis = torch.eye(pixels.size, dtype=torch.float64)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of how it differentiates forwards
        parts = [torch.func.vmap(column)(part) for part in basis.split(_PIXELS_AT_ONCE)]
    whole = torch.cat(parts).T.numpy()
    ends = np.cumsum([len(p) for p in picks])[:-1]
    return dict(zip(wanted, np.split(whole, ends), strict=True))


def _needed(graph: Graph, pixels: Tensor, wanted: Sequence[Tensor]) -> list[Tensor]:
    """The tensors that torch must compute for `wanted`, in order."""
    open_ = set(wanted)
    for tensor in reversed(graph.tensors):
        if tensor in open_ and tensor is not pixels and tensor.operation is not None:
            open_ |= set(tensor.operation.tensors())
    return [t for t in graph if t in open_ and t.kind == "activation"]


def _run(tensors: Sequence[Tensor], values: dict[Tensor, Values]) -> dict[Tensor, Values]:
    for tensor in tensors:
        assert tensor.operation is not None
        values[tensor] = _linear(tensor.operation, values)
    return values


def _linear(operation: Operation, values: Mapping[Tensor, Values]) -> Any:
    """Run one operation, and those among its arguments, with stand-ins."""
    arguments = tuple(_resolved(a, values) for a in operation.arguments)
    registered = RULES.get(functional(operation.target))
    if registered is not None and registered.linear is not None:
        return registered.linear(*arguments)
    return run(Operation(operation.target, arguments), {})


def _resolved(value: Any, values: Mapping[Tensor, Values]) -> Any:
    if isinstance(value, Tensor):
        return values[value]
    if isinstance(value, Operation):
        return _linear(value, values)
    if isinstance(value, list | tuple):
        return [_resolved(v, values) for v in value]
    return value
