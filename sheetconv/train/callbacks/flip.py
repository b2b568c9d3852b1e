"""Mirrored images: every other epoch instead of at random."""

from __future__ import annotations

import torch

from sheetconv.errors import UsageError
from sheetconv.train.callback import Callback
from sheetconv.train.devices import with_inputs
from sheetconv.train.learner import Learner


class AlternatingFlip(Callback):
    """Mirrors each training image left to right in every other epoch, half of them first.

    Two epochs thus show every image both ways, which coins do for half of them only (the alternating flip of
    Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024). `seed` says which half begins. Needs a
    `ResidentLoader`; for others there is `augment.random_flip`. Where the target is the image itself, it is the
    mirrored one.
    """

    order = -71  # before BatchTransform

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def before_fit(self, learn: Learner) -> None:
        """Draw the half that begins."""
        if learn.opt is None:  # nothing will be trained
            return
        if not hasattr(learn.dls.train, "rows"):
            raise UsageError("AlternatingFlip needs a ResidentLoader to train from")
        generator = torch.Generator().manual_seed(self.seed)
        first = torch.randint(0, 2, (len(learn.dls.train.images),), generator=generator)
        self._first = first.bool().to(learn.dls.train.device)

    def before_batch(self, learn: Learner) -> None:
        """Mirror the images whose turn it is."""
        if not learn.training:
            return
        x = learn.batch[0]
        turn = self._first[learn.dls.train.rows] ^ bool(learn.epoch % 2)
        learn.batch = with_inputs(learn.batch, torch.where(turn[:, None, None, None], x.flip(3), x))
