"""3×3 convolutions with a fifth to a third of the multiplications: Winograd's minimal filtering, forward and backward.

A tile of m×m outputs needs (m + 2)² products per pair of channels instead of 9·m² (Lavin and Gray, "Fast Algorithms
for Convolutional Neural Networks", 2015): with Bᵀ, G and Aᵀ from interpolation at m + 1 points and infinity,
``Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A``. The products of all tiles are one matrix product per position of the transformed
tile, and both gradients are the same matrices the other way round.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
# of channels in and out, by tests/benchmarks/convolutions.py: 32 with 32 are slower than torch's, 32 with 64 faster
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


def _twice(t: Tensor, x: Tensor) -> Tensor:
    """The (R, K) matrix along both leading axes of (K, K, …): (R, R, L)."""
    r, k = t.shape
    return torch.matmul(t, (t @ x.reshape(k, -1)).view(r, k, -1))


class _Tiles:
    """How images are cut into tiles, and put together again."""

    def __init__(self, x: Tensor, padding: int) -> None:
        self.n, _, self.h, self.w = x.shape
        self.padding = padding
        self.out_h, self.out_w = self.h + 2 * padding - 2, self.w + 2 * padding - 2
        self.m = tile(max(self.out_h, self.out_w))
        self.down, self.across = -(-self.out_h // self.m), -(-self.out_w // self.m)

    def chunks(self, channels: int) -> list[slice]:
        """The images to compute together."""
        one = (self.m + 2) ** 2 * self.down * self.across * channels
        size = max(1, _AT_ONCE // one)
        return [slice(i, min(i + size, self.n)) for i in range(0, self.n, size)]

    def blocks(self, images: int, channels: int) -> Tensor:
        """Zeros for `images` with their padding, cut into m×m: (N, down + 1, m, across + 1, m, C)."""
        return torch.zeros(images, self.down + 1, self.m, self.across + 1, self.m, channels)

    def inside(self, blocks: Tensor) -> Tensor:
        """The images within `blocks`, (N, H, W, C); a view."""
        p = self.padding
        whole = blocks.view(len(blocks), (self.down + 1) * self.m, (self.across + 1) * self.m, -1)
        return whole[:, p : self.h + p, p : self.w + p]

    def overlapping(self, blocks: Tensor) -> Tensor:
        """Tiles with their neighbours' edges, (m + 2, m + 2, N, down, across, C); a view."""
        n, m = self.m + 2, self.m
        whole = blocks.view(len(blocks), (self.down + 1) * m, (self.across + 1) * m, -1)
        whole = whole[:, : self.down * m + 2, : self.across * m + 2]
        return whole.unfold(1, n, m).unfold(2, n, m).permute(4, 5, 0, 1, 2, 3)

    def add_overlapping(self, blocks: Tensor, d: Tensor) -> None:
        """Add such tiles where they come from."""
        m = self.m
        d = d.view(m + 2, m + 2, len(blocks), self.down, self.across, -1)
        to = blocks.permute(2, 4, 0, 1, 3, 5)
        to[:, :, :, :-1, :-1] = d[:m, :m]
        to[:2, :, :, 1:, :-1] += d[m:, :m]
        to[:, :2, :, :-1, 1:] += d[:m, m:]
        to[:2, :2, :, 1:, 1:] += d[m:, m:]

    def apart(self, outputs: Tensor) -> Tensor:
        """Whole outputs (N, down·m, across·m, C) as (m, m, N, down, across, C); a view."""
        return (
            outputs.unflatten(2, (self.across, self.m))
            .unflatten(1, (self.down, self.m))
            .permute(2, 4, 0, 1, 3, 5)
        )


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: int) -> Tensor:
        tiles, out_channels, channels = _Tiles(x, padding), *weight.shape[:2]
        m = tiles.m
        bt, g, at = matrices(m)
        n = (m + 2) ** 2
        u = _twice(g, weight.permute(2, 3, 1, 0)).view(n, channels, out_channels)
        rows = x.permute(0, 2, 3, 1)
        whole = torch.empty(tiles.n, tiles.down * m, tiles.across * m, out_channels)
        kept: list[Tensor] = []
        for part in tiles.chunks(max(channels, out_channels)):
            if not kept:
                blocks = tiles.blocks(part.stop, channels)
            p = blocks[: part.stop - part.start]
            tiles.inside(p).copy_(rows[part])
            v = _twice(bt, tiles.overlapping(p)).view(n, -1, channels)
            y = _twice(at, torch.bmm(v, u).view(m + 2, m + 2, -1))
            tiles.apart(whole[part]).copy_(y.view(m, m, len(p), tiles.down, tiles.across, out_channels))
            kept.append(v)
        ctx.save_for_backward(u, *kept)
        ctx.tiles = tiles
        return whole[:, : tiles.out_h, : tiles.out_w].permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tiles: _Tiles = ctx.tiles
        u, *kept = ctx.saved_tensors
        m = tiles.m
        bt, g, at = (t.T for t in matrices(m))
        n, channels, out_channels = u.shape
        rows = grad.permute(0, 2, 3, 1)
        more = tiles.down * m - tiles.out_h, tiles.across * m - tiles.out_w
        du = torch.zeros_like(u)
        dx = torch.empty(tiles.n, tiles.h, tiles.w, channels) if ctx.needs_input_grad[0] else None
        for part, v in zip(tiles.chunks(max(channels, out_channels)), kept, strict=True):
            y = rows[part]
            if any(more):
                y = nn.functional.pad(y, (0, 0, 0, more[1], 0, more[0]))
            dm = _twice(at, tiles.apart(y)).view(n, -1, out_channels)
            du.baddbmm_(v.mT, dm)
            if dx is not None:
                blocks = tiles.blocks(len(y), channels)
                tiles.add_overlapping(blocks, _twice(bt, torch.bmm(dm, u.mT).view(m + 2, m + 2, -1)))
                dx[part] = tiles.inside(blocks)
        dw = _twice(g, du.view(m + 2, m + 2, -1)).view(3, 3, channels, out_channels).permute(3, 2, 0, 1)
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
