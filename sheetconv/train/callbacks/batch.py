"""Callbacks that change what a batch is: augmentation, a single batch per pass."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from sheetconv.train.augment import Transform, random_shift
from sheetconv.train.callback import Callback
from sheetconv.train.devices import with_inputs
from sheetconv.train.learner import Learner


class BatchTransform(Callback):
    """Applies transforms to the images of every training batch (of every batch with `on_valid`), on the device.

    Where the target is the image itself, as for an autoencoder, it is the transformed one.
    """

    order = -70

    def __init__(self, *transforms: Transform, on_valid: bool = False) -> None:
        self.transforms, self.on_valid = transforms, on_valid

    @classmethod
    def example(cls, folder: Path) -> Self:
        """With shifts by a pixel."""
        return cls(random_shift(1))

    def before_batch(self, learn: Learner) -> None:
        """Transform the batch's first element."""
        if not (learn.training or self.on_valid):
            return
        x = learn.batch[0]
        for transform in self.transforms:
            x = transform(x)
        learn.batch = with_inputs(learn.batch, x)


class SingleBatch(Callback):
    """Each pass is one batch long: to see whether everything runs, or whether one batch can be learnt."""

    order = -95

    def before_epoch(self, learn: Learner) -> None:
        """Keep the pass's first batch only."""
        learn.dl = [next(iter(learn.dl))]
