"""Metrics and losses of each pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from sheetconv.errors import UsageError
from sheetconv.train.callback import Callback
from sheetconv.train.devices import batch_size
from sheetconv.train.learner import Learner
from sheetconv.train.metrics import Metric


class Metrics(Callback):
    """Puts `train_loss`, `valid_loss` and, per metric, `valid_NAME` into the epoch's row.

    Metrics are ours (`Metric`: add, value, reset) or objects with torchmetrics' `update`, `compute`, `reset`;
    named ones as keywords. They see predictions and the batch's last element. With `on_train` they are
    computed in training as well. Nothing is read back from the device before the pass has ended (what a
    torchmetrics object does in its own `update` is its own affair).
    """

    order = -50

    def __init__(self, *metrics: Any, on_train: bool = False, **named: Any) -> None:
        self.metrics = {_name(metric): metric for metric in metrics} | named
        for name, metric in self.metrics.items():
            if not hasattr(metric, "reset") or not (hasattr(metric, "add") or hasattr(metric, "update")):
                raise UsageError(f"{name} is no metric: it needs reset and add, or torchmetrics' update")
        self.on_train = on_train
        self.loss = Metric("loss")

    def before_epoch(self, learn: Learner) -> None:
        """Start from nothing, on the model's device."""
        self.loss.reset()
        device = next((p.device for p in learn.model.parameters()), None)
        for metric in self.metrics.values():
            metric.reset()
            if device is not None and hasattr(metric, "to"):
                metric.to(device)
        asked = self.metrics.values() if not learn.training or self.on_train else ()
        self._updates = [_update(metric) for metric in asked]

    def after_batch(self, learn: Learner) -> None:
        """Take in the batch; the device is not waited for."""
        n = batch_size(learn.batch)
        self.loss.add(learn.loss, n=n)
        if self._updates:
            preds, target = learn.preds.detach(), learn.batch[-1]
            for update in self._updates:
                update(preds, target, n)

    def after_epoch(self, learn: Learner) -> None:
        """Write the figures into the row."""
        kind = "train" if learn.training else "valid"
        learn.row[f"{kind}_loss"] = self._value(self.loss, learn)
        if not learn.training or self.on_train:
            for name, metric in self.metrics.items():
                learn.row[f"{kind}_{name}"] = self._value(metric, learn)

    def _value(self, metric: Any, learn: Learner) -> float:
        if learn.reduce_sums and isinstance(metric, Metric):
            total, n = learn.reduce_sums(*metric.sums())
            return total / n if n else float("nan")
        return float(metric.value if hasattr(metric, "add") else metric.compute())


def _update(metric: Any) -> Callable[[Tensor, Any, int], None]:
    """How `metric` takes in predictions, targets and their number."""
    if hasattr(metric, "add"):
        return metric.add
    return lambda preds, target, n: metric.update(preds, target)


def _name(metric: Any) -> str:
    return str(getattr(metric, "name", None) or type(metric).__name__.lower())
