"""An autoencoder that reconstructs, with the grid size noted beside each layer."""

import torch
from torch import Tensor, nn


def conv_bn_gelu(ni: int, nf: int, stride: int = 1) -> nn.Sequential:
    """A 3×3 convolution without bias, batch-norm, GELU."""
    return nn.Sequential(nn.Conv2d(ni, nf, 3, stride, 1, bias=False), nn.BatchNorm2d(nf), nn.GELU())


class Residual(nn.Module):
    """Two 3×3 convolutions added to their input: (N, nf, H, W) to the same shape."""

    def __init__(self, nf: int) -> None:
        super().__init__()
        self.first = conv_bn_gelu(nf, nf)
        self.second = nn.Sequential(nn.Conv2d(nf, nf, 3, padding=1, bias=False), nn.BatchNorm2d(nf))

    def forward(self, x: Tensor) -> Tensor:
        """GELU of the sum."""
        return torch.nn.functional.gelu(x + self.second(self.first(x)))


def doubled(ni: int, nf: int) -> nn.Sequential:
    """A convolution to four times the channels, which pixel-shuffle lays out on a grid of twice the size."""
    return nn.Sequential(
        nn.Conv2d(ni, 4 * nf, 3, padding=1, bias=False), nn.PixelShuffle(2), nn.BatchNorm2d(nf), nn.GELU()
    )


def shuffle_autoencoder(widths: tuple[int, int, int] = (16, 32, 56)) -> nn.Module:
    """28×28 images through the lesson's code of 8×4×4 = 128 numbers, here without an activation, and back.

    What differs from the lesson's autoencoder is all around the code: widths, batch-norm, GELU, a residual
    block on either side, and a decoder that rearranges channels into pixels (Shi et al., 2016).
    """
    a, b, c = widths
    return nn.Sequential(
        nn.ZeroPad2d(2),  # 32×32
        nn.Conv2d(1, a, 5, stride=2, padding=2, bias=False),  # 16×16
        nn.BatchNorm2d(a),
        nn.GELU(),
        conv_bn_gelu(a, b, stride=2),  # 8×8
        conv_bn_gelu(b, c, stride=2),  # 4×4
        Residual(c),
        nn.Conv2d(c, 8, 3, padding=1),  # the code
        conv_bn_gelu(8, c),
        Residual(c),
        doubled(c, b),  # 8×8
        doubled(b, a),  # 16×16
        nn.Conv2d(a, 4, 3, padding=1),
        nn.PixelShuffle(2),  # 32×32
        nn.ZeroPad2d(-2),  # 28×28
        nn.Sigmoid(),
    )
