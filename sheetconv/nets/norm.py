"""Convolutional classifiers of 28×28 images with batch-norm, with the grid size noted beside each layer."""

from torch import nn


def conv_bn(
    ni: int, nf: int, ks: int = 3, stride: int = 1, padding: int | None = None, pool: bool = False
) -> nn.Sequential:
    """A convolution with padding `ks // 2` and no bias (batch-norm has one), batch-norm, ReLU.

    `pool` halves the grid by max-pooling before batch-norm, as the airbench networks do (Jordan, "94% on CIFAR-10
    in 3.29 seconds on a single GPU", 2024).
    """
    conv = nn.Conv2d(ni, nf, ks, stride, ks // 2 if padding is None else padding, bias=False)
    return nn.Sequential(conv, *([nn.MaxPool2d(2)] if pool else []), nn.BatchNorm2d(nf), nn.ReLU())


def simple_cnn_bn() -> nn.Module:
    """The lesson's simple CNN with batch-norm after every convolution but the last: 5,318 parameters."""
    return nn.Sequential(
        conv_bn(1, 4, stride=2),  # 14×14
        conv_bn(4, 8, stride=2),  # 7×7
        conv_bn(8, 16, stride=2),  # 4×4
        conv_bn(16, 16, stride=2),  # 2×2
        nn.Conv2d(16, 10, 3, stride=2, padding=1),  # 1×1
        nn.Flatten(),
    )


def _head(nf: int, size: int) -> list[nn.Module]:
    """The largest value of each feature map (`size`×`size`), then ten logits."""
    return [nn.MaxPool2d(size), nn.Flatten(), nn.Linear(nf, 10)]


def compact_cnn() -> nn.Module:
    """A small network for digits: 69,000 parameters and 4.4 million multiply-adds."""
    return nn.Sequential(
        conv_bn(1, 20, ks=5, stride=2),  # 14×14
        conv_bn(20, 40),
        nn.MaxPool2d(2),  # 7×7
        conv_bn(40, 64),
        conv_bn(64, 64),
        nn.MaxPool2d(2),  # 3×3
        *_head(64, 3),
    )


def strided_cnn(widths: tuple[int, int, int, int] = (20, 56, 72, 112)) -> nn.Module:
    """Wider and cheaper, with strides instead of pooling: 121,000 parameters, 3.5 million multiply-adds."""
    a, b, c, d = widths
    return nn.Sequential(
        conv_bn(1, a, ks=5, stride=2),  # 14×14
        conv_bn(a, b, stride=2),  # 7×7
        conv_bn(b, c),
        conv_bn(c, d, stride=2),  # 4×4
        *_head(d, 4),
    )


def fashion_cnn(widths: tuple[int, int, int, int] = (24, 40, 80, 96)) -> nn.Module:
    """Eight 2×2 kernels, then six convolutions, three of them pooled: 251,000 parameters with these widths.

    Patches of 2×2 grey pixels have four dimensions, so eight kernels (each axis and its negative, where a recipe says
    `init="whiten"`) keep everything in them, and without batch-norm after them they need not learn. The
    one convolution without padding makes grids of 12 and 6, which Winograd's tiles of 6×6 fill exactly; ReLU takes a
    sixth less time on a CPU than GELU.
    """
    a, b, c, d = widths
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 8, 2, padding=1), nn.ReLU()),  # 29×29
        conv_bn(8, a, pool=True),  # 14×14
        conv_bn(a, b, padding=0),  # 12×12
        conv_bn(b, c, pool=True),  # 6×6
        conv_bn(c, c),
        conv_bn(c, d, pool=True),  # 3×3
        conv_bn(d, d),
        *_head(d, 3),
    )
