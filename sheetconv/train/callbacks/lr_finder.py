"""The learning rate at which the loss falls fastest, found in a short run that leaves no trace."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from sheetconv.errors import TrainingError, UsageError
from sheetconv.train.callback import Callback, CancelFitException
from sheetconv.train.state import random_state, set_random_state

if TYPE_CHECKING:
    from sheetconv.train.learner import Learner

_SMOOTH = 3.0  # standard deviation of the smoothing, in steps
_LOOK = 10  # steps between looks at the loss, which wait for the device


@dataclass
class LRCurve:
    """Losses over learning rates (both float64 (steps,)), smoothed, and the one suggestion."""

    lrs: np.ndarray
    losses: np.ndarray
    smooth: np.ndarray
    suggestion: float
    figure: Any = None

    def _repr_png_(self) -> bytes:
        """The picture for a notebook: the one that was drawn, or a new one."""
        from sheetconv.notebook.pictures import Picture, show_learning_rates

        return (show_learning_rates(self) if self.figure is None else Picture(self.figure)).png()

    def plot(self, axes: Any) -> None:
        """Draw the losses, the smoothed curve and the suggestion on matplotlib `axes`."""
        axes.semilogx(self.lrs, self.losses, color="0.75", linewidth=0.8, label="loss")
        axes.semilogx(self.lrs, self.smooth, label="smoothed")
        axes.axvline(self.suggestion, color="C1", linestyle="--", label=f"suggestion {self.suggestion:.2g}")
        low, start = float(self.smooth.min()), float(self.smooth[0])
        axes.set_ylim(low - 0.1 * (start - low), start + 0.3 * (start - low))
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss")
        axes.legend()


class LRFinder(Callback):
    """Raises the learning rate from `start` to `end` over `steps` batches and notes the losses (Smith, 2015).

    The fit is cancelled at the end, or once the loss is `worse` times its lowest. Weights, buffers, random
    generators and loaders are put back. `lr_find` runs it.
    """

    order = 100

    def __init__(self, start: float = 1e-5, end: float = 10.0, steps: int = 100, worse: float = 3.0) -> None:
        if not 0 < start < end or steps < 20:
            raise UsageError("a search needs 0 < start < end and 20 steps or more")
        self.start, self.end, self.steps, self.worse = start, end, steps, worse
        self._losses: list[Tensor] = []
        self._seen: list[float] = []
        self._kept: Any = None

    def before_fit(self, learn: Learner) -> None:
        """Keep all that the search will change."""
        self._losses, self._seen = [], []
        if learn.opt is None:
            return
        loaders = [dl for dl in (learn.dls.train, learn.dls.valid) if hasattr(dl, "state_dict")]
        self._kept = (
            copy.deepcopy(learn.model.state_dict()),
            random_state(),
            [(dl, dl.state_dict()) for dl in loaders],
        )
        rates = [group["lr"] for group in learn.opt.param_groups]
        self._shares = [rate / max(rates) if max(rates) > 0 else 1.0 for rate in rates]

    def before_batch(self, learn: Learner) -> None:
        """Set the learning rate."""
        if not learn.training:
            return
        lr = self.start * (self.end / self.start) ** (len(self._losses) / (self.steps - 1))
        for group, share in zip(learn.opt.param_groups, self._shares, strict=True):
            group["lr"] = lr * share

    def after_batch(self, learn: Learner) -> None:
        """Note the loss; stop at the end or when it has become much worse."""
        if not learn.training:
            return
        self._losses.append(learn.loss.detach())
        count = len(self._losses)
        if count % _LOOK and count < self.steps:
            return
        self._seen += [float(loss) for loss in self._losses[len(self._seen) :]]
        bad = not np.isfinite(self._seen).all() or self._seen[-1] > self.worse * min(self._seen)
        if bad or count >= self.steps:
            raise CancelFitException

    def cleanup_fit(self, learn: Learner) -> None:
        """Put everything back."""
        if self._kept is None:
            return
        weights, random, loaders = self._kept
        self._kept = None
        learn.model.load_state_dict(weights)
        set_random_state(random)
        for loader, state in loaders:
            loader.load_state_dict(state)

    def curve(self) -> LRCurve:
        """What was found; raises `TrainingError` where no learning rate made the loss fall."""
        losses = np.array([float(loss) for loss in self._losses])
        finite = int(np.argmax(~np.isfinite(losses))) if not np.isfinite(losses).all() else len(losses)
        losses = losses[:finite]
        lrs = self.start * (self.end / self.start) ** (np.arange(finite) / (self.steps - 1))
        if finite < 5:
            raise TrainingError(
                f"the loss is not a number even at a learning rate of {self.start:g}; check the data and the net"
            )
        smooth = smoothed(losses)
        return LRCurve(lrs, losses, smooth, _suggest(lrs, losses, smooth))


def smoothed(losses: np.ndarray, sigma: float = _SMOOTH) -> np.ndarray:
    """(steps,) averaged with Gaussian weights over neighbouring steps; no lag, ends weighted by what is there."""
    steps = np.arange(len(losses))
    weights = np.exp(-0.5 * ((steps[:, None] - steps[None]) / sigma) ** 2)
    return (weights @ losses) / weights.sum(1)


def _suggest(lrs: np.ndarray, losses: np.ndarray, smooth: np.ndarray) -> float:
    """Where the smoothed loss falls fastest per factor of the learning rate, before its lowest point.

    A fall within the noise is none: smoothing leaves about 0.3 of the single losses' deviation.
    """
    lowest = int(smooth.argmin())
    noise = 0.3 * float(np.std((losses - smooth)[: lowest + 1]))
    fall = np.gradient(smooth)[: lowest + 1]
    if lowest < 2 or smooth[0] - smooth[lowest] <= 4 * noise or fall.min() >= 0:
        raise TrainingError(
            f"the loss fell clearly at no learning rate from {lrs[0]:g} to {lrs[-1]:.2g} within {len(lrs)} steps;"
            " take more steps, another optimiser or another initialisation"
        )
    return float(lrs[int(fall.argmin())])


def lr_find(learn: Learner, start: float = 1e-5, end: float = 10.0, steps: int = 100) -> LRCurve:
    """Search the learning rate for `learn`, which is left as it was: weights, random state, optimiser, history.

    Raises `TrainingError` where no rate makes the loss fall.
    """
    finder = LRFinder(start, end, steps)
    kept = learn.cbs, learn.opt, learn.history, learn.row
    try:
        learn.cbs = [cb for cb in learn.cbs if not cb.run_only]
        learn.fit(-(-steps // max(1, len(learn.dls.train))), valid=False, cbs=[finder])
    finally:
        learn.cbs, learn.opt, learn.history, learn.row = kept
    return finder.curve()
