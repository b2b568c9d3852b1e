"""Averages: of the weights over the steps, of the predictions over views of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from sheetconv.errors import UsageError
from sheetconv.train.augment import Transform, flip
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner


class WeightAveraging(Callback):
    """Keeps an exponential moving average of weights and buffers; validates with it; the model ends as it.

    After step t the average moves towards the weights by 1 - min(decay, (t + 1) / (t + 10)), so that it
    forgets the start quickly. `every` steps only, to save time; `decay` is then per such update.
    """

    order = 60
    run_only = True

    def __init__(self, decay: float = 0.99, every: int = 1) -> None:
        if not 0 <= decay < 1 or every < 1:
            raise UsageError(f"the decay must be in 0…1 and every 1 or more, not {decay} and {every}")
        self.decay, self.every = decay, every
        self.updates = self._steps = 0
        self._average: list[Tensor] = []

    def before_fit(self, learn: Learner) -> None:
        """Start from the model as it is."""
        self.updates = self._steps = 0
        self._swapped = False
        self._average = [value.clone() for value in self._values(learn)]

    @staticmethod
    def _values(learn: Learner) -> list[Tensor]:
        return [v.detach() for v in learn.model.state_dict().values() if v.is_floating_point()]

    @torch.no_grad()
    def after_step(self, learn: Learner) -> None:
        """Move the average towards the weights."""
        self._steps += 1
        if self._steps % self.every:
            return
        decay = min(self.decay, (self.updates + 1) / (self.updates + 10))
        torch._foreach_lerp_(self._average, self._values(learn), 1 - decay)
        self.updates += 1

    def before_epoch(self, learn: Learner) -> None:
        """Validate with the average."""
        if not learn.training:
            self._swap(learn)

    def cleanup_epoch(self, learn: Learner) -> None:
        """Train on with the weights themselves."""
        if self._swapped:
            self._swap(learn)

    def cleanup_fit(self, learn: Learner) -> None:
        """Leave the average in the model."""
        if self.updates:
            self._swap(learn)
        self._average, self.updates = [], 0

    @torch.no_grad()
    def _swap(self, learn: Learner) -> None:
        for mine, its in zip(self._average, self._values(learn), strict=True):
            kept = its.clone()
            its.copy_(mine)
            mine.copy_(kept)
        self._swapped = not self._swapped

    def state_dict(self) -> dict[str, Any]:
        """The average and the counts."""
        return {"average": self._average, "updates": self.updates, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on averaging."""
        for mine, kept in zip(self._average, state["average"], strict=True):
            mine.copy_(kept)
        self.updates, self._steps = state["updates"], state["steps"]


class TestTimeAveraging(Callback):
    """Averages the predictions over views of the images when validating (flipped, shifted …).

    `views` are functions of (N, C, H, W); the images themselves are always one more view.
    """

    __test__ = False  # no test class, whatever its name begins with
    order = -41  # before MixedPrecision ends the lower precision, so that all views are computed alike

    def __init__(self, *views: Transform) -> None:
        self.views = views

    @classmethod
    def example(cls, folder: Path) -> Self:
        """With the mirrored image."""
        return cls(flip)

    def after_predict(self, learn: Learner) -> None:
        """Add the views' predictions."""
        if learn.training:
            return
        x, *rest = learn.batch
        total = learn.preds.to(torch.promote_types(learn.preds.dtype, torch.float32))
        for view in self.views:
            learn.batch = (view(x), *rest)
            learn._steps["predict"]()
            total = total + learn.preds
        learn.batch = (x, *rest)
        learn.preds = total / (len(self.views) + 1)
