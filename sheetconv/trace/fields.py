"""Receptive fields: interval arithmetic over a captured network, and its check by the linearised gradient.

Two paths that share no arithmetic. `fields` walks the exported operators and carries, for each row and each
column of a tensor, the first and last input row and column it can see (clipped at the borders), beside the
usual recurrence (Dumoulin and Visin, 2016; Araujo et al., 2019): size += (k−1)·d·jump,
start += ((k−1)·d/2 − p)·jump, jump ×= s. `gradient_boxes` runs torch itself with every non-linearity replaced
by a linear map and positive weights, so that nothing cancels, and looks where the gradient is not zero.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sheetconv.errors import ModelError, UnsupportedOperator

MOST_UNITS = 2000
_SAME = {
    "relu", "relu_", "sigmoid", "tanh", "gelu", "silu", "leaky_relu", "elu", "hardtanh", "dropout", "clone",
    "batch_norm", "mul", "add", "add_", "sub", "div", "neg", "contiguous", "alias", "cat", "hardswish",
}  # fmt: skip
_ALL = {
    "linear",
    "flatten",
    "view",
    "reshape",
    "adaptive_avg_pool2d",
    "mean",
    "softmax",
    "log_softmax",
    "squeeze",
}
_VIEWS = {"flatten", "view", "reshape", "squeeze"}
_SKIP = {"_guards_fn"}
_LINEAR = {
    "relu",
    "relu_",
    "sigmoid",
    "tanh",
    "gelu",
    "silu",
    "leaky_relu",
    "elu",
    "hardtanh",
    "dropout",
    "hardswish",
}


@dataclass(frozen=True)
class Axis:
    """One axis: recurrence (pixels), and first and last visible input pixel of each position (clipped)."""

    size: float
    jump: float
    start: float
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Field:
    """The receptive fields of one tensor (N, C, H, W): rows, then columns; `padding` as the operator says."""

    name: str
    operator: str
    shape: tuple[int, ...]
    axes: tuple[Axis, ...]
    padding: int = 0
    joined: bool = False
    """Channels stand side by side with different fields (after `cat`); `box` covers all channels."""

    def box(self, row: int, column: int) -> tuple[int, int, int, int] | None:
        """First row, first column, last row, last column that a unit can see; None: padding only."""
        y, x = self.axes
        if y.low[row] > y.high[row] or x.low[column] > x.high[column]:
            return None
        return int(y.low[row]), int(x.low[column]), int(y.high[row]), int(x.high[column])


def export(model: nn.Module, shape: tuple[int, int, int]) -> torch.fx.GraphModule:
    """The model's operators for one image (1, *shape), in float64; `model` itself stays as it is. Raises `ModelError`."""
    twin = copy.deepcopy(model).double().eval()
    try:
        program = torch.export.export(twin, (torch.zeros(1, *shape, dtype=torch.float64),))
    except Exception as error:
        raise ModelError(
            f"the model cannot be exported for input {shape}: {str(error).splitlines()[0]}"
        ) from error
    module: torch.fx.GraphModule = program.module()
    return module


def _operator(node: torch.fx.Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0]


def fields(module: torch.fx.GraphModule, shape: tuple[int, int, int]) -> list[Field]:
    """Fields of every operator's output, in order. Raises `UnsupportedOperator` for one without a rule."""
    found: dict[torch.fx.Node, Field] = {}
    for node in module.graph.nodes:
        if node.op == "placeholder":
            axes = tuple(Axis(1, 1, 0, np.arange(n), np.arange(n)) for n in shape[1:])
            found[node] = Field("input", "input", (1, *shape), axes)
        elif node.op == "call_function":
            inputs = [found[n] for n in node.all_input_nodes if n in found]
            if inputs:
                found[node] = _step(node, inputs)
    return list(found.values())[1:]


