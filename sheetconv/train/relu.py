"""An activation function with three dials."""

from __future__ import annotations

from torch import Tensor, nn


class GeneralRelu(nn.Module):
    """max(x, leak·x) - sub, at most `most`: a ReLU whose outputs can have mean 0, and no unit of which need die."""

    def __init__(self, leak: float = 0.0, sub: float = 0.0, most: float | None = None) -> None:
        super().__init__()
        self.leak, self.sub, self.most = leak, sub, most

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as `x`."""
        x = nn.functional.leaky_relu(x, self.leak) if self.leak else nn.functional.relu(x)
        x = x - self.sub if self.sub else x
        return x if self.most is None else x.clamp(max=self.most)
