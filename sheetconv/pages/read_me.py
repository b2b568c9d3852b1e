"""Read me: what the workbook is, the network's layers, the prediction, and how to trace."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sheetconv.graph.tensor import Tensor
from sheetconv.pages.base import Page
from sheetconv.pages.network import NetworkPage, sizes
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.style import HEADING, LINK
from sheetconv.xlsx.address import area, cell, quoted

MAX_CLASSES = 50
_TABLE = (9, 16, 6, 7, 6)  # columns of a layer's name, operator, shape, parameters, formulas
RIGHT = LEFT + sum(_TABLE) + 1
_CLASS, _NUMBER = 6, 9  # columns of a class's name and of a number
FIRST = TOP + 5  # row of the first class
LINE = 21  # pixels of a row on the screen: a line of 10 points with some air


class ReadMe(Page):
    """The first sheet of a network's workbook."""

    kind: ClassVar[str] = "readme"
    unit: ClassVar[int] = 26
    late: ClassVar[bool] = True
    columns = RIGHT - LEFT + _CLASS + 2 * _NUMBER

    def build(self) -> None:
        """The probabilities, from the scores in which the network ends."""
        self.networks = [page for page in self.draft.pages if isinstance(page, NetworkPage)]
        self.steps: list[Tensor] = []
        scores = self._scores()
        layers = sum(len(page.layout.bands) for page in self.networks[:1])
        classes = 0 if scores is None else scores.shape[1]
        self.tall |= dict.fromkeys(range(TOP, max(TOP + layers + 4, FIRST + classes)), LINE)
        if scores is None:
            self.columns = sum(_TABLE)
            return
        shown = self._probabilities(scores)
        column = RIGHT + _CLASS
        for tensor in self.steps:
            self.put(tensor, FIRST, column, STAY, DOWN)
            column += _NUMBER
        self.put(shown, FIRST, column, STAY, DOWN)
        self.shown = shown
        self.steps.append(shown)

    def _scores(self) -> Tensor | None:
        """The output that holds one score per class, if the network ends in one: shape (1, F), 2 ≤ F ≤ 50."""
        if not self.networks:
            return None
        output = self.networks[0].network.outputs[0]
        shape = output.shape
        return output if len(shape) == 2 and shape[0] == 1 and 2 <= shape[1] <= MAX_CLASSES else None

    def _probabilities(self, scores: Tensor) -> Tensor:
        """What the scores are is seen by their values: probabilities, their logarithms, or neither yet."""
        values = self.draft.compute()[scores]
        if _sums_to_one(values):
            return self.apply("probabilities", "aten.clone.default", scores, None)
        if _sums_to_one(np.exp(np.minimum(values, 1))):
            return self.apply("probabilities", "aten.exp.default", scores)
        before = len(self.draft.graph.tensors)
        found = self.apply("probabilities", "aten.softmax.int", scores, 1, None)
        self.steps = [t for t in self.draft.graph.tensors[before:] if t is not found]
        return found

    def draw(self, canvas: Canvas) -> None:
        """Layers, prediction, and how to trace."""
        row = canvas.free
        for program in ("excel", "libreoffice", "google", "try"):
            row = canvas.paragraph(row, f"{self.label(f'{program}_name')}: {self.label(program)}")
        for page in self.networks[:1]:
            self._layers(canvas, page)
        if self.steps:
            self._prediction(canvas)

    def _layers(self, canvas: Canvas, page: NetworkPage) -> None:
        starts = LEFT + np.cumsum((0, *_TABLE))[:-1]
        canvas.title(TOP, LEFT, self.label("layers"))
        head = canvas.style(10, bold=True, font_color="#FFFFFF", bg_color=HEADING, valign="vcenter")
        body = canvas.style(10, bottom=4, valign="vcenter")
        jump = canvas.style(10, bottom=4, valign="vcenter", underline=1, font_color=LINK)
        counts = canvas.style(10, bottom=4, valign="vcenter", align="right", num_format="#,##0")
        row = TOP + 2
        for key, start, width in zip(("layer", "operator", "shape", "parameters", "formulas"), starts, _TABLE, strict=True):  # fmt: skip
            canvas.merged(row, start, width, self.label(key), head)
        counted: set[Tensor] = set()
        total = [0, 0]
        for band in page.layout.bands:
            row, tensor = row + 1, band.tensor
            own = sum(p.size for p in band.parameters if p not in counted)
            counted.update(band.parameters)
            live = tensor.size if tensor.expr is not None else 0
            total = [total[0] + own, total[1] + live]
            place = self.draft.places[tensor]
            target = f"internal:{quoted(place.sheet)}!{cell(max(place.row - 1, 0), place.column)}"
            texts: tuple[str | int, ...] = (tensor.name.removeprefix(f"{page.name}."), tensor.operator, sizes(tensor.shape[1:] or tensor.shape), own, live)  # fmt: skip
            for start, width, text, style in zip(starts, _TABLE, texts, (jump, body, body, counts, counts), strict=True):  # fmt: skip
                canvas.merged(row, start, width, text, style, target if style is jump else "")
        row += 1
        canvas.text(row, LEFT, self.label("total"), 10, bold=True)
        for start, width, value in zip(starts[3:], _TABLE[3:], total, strict=True):
            cells = area(TOP + 3, start, row - 1, start)
            canvas.formula(
                row, start, f"SUM({cells})", value, 10, width, bold=True, align="right", num_format="#,##0"
            )

    def _prediction(self, canvas: Canvas) -> None:
        head = canvas.style(10, bold=True, font_color="#FFFFFF", bg_color=HEADING, valign="vcenter")
        count, known = self.shown.shape[1], self.draft.classes
        names = [*known, *(str(i) for i in range(len(known), count))][:count]
        canvas.merged(FIRST - 1, RIGHT, _CLASS, self.label("class"), head)
        left = canvas.style(10, align="left", valign="vcenter")
        for i, name in enumerate(names):  # a digit's name is a number, not a number stored as text
            canvas.merged(FIRST + i, RIGHT, _CLASS, int(name) if name.isdecimal() else name, left)
        for tensor in self.steps:
            title = self.label("probability" if tensor is self.shown else "exponential")
            canvas.merged(FIRST - 1, canvas.place(tensor).column, _NUMBER, title, head)
            canvas.tensor(
                tensor, form="0.0000", size=canvas.pt(10), span=_NUMBER, properties={"align": "right"}
            )
        end = FIRST + len(names) - 1
        labels, chances = (FIRST, RIGHT, end, RIGHT), canvas.place(self.shown).box()
        best = names[int(canvas.values[self.shown].reshape(-1).argmax())]
        canvas.title(TOP, RIGHT, self.label("prediction"))
        look = {"bold": True, "font_color": HEADING, "align": "left"}
        text = f"INDEX({canvas.range(labels)},MATCH(MAX({canvas.range(chances)}),{canvas.range(chances)},0))"
        canvas.formula(
            TOP + 1,
            RIGHT,
            text,
            int(best) if best.isdecimal() else best,
            20,
            _CLASS + _NUMBER,
            rows=2,
            **look,
        )
        at = (end + 2, RIGHT)
        canvas.chart(self.label("chart"), labels, chances, at, (_CLASS + 2 * _NUMBER, 14))


def _sums_to_one(values: Any) -> bool:
    """Whether numbers are the probabilities of classes."""
    return bool((values >= 0).all() and abs(values.sum() - 1) < 1e-6)
