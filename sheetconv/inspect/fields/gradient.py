"""Which pixels change a unit, asked of torch: the derivative of the linearised network, where it is not zero.

The network's own operators run in torch, with all weights one, and a linear or increasing stand-in for every
operator through which values could cancel or stay behind: a ReLU passes everything, a maximum becomes the sum of
its window, a difference a sum. The derivative is taken forwards, one pixel after the other (a Jacobian's columns),
so that one pass serves all units of all layers. Shares nothing with the expressions of `sheetconv.graph`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor as Values
from torch.nn import functional

from sheetconv.compile.reference import run
from sheetconv.graph.index import IntArray
from sheetconv.graph.tensor import Graph, Operation, Tensor
from sheetconv.ops.registry import RULES

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
    name = operation.target.split(".")[1].rstrip("_") if "." in operation.target else operation.target
    stand_in = _STAND_INS.get(name)
    if stand_in is not None:
        return stand_in(*arguments)
    registered = RULES.get(operation.target)
    family = registered.rule.__module__.rpartition(".")[2] if registered else ""
    if family == "pointwise":
        return arguments[0] * 1
    if family in ("arithmetic", "compare"):
        return _sum(*arguments)
    return run(Operation(operation.target, arguments), {})


def _resolved(value: Any, values: Mapping[Tensor, Values]) -> Any:
    if isinstance(value, Tensor):
        return values[value]
    if isinstance(value, Operation):
        return _linear(value, values)
    if isinstance(value, list | tuple):
        return [_resolved(v, values) for v in value]
    return value


# --- stand-ins: same arguments, same shape of the result, no path lost --------------------------------


def _sum(a: Any, b: Any, *_: Any) -> Any:
    """Of both where both are tensors; a number neither adds a path nor takes one away."""
    if not isinstance(b, Values):
        return a * 1
    return a + b if isinstance(a, Values) else b * 1


def _window_sum(
    x: Values, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Values:
    """The sum of each window: a convolution of every channel with ones (zeros stand in beyond the border)."""
    rank = x.dim() - 2
    k, p, d = (_per_axis(v, rank) for v in (kernel, padding, dilation))
    s = _per_axis(stride, rank) if stride else k
    sizes = []
    widths: list[int] = []
    for n, k_, s_, p_, d_ in zip(x.shape[2:], k, s, p, d, strict=True):
        room = n + 2 * p_ - d_ * (k_ - 1) - 1
        count = (-(-room // s_) if ceil else room // s_) + 1
        if ceil and (count - 1) * s_ >= n + p_:  # torch drops a window that starts beyond the input
            count -= 1
        sizes.append(count)
        widths = [p_, max(p_, (count - 1) * s_ + d_ * (k_ - 1) + 1 - n - p_), *widths]
    padded = functional.pad(x, widths)
    weight = torch.ones(x.shape[1], 1, *k, dtype=x.dtype)
    convolve = functional.conv2d if rank == 2 else functional.conv1d
    found = convolve(padded, weight, None, tuple(s), 0, tuple(d), x.shape[1])
    for axis, n in enumerate(sizes, start=2):
        found = found.narrow(axis, 0, n)
    return found


def _per_axis(value: Any, rank: int) -> list[int]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * rank if len(values) == 1 else values


def _adaptive(x: Values, size: Any) -> tuple[Values]:
    average = functional.adaptive_avg_pool2d if x.dim() == 4 else functional.adaptive_avg_pool1d
    return (average(x, size),)


def _over(x: Values, dims: Any, keep: bool = False, *_: Any) -> Values:
    return x.sum(dims or None, keepdim=keep) if dims != [] else x.sum()


def _with_all(x: Values, dim: int, *_: Any) -> Values:
    return x + x.sum(dim, keepdim=True)


def _layer_norm(x: Values, shape: Sequence[int], *_: Any) -> Values:
    return x + x.sum(tuple(range(-len(shape), 0)), keepdim=True)


def _group_norm(x: Values, groups: int, *_: Any) -> Values:
    parts = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    return (parts + parts.sum(2, keepdim=True)).reshape(x.shape)


def _same(x: Values, *_: Any) -> Values:
    return x * 1


def _chosen(condition: Values, a: Any, b: Any) -> Any:
    return _sum(condition, _sum(a, b))


_STAND_INS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("batch_norm", "rsub", "pow"), _same),
    **dict.fromkeys(("max_pool2d", "max_pool1d"), _window_sum),
    **dict.fromkeys(("adaptive_max_pool2d", "adaptive_max_pool1d"), _adaptive),
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), _with_all),
    **dict.fromkeys(("amax", "amin"), _over),
    "var": lambda x, dims, *_: _over(x, dims),
    "where": _chosen,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
}
