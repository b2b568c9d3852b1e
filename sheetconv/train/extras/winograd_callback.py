"""Convolutions by Winograd's algorithm while a network trains on a CPU."""

from __future__ import annotations

from torch import nn

from sheetconv.train.callback import Callback
from sheetconv.train.extras.winograd import exchange, put_back
from sheetconv.train.learner import Learner


class Winograd(Callback):
    """The 3×3 convolutions that gain from it train with `winograd.conv3x3`; after the fit they are torch's own."""

    def __init__(self) -> None:
        self.layers: list[nn.Conv2d] = []

    def before_fit(self, learn: Learner) -> None:
        """Exchange the suited layers."""
        self.layers = exchange(learn.model)

    def cleanup_fit(self, learn: Learner) -> None:
        """Put torch's back."""
        put_back(self.layers)
