"""simple CNN: the lesson's trained classifier live on the digit, with its sizes and its parameters counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from sheetconv.graph.expr import Aggregate, Expr, call
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Tensor, margins
from sheetconv.models import load_model
from sheetconv.pages.base import Page
from sheetconv.pages.checks import weights, whole
from sheetconv.pages.pieces import put_maps
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check

_NET = "simple-cnn"
_PANEL = 32  # first column beside the digit
_COLUMNS = {"in": 8, "out": 11, "size": 14, "grid": 17, "count": 20}  # of the table of layers
_PROBABILITIES, _FIRST, _SECOND, _FOURTH, _WEIGHTS = 15, 34, 68, 93, 106  # rows of the blocks
_CLASSES = 10
# Where the maps of each layer lie: (row, column, maps across).
_MAPS = ((_FIRST, 1, 2), (_SECOND, 1, 4), (_SECOND, 38, 4), (_FOURTH, 1, 8))
# Where the weights of each layer lie: (row, column).
_KERNELS = ((0, 1), (0, 9), (0, 29), (68, 1), (136, 1))


class SimpleCnn(Page):
    """28×28 → 4×14×14 → 8×7×7 → 16×4×4 → 16×2×2 → 10."""

    kind: ClassVar[str] = "simple-cnn"
    unit: ClassVar[int] = 24
    columns = 58
    keys: ClassVar[Mapping[str, Check]] = {"weights": weights(_NET), "hidden": whole(1, 10_000)}

    def build(self) -> None:
        """The network, the softmax of its scores, the table of layers, the counts."""
        self.left, self.top, self.side = LEFT, TOP, LEFT + _PANEL
        module, _ = load_model(_NET)
        module.load_state_dict(self.options["weights"])
        graph = self.net("", module, fuse=True)
        self.image = graph.inputs[0]
        self.reach = margins(self.draft.graph)
        put_maps(self, self.image, TOP + 3, LEFT + 2, 1, self.reach)
        self.maps = [t for t in graph.placed() if len(t.shape) == 4 and t.kind == "activation"]
        for tensor, (row, column, across) in zip(self.maps, _MAPS, strict=False):
            put_maps(self, tensor, TOP + row + 3, LEFT + column + 1, across, self.reach)
        self.kernels = [(k, b) for k, b in _pairs(graph.tensors)]
        for (kernel, bias), (row, column) in zip(self.kernels, _KERNELS, strict=True):
            at = TOP + _WEIGHTS + 4 + row
            self.put(kernel, at, LEFT + column + 2, (4, 0), (0, 4), DOWN, ACROSS)
            self.put(bias, at, LEFT + column, (4, 0))
        self._scores()
        self._table()

    def _scores(self) -> None:
        row, side = self.top + _PROBABILITIES + 3, self.side
        self.logits = self.maps[-1]
        self.put(self.logits, row, side + 3, STAY, DOWN, STAY, STAY)
        self.exps = self.apply("exponentials", "aten.softmax.int", self.logits, 1, None)
        self.probabilities = self.exps
        self.exps = next(t for t in self.draft.graph.tensors if t.name == f"{self.name}.exponentials.exp")
        self.put(self.exps, row, side + 8, STAY, DOWN, STAY, STAY)
        self.put(self.probabilities, row, side + 13, STAY, DOWN, STAY, STAY)

    def _table(self) -> None:
        """Channels and kernel sizes as the network has them; grids and counts by formulas."""
        row, side = self.top + 4, self.side
        facts = np.array([[k.state_shape[1], k.state_shape[0], k.state_shape[2]] for k, _ in self.kernels])
        self.facts = self.stored("layers", facts, kind="input")
        place = self.put(self.facts, row + 1, side + _COLUMNS["in"], DOWN, (0, 3))
        assert place.plane_axes == (0,)
        count = len(self.kernels)
        self.pixels = self.stored("grid of the image", [28], kind="input")
        self.put(self.pixels, row, side + _COLUMNS["grid"], DOWN)
        self.grids = []
        before = self.pixels
        for layer in range(count):
            grid = self._halved(layer, before)
            self.put(grid, row + 1 + layer, side + _COLUMNS["grid"], DOWN)
            self.grids.append(grid)
            before = grid
        self.counts = self.note("parameters", (count,), self._count)
        self.put(self.counts, row + 1, side + _COLUMNS["count"], DOWN)
        k = Var("k", count)
        self.total = self.note("all parameters", (1,), lambda t: Aggregate("SUM", (self.counts.at(k),), (k,)))
        self.hidden = self.stored("hidden units", [self.options["hidden"]], kind="input")
        self.mlp = self.note("parameters of the MLP", (1,), self._mlp)
        for number, tensor in enumerate((self.total, self.mlp)):
            self.put(tensor, row + count + 1 + number, side + _COLUMNS["count"], DOWN)
        self.put(self.hidden, row + count + 2, side + _COLUMNS["out"], DOWN)

    def _halved(self, layer: int, before: Tensor) -> Tensor:
        """⌊(n + 2p − k) / 2⌋ + 1 with p = (k − 1)/2: what a kernel of odd size k leaves at stride 2."""

        def formula(t: Tensor) -> Expr:
            size = self.facts.at(layer, 2)
            return call("INT", (before.at(0) + (size - 1) - size) / 2) + 1

        return self.note(f"grid {layer + 1}", (1,), formula)

    def _count(self, t: Tensor) -> Expr:
        i = t.axes[0]
        ins, outs, size = (self.facts.at(i, c) for c in range(3))
        return ins * outs * size * size + outs

    def _mlp(self, t: Tensor) -> Expr:
        pixels, hidden = self.pixels.at(0) * self.pixels.at(0), self.hidden.at(0)
        return pixels * hidden + hidden + hidden * _CLASSES + _CLASSES

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """Digit, table, probabilities and chart; the maps; the weights below what prints."""
        canvas.title(self.top, self.left + 2, self.label("digit"))
        canvas.tensor(self.image, "pixels", canvas.PIXEL, size=7)
        self._draw_table(canvas)
        self._draw_probabilities(canvas)
        for number, (tensor, (row, column, _)) in enumerate(zip(self.maps, _MAPS, strict=False), start=1):
            sizes = "×".join(map(str, tensor.shape[1:]))
            canvas.title(
                self.top + row, self.left + column + 1, self.label("layer", number=number, sizes=sizes)
            )
            canvas.tensor(tensor, "activation", canvas.MAP, size=7)
        canvas.print_to_here()
        self._draw_weights(canvas)

    def _draw_table(self, canvas: Canvas) -> None:
        row, side = self.top + 4, self.side
        canvas.title(self.top, side, self.label("layers"), self.label("formula"))
        for key, column in _COLUMNS.items():
            canvas.text(row - 1, side + column, self.label(key), 9, font_color="#52606D")
        canvas.text(row, side, self.label("image"), 10)
        for number in range(1, len(self.kernels) + 1):
            relu = "relu" if number < len(self.kernels) else "no_relu"
            canvas.text(row + number, side, self.label(relu, number=number), 10)
        canvas.tensor(self.facts, form="0", size=canvas.pt(9), span=2)
        for tensor in (self.pixels, *self.grids):
            canvas.tensor(tensor, form="0", size=canvas.pt(9), span=2, properties={"bg_color": "#DCEBF5"})
        canvas.tensor(self.counts, form="#,##0", size=canvas.pt(9), span=4)
        last = row + len(self.kernels) + 1
        canvas.text(last, side, self.label("total"), 10, bold=True)
        canvas.text(last + 1, side, self.label("mlp"), 10)
        canvas.tensor(self.hidden, form="0", size=canvas.pt(9), span=2)
        for tensor in (self.total, self.mlp):
            canvas.tensor(tensor, form="#,##0", size=canvas.pt(9), span=4, properties={"bold": True})
        ratio = f"{canvas.address(self.mlp, 0)}/{canvas.address(self.total, 0)}"
        canvas.text(last + 2, side, self.label("ratio"), 10)
        value = float(canvas.values[self.mlp][0] / canvas.values[self.total][0])
        canvas.formula(last + 2, side + _COLUMNS["count"], ratio, value, 9, span=4, num_format="0.0",
                       align="center")  # fmt: skip

    def _draw_probabilities(self, canvas: Canvas) -> None:
        top, side = self.top + _PROBABILITIES, self.side
        canvas.title(top, side, self.label("prediction"))
        for key, column in (("class", 0), ("score", 3), ("exponential", 8), ("probability", 13)):
            canvas.text(top + 2, side + column, self.label(key), 9, font_color="#52606D")
        style = canvas.style(10, bold=True, align="center", valign="vcenter")
        for number in range(_CLASSES):
            canvas.sheet.write_number(top + 3 + number, side, number, style)
        forms = {self.logits: "0.00", self.exps: "0.0000", self.probabilities: "0.0%"}
        for tensor, form in forms.items():
            canvas.tensor(tensor, form=form, size=canvas.pt(9), span=4)
        chances, classes = canvas.place(self.probabilities).box(), (top + 3, side, top + 12, side)
        best = int(canvas.values[self.probabilities].argmax())
        found = (
            f"INDEX({canvas.range(classes)},MATCH(MAX({canvas.range(chances)}),{canvas.range(chances)},0))"
        )
        canvas.text(top + 15, side, self.label("best"), 11)
        canvas.formula(
            top + 15, side + 8, found, best, 16, span=3, rows=2, bold=True, align="left", font_color="#14344F"
        )
        canvas.chart(self.label("chart"), classes, chances, (self.top + _FIRST + 2, side + 2), (23, 18))

    def _draw_weights(self, canvas: Canvas) -> None:
        top = self.top + _WEIGHTS
        canvas.title(top, self.left + 1, self.label("weights"))
        for number, ((kernel, bias), (row, column)) in enumerate(
            zip(self.kernels, _KERNELS, strict=True), start=1
        ):
            canvas.text(
                top + 2 + row, self.left + column, self.label("kernels", number=number), 10, bold=True
            )
            canvas.tensor(kernel, "signed", canvas.TENTH, size=7)
            canvas.tensor(bias, "", "0.0", size=7, properties={"bg_color": "#F1F3F5"})


def _pairs(tensors: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Kernel and bias of each convolution, in order."""
    kernels = [t for t in tensors if t.kind == "parameter" and len(t.state_shape) == 4]
    by_name = {t.name: t for t in tensors}
    for kernel in kernels:
        yield kernel, by_name[kernel.name.removesuffix("weight") + "bias"]
