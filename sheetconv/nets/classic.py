"""Networks that everybody knows, with the grid size noted beside each layer."""

import torch
from torch import Tensor, nn


def lenet5() -> nn.Module:
    """LeNet-5 in its usual modern form (LeCun et al., 1998; ReLU and max-pooling): 61,706 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),  # 28×28
        nn.ReLU(),
        nn.MaxPool2d(2),  # 14×14
        nn.Conv2d(6, 16, 5),  # 10×10
        nn.ReLU(),
        nn.MaxPool2d(2),  # 5×5
        nn.Flatten(),  # 400
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut, which is a strided 1×1 convolution where the shapes differ."""

    def __init__(self, ni: int, nf: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ni, nf, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(nf)
        self.conv2 = nn.Conv2d(nf, nf, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(nf)
        same = stride == 1 and ni == nf
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(ni, nf, 1, stride, bias=False), nn.BatchNorm2d(nf))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, ni, H, W) to (N, nf, H / stride, W / stride)."""
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def resnet20() -> nn.Module:
    """ResNet-20 for 3×32×32 images (He et al., 2016, section 4.2; projection shortcuts): ten logits."""
    stages = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]  # 32×32, 16×16, 8×8
    blocks = [
        BasicBlock(ni if i == 0 else nf, nf, stride if i == 0 else 1)
        for ni, nf, stride in stages
        for i in range(3)
    ]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
