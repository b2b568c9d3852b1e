"""Metrics: weighted means over the batches of a pass, kept on the device until they are asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sheetconv.train.devices import lacks

_FOLD = 512  # values kept before they are added up, so that a long pass holds few small tensors
_WAITING = 250_000  # predicted numbers that wait to be compared with their targets: a megabyte


class Metric:
    """The mean of what `calc` gives for each batch, weighted by the batches' sizes.

    Nothing is read back from the device before `value` is asked for. Override `calc` for another metric.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name or type(self).__name__.lower()
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._values: list[Tensor] = []
        self._weights: list[float] = []
        self._total: Any = 0.0
        self._n = 0.0

    def add(self, input: Any, target: Any = None, n: float = 1) -> None:
        """Take in a batch of `n` samples."""
        value = self.calc(input, target)
        self._keep(value.detach() if isinstance(value, Tensor) else torch.tensor(float(value)), n, n)

    def calc(self, input: Any, target: Any) -> Any:
        """The batch's own value, a number or a tensor of one: here the input itself."""
        return input

    def _keep(self, value: Tensor, weight: float, n: float) -> None:
        """`n` samples whose part of the weighted sum is `weight * value`."""
        self._values.append(value)
        self._weights.append(weight)
        self._n += n
        if len(self._values) == _FOLD:
            self._fold()

    def _fold(self) -> None:
        """Add up what is kept, by weight: no weights need to be sent to the device."""
        for weight in set(self._weights):
            same = [value for value, own in zip(self._values, self._weights, strict=True) if own == weight]
            wide = torch.float32 if lacks(same[0].device, "float64") else torch.float64
            self._total = self._total + torch.stack(same).to(wide).sum() * weight
        self._values, self._weights = [], []

    def sums(self) -> tuple[Any, float]:
        """The weighted sum so far, still on the device, and the sum of the weights."""
        self._fold()
        return self._total, self._n

    @property
    def value(self) -> float:
        """The weighted mean so far; not a number before the first batch."""
        total, n = self.sums()
        return float(total) / n if n else float("nan")


class Accuracy(Metric):
    """The share of predictions that equal their targets.

    `input` holds class numbers (N,) or scores (N, K, …), of which the largest counts; `target` class numbers.
    Batches are kept as they are and compared many at a time, since comparing a batch alone costs as much as all else here.
    """

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self._waiting: list[tuple[Tensor, Tensor, float]] = []
        self._numbers = 0

    def add(self, input: Any, target: Any = None, n: float = 1) -> None:
        """Take in a batch."""
        self._waiting.append((input.detach() if input.requires_grad else input, target, n))
        self._numbers += input.numel()
        if self._numbers > _WAITING:
            self._compare()

    def calc(self, input: Tensor, target: Tensor) -> Tensor:
        """The batch's share."""
        return _hits(input, target).float().mean()

    def _fold(self) -> None:
        self._compare()
        super()._fold()

    def _compare(self) -> None:
        """Compare what waits: batches of one kind (all but the last one, as a rule) at once."""
        waiting, self._waiting, self._numbers = self._waiting, [], 0
        kinds: dict[Any, list[tuple[Tensor, Tensor, float]]] = {}
        for item in waiting:
            kinds.setdefault((item[0].shape, item[1].shape, item[2]), []).append(item)
        for same in kinds.values():
            n = same[0][2] * len(same)
            inputs, targets = torch.cat([item[0] for item in same]), torch.cat([item[1] for item in same])
            self._keep(_hits(inputs, targets).sum(), n / targets.numel(), n)


def _hits(input: Tensor, target: Tensor) -> Tensor:
    guess = input.argmax(1) if input.ndim == target.ndim + 1 else input
    return guess == target
