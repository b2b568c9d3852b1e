"""The history in forms that other programs read: a table of comma-separated values, TensorBoard."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Self

from sheetconv.errors import UsageError
from sheetconv.files import replacing
from sheetconv.train.callback import Callback
from sheetconv.train.callbacks.history import History, plain
from sheetconv.train.folder import CSV, TENSORBOARD
from sheetconv.train.learner import Learner


class CsvLog(Callback):
    """Writes `folder/history.csv` after each epoch: a line of names, then a line per epoch."""

    order = History.order + 1
    run_only = True

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def example(cls, folder: Path) -> Self:
        """In that folder."""
        return cls(folder)

    def after_epoch(self, learn: Learner) -> None:
        """Write all epochs so far; the file is whole at any time."""
        if not learn.closing or not learn.main:
            return
        rows = [plain(row) for row in learn.history]
        names = list(dict.fromkeys(name for row in rows for name in row))
        with (
            replacing(self.folder / CSV, force=True) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(rows)


class TensorBoard(Callback):
    """Writes every figure of each epoch to `folder/tensorboard`, by torch's own writer.

    Raises `UsageError` where the package tensorboard is not installed (`pip install 'sheetconv[tensorboard]'`).
    """

    order = History.order + 1
    run_only = True

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError("--log tensorboard needs `pip install 'sheetconv[tensorboard]'`") from error
        self.folder, self._make = Path(folder) / TENSORBOARD, SummaryWriter
        self._writer: Any = None

    @classmethod
    def example(cls, folder: Path) -> Self:
        """In that folder."""
        return cls(folder)

    def before_fit(self, learn: Learner) -> None:
        """Open the log; what an interrupted run wrote of later epochs is passed over by TensorBoard."""
        if learn.main and learn.opt is not None:
            self._writer = self._make(str(self.folder), purge_step=len(learn.history) + 1)

    def after_epoch(self, learn: Learner) -> None:
        """Write the epoch's figures."""
        if self._writer is None or not learn.closing:
            return
        for name, value in plain(learn.row).items():
            if name != "epoch":
                self._writer.add_scalar(name, value, learn.epoch + 1)
        self._writer.flush()

    def cleanup_fit(self, learn: Learner) -> None:
        """Close the log."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


LOGS: dict[str, type[CsvLog] | type[TensorBoard]] = {"csv": CsvLog, "tensorboard": TensorBoard}
