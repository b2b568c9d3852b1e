"""Linear stand-ins for operators: same arguments, same shape of the result, no path from an input lost.

Receptive fields are asked of torch's derivatives of the network with these in place of operators through which
values could cancel or stay behind (see `sheetconv.inspect.fields.gradient`): a ReLU passes everything, a maximum
becomes the sum of its window, a difference a sum. A rule names its own with ``linear=``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

Values = torch.Tensor


def passes(x: Values, *_: Any) -> Values:
    """Every element by itself."""
    return x * 1


def sums(a: Any, b: Any, *_: Any) -> Any:
    """Both where both are tensors; a number neither adds a path nor takes one away."""
    if not isinstance(b, Values):
        return a * 1
    return a + b if isinstance(a, Values) else b * 1


def chosen(condition: Values, a: Any, b: Any) -> Any:
    """A choice depends on all three."""
    return sums(condition, sums(a, b))


def over(x: Values, dims: Any = None, keep: bool = False, *_: Any) -> Values:
    """The sum over some axes (None or none: all)."""
    return x.sum(dims, keepdim=keep) if dims not in (None, []) else x.sum()


def with_all(x: Values, dim: int, *_: Any) -> Values:
    """Every element, and all others along an axis."""
    return x + x.sum(dim, keepdim=True)


def along(x: Values, dim: int, *_: Any) -> Values:
    """All elements along an axis, for each of them."""
    return x.sum(dim, keepdim=True).expand_as(x)


def per_axis(value: Any, rank: int) -> list[int]:
    """torch's "one number or one per axis" as one per axis."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * rank if len(values) == 1 else values


def window_sum(
    x: Values, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Values:
    """The sum of each window: a convolution of every channel with ones (zeros stand in beyond the border)."""
    rank = x.dim() - 2
    k, p, d = (per_axis(v, rank) for v in (kernel, padding, dilation))
    s = per_axis(stride, rank) if stride else k
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
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    found = convolve(padded, weight, None, tuple(s), 0, tuple(d), x.shape[1])
    for axis, n in enumerate(sizes, start=2):
        found = found.narrow(axis, 0, n)
    return found


def adaptive_sum(x: Values, size: Any) -> tuple[Values]:
    """The mean of each window of an adaptive pool, as the first of several results."""
    averages = (
        functional.adaptive_avg_pool1d,
        functional.adaptive_avg_pool2d,
        functional.adaptive_avg_pool3d,
    )
    average = averages[x.dim() - 3]
    return (average(x, size),)
