"""Run: what a training run left behind: its history with charts, the confusion matrix, the worst mistakes.

Numbers that were measured are typed; accuracy and the share of each class that is right are formulas over them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sheetconv.graph.expr import Aggregate, Expr
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Tensor
from sheetconv.pages.base import Page
from sheetconv.sheet.canvas import MUTED, Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY, Draft
from sheetconv.sheet.frame import LEFT, TOP

_SPAN = 4  # columns of a number
_CHART = (26, 14)  # columns and rows of a chart
_MISTAKE = 30  # columns from one mistaken image to the next


class RunPage(Page):
    """The page of a run; left out of workbooks that are not made from one."""

    kind: ClassVar[str] = "run"
    unit: ClassVar[int] = 22
    columns = 62

    @classmethod
    def wanted(cls, draft: Draft) -> bool:
        """Whether the workbook is made from a run."""
        return draft.run is not None

    def build(self) -> None:
        """The history, the confusion matrix with its sums, the mistakes."""
        self.run: Any = self.draft.run
        history = np.nan_to_num(self.run.history)
        self.rows = len(history)
        self.history = self.stored("history", history, kind="input") if history.size else None
        if self.history is not None:
            self.put(self.history, TOP + 3, LEFT + 2, DOWN, (0, _SPAN))
        self.matrix_row = TOP + 3 + max(self.rows, 2 * _CHART[1] + 2) + 3
        self.confusion: Tensor | None = None
        if self.run.confusion is not None:
            self._confusion(self.run.confusion)
        self.mistakes_row = self.matrix_row + (len(self.run.classes) + 6 if self.confusion is not None else 0)
        self.images: Tensor | None = None
        if self.run.mistakes:
            images = np.stack([m.image for m in self.run.mistakes])
            self.images = self.stored("mistakes", images, kind="input", signed=False)
            high = images.shape[1] + 4
            at = np.arange(len(images))
            place = self.put(self.images, self.mistakes_row + 3, LEFT, STAY, DOWN, ACROSS)
            place.rows[0], place.columns[0] = at // 2 * high, at % 2 * _MISTAKE

    def _confusion(self, counts: Any) -> None:
        self.confusion = self.stored("confusion", counts, kind="input", signed=False)
        size = len(counts)
        self.put(self.confusion, self.matrix_row + 3, LEFT + 4, DOWN, (0, _SPAN))
        confusion, k = self.confusion, Var("k", size)
        self.recall = self.note(
            "share right", (size,),
            lambda t: confusion.at(t.axes[0], t.axes[0]) / Aggregate("SUM", (confusion.at(t.axes[0], k),), (k,)),
        )  # fmt: skip
        self.put(self.recall, self.matrix_row + 3, LEFT + 5 + size * _SPAN, DOWN)

        def accuracy(t: Tensor) -> Expr:
            right: Expr = confusion.at(0, 0)
            for i in range(1, size):
                right = right + confusion.at(i, i)
            rows, columns = Var("r", size), Var("c", size)
            return right / Aggregate("SUM", (confusion.at(rows, columns),), (rows, columns))

        self.accuracy = self.note("accuracy", (1,), accuracy)
        self.put(self.accuracy, self.matrix_row, LEFT + 17, DOWN)

    def draw(self, canvas: Canvas) -> None:
        """Tables, charts and pictures."""
        self._draw_history(canvas)
        if self.confusion is not None:
            self._draw_confusion(canvas, self.confusion)
        self._draw_mistakes(canvas)

    def _draw_history(self, canvas: Canvas) -> None:
        canvas.title(TOP, LEFT, self.label("history", recipe=self.run.recipe, dataset=self.run.dataset))
        if self.history is None:
            return
        for i, figure in enumerate(self.run.figures):
            canvas.text(TOP + 2, LEFT + 2 + i * _SPAN, self.label(figure), 9, bold=True)
        canvas.axis(TOP + 3, LEFT, self.rows, down=True, start=1)
        canvas.tensor(self.history, form="0.0000", size=canvas.pt(9), span=_SPAN)
        end = TOP + 2 + self.rows
        epoch = next((t for t in self.draft.graph if t.name == "epoch"), None)
        if epoch is not None:
            where = f"{canvas.at(TOP + 3, LEFT, row=False)}={canvas.address(epoch, 0)}"
            canvas.highlight((TOP + 3, LEFT, end, LEFT + 1 + len(self.run.figures) * _SPAN), where)
        epochs = (TOP + 3, LEFT, end, LEFT)

        def column(figure: str) -> tuple[int, int, int, int]:
            at = LEFT + 2 + self.run.figures.index(figure) * _SPAN
            return TOP + 3, at, end, at

        losses = [(self.label(f), column(f)) for f in ("train_loss", "valid_loss") if f in self.run.figures]
        right = LEFT + 4 + len(self.run.figures) * _SPAN
        if losses:
            canvas.lines(self.label("losses"), epochs, losses, (TOP + 1, right), _CHART, "0.00")
        if "accuracy" in self.run.figures:
            at = (TOP + _CHART[1] + 2, right)
            canvas.lines(self.label("accuracy"), epochs, [(self.label("accuracy"), column("accuracy"))], at, _CHART, "0.0%",
                         least=float(np.floor(10 * np.nanmin(self._column("accuracy"))) / 10))  # fmt: skip

    def _column(self, figure: str) -> Any:
        return self.run.history[:, self.run.figures.index(figure)]

    def _draw_confusion(self, canvas: Canvas, confusion: Tensor) -> None:
        top = self.matrix_row
        canvas.title(top, LEFT, self.label("confusion"))
        canvas.tensor(self.accuracy, form="0.0%", size=canvas.pt(11), span=_SPAN, properties={"bold": True})
        names = self.run.classes
        for i, name in enumerate(names):
            canvas.text(top + 3 + i, LEFT, name[:12], 9, bold=True)
            canvas.text(top + 2, LEFT + 4 + i * _SPAN, name[:7], 9, bold=True)
        canvas.text(top + 2, LEFT + 5 + len(names) * _SPAN, self.label("right"), 9, font_color=MUTED)
        canvas.tensor(confusion, "activation", "#,##0", size=canvas.pt(9), span=_SPAN)
        canvas.tensor(self.recall, form="0.0%", size=canvas.pt(9), span=_SPAN)

    def _draw_mistakes(self, canvas: Canvas) -> None:
        if self.images is None:
            return
        canvas.title(self.mistakes_row, LEFT, self.label("mistakes"))
        canvas.tensor(self.images, "pixels", canvas.PIXEL, size=6)
        for mistake, (_, (row, column, _, _)) in zip(
            self.run.mistakes, canvas.place(self.images).planes(), strict=True
        ):
            text = self.label("mistake", number=mistake.number, truth=mistake.truth, guess=mistake.guess,
                              probability=f"{mistake.probability:.0%}")  # fmt: skip
            canvas.text(row - 1, column, text, 9)
