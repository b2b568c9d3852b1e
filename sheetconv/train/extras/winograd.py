"""3×3 convolutions with a fifth to a third of the multiplications: Winograd's minimal filtering, forward and backward.

A tile of m×m outputs needs (m + 2)² products per pair of channels instead of 9·m² (Lavin and Gray, "Fast Algorithms
for Convolutional Neural Networks", 2015): with Bᵀ, G and Aᵀ from interpolation at m + 1 points and infinity,
``Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A``. The products of all tiles are one matrix product per position of the transformed
tile, and both gradients are the same matrices the other way round.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
# of channels in and out, by tests/benchmarks/convolutions.py: 32 with 32 are hardly faster than torch's, 32 with 64 are
WORTH_PAIRS = 2048
_AT_ONCE = 700_000  # numbers of transformed tiles computed together, so that they stay in the cache


@cache
def matrices(m: int) -> tuple[Tensor, Tensor, Tensor]:
    """Bᵀ (m + 2, m + 2), G (m + 2, 3) and Aᵀ (m, m + 2) for tiles of m×m outputs, float32.

    Toom and Cook's construction: outputs are values of polynomials, so that Aᵀ evaluates the tile's and G the
    kernel's at the points, and Bᵀ, by transposition, interpolates.
    """
    n, points = m + 2, _POINTS[: m + 1]
    at, g = np.zeros((m, n)), np.zeros((n, 3))
    at[:, :-1] = np.vander(points, m, increasing=True).T
    at[-1, -1] = 1
    g[:-1] = np.vander(points, 3, increasing=True)
    g[-1, -1] = 1
    bt = np.zeros((n, n))
    for i, p in enumerate(points):
        others = [q for q in points if q != p]
        scale = np.prod([p - q for q in others])
        bt[i, :-1] = np.poly(others)[::-1]
        g[i] /= scale
    bt[-1] = np.poly(points)[::-1]
    return tuple(torch.from_numpy(t).float() for t in (bt, g, at))  # type: ignore[return-value]


def tile(size: int) -> int:
    """The tile for a grid of `size`×`size` that needs the fewest products."""
    return min((2, 3, 4, 6), key=lambda m: (-(-size // m) * (m + 2)) ** 2)


def _twice(down: Tensor, across: Tensor, x: Tensor) -> Tensor:
    """Matrices (R, H) and (S, W) along the two leading axes of (H, W, …): (R, S, L)."""
    half = down @ x.reshape(len(x), -1)
    return torch.matmul(across, half.view(len(down), x.shape[1], -1))


class _Span(NamedTuple):
    """One tile along one axis: where it reads and writes, and the transforms with what lies outside left out."""

    inputs: slice
    outputs: slice
    bt: Tensor
    at: Tensor


@cache
def _spans(size: int, padding: int, m: int) -> tuple[_Span, ...]:
    bt, _, at = matrices(m)
    out = size + 2 * padding - 2
    spans = []
    for start in range(0, out, m):
        first = start - padding
        low, high = max(first, 0), min(first + m + 2, size)
        stop = min(start + m, out)
        spans.append(
            _Span(slice(low, high), slice(start, stop), bt[:, low - first : high - first], at[: stop - start])
        )
    return tuple(spans)


class _Tiles:
    """How a batch of images (N, H, W, C) is cut into tiles, a group of images at a time."""

    def __init__(self, x: Tensor, padding: int, out_channels: int) -> None:
        n, height, width, channels = x.shape
        self.out_shape = n, height + 2 * padding - 2, width + 2 * padding - 2, out_channels
        self.m = tile(max(self.out_shape[1:3]))
        groups = -(-n * (self.m + 2) ** 2 * max(channels, out_channels) // _AT_ONCE)
        size = -(-n // groups)
        self.parts = [
            (slice(i, min(i + size, n)), down, across)
            for i in range(0, n, size)
            for down in _spans(height, padding, self.m)
            for across in _spans(width, padding, self.m)
        ]


def _inner(rows: Tensor, images: slice, down: slice, across: slice) -> Tensor:
    """A window of (N, H, W, C) with its rows and columns leading, (h, w, n, C); a view."""
    return rows[images, down, across].permute(1, 2, 0, 3)


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: int) -> Tensor:
        out_channels, channels = weight.shape[:2]
        rows = x.permute(0, 2, 3, 1)
        tiles = _Tiles(rows, padding, out_channels)
        m, g = tiles.m, matrices(tiles.m)[1]
        u = _twice(g, g, weight.permute(2, 3, 1, 0)).view(-1, channels, out_channels)
        y = torch.empty(tiles.out_shape)
        kept = []
        for images, down, across in tiles.parts:
            window = _inner(rows, images, down.inputs, across.inputs)
            v = _twice(down.bt, across.bt, window).view(len(u), -1, channels)
            to = _inner(y, images, down.outputs, across.outputs)
            to.copy_(_twice(down.at, across.at, torch.bmm(v, u).view(m + 2, m + 2, -1)).view(to.shape))
            kept.append(v)
        ctx.save_for_backward(u, *kept)
        ctx.tiles, ctx.shape = tiles, rows.shape
        return y.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tiles: _Tiles = ctx.tiles
        u, *kept = ctx.saved_tensors
        m, g = tiles.m, matrices(tiles.m)[1]
        _, channels, out_channels = u.shape
        rows = grad.permute(0, 2, 3, 1)
        du = torch.zeros_like(u)
        dx = torch.zeros(ctx.shape) if ctx.needs_input_grad[0] else None
        for (images, down, across), v in zip(tiles.parts, kept, strict=True):
            window = _inner(rows, images, down.outputs, across.outputs)
            dm = _twice(down.at.T, across.at.T, window).view(len(u), -1, out_channels)
            du.baddbmm_(v.mT, dm)
            if dx is not None:
                to = _inner(dx, images, down.inputs, across.inputs)
                dv = torch.bmm(dm, u.mT).view(m + 2, m + 2, -1)
                to += _twice(down.bt.T, across.bt.T, dv).view(to.shape)
        dw = (
            _twice(g.T, g.T, du.view(m + 2, m + 2, -1)).view(3, 3, channels, out_channels).permute(3, 2, 0, 1)
        )
        return None if dx is None else dx.permute(0, 3, 1, 2), dw, None


def conv3x3(x: Tensor, weight: Tensor, padding: int = 1) -> Tensor:
    """`torch.nn.functional.conv2d(x, weight, padding=padding)` of (N, C, H, W) and (O, C, 3, 3), float32 on a CPU.

    `padding` is 0 or 1. The result has channels last in memory; so should `x`. Rounding differs from torch's by up
    to two parts in 100,000 of the largest output (measured; bf16 rounds at four in 1,000).
    """
    return _Winograd.apply(x, weight, padding)


class WinogradConv2d(nn.Conv2d):
    """A convolution that trains with `conv3x3`; without gradients, on other devices and types it is torch's own."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H', W')."""
        if not torch.is_grad_enabled() or input.dtype != torch.float32 or input.device.type != "cpu":
            return super().forward(input)
        assert isinstance(self.padding[0], int)
        outputs = conv3x3(input, self.weight, self.padding[0])
        return outputs if self.bias is None else outputs + self.bias[:, None, None]


def suits(layer: nn.Module) -> bool:
    """Whether `layer` is a convolution that `conv3x3` computes, with channels enough for it to be faster."""
    return (
        type(layer) is nn.Conv2d
        and layer.kernel_size == (3, 3)
        and layer.stride == layer.dilation == (1, 1)
        and layer.padding in ((0, 0), (1, 1))
        and layer.padding_mode == "zeros"
        and layer.groups == 1
        and layer.in_channels * layer.out_channels >= WORTH_PAIRS
    )


def exchange(model: nn.Module) -> list[nn.Conv2d]:
    """Make the convolutions of `model` that are suited train with `conv3x3`; gives them, for `put_back`.

    Only their class changes: weights, names and saved files stay what they are.
    """
    found = [layer for layer in model.modules() if suits(layer)]
    for layer in found:
        layer.__class__ = WinogradConv2d
    return found  # type: ignore[return-value]


def put_back(layers: list[nn.Conv2d]) -> None:
    """Make `layers` torch's own again."""
    for layer in layers:
        layer.__class__ = nn.Conv2d
