"""Predictions of a whole loader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sheetconv.errors import TrainingError
from sheetconv.train.callback import Callback
from sheetconv.train.devices import to_cpu
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders


@dataclass
class Predictions:
    """Of N samples, on the CPU: what the network gave, the targets, and the inputs where asked for."""

    preds: Tensor
    targets: Tensor
    inputs: Tensor | None = None


class CapturePreds(Callback):
    """Keeps predictions and targets of every validation batch, and the inputs with `inputs`, where they are."""

    order = 70

    def __init__(self, inputs: bool = False) -> None:
        self.inputs = inputs
        self._kept: list[Any] = []

    def before_epoch(self, learn: Learner) -> None:
        """Start from nothing."""
        if not learn.training:
            self._kept = []

    def after_batch(self, learn: Learner) -> None:
        """Keep the batch."""
        if not learn.training:
            batch = (learn.preds, learn.batch[-1], *([learn.batch[0]] if self.inputs else []))
            self._kept.append(batch)  # on the device, so that no batch waits

    @property
    def predictions(self) -> Predictions:
        """All batches, joined; raises `TrainingError` where there were none."""
        if not self._kept:
            raise TrainingError("there is nothing to predict: no validation batch was seen")
        return Predictions(*(to_cpu(torch.cat(parts)) for parts in zip(*self._kept, strict=True)))


def capture_preds(
    learn: Learner, loader: Any = None, inputs: bool = False, cbs: Iterable[Callback] = ()
) -> Predictions:
    """Predictions on `loader` (by default the validation data), in its order, with `cbs` added.

    `cbs=[TestTimeAveraging(flip)]` averages over views. The learner is left as it was.
    """
    capture = CapturePreds(inputs)
    kept = learn.dls, learn.cbs, learn.opt, learn.history, learn.row, learn.model.training
    try:
        learn.cbs = [cb for cb in learn.cbs if not cb.run_only]
        learn.dls = DataLoaders(None, learn.dls.valid if loader is None else loader)
        learn.fit(1, train=False, cbs=[*cbs, capture])
    finally:
        learn.dls, learn.cbs, learn.opt, learn.history, learn.row, mode = kept
        learn.model.train(mode)
    return capture.predictions
