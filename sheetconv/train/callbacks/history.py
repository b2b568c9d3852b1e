"""What a run writes down: seconds, images per second, waiting for data; one line of JSON per epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sheetconv.train.callback import Callback
from sheetconv.train.devices import batch_size
from sheetconv.train.folder import append_history, write_history
from sheetconv.train.learner import Learner


class Timing(Callback):
    """Puts `seconds` (the epoch, with validation), `images_per_s` and `wait_share` (training) into the row.

    Waiting is the time from the end of one batch to the moment when the next one is there. On a GPU the work
    of a batch is only begun within it, so the pass is timed up to the point where the device has finished.
    """

    order = -1000

    def before_epoch(self, learn: Learner) -> None:
        """Start the clocks."""
        now = time.perf_counter()
        if learn.training or not hasattr(self, "_begin"):
            self._begin = now
        self._start = self._idle_since = now
        self._waited, self._images = 0.0, 0

    def before_batch(self, learn: Learner) -> None:
        """The batch is there."""
        self._waited += time.perf_counter() - self._idle_since
        self._images += batch_size(learn.batch)


class TimingEnd(Callback):
    """The other end of `Timing`'s clocks, behind all other callbacks."""

    order = 85

    def __init__(self, timing: Timing) -> None:
        self.timing = timing

    def cleanup_batch(self, learn: Learner) -> None:
        """The batch is done: from here on it is waiting."""
        self.timing._idle_since = time.perf_counter()

    def after_epoch(self, learn: Learner) -> None:
        """Write the figures into the row."""
        timing, now = self.timing, time.perf_counter()
        if learn.training:
            took = max(now - timing._start, 1e-9)
            learn.row["images_per_s"] = round(timing._images / took, 1)
            learn.row["wait_share"] = round(timing._waited / took, 4)
        if learn.closing:
            learn.row["seconds"] = round(now - timing._begin, 3)


class History(Callback):
    """Adds each epoch's row to `folder/history.jsonl`, once the epoch's checkpoint is safe.

    A resumed run writes the file anew from the checkpoint's rows, so that no epoch is missing or doubled.
    """

    order = 92

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._due = False

    def before_fit(self, learn: Learner) -> None:
        """Begin with the epochs that a checkpoint brought."""
        write_history(self.folder, [plain(row) for row in learn.history])

    def after_epoch(self, learn: Learner) -> None:
        """The epoch is complete."""
        self._due = learn.closing

    def cleanup_epoch(self, learn: Learner) -> None:
        """Write its line."""
        if self._due:
            self._due = False
            append_history(self.folder, plain(learn.row))


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is kept: metrics under their own names (`accuracy`), numbers rounded to what they mean."""
    kept = {}
    for key, value in row.items():
        name = key if key in ("valid_loss", "train_loss") else key.removeprefix("valid_")
        kept[name] = float(f"{value:.6g}") if isinstance(value, float) else value
    return kept
