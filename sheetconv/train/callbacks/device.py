"""Model and batches on one device."""

from __future__ import annotations

import torch

from sheetconv.train.callback import Callback
from sheetconv.train.devices import choose_device, to_device, with_inputs
from sheetconv.train.learner import Learner


class Device(Callback):
    """Moves the model, resident loaders and every batch to `device`: CUDA, else MPS, else the CPU, or as asked.

    With `channels_last` the model and its images lie in memory as NHWC, faster on some hardware (the axes
    are still named and numbered N, C, H, W).
    """

    order = -100

    def __init__(self, device: str | torch.device | None = None, channels_last: bool = False) -> None:
        self.device = choose_device(device)
        self.format = torch.channels_last if channels_last else None

    def before_fit(self, learn: Learner) -> None:
        """Move the model and what the loaders keep."""
        learn.model.to(self.device)
        if self.format:
            learn.model.to(memory_format=self.format)  # type: ignore[call-overload]
        for loader in (learn.dls.train, learn.dls.valid):
            if hasattr(loader, "image_shape"):
                loader.to(self.device)

    def before_epoch(self, learn: Learner) -> None:
        """See whether the batches of this pass are there already."""
        self._resident = hasattr(learn.dl, "image_shape")

    def before_batch(self, learn: Learner) -> None:
        """Move the batch, unless it is there already."""
        if not self._resident:
            learn.batch = to_device(learn.batch, self.device)
        if self.format and learn.batch[0].ndim == 4:
            learn.batch = with_inputs(learn.batch, learn.batch[0].contiguous(memory_format=self.format))
