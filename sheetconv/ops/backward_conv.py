"""The way back through a convolution: to its input, its kernels, its biases."""

from __future__ import annotations

from typing import Any

from sheetconv.errors import UnsupportedOperator
from sheetconv.graph.expr import Aggregate, Number, Select
from sheetconv.graph.index import Index, Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.conv import per_axis
from sheetconv.ops.registry import Build, rule


@rule("aten.convolution_backward.default", kind="convback")
def convolution_backward(
    build: Build,
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    mask: Any,
) -> Tensor:
    """Item 0 is the input's gradient, 1 the kernel's, 2 the bias's.

    The kernel's is the correlation of the input with the gradient above it: one SUMPRODUCT of two maps for each
    tap. The input's is the gradient above it against the kernel turned by 180°. With a stride the gradient is
    first spread out, zeros between its cells.
    """
    if groups != 1:
        raise UnsupportedOperator(f"{build.module}: the gradient of a convolution in groups has no rule")
    if build.item == 2:
        return _bias(build, grad)
    rank = len(weight.shape) - 2
    stride, padding, dilation = (per_axis(v, rank) for v in (stride, padding, dilation))
    if transposed:
        return _transposed(build, grad, x, weight, stride, padding, dilation)
    spread = _spread(build, grad, stride)
    if build.item == 1:
        return _kernel(build, x, spread, padding, dilation)
    return _input(build, spread, weight, padding, dilation)


def _part(build: Build) -> Operation:
    return Operation("getitem", (build.operation, build.item))


def _bias(build: Build, grad: Tensor) -> Tensor:
    """The sum of the channel's gradients."""
    build.title = "Bias: sum of the gradient"
    out = build.axes()
    over = tuple(Var(f"k{d}", s) for d, s in enumerate(grad.shape) if d != 1)
    at: list[Index] = [*over[:1], out.axes[0], *over[1:]]
    return build.emit(out, Aggregate("SUM", (grad.at(*at),), over), operation=_part(build))


def _spread(build: Build, grad: Tensor, stride: tuple[int, ...]) -> Tensor:
    """The gradient with stride − 1 zeros between its cells, as a convolution without stride would have it."""
    if all(s == 1 for s in stride):
        return grad
    for tensor in build.tensors:  # the kernel's gradient and the input's read the same cells
        if (
            tensor.operator == "spread"
            and tensor.operation is not None
            and grad in tensor.operation.tensors()
        ):
            return tensor
    lead = grad.shape[:2]
    shape = (*lead, *((size - 1) * s + 1 for size, s in zip(grad.shape[2:], stride, strict=True)))

    def formula(t: Tensor) -> Any:
        here: Index | None = None
        for axis, s in zip(t.axes[2:], stride, strict=True):
            on = (axis % s).equals(0)
            here = on if here is None else here & on
        assert here is not None
        return Select(
            here,
            grad.at(*t.axes[:2], *(a // s for a, s in zip(t.axes[2:], stride, strict=True))),
            Number(0.0),
        )

    # torch has the same as the gradient of a slice with that step, axis by axis
    operation: Any = grad
    sizes = list(grad.shape)
    for axis, (size, s) in enumerate(zip(shape[2:], stride, strict=True), start=2):
        sizes[axis] = size
        operation = Operation("aten.slice_backward.default", (operation, list(sizes), axis, 0, size, s))
    return build.step("spread", shape, operation, formula)


def _kernel(
    build: Build, x: Tensor, spread: Tensor, padding: tuple[int, ...], dilation: tuple[int, ...]
) -> Tensor:
    """grad_w[o, c, k] = Σ over n, y of x[n, c, y + d·k − p] · grad[n, o, y]."""
    build.title = "Kernel: input × gradient"
    out = build.axes()
    o, c, *taps = out.axes
    n, *place = (Var(f"k{d}", s) for d, s in enumerate(spread.shape) if d != 1)
    at = [y + d * k - p for y, k, d, p in zip(place, taps, dilation, padding, strict=True)]
    reads = (x.at(n, c, *at), spread.at(n, o, *place))
    return build.emit(out, Aggregate("SUMPRODUCT", reads, (n, *place)), operation=_part(build))


def _input(
    build: Build, spread: Tensor, weight: Tensor, padding: tuple[int, ...], dilation: tuple[int, ...]
) -> Tensor:
    """grad_x[n, c, y] = Σ over o, k of grad[n, o, y + p − d·k] · w[o, c, k], the kernel read backwards."""
    sizes = weight.shape[2:]
    turned_shape = (weight.shape[1], weight.shape[0], *sizes)

    def formula(t: Tensor) -> Any:
        c, o, *taps = t.axes
        return weight.at(o, c, *(size - 1 - k for size, k in zip(sizes, taps, strict=True)))

    dims = list(range(2, 2 + len(sizes)))
    flipped = Operation("aten.flip.default", (weight, dims))
    turned = build.step("turned", turned_shape, Operation("aten.transpose.int", (flipped, 0, 1)), formula)
    build.title = "Input: gradient × turned kernel"
    out = build.axes()
    n, c, *place = out.axes
    o = Var("o", weight.shape[0])
    taps = [Var(f"k{a.name}", k) for a, k in zip(place, sizes, strict=True)]
    at = [
        y + (p - d * (k - 1)) + d * t
        for y, k, t, d, p in zip(place, sizes, taps, dilation, padding, strict=True)
    ]
    inside = _within(at, spread) if any(d > 1 for d in dilation) else None
    reads = (spread.at(n, o, *at), turned.at(c, o, *taps))
    return build.emit(out, Aggregate("SUMPRODUCT", reads, (o, *taps), inside), operation=_part(build))


def _transposed(
    build: Build,
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Tensor:
    """Of a transposed convolution the input's gradient is a convolution; the kernel's a correlation with the input."""
    build.title = "Kernel: input × gradient" if build.item else "Input: gradient × kernel"
    out = build.axes()
    lead, c, *axes = out.axes
    if build.item == 0:
        taps = [Var(f"k{a.name}", k) for a, k in zip(axes, weight.shape[2:], strict=True)]
        o = Var("o", weight.shape[1])
        at = [s * y + d * t - p for y, t, s, d, p in zip(axes, taps, stride, dilation, padding, strict=True)]
        reads = (grad.at(lead, o, *at), weight.at(c, o, *taps))
        inside = _within(at, grad)
        return build.emit(out, Aggregate("SUMPRODUCT", reads, (o, *taps), inside), operation=_part(build))
    n, *place = (Var(f"k{d}", s) for d, s in enumerate(x.shape) if d != 1)
    at = [s * y + d * t - p for y, t, s, d, p in zip(place, axes, stride, dilation, padding, strict=True)]
    reads = (x.at(n, lead, *place), grad.at(n, c, *at))
    total = Aggregate("SUMPRODUCT", reads, (n, *place), _within(at, grad))
    return build.emit(out, total, operation=_part(build))


def _within(at: list[Index], tensor: Tensor) -> Index:
    """1 where every index is one of the tensor's own cells."""
    found: Index | None = None
    for position, size in zip(at, tensor.shape[2:], strict=True):
        here = (position >= 0) & (position < size)
        found = here if found is None else found & here
    assert found is not None
    return found