def _step(node: torch.fx.Node, inputs: list[Field]) -> Field:
    operator, out = _operator(node), tuple(node.meta["val"].shape)
    source = inputs[0]
    base = replace(source, name=str(node.name), operator=operator, shape=out, padding=0)
    if operator in _ALL:
        return replace(base, axes=tuple(_whole(a, n) for a, n in zip(source.axes, _plane(out), strict=True)))
    if operator in _SAME:
        joined = operator == "cat" or any(f.joined for f in inputs)
        return replace(base, axes=tuple(_join([f.axes[i] for f in inputs]) for i in (0, 1)), joined=joined)
    if operator in ("conv2d", "max_pool2d", "avg_pool2d", "conv_transpose2d", "pad", "upsample_nearest2d"):
        axes = tuple(_axis(operator, node, source.axes[i], i, _plane(out)[i]) for i in (0, 1))
        joined = source.joined and not (operator == "conv2d" and _argument(node, 6, 1) == 1)
        return replace(base, axes=axes, padding=_padding(operator, node), joined=joined)
    raise UnsupportedOperator(f"no receptive-field rule for the operator {operator} ({node.name})")


def _plane(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[2], shape[3]) if len(shape) == 4 else (1, 1)


def _whole(axis: Axis, size: int) -> Axis:
    low, high = np.full(size, axis.low.min()), np.full(size, axis.high.max())
    span = (len(axis.low) - 1) * axis.jump
    return Axis(axis.size + span, axis.jump, axis.start + span / 2, low, high)


def _join(axes: list[Axis]) -> Axis:
    size = max(len(a.low) for a in axes)
    low = np.min([np.broadcast_to(a.low, size) for a in axes], axis=0)
    high = np.max([np.broadcast_to(a.high, size) for a in axes], axis=0)
    widest = max(axes, key=lambda a: a.size)
    return replace(widest, low=low, high=high)


def _at(value: Any, i: int, default: int) -> int:
    if value is None or value == []:
        return default
    return int(value) if isinstance(value, int) else int(value[i if len(value) > 1 else 0])


def _argument(node: torch.fx.Node, index: int, default: Any = None) -> Any:
    return node.args[index] if len(node.args) > index else default


def _padding(operator: str, node: torch.fx.Node) -> int:
    if operator == "pad":
        return int(node.args[1][0])  # type: ignore[index, arg-type]
    index = {"conv2d": 4, "conv_transpose2d": 4, "max_pool2d": 3, "avg_pool2d": 3}.get(operator)
    value = _argument(node, index, 0) if index else 0
    return -1 if isinstance(value, str) else _at(value, 0, 0)


