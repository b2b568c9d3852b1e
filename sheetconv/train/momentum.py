"""A Learner with momentum, the example of changing the loop by subclassing rather than by a callback."""

from __future__ import annotations

from typing import Any

import torch

from sheetconv.errors import UsageError
from sheetconv.train.learner import Learner


class MomentumLearner(Learner):
    """Instead of forgetting the gradients after a step it keeps the share `momentum` of them.

    With plain SGD that is SGD with momentum: g ← momentum·g + gradient, as torch's own computes it.
    """

    def __init__(self, *args: Any, momentum: float = 0.85, **kwargs: Any) -> None:
        if not 0 <= momentum < 1:
            raise UsageError(f"momentum must be in 0…1, not {momentum}")
        self.momentum = momentum
        super().__init__(*args, **kwargs)

    @torch.no_grad()
    def zero_grad(self) -> None:
        """Shrink the gradients; the next batch's are added to them."""
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(self.momentum)
