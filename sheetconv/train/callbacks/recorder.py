"""Learning rate, momentum and loss of every step; and the stop when the loss is no number."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sheetconv.errors import TrainingError
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner


class Recorder(Callback):
    """Keeps `lr`, `momentum` (None where the optimiser has none) and `losses` of each training step.

    The losses stay on the device until `losses` is asked for. The row gets the epoch's last learning rate.
    """

    order = 5  # before schedulers, which set the next step's rate
    run_only = True

    def __init__(self) -> None:
        self.lr: list[float] = []
        self.momentum: list[float | None] = []
        self._known = torch.zeros(0)  # losses read already, on the CPU
        self._losses: list[Tensor] = []  # those since, on the device

    def before_fit(self, learn: Learner) -> None:
        """Forget an earlier fit."""
        if learn.opt is not None:
            self.__init__()  # type: ignore[misc]

    def after_step(self, learn: Learner) -> None:
        """Note the step."""
        group = learn.opt.param_groups[0]
        self.lr.append(group["lr"])
        self.momentum.append(group["betas"][0] if "betas" in group else group.get("momentum"))
        self._losses.append(learn.loss.detach())

    def after_epoch(self, learn: Learner) -> None:
        """Note the learning rate in the row."""
        if learn.training and self.lr:
            learn.row["lr"] = self.lr[-1]

    @property
    def losses(self) -> Tensor:
        """float32 (steps,), on the CPU."""
        if self._losses:
            new = torch.cat([loss.reshape(-1) for loss in self._losses]).float().cpu()
            self._known, self._losses = torch.cat([self._known, new]), []
        return self._known

    def plot(self, axes: Any = None) -> Any:
        """Loss and learning rate over the steps, on matplotlib `axes` (new ones where none are given)."""
        if axes is None:
            import matplotlib.pyplot as plt

            axes = plt.figure(figsize=(6, 3)).add_subplot()
        axes.plot(self.losses, linewidth=0.8)
        axes.set_xlabel("step")
        axes.set_ylabel("training loss")
        other = axes.twinx()
        other.plot(self.lr, color="C1", linewidth=0.8)
        other.set_ylabel("learning rate")
        return axes

    def state_dict(self) -> dict[str, Any]:
        """All steps so far."""
        return {"lr": self.lr, "momentum": self.momentum, "losses": self.losses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after those steps."""
        self.lr, self.momentum = list(state["lr"]), list(state["momentum"])
        self._known, self._losses = state["losses"].cpu(), []


class StopAtNaN(Callback):
    """Stops with one clear `TrainingError` at the end of the pass in which a loss was not a number.

    It runs before anything is kept of that epoch; the losses are looked at once a pass, so that no batch
    waits for the device.
    """

    order = -60
    run_only = True

    def before_epoch(self, learn: Learner) -> None:
        """Start from nothing."""
        self._losses: list[Tensor] = []

    def after_loss(self, learn: Learner) -> None:
        """Keep the loss where it is."""
        self._losses.append(learn.loss.detach())

    def after_epoch(self, learn: Learner) -> None:
        """Raise `TrainingError` naming the first batch with such a loss."""
        if not self._losses:
            return
        bad = ~torch.stack(self._losses).isfinite()
        if bad.any():
            first = int(bad.nonzero()[0])
            kind = "training" if learn.training else "validation"
            lr = f", at learning rate {learn.opt.param_groups[0]['lr']:.3g}" if learn.opt else ""
            raise TrainingError(
                f"the {kind} loss is not a finite number from batch {first + 1} of epoch {learn.epoch + 1}"
                f" on{lr}; try a lower one (`lr-find` suggests one) or clip the gradients"
            )
