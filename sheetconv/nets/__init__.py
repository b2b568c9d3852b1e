"""Networks by name, each for one size of image.

Every function in `NETS` returns a fresh `torch.nn.Module`; `INPUT_SHAPES` names the size of one input as
(C, H, W). All take pixels in 0…1, and all can be compiled into a workbook.
"""

from collections.abc import Callable

import torch
from torch import nn

from sheetconv.nets.autoencoders import shuffle_autoencoder
from sheetconv.nets.classic import lenet5, resnet20
from sheetconv.nets.lesson import ConvExample, autoencoder, conv, conv_example, deconv, mlp, simple_cnn
from sheetconv.nets.norm import compact_cnn, fashion_cnn, simple_cnn_bn, strided_cnn

__all__ = [
    "INPUT_SHAPES",
    "NETS",
    "ConvExample",
    "autoencoder",
    "compact_cnn",
    "conv",
    "conv_example",
    "deconv",
    "fashion_cnn",
    "lenet5",
    "mlp",
    "resnet20",
    "seeded",
    "shuffle_autoencoder",
    "simple_cnn",
    "simple_cnn_bn",
    "strided_cnn",
]

NETS: dict[str, Callable[[], nn.Module]] = {
    "conv-example": conv_example,
    "mlp": mlp,
    "simple-cnn": simple_cnn,
    "simple-cnn-bn": simple_cnn_bn,
    "compact-cnn": compact_cnn,
    "strided-cnn": strided_cnn,
    "fashion-cnn": fashion_cnn,
    "fashion-cnn-medium": lambda: fashion_cnn((32, 48, 96, 96)),
    "fashion-cnn-wide": lambda: fashion_cnn((32, 64, 128, 128)),
    "fashion-cnn-large": lambda: fashion_cnn((64, 128, 256, 384)),
    "autoencoder": autoencoder,
    "shuffle-autoencoder": shuffle_autoencoder,
    "lenet5": lenet5,
    "resnet20": resnet20,
}

INPUT_SHAPES: dict[str, tuple[int, int, int]] = dict.fromkeys(NETS, (1, 28, 28)) | {"resnet20": (3, 32, 32)}


def seeded(name: str, seed: int = 0) -> nn.Module:
    """The named network with torch's initialisation from `seed`, leaving the global random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETS[name]()
