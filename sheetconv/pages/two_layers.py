"""Two layers: the network of the lesson's spreadsheet on the digit, with both ways of pooling side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from sheetconv.graph.tensor import Tensor
from sheetconv.nets import ConvExample
from sheetconv.pages.base import Page
from sheetconv.pages.checks import kernels, weights, whole
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check

_PANEL = 32
_FIRST, _SECOND, _POOLS = 34, 65, 94  # rows of the maps


class TwoLayers(nn.Module):
    """The convolutional part of the lesson's network; (N, 1, 28, 28) to two times (N, 2, 12, 12)."""

    def __init__(self, net: ConvExample) -> None:
        super().__init__()
        self.conv1, self.relu1, self.conv2, self.relu2 = net.conv1, net.relu1, net.conv2, net.relu2
        self.maxpool, self.avgpool = nn.MaxPool2d(2), nn.AvgPool2d(2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The largest and the mean of each 2×2 area of the second layer's maps."""
        x = self.relu2(self.conv2(self.relu1(self.conv1(x))))
        return self.maxpool(x), self.avgpool(x)


class TwoLayersPage(Page):
    """Digit → 2×26×26 → 2×24×24 → 2×12×12, max and average."""

    kind: ClassVar[str] = "two-layers"
    unit: ClassVar[int] = 24
    columns = 59
    keys: ClassVar[Mapping[str, Check]] = {
        "kernels": kernels(2, 3),
        "weights": weights("conv-example"),
        "row": whole(0, 11),
        "column": whole(0, 11),
    }

    def build(self) -> None:
        """The network with its kernels beside the digit and its maps below."""
        self.left, self.top, self.side = LEFT, TOP, LEFT + _PANEL
        net = ConvExample()
        net.load_state_dict(self.options["weights"])
        with torch.no_grad():
            first = torch.tensor([[k["weights"].tolist()] for k in self.options["kernels"]])
            net.conv1.weight.copy_(first)
        graph = self.net("", TwoLayers(net), fuse=True)
        self.image = graph.inputs[0]
        self.made_of = made = {t.name.partition(".")[2]: t for t in graph}
        self.put(self.image, TOP + 2, LEFT + 1, STAY, STAY, DOWN, ACROSS)
        side = self.side
        self.put(made["conv1.weight"], TOP + 3, side, (0, 5), STAY, DOWN, ACROSS)
        self.put(made["conv1.bias"], TOP + 7, side + 1, (0, 5))
        self.put(made["conv2.weight"], TOP + 12, side + 4, (4, 0), (0, 5), DOWN, ACROSS)
        self.put(made["conv2.bias"], TOP + 13, side + 14, (4, 0))
        self.maps = [
            (made["relu1"], _FIRST, (0, 28)), (made["relu2"], _SECOND, (0, 28)),
            (made["maxpool"], _POOLS, (0, 14)), (made["avgpool"], _POOLS, (0, 14)),
        ]  # fmt: skip
        for number, (tensor, row, step) in enumerate(self.maps):
            column = LEFT + 1 + 29 * (number == 3)
            self.put(tensor, TOP + row + 2, column, STAY, step, DOWN, ACROSS)
        self.pooled = made["maxpool"]
        self.picks = []
        for axis, column in (("row", 5), ("column", 13)):
            pick = self.stored(axis, [self.options[axis]], kind="input")
            self.put(pick, TOP + 25, side + column, DOWN)
            self.picks.append(pick)

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """Digit, weights, maps; one pooled cell and all that it sees is lit up."""
        canvas.title(self.top, self.left + 1, self.label("digit"))
        self._axes(canvas, self.image)
        self._light(canvas, self.image, 2, 6)
        canvas.tensor(self.image, "pixels", canvas.PIXEL, size=8)
        self._first_weights(canvas)
        self._second_weights(canvas)
        self._choice(canvas)
        keys = ("first", "second", "max", "average")
        for (tensor, _, _), key, window in zip(
            self.maps, keys, ((2, 4), (2, 2), (1, 1), (1, 1)), strict=True
        ):
            place = canvas.place(tensor)
            canvas.title(place.row - 2, place.column, self.label(key))
            self._axes(canvas, tensor)
            self._light(canvas, tensor, *window)
            canvas.tensor(tensor, "activation", canvas.MAP, size=7)

    def _axes(self, canvas: Canvas, tensor: Tensor) -> None:
        for _, (row, column, last_row, last_column) in canvas.place(tensor).planes():
            canvas.axis(row - 1, column, last_column - column + 1)
            canvas.axis(row, column - 1, last_row - row + 1, down=True)

    def _light(self, canvas: Canvas, tensor: Tensor, step: int, size: int) -> None:
        """Frame the cells that the chosen pooled cell sees: from `step` times its place on, `size` a side."""
        from sheetconv.pages.pieces import inside

        start = [f"{canvas.address(pick, 0)}*{step}" for pick in self.picks]
        for _, box in canvas.place(tensor).planes():
            canvas.ring(
                box,
                inside(canvas, box[:2], (box[1] - 1, box[0] - 1), start, (size, size)),
                pixels=tensor is self.image,
            )

    def _first_weights(self, canvas: Canvas) -> None:
        top, side, made = self.top, self.side, self.made_of
        canvas.title(top, side, self.label("first_weights"))
        for number, kernel in enumerate(self.options["kernels"]):
            canvas.text(top + 2, side + 5 * number, kernel["name"], 10)
        canvas.tensor(made["conv1.weight"], "signed", "General", size=9)
        canvas.tensor(made["conv1.bias"], form="0.0#", size=9)
        canvas.text(top + 7, side + 10, self.label("bias"), 10, font_color="#52606D")
        canvas.text(top + 8, side, self._formula(canvas, "relu1"), 10, font_color="#52606D")

    def _second_weights(self, canvas: Canvas) -> None:
        top, side, made = self.top + 10, self.side, self.made_of
        canvas.title(top, side, self.label("second_weights"))
        for channel in range(2):
            canvas.text(top + 1, side + 4 + 5 * channel, self.label("from", channel=channel), 9)
            canvas.text(top + 3 + 4 * channel, side, self.label("to", channel=channel), 9)
        canvas.text(top + 1, side + 14, self.label("bias"), 9)
        canvas.tensor(made["conv2.weight"], "signed", "0.0", size=8)
        canvas.tensor(made["conv2.bias"], form="0.0", size=8)
        canvas.text(top + 3, side + 16, self.label("rank"), 10, (6, 10), font_color="#52606D")
        canvas.text(top + 10, side, self._formula(canvas, "relu2"), 10, (2, 26), font_color="#52606D")

    def _formula(self, canvas: Canvas, name: str) -> str:
        """The formula of a map's first cell, as text."""
        return "=" + canvas.printer.formulas(self.made_of[name])[0]

    def _choice(self, canvas: Canvas) -> None:
        top, side = self.top + 24, self.side
        canvas.title(top, side, self.label("pooled"))
        for key, pick, column in zip(("row", "column"), self.picks, (0, 8), strict=True):
            canvas.text(top + 1, side + column, self.label(key))
            canvas.choice(pick, range(12))
        for number, name in enumerate(("maxpool", "avgpool")):
            canvas.text(top + 3 + number, side, self._formula(canvas, name), 10, font_color="#52606D")
        canvas.text(top + 5, side, self.label("sees"), 10, (3, 26), font_color="#52606D")
