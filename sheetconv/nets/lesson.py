"""The lesson's networks, with the grid size noted beside each layer."""

import torch
from torch import Tensor, nn

TOP_EDGE = ((-1.0, -1.0, -1.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LEFT_EDGE = ((-1.0, 0.0, 1.0), (-1.0, 0.0, 1.0), (-1.0, 0.0, 1.0))


class ConvExample(nn.Module):
    """The lesson's spreadsheet network: (N, 1, 28, 28) pixels to (N, 10) probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)  # 26×26
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(2, 2, 3)  # 24×24
        self.relu2 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)  # 12×12
        self.dense = nn.Linear(2 * 12 * 12, 10)
        self.softmax = nn.Softmax(dim=1)
        with torch.no_grad():
            self.conv1.weight.copy_(torch.tensor([[TOP_EDGE], [LEFT_EDGE]]))
            self.conv1.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities of the ten digits, (N, 10)."""
        x = self.relu1(self.conv1(x))
        x = self.pool(self.relu2(self.conv2(x)))
        return self.softmax(self.dense(x.flatten(1)))


def conv_example() -> nn.Module:
    """The two-layer network of `conv-example.xlsx`, with bias, ten outputs and softmax."""
    return ConvExample()


def mlp(hidden: int = 50) -> nn.Module:
    """The lesson's MLP, 784 → 50 → 10: 39,760 parameters."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def conv(ni: int, nf: int, ks: int = 3, stride: int = 2, act: bool = True) -> nn.Module:
    """A convolution with padding `ks // 2`, and a ReLU unless `act` is False."""
    layer = nn.Conv2d(ni, nf, kernel_size=ks, stride=stride, padding=ks // 2)
    return nn.Sequential(layer, nn.ReLU()) if act else layer


def simple_cnn() -> nn.Module:
    """The lesson's all-convolutional classifier of 28×28 images: 5,274 parameters."""
    return nn.Sequential(
        conv(1, 4),  # 14×14
        conv(4, 8),  # 7×7
        conv(8, 16),  # 4×4
        conv(16, 16),  # 2×2
        conv(16, 10, act=False),  # 1×1
        nn.Flatten(),
    )


def deconv(ni: int, nf: int, ks: int = 3, act: bool = True) -> nn.Module:
    """Nearest-neighbour upsampling ×2, then a convolution of stride 1 (and a ReLU unless `act` is False)."""
    layers = [nn.UpsamplingNearest2d(scale_factor=2), nn.Conv2d(ni, nf, ks, stride=1, padding=ks // 2)]
    return nn.Sequential(*layers, *([nn.ReLU()] if act else []))


def autoencoder() -> nn.Module:
    """The lesson's autoencoder of 28×28 images through a code of 8×4×4 = 128 numbers."""
    return nn.Sequential(
        nn.ZeroPad2d(2),  # 32×32
        conv(1, 2),  # 16×16
        conv(2, 4),  # 8×8
        conv(4, 8),  # 4×4
        deconv(8, 4),  # 8×8
        deconv(4, 2),  # 16×16
        deconv(2, 1, act=False),  # 32×32
        nn.ZeroPad2d(-2),  # 28×28
        nn.Sigmoid(),
    )
