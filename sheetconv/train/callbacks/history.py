"""The history on disk: one line of JSON per epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from sheetconv.train.callback import Callback
from sheetconv.train.callbacks.checkpoint import Checkpoint
from sheetconv.train.folder import append_history, write_history
from sheetconv.train.learner import Learner

_NAMES = {"waiting": "wait_share", "train_loss": "train_loss", "valid_loss": "valid_loss"}


class History(Callback):
    """Adds each epoch's row to `folder/history.jsonl`, once the epoch's checkpoint is safe.

    The row gets `cpu_seconds` of the process, all threads together, which a busy machine does not change.
    A resumed run writes the file anew from the checkpoint's rows, so that no epoch is missing or doubled.
    """

    order = Checkpoint.order + 5
    run_only = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._due = False

    @classmethod
    def example(cls, folder: Path) -> Self:
        """In that folder."""
        return cls(folder)

    def before_fit(self, learn: Learner) -> None:
        """Begin with the epochs that a checkpoint brought."""
        self._clock = time.process_time()
        write_history(self.folder, [plain(row) for row in learn.history])

    def after_epoch(self, learn: Learner) -> None:
        """The epoch is complete."""
        self._due = learn.closing
        if self._due:
            now = time.process_time()
            learn.row["cpu_seconds"], self._clock = now - self._clock, now

    def cleanup_epoch(self, learn: Learner) -> None:
        """Write its line."""
        if self._due and learn.main:
            append_history(self.folder, plain(learn.row))
        self._due = False


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is kept: metrics under their own names (`accuracy`), numbers to six digits."""
    kept = {}
    for key, value in row.items():
        name = _NAMES.get(key, key.removeprefix("valid_"))
        kept[name] = float(f"{value:.6g}") if isinstance(value, float) else value
    return kept
