"""Learning rates that change: torch's schedulers per batch or epoch, and curves over the whole fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from torch.optim.lr_scheduler import LinearLR

from sheetconv.errors import UsageError
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner

Curve = Callable[[float], float]


def one_cycle(warm_up: float = 0.25, start: float = 0.04, end: float = 1e-5) -> Curve:
    """Cosine from `start` up to 1 over the share `warm_up`, then down to `end` (Smith and Topin, 2018)."""

    def curve(t: float) -> float:
        if t < warm_up:
            return _cosine(start, 1.0, t / warm_up)
        return _cosine(1.0, end, (t - warm_up) / (1 - warm_up))

    return curve


def linear_down(warm_up: float = 0.0, end: float = 0.0) -> Curve:
    """A straight line up over the share `warm_up`, then straight down to `end`."""

    def curve(t: float) -> float:
        if t < warm_up:
            return t / warm_up
        return 1.0 + (end - 1.0) * (t - warm_up) / (1 - warm_up)

    return curve


def cosine(end: float = 0.0) -> Curve:
    """Half a cosine from 1 down to `end`."""
    return lambda t: _cosine(1.0, end, t)


def constant() -> Curve:
    """Always 1."""
    return lambda t: 1.0


CURVES: dict[str, Callable[..., Curve]] = {
    "one-cycle": one_cycle,
    "linear": linear_down,
    "cosine": cosine,
    "constant": constant,
}


def _cosine(start: float, end: float, t: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, t))) / 2


class Schedule(Callback):
    """Multiplies each group's own learning rate by a curve over the fit, set before every training batch.

    The curve maps the share of steps done, from 0 to 1 (the last step), to a factor. In an epoch of fewer batches
    than the first was to have, each counts for so much more. `after` so many epochs, which an earlier run had, the
    curve begins anew over those that are left.
    """

    order = 10
    run_only = True

    def __init__(self, curve: Curve, after: int = 0) -> None:
        self.curve, self.after = curve, after
        self.done, self._stride = 0.0, 1.0

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Down a cosine."""
        return cls(cosine())

    def before_fit(self, learn: Learner) -> None:
        """Note the rates that the optimiser was made with; refuse a fit of no steps."""
        if learn.opt is None:
            return
        self.done = 0.0
        self.total = (learn.n_epochs - self.after) * len(learn.dls.train)
        self._base = [group["lr"] for group in learn.opt.param_groups]

    def before_epoch(self, learn: Learner) -> None:
        """See how much of the whole a step of this pass is."""
        if learn.training and learn.n_epochs > self.after:
            self._stride = self.total / (learn.n_epochs - self.after) / max(1, len(learn.dls.train))

    def before_batch(self, learn: Learner) -> None:
        """Set the rates of this step."""
        if learn.training:
            t = min(1.0, self.done / max(1, self.total - 1))
            for group, base in zip(learn.opt.param_groups, self._base, strict=True):
                group["lr"] = base * self.curve(t)
            self._others(learn.opt, t)

    def _others(self, opt: Any, t: float) -> None:
        """For subclasses that change more than the learning rate."""

    def after_step(self, learn: Learner) -> None:
        """Count the step."""
        self.done += self._stride

    def state_dict(self) -> dict[str, Any]:
        """Steps done; the number of all steps must be the same when going on."""
        return {"done": self.done, "total": self.total, "after": self.after}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the step reached; at the beginning where that was another curve's."""
        if state.get("after", 0) < self.after:
            return
        if state["total"] != self.total:
            raise UsageError(
                f"the interrupted run was of {state['total']} steps, this one is of {self.total}; give the same"
                " epochs, batch size and data"
            )
        self.done = state["done"]


class OneCycle(Schedule):
    """The 1cycle policy: rate up then down, momentum (or Adam's first beta) down then up.

    The learning rate of the fit is the highest. `momentum` gives the ends (high, low), None leaves it.
    """

    def __init__(
        self,
        warm_up: float = 0.25,
        start: float = 0.04,
        end: float = 1e-5,
        momentum: tuple[float, float] | None = (0.95, 0.85),
    ) -> None:
        if not 0 < warm_up < 1:
            raise UsageError(f"the warm-up must be a share between 0 and 1, not {warm_up}")
        super().__init__(one_cycle(warm_up, start, end))
        self._momentum = None if momentum is None else one_cycle(warm_up, 0.0, 0.0)
        self._high, self._low = momentum or (0.0, 0.0)

    @classmethod
    def example(cls, folder: Path) -> Self:
        """As it is."""
        return cls()

    def _others(self, opt: Any, t: float) -> None:
        if self._momentum is None:
            return
        value = self._high + (self._low - self._high) * self._momentum(t)
        for group in opt.param_groups:
            if "betas" in group:
                group["betas"] = (value, *group["betas"][1:])
            elif group.get("momentum"):
                group["momentum"] = value


class Scheduler(Callback):
    """One of torch's schedulers: `make(optimizer, steps)` gives it, and it steps after each batch or epoch.

    `steps` is the number of times that it will step. `Scheduler(lambda opt, steps: CosineAnnealingLR(opt,
    steps))`; schedulers that look at a loss (`ReduceLROnPlateau`) step per epoch and are given the row's
    `monitor`.
    """

    order = 10
    run_only = True

    def __init__(
        self, make: Callable[[Any, int], Any], per: str = "batch", monitor: str = "valid_loss"
    ) -> None:
        if per not in ("batch", "epoch"):
            raise UsageError(f"a scheduler steps per batch or per epoch, not per {per!r}")
        self.make, self.per, self.monitor = make, per, monitor
        self.scheduler: Any = None

    @classmethod
    def example(cls, folder: Path) -> Self:
        """With torch's own line."""
        return cls(lambda opt, steps: LinearLR(opt, total_iters=steps))

    def before_fit(self, learn: Learner) -> None:
        """Make the scheduler for this fit's optimiser."""
        if learn.opt is not None:
            total = steps(learn) if self.per == "batch" else learn.n_epochs
            self.scheduler = self.make(learn.opt, max(1, total))

    def after_step(self, learn: Learner) -> None:
        """Step per batch."""
        if self.per == "batch":
            self.scheduler.step()

    def after_epoch(self, learn: Learner) -> None:
        """Step per epoch, after its last pass."""
        if self.per == "epoch" and learn.closing and self.scheduler is not None:
            looks = type(self.scheduler).__name__ == "ReduceLROnPlateau"
            if looks and self.monitor not in learn.row:
                raise UsageError(f"the scheduler needs {self.monitor!r}; the row has {', '.join(learn.row)}")
            self.scheduler.step(*([learn.row[self.monitor]] if looks else []))

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's own state."""
        state = self.scheduler.state_dict() if self.scheduler else {}
        return {key: value for key, value in state.items() if not callable(value)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the scheduler."""
        self.scheduler.load_state_dict(state)


def steps(learn: Learner) -> int:
    """Training steps of the whole fit."""
    return learn.n_epochs * len(learn.dls.train)
