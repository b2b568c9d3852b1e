"""Dense layer, softmax and cross-entropy, step by step; global pooling beside the dense layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sheetconv.graph.expr import Aggregate, Expr, Number, call
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.nets import ConvExample
from sheetconv.pages.base import Page
from sheetconv.pages.checks import weights, whole
from sheetconv.pages.two_layers import TwoLayers, TwoLayersPage
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.layout import Place
from sheetconv.sheet.settings import Check

_TABLE = 17  # first column of the table of classes
_COLUMNS = {"class": 0, "logit": 2, "shifted": 6, "exponential": 10, "probability": 14, "minus_ln": 19}
_GLOBAL, _WEIGHTS = 22, 34  # rows of the blocks below the table
_CLASSES, _ACROSS, _SIDE = 10, 4, 12


class Dense(Page):
    """Ten outputs from 2×12×12 pooled cells, their probabilities and the loss."""

    kind: ClassVar[str] = "dense"
    unit: ClassVar[int] = 24
    columns = 56
    keys: ClassVar[Mapping[str, Check]] = {"weights": weights("conv-example"), "label": whole(0, 9)}

    def build(self) -> None:
        """Pooled maps, weights, logits, the steps of softmax, the loss, the global pools, the counts."""
        self.left, self.top, self.table = LEFT, TOP, LEFT + _TABLE
        state = self.options["weights"]
        self.maps = pooled_maps(self, state)
        self.put(self.maps, TOP + 3, LEFT + 1, STAY, (14, 0), DOWN, ACROSS)
        shape = (_CLASSES, 2, _SIDE, _SIDE)
        self.weight = self.stored("weight", state["dense.weight"].double().numpy().reshape(shape))
        self.bias = self.stored("bias", state["dense.bias"].double().numpy())
        self._place_weights()
        self._softmax()
        self._loss()
        self._pools()

    def _place_weights(self) -> None:
        number, step, zero = np.arange(_CLASSES), np.arange(_SIDE), np.zeros(_SIDE, dtype=np.int64)
        rows = [number // _ACROSS * (2 * _SIDE + 3), np.arange(2) * (_SIDE + 1), step, zero]
        columns = [number % _ACROSS * (_SIDE + 2), zero[:2], zero, step]
        top = self.top + _WEIGHTS + 3
        self.draft.places[self.weight] = Place(
            self.name, self.weight, rows, columns, (0, 0, 0, 0), top, self.left + 1, (2, 3)
        )
        self.put(self.bias, self.top + 3, self.table + 23, DOWN)

    def _logit(self, t: Tensor) -> Expr:
        over = tuple(Var(v.name, v.size) for v in self.maps.axes[1:])
        reads = (self.maps.at(0, *over), self.weight.at(t.axes[1], *over))
        return Aggregate("SUMPRODUCT", reads, over) + self.bias.at(t.axes[1])

    def _softmax(self) -> None:
        flat = Operation("aten.flatten.using_ints", (self.maps, 1, -1))
        matrix = Operation("aten.flatten.using_ints", (self.weight, 1, -1))
        dense = Operation("aten.linear.default", (flat, matrix, self.bias))
        self.logits = self.made("logits", (1, _CLASSES), self._logit, dense)
        self.largest = self.apply("largest", "aten.amax.default", self.logits, [1], True)
        self.shifted = self.apply("logit minus largest", "aten.sub.Tensor", self.logits, self.largest)
        self.exps = self.apply("exponentials", "aten.exp.default", self.shifted)
        self.total = self.apply("sum", "aten.sum.dim_IntList", self.exps, [1], True)
        self.probabilities = self.made(
            "probabilities", (1, _CLASSES), lambda t: self.exps.at(0, t.axes[1]) / self.total.at(0, 0),
            Operation("aten.softmax.int", (self.logits, 1, None)), signed=False,
        )  # fmt: skip
        # −ln of a probability near 1 is all rounding; all ten together have a scale to be compared on
        self.losses = self.made(
            "minus ln of the probabilities", (1, _CLASSES),
            lambda t: call("LN", self.total.at(0, 0)) - self.shifted.at(0, t.axes[1]),
            Operation("aten.neg.default", (Operation("aten.log_softmax.int", (self.logits, 1, None)),)), signed=False,
        )  # fmt: skip
        columns = {self.logits: "logit", self.shifted: "shifted", self.exps: "exponential",
                   self.probabilities: "probability", self.losses: "minus_ln"}  # fmt: skip
        for tensor, key in columns.items():
            self.put(tensor, self.top + 3, self.table + _COLUMNS[key], STAY, DOWN)
        self.put(self.largest, self.top + 14, self.table + _COLUMNS["logit"], STAY, DOWN)
        self.put(self.total, self.top + 14, self.table + _COLUMNS["exponential"], STAY, DOWN)

    def _loss(self) -> None:
        from sheetconv.pages.pieces import entry

        self.label_cell = self.stored("label", [self.options["label"]], kind="input")
        self.chance = self.note(
            "probability of the label",
            (1,),
            lambda t: entry(self.probabilities, self.label_cell.at(0) + 1, 0),
        )
        self.loss = self.note(
            "cross-entropy", (1,), lambda t: entry(self.losses, self.label_cell.at(0) + 1, 0)
        )
        for tensor, row in ((self.label_cell, 16), (self.chance, 18), (self.loss, 20)):
            self.put(tensor, self.top + row, self.table + _COLUMNS["exponential"], DOWN)

    def _pools(self) -> None:
        top, column = self.top + _GLOBAL + 3, self.table
        self.average = self.apply("global average", "aten.mean.dim", self.maps, [2, 3], False)
        self.maximum = self.apply("global maximum", "aten.amax.default", self.maps, [2, 3], False)
        self.put(self.average, top, column + 7, STAY, DOWN)
        self.put(self.maximum, top, column + 11, STAY, DOWN)
        cells = 2 * _SIDE * _SIDE
        self.counts = [
            self.note("parameters of the dense layer", (1,), lambda t: Number(_CLASSES) * cells + _CLASSES),
            self.note("parameters after global pooling", (1,), lambda t: Number(_CLASSES) * 2 + _CLASSES),
        ]
        for number, note in enumerate(self.counts):
            self.put(note, top + 4 + number, column + 15, DOWN)

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """Pooled maps, the table, the chart, the loss, the pools, the weights."""
        canvas.title(self.top, self.left + 1, self.label("pooled"))
        for index, (row, column, _, _) in canvas.place(self.maps).planes():
            canvas.text(row - 1, column, self.label("map", number=index[-1]), 9, font_color="#52606D")
        canvas.tensor(self.maps, "activation", canvas.MAP, size=8)
        self._draw_table(canvas)
        self._draw_loss(canvas)
        self._draw_pools(canvas)
        self._draw_weights(canvas)

    def _draw_table(self, canvas: Canvas) -> None:
        top, left = self.top, self.table
        canvas.title(top, left, self.label("softmax"))
        for key, column in _COLUMNS.items():
            canvas.text(top + 2, left + column, self.label(key), 10, bold=True)
        canvas.text(top + 2, left + 23, self.label("bias"), 9, font_color="#52606D")
        bold = canvas.style(11, bold=True, align="center", valign="vcenter")
        for number in range(_CLASSES):
            canvas.sheet.write_number(top + 3 + number, left, number, bold)
        forms = {
            self.logits: "0.000",
            self.shifted: "0.000",
            self.exps: "[<9.99995]0.0000;0.00",
            self.probabilities: "0.0%",
            self.losses: "[<9.99995]0.0000;0.00",
        }
        for tensor, form in forms.items():
            canvas.tensor(tensor, form=form, size=canvas.pt(10), span=3)
        canvas.tensor(self.bias, form="0.0", size=8)
        canvas.text(top + 14, left - 2, self.label("column_ends"), 10, font_color="#52606D")
        canvas.tensor(self.largest, form="0.000", size=canvas.pt(10), span=3, properties={"bold": True})
        canvas.tensor(
            self.total, form="[<9.99995]0.0000;0.00", size=canvas.pt(10), span=3, properties={"bold": True}
        )
        self._predicted(canvas)
        place = canvas.place(self.probabilities)
        canvas.chart(self.label("chart"), (place.row, left, place.row + 9, left), place.box(),
                     (top, left + 25), (14, 15))  # fmt: skip

    def _predicted(self, canvas: Canvas) -> None:
        """The class of the largest probability, looked up among the classes."""
        r0, c0, r1, c1 = canvas.place(self.probabilities).box()
        chances, classes = canvas.range((r0, c0, r1, c1)), canvas.range((r0, self.table, r1, self.table))
        best = int(canvas.values[self.probabilities].argmax())
        canvas.text(self.top + 16, self.table + 14, self.label("prediction"), 10, font_color="#52606D")
        canvas.formula(self.top + 17, self.table + 14, f"INDEX({classes},MATCH(MAX({chances}),{chances},0))", best, 20, span=2, rows=2,
                       bold=True, align="left", font_color="#14344F")  # fmt: skip

    def _draw_loss(self, canvas: Canvas) -> None:
        top, left = self.top, self.table
        for key, row in (("label", 16), ("chance", 18), ("loss", 20)):
            canvas.text(top + row, left, self.label(key), 11, bold=key == "loss")
        canvas.choice(self.label_cell, range(_CLASSES), span=3)
        canvas.tensor(self.chance, form="0.0%", size=canvas.pt(10), span=3)
        canvas.tensor(
            self.loss, form="[<9.99995]0.0000;0.00", size=canvas.pt(12), span=3, properties={"bold": True}
        )
        number = canvas.at(top + 3, left, row=False)
        canvas.highlight(
            (top + 3, left, top + 12, left + 21), f"{number}={canvas.address(self.label_cell, 0)}"
        )

    def _draw_pools(self, canvas: Canvas) -> None:
        top, left = self.top + _GLOBAL, self.table
        canvas.title(top, left, self.label("global"))
        for key, column in (("average", 7), ("maximum", 11)):
            canvas.text(top + 2, left + column, self.label(key), 10, bold=True)
        for channel in range(2):
            canvas.text(top + 3 + channel, left, self.label("map", number=channel), 10)
        for tensor in (self.average, self.maximum):
            canvas.tensor(tensor, form="0.000", size=canvas.pt(10), span=3)
        for line, (key, note) in enumerate(zip(("count_dense", "count_global"), self.counts, strict=True)):
            canvas.text(top + 7 + line, left, self.label(key), 10)
            canvas.tensor(note, form="#,##0", size=canvas.pt(10), span=3, properties={"bold": True})

    def _draw_weights(self, canvas: Canvas) -> None:
        top = self.top + _WEIGHTS
        canvas.title(top, self.left + 1, self.label("weights"))
        for index, (row, column, _, _) in canvas.place(self.weight).planes():
            if index[1] == 0:
                canvas.text(row - 1, column, self.label("to_class", number=index[0]), 10, bold=True)
        canvas.tensor(self.weight, "signed", canvas.WEIGHT, size=7)


def pooled_maps(page: Page, state: Mapping[str, Any]) -> Tensor:
    """The cells of the page of two layers where it is there, else the numbers that they would hold."""
    for other in page.draft.pages:
        if isinstance(other, TwoLayersPage) and other.name in page.draft.built:
            shape = other.pooled.shape
            tensor = Tensor(f"{page.name}.pooled", shape, "input", operator="pooled", signed=False)
            page.copied(tensor, other.pooled)
            page.draft.graph.tensors.append(tensor)
            page.draft.graph.inputs.append(tensor)
            return tensor
    import torch

    net = ConvExample()
    net.load_state_dict(state)
    image = torch.from_numpy(page.draft.picked.images[:1].reshape(1, 1, 28, 28).copy())
    with torch.no_grad():
        pooled = TwoLayers(net.double())(image)[0]
    return page.stored("pooled", pooled.numpy(), kind="input", signed=False)
