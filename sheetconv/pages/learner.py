"""Learner: the training loop as a picture, and the log of the run that trained the network of this workbook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import sheetconv
from sheetconv.graph.expr import Aggregate
from sheetconv.graph.index import Var
from sheetconv.pages.base import Page
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import DOWN
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check
from sheetconv.train.callback import HOOKS, STEPS

_LOG = 31  # first column of the log
_WIDE = 5  # columns of a number there
_COLUMNS = {"epoch": "0", "train_loss": "0.0000", "valid_loss": "0.0000", "accuracy": "0.00%", "lr": "0.0000"}
_FIT, _EPOCH, _BATCH, _STEP = "#E3EBF2", "#CFDEEA", "#FFFFFF", "#DCEBF5"
_HOOK = "#FFF3BF"
_CHIP = 7  # columns of a callback point


def history(value: Any) -> np.ndarray:
    """The epochs of the run that trained shipped weights, (epochs, columns of the log)."""
    if not isinstance(value, str):
        raise ValueError(f"must be the name of weights that come with sheetconv, not {value!r:.40}")
    folder = Path(sheetconv.__file__).parent / "weights"
    known = sorted(p.name.removesuffix(".history.jsonl") for p in folder.glob("*.history.jsonl"))
    if value not in known:
        raise ValueError(f"names no run; there are the histories of {', '.join(known)}")
    lines = (folder / f"{value}.history.jsonl").read_text(encoding="utf-8").splitlines()
    epochs = [json.loads(line) for line in lines if line.strip()]
    return np.array([[float(epoch.get(key, 0.0)) for key in _COLUMNS] for epoch in epochs])


class LearnerPage(Page):
    """fit → epoch → batch with the points where callbacks come in; losses, accuracy and learning rate per epoch."""

    kind: ClassVar[str] = "learner"
    unit: ClassVar[int] = 24
    columns = 58
    keys: ClassVar[Mapping[str, Check]] = {"history": history}

    def build(self) -> None:
        """The log, a column for each figure, and its best epoch."""
        self.left, self.top = LEFT, TOP
        log = self.options["history"]
        self.log = {key: self.stored(f"log {key}", log[:, i], kind="input") for i, key in enumerate(_COLUMNS)}
        for i, tensor in enumerate(self.log.values()):
            self.put(tensor, self.top + 3, self.left + _LOG + i * _WIDE, DOWN)
        k = Var("k", len(log))
        accuracy, loss = self.log["accuracy"], self.log["valid_loss"]
        self.best = self.note("best accuracy", (1,), lambda t: Aggregate("MAX", (accuracy.at(k),), (k,)))
        self.least = self.note("least valid loss", (1,), lambda t: Aggregate("MIN", (loss.at(k),), (k,)))
        self.put(self.best, self.top + 4 + len(log), self.left + _LOG + 3 * _WIDE, DOWN)
        self.put(self.least, self.top + 4 + len(log), self.left + _LOG + 2 * _WIDE, DOWN)

    # --- the loop --------------------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """The picture at the left, the log and its charts at the right."""
        canvas.title(self.top, self.left, self.label("loop"))
        self._loop(canvas)
        canvas.title(self.top, self.left + _LOG, self.label("log"))
        self._table(canvas)
        self._charts(canvas)

    def _loop(self, canvas: Canvas) -> None:
        """Three boxes, one inside the other; every name comes from the Learner itself."""
        top, left = self.top + 2, self.left
        self._box(canvas, top, left, 33, 29, _FIT)
        self._box(canvas, top + 5, left + 2, 23, 26, _EPOCH)
        self._box(canvas, top + 10, left + 4, 14, 23, _BATCH)
        self._level(canvas, top, left, "fit", 29, 33, _FIT)
        self._level(canvas, top + 5, left + 2, "epoch", 26, 23, _EPOCH)
        self._level(canvas, top + 10, left + 4, "batch", 23, 14, _BATCH)
        self._steps(canvas, top + 14, left + 5)

    def _box(self, canvas: Canvas, row: int, column: int, height: int, width: int, fill: str) -> None:
        style = canvas.styles.get(bg_color=fill)
        for r in range(row, row + height):
            for c in range(column, column + width):
                canvas.sheet.write_blank(r, c, None, style)

    def _level(
        self, canvas: Canvas, row: int, column: int, level: str, width: int, height: int, fill: str
    ) -> None:
        """A level's name and what it repeats, its hook before at the top, those after at the bottom."""
        look: dict[str, Any] = {"bg_color": fill, "valign": "vcenter"}
        canvas.text(row, column, f" {level}", 14, (2, 4), bold=True, font_color="#14344F", **look)
        canvas.text(row, column + 4, self.label(level), 10, (2, width - 5), **look)
        self._hook(canvas, row + 2, column + 1, f"before_{level}")
        last = row + height - 2
        for i, moment in enumerate(("after", "cleanup")):
            self._hook(canvas, last, column + 1 + i * (_CHIP + 1), f"{moment}_{level}")

    def _hook(self, canvas: Canvas, row: int, column: int, name: str, width: int = _CHIP) -> None:
        assert name in HOOKS, name
        look: dict[str, Any] = {"bg_color": _HOOK, "border": 1, "border_color": "#E0B400", "align": "center"}
        canvas.text(row, column, name, 9, (1, width), valign="vcenter", text_wrap=False, **look)

    def _steps(self, canvas: Canvas, row: int, column: int) -> None:
        """The five steps of a batch from left to right, with the hook after each below it."""
        hooks = {"predict": "after_predict", "get_loss": "after_loss", "backward": "after_backward",
                 "step": "after_step"}  # fmt: skip
        look: dict[str, Any] = {
            "bg_color": _STEP,
            "bold": True,
            "align": "center",
            "border": 1,
            "border_color": "#5B9BD5",
        }
        for i, name in enumerate(STEPS):
            r, c = row + i // 3 * 4, column + i % 3 * (_CHIP)
            canvas.text(r, c, name, 10, (2, _CHIP - 1), valign="vcenter", text_wrap=False, **look)
            if name in hooks:
                self._hook(canvas, r + 2, c, hooks[name], _CHIP - 1)
            if i % 3 < 2 and i + 1 < len(STEPS):
                canvas.text(
                    r, c + _CHIP - 1, "▸", 10, (2, 1), valign="vcenter", align="center", bg_color=_BATCH
                )
        training = self.label("training")
        canvas.text(row + 4, column + 2 * _CHIP, training, 9, (3, _CHIP), valign="vcenter", bg_color=_BATCH,
                    font_color="#52606D")  # fmt: skip

    # --- the log ---------------------------------------------------------------------------------------

    def _table(self, canvas: Canvas) -> None:
        top, left = self.top + 2, self.left + _LOG
        head: dict[str, Any] = {
            "bold": True,
            "font_color": "#FFFFFF",
            "bg_color": "#14344F",
            "align": "center",
        }
        for i, (key, form) in enumerate(_COLUMNS.items()):
            canvas.text(
                top, left + i * _WIDE, self.label(f"log_{key}"), 10, (1, _WIDE), valign="vcenter", **head
            )
            canvas.tensor(self.log[key], form=form, size=canvas.pt(10), span=_WIDE)
        row = top + 2 + self.log["epoch"].size
        canvas.text(row, left, self.label("best"), 10, bold=True)
        for note, form in ((self.best, "0.00%"), (self.least, "0.0000")):
            canvas.tensor(
                note, form=form, size=canvas.pt(10), span=_WIDE, properties={"bold": True, "bg_color": _STEP}
            )

    def _charts(self, canvas: Canvas) -> None:
        row, left = self.top + 6 + self.log["epoch"].size, self.left + _LOG
        epochs = canvas.place(self.log["epoch"]).box()
        boxes = {key: canvas.place(tensor).box() for key, tensor in self.log.items()}
        losses = [(self.label(f"log_{k}"), boxes[k]) for k in ("train_loss", "valid_loss")]
        canvas.lines(self.label("loss_chart"), epochs, losses, (row, left), (13, 13), "0.0")
        canvas.lines(self.label("accuracy_chart"), epochs, [(self.label("log_accuracy"), boxes["accuracy"])],
                     (row, left + 13), (13, 13), "0%", least=0.9)  # fmt: skip
        canvas.lines(
            self.label("lr_chart"),
            epochs,
            [(self.label("log_lr"), boxes["lr"])],
            (row + 13, left),
            (26, 8),
            "0.00",
        )
