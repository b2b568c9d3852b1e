"""Networks whose gradients are compared with autograd's: every backward operator that has a rule occurs."""

from collections.abc import Callable

import torch
from torch import nn

F = nn.functional
F64 = torch.float64


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        module = make()
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if "running" in name or "norm" in name:
                value.data.uniform_(0.5, 1.5)
    return module.double().eval()


class Zoo(nn.Module):
    """All activations side by side."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [
            torch.relu(x), F.leaky_relu(x, 0.2), F.gelu(x), F.gelu(x, approximate="tanh"), F.silu(x), torch.sigmoid(x),
            torch.tanh(x), F.elu(x), F.softplus(4 * x), F.hardswish(4 * x), F.hardsigmoid(4 * x), F.hardtanh(x, -0.5, 0.7),
            torch.exp(x), x * x[:, :, :1] - x / 2,
        ]  # fmt: skip
        return torch.cat(found, 1)


class Branches(nn.Module):
    """A residual sum, a gate that is broadcast, a crop, a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.dense = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1), nn.Linear(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x) + x
        y = y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        return self.dense(F.pad(y, (-1, 0, 1, 0)).mean((2, 3)))


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "strides, padding, dilation": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(3, 2, 2, dilation=2)),
        (2, 9, 8),
    ),
    "one dimension": (lambda: nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.Tanh(), nn.Conv1d(3, 1, 2)), (2, 7)),
    "transposed convolution": (
        lambda: nn.Sequential(nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1), nn.Sigmoid()),
        (2, 3, 4),
    ),
    "overlapping max-pool": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)),
        (1, 8, 9),
    ),
    "max-pools": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(2, 2, 1), nn.MaxPool2d((1, 3), 1)),
        (2, 6, 7),
    ),
    "average pools": (
        lambda: nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(2, 3, 3, padding=1), nn.AvgPool2d(3, 1, padding=1),
                              nn.AdaptiveAvgPool2d(2)),
        (2, 8, 8),
    ),
    "batch-norm": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 2)),
        (1, 6, 6),
    ),
    "activations": (Zoo, (1, 3, 4)),
    "upsampling and crop": (
        lambda: nn.Sequential(nn.ZeroPad2d(1), nn.UpsamplingNearest2d(scale_factor=2), nn.Conv2d(1, 2, 3, padding=1),
                              nn.Upsample(size=(5, 9)), nn.ZeroPad2d(-1)),
        (1, 3, 4),
    ),
    "dense layers": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(24, 6), nn.ReLU(), nn.Linear(6, 4, bias=False),
                              nn.Softmax(1)),
        (1, 4, 5),
    ),
    "many planes": (
        lambda: nn.Sequential(nn.Conv2d(1, 9, 2), nn.Flatten(), nn.Linear(54, 5), nn.LogSoftmax(1)),
        (1, 3, 4),
    ),
    "branches": (Branches, (2, 4, 5)),
}  # fmt: skip
