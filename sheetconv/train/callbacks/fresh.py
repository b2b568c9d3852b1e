"""Handwriting that never repeats."""

from __future__ import annotations

import torch

from sheetconv.data.handwriting import digits
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner


class FreshHandwriting(Callback):
    """Draws new images of the training labels before each epoch but the first, from `seed` and the epoch.

    The first epoch sees the dataset's own images. A resumed run draws what an unbroken one would have.
    """

    order = -96
    run_only = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def before_epoch(self, learn: Learner) -> None:
        """Draw them into the resident loader."""
        if learn.training and learn.epoch:
            loader = learn.dls.train
            images, _ = digits(len(loader.labels), (2, self.seed, learn.epoch), loader.labels.cpu().numpy())
            loader.images = torch.from_numpy(images)[:, None].to(loader.device)
