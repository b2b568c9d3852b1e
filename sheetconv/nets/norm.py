"""Convolutional classifiers of 28×28 images with batch-norm, with the grid size noted beside each layer."""

from torch import nn


def conv_bn(ni: int, nf: int, ks: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution with padding `ks // 2` and no bias (batch-norm has one), batch-norm, ReLU."""
    return nn.Sequential(nn.Conv2d(ni, nf, ks, stride, ks // 2, bias=False), nn.BatchNorm2d(nf), nn.ReLU())


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


def pooled(ni: int, nf: int) -> nn.Sequential:
    """Two convolutions with batch-norm and ReLU, the first followed by max-pooling that halves the grid.

    The group of the airbench networks (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024), which
    have GELU; on a CPU ReLU takes a sixth less time.
    """
    return nn.Sequential(
        nn.Conv2d(ni, nf, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(nf),
        nn.ReLU(),
        nn.Conv2d(nf, nf, 3, padding=1, bias=False),
        nn.BatchNorm2d(nf),
        nn.ReLU(),
    )


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


def fashion_cnn(widths: tuple[int, int, int] = (24, 56, 80)) -> nn.Module:
    """A stem of twelve 2×2 kernels and three pooled groups: 147,000 parameters with the widths given here.

    Patches of 2×2 grey pixels have four dimensions, so few kernels do, and at the largest grid each is dear.
    """
    a, b, c = widths
    return nn.Sequential(
        nn.Conv2d(1, 12, 2),  # 27×27
        nn.ReLU(),
        pooled(12, a),  # 13×13
        pooled(a, b),  # 6×6
        pooled(b, c),  # 3×3
        *_head(c, 3),
    )
