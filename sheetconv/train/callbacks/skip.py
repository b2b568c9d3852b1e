"""Fewer images per epoch: what the network finds easy is seen less often."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch

from sheetconv.errors import UsageError
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner


class SkipEasy(Callback):
    """Leaves out of each epoch but the first a `share` of the images whose last loss was below the mean.

    Which, is drawn anew each epoch; the loss of those that stay counts 1 / (1 - share) times, so that the
    gradient keeps its expected direction (InfoBatch of Qin et al., ICLR 2024). `loss_func` must take
    `reduction="none"`, as torch's functions do, and the training loader must be a `ResidentLoader` in one
    process. The row's training loss is the weighted one, over the images seen.
    """

    order = -60
    run_only = True

    def __init__(self, share: float = 0.5) -> None:
        if not 0 <= share < 1:
            raise UsageError(f"the share of easy images to skip must be 0 or more and below 1, not {share}")
        self.share = share
        self.losses: torch.Tensor | None = None

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
        self.losses = torch.full((len(loader.images),), torch.inf, device=loader.device)
        self._weights = torch.ones_like(self.losses)

    def before_epoch(self, learn: Learner) -> None:
        """Draw the images of this epoch."""
        if not learn.training or self.losses is None:
            return
        known = self.losses.isfinite()
        easy = known & (self.losses < self.losses[known].mean()) if learn.epoch else torch.zeros_like(known)
        skipped = easy & (torch.rand(len(easy)) < self.share).to(easy.device)
        self._weights = torch.where(easy, 1 / (1 - self.share), 1.0)
        learn.dls.train.choose((~skipped).nonzero()[:, 0] if learn.epoch else None)

    def get_loss(self, learn: Learner) -> None:
        """Note the loss of every image of the batch."""
        if not learn.training or self.losses is None:
            learn.get_loss()
            return
        each = learn.loss_func(learn.preds, learn.batch[1], reduction="none")
        each = each.flatten(1).mean(1) if each.ndim > 1 else each
        rows = learn.dls.train.rows
        self.losses[rows] = each.detach().to(self.losses.dtype)
        learn.loss = (each * self._weights[rows]).mean()

    def cleanup_fit(self, learn: Learner) -> None:
        """Serve all images again."""
        if hasattr(learn.dls.train, "choose"):
            learn.dls.train.choose(None)

    def state_dict(self) -> dict[str, Any]:
        """The last loss of every image."""
        return {} if self.losses is None else {"losses": self.losses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with these losses."""
        if "losses" in state and self.losses is not None:
            self.losses = state["losses"].to(self.losses.device)
