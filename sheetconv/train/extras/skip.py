"""Fewer images per epoch: what the network finds easy is seen less often."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Self

import torch

from sheetconv.errors import UsageError
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner

LEAST = 0.15  # of the probability to stay, so that no image weighs more than about seven


class SkipEasy(Callback):
    """Leaves a `share` of the images out of each epoch but the first, the easier ones with greater chance.

    An image stays with a probability proportional to the norm of its loss's gradient with respect to the
    network's output when it was last seen (0.15 at least, or half of what stays on average); what stays counts 1 /
    probability times, so that the gradient keeps its expected direction (importance sampling of Katharopoulos and
    Fleuret, ICML 2018; drawn once per epoch as in InfoBatch of Qin et al., ICLR 2024). `loss_func` must take
    `reduction="none"`, as torch's functions do, and the training loader must be a `ResidentLoader` in one
    process. The row's training loss is the weighted one, over the images seen.
    """

    order = -60
    run_only = True

    def __init__(self, share: float = 0.5) -> None:
        if not 0 <= share < 1:
            raise UsageError(f"the share of easy images to skip must be 0 or more and below 1, not {share}")
        self.share = share
        self.slopes: torch.Tensor | None = None

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Half of them."""
        return cls()

    def before_fit(self, learn: Learner) -> None:
        """All images, none of them known."""
        loader = learn.dls.train
        if not hasattr(loader, "choose"):
            raise UsageError("SkipEasy needs a ResidentLoader to train from")
        loader.choose(None)
        self.slopes = torch.full((len(loader.images),), torch.inf, device=loader.device)
        self._weights = torch.ones_like(self.slopes)

    def before_epoch(self, learn: Learner) -> None:
        """Draw the images of this epoch."""
        if not learn.training or self.slopes is None or not learn.epoch:
            return
        chances = probabilities(self.slopes.cpu(), 1 - self.share)  # the search would ask a device 50 times
        stay = torch.rand(len(chances)) < chances
        self._weights = (1 / chances).to(self.slopes.device)
        learn.dls.train.choose(stay.nonzero()[:, 0].to(self.slopes.device))

    def get_loss(self, learn: Learner) -> None:
        """Note the gradient's norm for every image of the batch."""
        if not learn.training or self.slopes is None:
            learn.get_loss()
            return
        each = learn.loss_func(learn.preds, learn.batch[1], reduction="none")
        each = each.flatten(1).mean(1) if each.ndim > 1 else each
        (slopes,) = torch.autograd.grad(each.sum(), learn.preds, retain_graph=True)
        rows = learn.dls.train.rows
        self.slopes[rows] = slopes.flatten(1).norm(dim=1).to(self.slopes.dtype)
        learn.loss = (each * self._weights[rows]).mean()

    def cleanup_fit(self, learn: Learner) -> None:
        """Serve all images again."""
        if hasattr(learn.dls.train, "choose"):
            learn.dls.train.choose(None)

    def state_dict(self) -> dict[str, Any]:
        """The last norm of every image."""
        return {} if self.slopes is None else {"slopes": self.slopes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with these."""
        if "slopes" in state and self.slopes is not None:
            self.slopes = state["slopes"].to(self.slopes.device)


def probabilities(slopes: torch.Tensor, mean: float) -> torch.Tensor:
    """Probabilities of that mean, (N,): proportional to `slopes` within a least one and 1; infinite ones have 1."""
    least = min(LEAST, mean / 2)
    low, high = -60.0, 60.0  # logarithms of the factor
    for _ in range(50):
        middle = (low + high) / 2
        less = bool((slopes * math.exp(middle)).clamp(least, 1).mean() < mean)
        low, high = (middle, high) if less else (low, middle)
    return (slopes * math.exp(low)).clamp(least, 1)
