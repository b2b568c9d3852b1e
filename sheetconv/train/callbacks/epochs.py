"""The weights of every epoch, kept so that a workbook can show how they formed."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from sheetconv.train.callback import Callback
from sheetconv.train.callbacks.checkpoint import Checkpoint, save_weights
from sheetconv.train.folder import EPOCHS
from sheetconv.train.learner import Learner


class KeepEpochs(Callback):
    """After each epoch writes `epochs/0001.safetensors` and so on, as they were validated."""

    order = Checkpoint.order
    run_only = True

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def example(cls, folder: Path) -> Self:
        """In that folder."""
        return cls(folder)

    def after_epoch(self, learn: Learner) -> None:
        """Keep the weights of this epoch."""
        if learn.closing and learn.opt is not None and learn.main:
            (self.folder / EPOCHS).mkdir(parents=True, exist_ok=True)
            save_weights(
                self.folder / EPOCHS / f"{learn.epoch + 1:04d}.safetensors",
                learn.model,
                epoch=learn.epoch + 1,
            )
