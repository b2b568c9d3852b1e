"""Stopping before the last epoch."""

from __future__ import annotations

from typing import Any

from sheetconv.errors import UsageError
from sheetconv.train.callback import Callback, CancelFitException
from sheetconv.train.learner import Learner


def figure(learn: Learner, monitor: str | None) -> tuple[str, float, bool]:
    """Name and value of the row's figure to watch, and whether more is better.

    None takes the accuracy where there is one, else the validation loss, else the training loss. More is
    better unless the name ends in `loss` or `error`. Raises `UsageError` for a name that the row lacks.
    """
    row = learn.row
    names = [monitor] if monitor else ["valid_accuracy", "valid_loss", "train_loss"]
    name = next((name for name in names if name in row), None)
    if name is None:
        raise UsageError(
            f"there is no figure {monitor or 'of a loss'!r} to watch; the row has {', '.join(row)}"
        )
    return name, row[name], not name.endswith(("loss", "error"))


def better(value: float, best: float | None, more: bool, by: float = 0.0) -> bool:
    """Whether `value` improves on `best` by more than `by`; a value that is no number never does."""
    if best is None:
        return value == value
    return value > best + by if more else value < best - by


class EarlyStopping(Callback):
    """Ends the fit when `monitor` has not improved by more than `by` for `patience` epochs.

    It comes after `Checkpoint`, so that the epoch which ends the fit is kept.
    """

    order = 1010
    run_only = True

    def __init__(self, patience: int = 3, monitor: str | None = None, by: float = 0.0) -> None:
        if patience < 1:
            raise UsageError(f"the patience must be 1 epoch or more, not {patience}")
        self.patience, self.monitor, self.by = patience, monitor, by
        self.best: float | None = None
        self.waited = 0

    def before_fit(self, learn: Learner) -> None:
        """A run that had been stopped, and was taken up from its checkpoint, stays so."""
        if self.waited >= self.patience:
            raise CancelFitException

    def after_epoch(self, learn: Learner) -> None:
        """Count the epochs without improvement."""
        if not learn.closing:
            return
        _, value, more = figure(learn, self.monitor)
        if better(value, self.best, more, self.by):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.waited >= self.patience:
            raise CancelFitException

    def cleanup_fit(self, learn: Learner) -> None:
        """Forget this fit."""
        self.best, self.waited = None, 0

    def state_dict(self) -> dict[str, Any]:
        """The best figure and the epochs since."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.best, self.waited = state["best"], state["waited"]