def _axis(operator: str, node: torch.fx.Node, a: Axis, i: int, out: int) -> Axis:
    """Windows of taps: position o of the output reads positions `taps[o]` of the input, where they exist."""
    n, o = len(a.low), np.arange(out)
    if operator == "pad":
        before = int(node.args[1][2 * (1 - i)])  # type: ignore[index, arg-type]
        return _gather(replace(a, start=a.start - before * a.jump), (o - before)[:, None], n)
    if operator == "upsample_nearest2d":
        factor = out / n
        start = a.start - a.jump * (1 - 1 / factor) / 2
        return _gather(replace(a, jump=a.jump / factor, start=start), (o * n // out)[:, None], n)
    if operator in ("conv2d", "conv_transpose2d"):
        k = node.args[1].meta["val"].shape[2 + i]  # type: ignore[union-attr]
        s, p = _at(_argument(node, 3), i, 1), _argument(node, 4, 0)
        d = _at(_argument(node, 7 if operator == "conv_transpose2d" else 5), i, 1)
    else:
        k = _at(node.args[1], i, 1)
        s, p = _at(_argument(node, 2), i, k), _argument(node, 3, 0)
        d = _at(_argument(node, 4), i, 1) if operator == "max_pool2d" else 1
    same = isinstance(p, str)
    p = ((k - 1) * d // 2 if p == "same" else 0) if same else _at(p, i, 0)
    if operator == "conv_transpose2d":
        reach = o[:, None] + p - d * np.arange(k)
        taps = np.where(reach % s == 0, reach // s, -1)
        most = max(int((row >= 0).sum()) for row in taps)
        start = a.start + (p - (k - 1) * d / 2) * a.jump / s
        return _gather(replace(a, size=a.size + (most - 1) * a.jump, jump=a.jump / s, start=start), taps, n)
    size, start = a.size + (k - 1) * d * a.jump, a.start + ((k - 1) * d / 2 - p) * a.jump
    return _gather(Axis(size, a.jump * s, start, a.low, a.high), s * o[:, None] - p + d * np.arange(k), n)


def _gather(a: Axis, taps: np.ndarray, n: int) -> Axis:
    inside = (taps >= 0) & (taps < n)
    at = np.clip(taps, 0, n - 1)
    low = np.where(inside, a.low[at], np.iinfo(np.int64).max).min(1)
    return replace(a, low=low, high=np.where(inside, a.high[at], -1).max(1))


class Linearised(torch.fx.Interpreter):
    """Runs the operators with linear stand-ins and keeps every value in `values` (by node name)."""

    def __init__(self, module: torch.fx.GraphModule):
        super().__init__(module)
        self.values: dict[str, Tensor] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        """Run one operator; parameters count by their size, so that no two paths cancel."""
        if n.op == "get_attr":
            value = super().run_node(n)
            return value.detach().abs() + 0.1 if isinstance(value, Tensor) else value
        operator = _operator(n)
        if n.op == "call_module" or operator in _SKIP:
            return None
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if operator in _LINEAR:
            value = args[0] * 1
        elif operator == "max_pool2d":
            value = _mean_pool(*args, **kwargs)
        elif operator in ("softmax", "log_softmax"):
            value = args[0] + args[0].sum(args[1], keepdim=True)
        elif operator in ("sub", "sub_"):
            value = args[0] + args[1]
        else:
            value = super().run_node(n)
        if n.op == "call_function" and isinstance(value, Tensor):
            self.values[n.name] = value
        return value


def _mean_pool(
    x: Tensor, size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, *_: Any
) -> Tensor:
    """Sum over each window of max-pooling, by a depthwise convolution of ones."""
    k = [_at(size, i, 1) for i in (0, 1)]
    weight = torch.ones(x.shape[1], 1, *k, dtype=x.dtype)
    s = [_at(stride, i, k[i]) for i in (0, 1)]
    return torch.conv2d(x, weight, None, s, padding, dilation, x.shape[1])


def gradient_boxes(module: torch.fx.GraphModule, shape: tuple[int, int, int], field: Field) -> dict[int, Any]:
    """Box of the non-zero gradient of each unit (flat number; at most `MOST_UNITS`, evenly sampled)."""
    runner = Linearised(module)
    x = torch.ones(1, *shape, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        runner.run(x)
    value = runner.values[field.name]
    picks = np.unique(np.linspace(0, value.numel() - 1, min(value.numel(), MOST_UNITS)).astype(int))
    boxes: dict[int, Any] = {}
    for part in np.array_split(picks, max(1, len(picks) // 128)):
        seed = torch.zeros(len(part), value.numel(), dtype=value.dtype)
        seed[np.arange(len(part)), part] = 1
        seed = seed.reshape(len(part), *value.shape)
        if field.joined:
            seed = seed.amax(2, keepdim=True).expand_as(seed)
        (grad,) = torch.autograd.grad(value, x, seed, is_grads_batched=True, retain_graph=True)
        for unit, plane in zip(part, (grad[:, 0] != 0).any(1).numpy(), strict=True):
            rows, columns = np.nonzero(plane.any(1))[0], np.nonzero(plane.any(0))[0]
            boxes[int(unit)] = (rows[0], columns[0], rows[-1], columns[-1]) if len(rows) else None
    return boxes


def disagreements(module: torch.fx.GraphModule, shape: tuple[int, int, int]) -> tuple[int, list[str]]:
    """Number of units compared, and a line for each whose two boxes differ."""
    count, lines = 0, []
    for field in fields(module, shape):
        if field.operator in _VIEWS:
            continue  # each element sees what it saw before; the field of a view is that of all together
        height, width = _plane(field.shape)
        for unit, box in gradient_boxes(module, shape, field).items():
            row, column = (unit // width % height, unit % width) if len(field.shape) == 4 else (0, 0)
            count += 1
            if (None if box is None else tuple(map(int, box))) != field.box(row, column):
                lines.append(f"{field.name} unit {unit}: recurrence {field.box(row, column)}, gradient {box}")
    return count, lines
