"""What is seen while training: a live bar, a table line per epoch, in a notebook a live plot; and the clock."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

from sheetconv.train.callback import Callback
from sheetconv.train.devices import batch_size
from sheetconv.train.learner import Learner


class _Timed:
    """A loader whose own time is added up."""

    def __init__(self, loader: Any) -> None:
        self.loader, self.waited = loader, 0.0

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        batches, clock = iter(self.loader), time.perf_counter
        while True:
            start = clock()
            batch = next(batches, None)
            self.waited += clock() - start
            if batch is None:
                return
            yield batch


class Timer(Callback):
    """Puts `seconds` (both passes), `images_per_s` and `waiting` of the training pass into the row.

    `waiting` is the share of the pass spent in the loader, before the batch was there.
    """

    order = -45  # after Metrics, which have waited for the device
    run_only = True

    def before_epoch(self, learn: Learner) -> None:
        """Start the clock."""
        self._images, self._timed = 0, _Timed(learn.dl)
        learn.dl = self._timed
        self._start = time.perf_counter()

    def after_batch(self, learn: Learner) -> None:
        """Count the images."""
        self._images += batch_size(learn.batch)

    def after_epoch(self, learn: Learner) -> None:
        """Write the row."""
        spent = time.perf_counter() - self._start
        learn.row["seconds"] = learn.row.get("seconds", 0.0) + spent
        if learn.training:
            learn.row["images_per_s"] = self._images / spent
            learn.row["waiting"] = self._timed.waited / spent


class Progress(Callback):
    """A bar on the terminal while a pass runs, and one line of a table per epoch; in a notebook a plot too.

    The bar goes to stderr and only where that is a terminal; the table to `file` (stdout). Figures that come
    in later epochs only are left out of the table.
    """

    order = 80
    run_only = True

    def __init__(self, file: TextIO | None = None, plot: bool | None = None) -> None:
        self.file = file
        self.plot = in_notebook() if plot is None else plot
        self._bar: Any = None

    def before_fit(self, learn: Learner) -> None:
        """Start a new table."""
        self._names: list[str] = []
        self._shown: Any = None
        if self.plot and learn.main:
            self._draw(learn)  # above the table, whose lines then stay together

    def before_epoch(self, learn: Learner) -> None:
        """Show the bar."""
        from tqdm import tqdm  # type: ignore[import-untyped]

        kind = "training" if learn.training else "validating"
        text = f"epoch {learn.epoch + 1} of {learn.n_epochs}, {kind}"
        quiet = None if learn.main else True  # None: where stderr is no terminal
        self._bar = learn.dl = tqdm(learn.dl, text, leave=False, disable=quiet, unit=" batches")

    def after_epoch(self, learn: Learner) -> None:
        """Print the epoch's line."""
        self._bar.close()
        if not learn.closing or not learn.main:
            return
        out = self.file or sys.stdout
        if not self._names:
            self._names = sorted(learn.row, key=_place)
            print("  ".join(heading(name) for name in self._names), file=out)
        print("  ".join(cell(name, learn.row.get(name)) for name in self._names), file=out, flush=True)
        if self.plot:
            self._draw(learn)

    def cleanup_epoch(self, learn: Learner) -> None:
        """Remove the bar in every case."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, learn: Learner) -> None:
        """Show the plot as a PNG, in place of the last one: a Figure without pyplot would show as text."""
        display = importlib.import_module("IPython.display").display
        picture = {"image/png": _png(plot_history(learn.history)), "text/plain": "losses over the epochs"}
        if self._shown is None:
            self._shown = display(picture, raw=True, display_id=True)
        else:
            self._shown.update(picture, raw=True)


def _png(figure: Any) -> bytes:
    from sheetconv.notebook.pictures import Picture

    return Picture(figure).png()


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this (IPython is asked only if it is loaded already)."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell else None
    return type(found).__name__ == "ZMQInteractiveShell"


_WIDTHS = {"epoch": 5, "seconds": 7, "images_per_s": 8, "waiting": 7, "lr": 8}
_TITLES = {"images_per_s": "images/s"}


def heading(name: str) -> str:
    """A column's title, right-aligned to the column's width."""
    title = _TITLES.get(name, name.replace("_", " "))
    return title.rjust(_width(name))


def cell(name: str, value: float | None) -> str:
    """A figure as the table shows it, right-aligned to the column's width."""
    if value is None:
        text = "-"
    elif name == "epoch":
        text = f"{value:.0f}"
    elif name == "images_per_s":
        text = f"{value:,.0f}"
    elif name == "seconds":
        text = f"{value:.1f}"
    elif name == "lr":
        text = f"{value:.2e}"
    elif name == "waiting" or name.endswith("accuracy"):
        text = f"{100 * value:.{1 if name == 'waiting' else 2}f} %"
    else:
        text = f"{value:.4f}"
    return text.rjust(_width(name))


def _place(name: str) -> tuple[int, int]:
    """Epoch, losses, other figures, then what there is to know about the run."""
    last = ("lr", "seconds", "images_per_s", "waiting")
    first = ("epoch", "train_loss", "valid_loss")
    if name in first:
        return 0, first.index(name)
    return (2, last.index(name)) if name in last else (1, 0)


def _width(name: str) -> int:
    return max(_WIDTHS.get(name, 8), len(_TITLES.get(name, name)))


def plot_history(history: list[dict[str, float]]) -> Any:
    """A matplotlib figure: losses over the epochs, and beside them every other validation figure."""
    from matplotlib.figure import Figure

    others = [n for n in (history[-1] if history else {}) if n.startswith("valid_") and n != "valid_loss"]
    figure = Figure(figsize=(4.5 * (1 + bool(others)), 3), layout="constrained")
    axes = figure.subplots(1, 1 + bool(others), squeeze=False)[0]
    for side, names in zip(axes, (["train_loss", "valid_loss"], others), strict=False):
        for name in names:
            points = [(row["epoch"], row[name]) for row in history if name in row]
            if points:
                side.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name.replace("_", " "))
        side.set_xlabel("epoch")
        side.xaxis.get_major_locator().set_params(integer=True)
        if side.lines:
            side.legend()
    return figure
