"""Autoencoder: an image through a code of 128 numbers and back, the squared error, and a code that may be changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from sheetconv.data.pick import Picked, pick
from sheetconv.errors import DataError
from sheetconv.graph.tensor import Operation, Tensor, margins
from sheetconv.nets import autoencoder
from sheetconv.pages.base import Page
from sheetconv.pages.checks import dataset, weights, whole
from sheetconv.pages.pieces import put_maps
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check

_NET = "autoencoder"
_BIG, _ENCODE, _DECODE, _LAST = 0, 34, 80, 124  # first rows of the four bands
_PANEL = 97  # column of the error and of the small example
# Where the maps of each layer lie: (first row of the band, row in it, column, maps across, columns of the title).
_MAPS = {
    "relu1": (_ENCODE, 4, 2, 1, 22), "relu2": (_ENCODE, 4, 25, 2, 24), "relu3": (_ENCODE, 4, 50, 4, 25),
    "upsample1": (_DECODE, 4, 2, 2, 24), "relu4": (_DECODE, 4, 27, 2, 21), "upsample2": (_DECODE, 4, 49, 2, 38),
    "relu5": (_DECODE, 4, 89, 1, 24), "upsample3": (_LAST, 4, 2, 1, 38), "conv6": (_LAST, 4, 41, 1, 36),
    "pad2": (_LAST, 4, 78, 1, 34), "pad1": (_LAST, 42, 41, 1, 34),
}  # fmt: skip
# Where the kernels of each convolution lie: (first row, column, whether its outputs stand side by side).
_KERNELS = {
    "encoder.1.0": (_ENCODE + 14, 50, True), "encoder.2.0": (_ENCODE + 14, 60, True),
    "encoder.3.0": (_ENCODE + 25, 25, True), "decoder.4.1": (_LAST + 42, 78, False),
    "decoder.5.1": (_LAST + 62, 78, False), "decoder.6.1": (_LAST + 62, 98, False),
}  # fmt: skip
_ADDED, _CODE, _CODE_COLUMN = _ENCODE + 4, _ENCODE + 26, 76  # the two large blocks of the code
MUTED = "#52606D"


class Adjustable(nn.Module):
    """An autoencoder whose code takes what is added to it: (1, 1, 28, 28) to the same."""

    def __init__(self, net: nn.Sequential, code: int = 4) -> None:
        super().__init__()
        self.encoder, self.decoder = net[:code], net[code:]
        self.added = nn.Parameter(torch.zeros(1, 8, 4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The reconstruction, in 0…1."""
        found: torch.Tensor = self.decoder(self.encoder(x) + self.added)
        return found


class Autoencoder(Page):
    """Zero-pad, three convolutions, the code, three times upsample and convolve, crop, sigmoid."""

    kind: ClassVar[str] = "autoencoder"
    unit: ClassVar[int] = 14
    columns = 114
    keys: ClassVar[Mapping[str, Check]] = {
        "garments": dataset,
        "index": whole(0, 10**6),
        "weights": weights(_NET),
        "digit_weights": weights(_NET),
    }

    def words(self) -> dict[str, Any]:
        """Which image it is, and how many parameters the network has."""
        found = self.garment or self.draft.picked
        count = sum(t.size for n, t in self.made_of.items() if t.kind == "parameter" and n != "added")
        return {"image": found.captions[0], "source": found.source, "parameters": f"{count:,}"}

    def build(self) -> None:
        """The network on a garment, or on the workbook's digit; the squared errors and their mean; the example."""
        self.left, self.top = LEFT, TOP
        self.garment = self._garment()
        net = autoencoder()
        net.load_state_dict(self.options["weights" if self.garment else "digit_weights"])
        assert isinstance(net, nn.Sequential)
        graph = self.net("", Adjustable(net), fuse=True)
        self.made_of = {t.name.removeprefix(f"{self.name}."): t for t in graph}
        self.image, self.result = graph.inputs[0], self.made_of["sigmoid1"]
        if self.garment is not None:
            self.image.expr = self.image.operation = None
            self.draft.stored[self.image] = self.garment.images[:1].reshape(self.image.shape)
        self._errors()
        self._place()
        self._example()
        self.breaks = [self.top + _DECODE]

    def _garment(self) -> Picked | None:
        """An image of the garments where they are at hand: nothing is downloaded for this page."""
        from sheetconv.data.hub import cached_splits
        from sheetconv.data.sources import DATASETS

        name = self.options["garments"]
        if not name or (name in DATASETS and not cached_splits(DATASETS[name])):
            return None
        try:
            found = pick(name, "test", self.options["index"], others=0)
        except DataError:
            return None
        return found if found.images.shape[1:] == (28, 28) else None

    def _errors(self) -> None:
        difference = Operation("aten.sub.Tensor", (self.result, self.image))

        def squared(t: Tensor) -> Any:
            gap = self.result.at(*t.axes) - self.image.at(*t.axes)
            return gap * gap

        self.errors = self.made("squared error", self.image.shape, squared,
                                Operation("aten.mul.Tensor", (difference, difference)), signed=False)  # fmt: skip
        self.mean = self.apply("mean squared error", "aten.mean.dim", self.errors, [1, 2, 3], False)

    def _place(self) -> None:
        top, left = self.top, self.left
        for i, tensor in enumerate((self.image, self.result, self.errors)):
            self.put(tensor, top + _BIG + 3, left + 1 + 32 * i, STAY, STAY, DOWN, ACROSS)
        self.put(self.mean, top + _BIG + 6, left + _PANEL, DOWN)
        reach = margins(self.draft.graph)
        for name, (band, row, column, across, _) in _MAPS.items():
            put_maps(self, self.made_of[name], top + band + row, left + column, across, reach, gap=1)
        self.added, self.code = self.made_of["added"], self.made_of["join1"]
        for tensor, row in ((self.added, _ADDED), (self.code, _CODE)):
            n, step = np.arange(8), np.arange(4)
            place = self.put(tensor, top + row, left + _CODE_COLUMN, STAY, STAY, (2, 0), (0, 2))
            place.rows[1], place.columns[1] = n // 4 * 9, n % 4 * 9
            place.rows[2], place.columns[3] = step * 2, step * 2
            place.plane_axes = (2, 3)
        for name, (row, column, beside) in _KERNELS.items():
            weight, bias = self.made_of[f"{name}.weight"], self.made_of[f"{name}.bias"]
            outputs, inputs = ((0, 4), (4, 0)) if beside else ((4, 0), (0, 4))
            self.put(weight, top + row + 2, left + column, outputs, inputs, DOWN, ACROSS)
            at = (weight.shape[1] * 4, 0) if beside else (0, weight.shape[1] * 4)
            self.put(bias, top + row + 2 + at[0], left + column + at[1], outputs)

    def _example(self) -> None:
        """Nearest-neighbour upsampling, once in small."""
        row, column = self.top + _BIG + 13, self.left + _PANEL
        self.small = self.stored("small", [[[[1, 2], [3, 4]]]], kind="input")
        self.large = self.apply(
            "small upsampled", "aten.upsample_nearest2d.vec", self.small, None, [2.0, 2.0]
        )
        self.put(self.small, row + 4, column, STAY, STAY, (2, 0), (0, 2))
        self.put(self.large, row + 4, column + 7, STAY, STAY, (2, 0), (0, 2))

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """The image and what comes back, the encoder, the code, the decoder, the kernels."""
        top, left = self.top, self.left
        for i, (key, tensor, scale) in enumerate(
            (
                ("image", self.image, "pixels"),
                ("result", self.result, "pixels"),
                ("errors", self.errors, "activation"),
            )
        ):
            self._title(canvas, top + _BIG, left + 1 + 32 * i, self.label(key), 28)
            canvas.tensor(tensor, scale, ";;;")
        self._panel(canvas)
        for name, (band, _, column, _, width) in _MAPS.items():
            row = canvas.place(self.made_of[name]).row - 4
            sizes = "×".join(map(str, self.made_of[name].shape[1:]))
            self._title(canvas, max(row, top + band), left + column, self.label(name, sizes=sizes), width)
            signed = name in ("conv6", "pad2")
            scale = "pixels" if name == "pad1" else "signed" if signed else "activation"
            canvas.tensor(self.made_of[name], scale, ";;;")
        for band, key in ((_DECODE, "decoder"), (_LAST, "end")):
            canvas.paragraph(top + band, self.label(key))
        self._draw_code(canvas)
        for name, (row, column, _) in _KERNELS.items():
            number = list(_KERNELS).index(name) + 1
            canvas.text(top + row, left + column, self.label("kernels", number=number), 10, (2, 9), text_wrap=False,
                        valign="vcenter")  # fmt: skip
            canvas.tensor(self.made_of[f"{name}.weight"], "signed", canvas.TINY, size=4.5)
            canvas.tensor(self.made_of[f"{name}.bias"], "signed", canvas.TINY, size=4.5)

    def _title(self, canvas: Canvas, row: int, column: int, text: str, width: int) -> None:
        look: dict[str, Any] = {
            "bold": True,
            "font_color": "#14344F",
            "valign": "vcenter",
            "text_wrap": False,
        }
        canvas.text(row, column, text, 11, (2, width), **look)

    def _panel(self, canvas: Canvas) -> None:
        row, column = self.top + _BIG, self.left + _PANEL
        canvas.text(
            row + 3, column, self.label("mean"), 11, (2, 17), bold=True, valign="vcenter", text_wrap=False
        )
        canvas.tensor(
            self.mean,
            form="0.0000",
            size=canvas.pt(14),
            span=(2, 9),
            properties={"bold": True, "bg_color": "#DCEBF5"},
        )
        canvas.text(
            row + 13,
            column,
            self.label("upsampling"),
            11,
            (2, 17),
            bold=True,
            valign="vcenter",
            text_wrap=False,
        )
        for tensor in (self.small, self.large):
            canvas.tensor(tensor, form="0", size=canvas.pt(9), span=(2, 2))
        for value, fill in zip((1, 2, 3, 4), ("#FFC9C9", "#A5D8FF", "#B2F2BB", "#D0BFFF"), strict=True):
            for y in range(2):
                for x in range(2):
                    r, c = 2 * ((value - 1) // 2) + y, 2 * ((value - 1) % 2) + x
                    self._tint(canvas, self.large, (0, 0, r, c), fill)
            self._tint(canvas, self.small, (0, 0, (value - 1) // 2, (value - 1) % 2), fill)

    def _tint(
        self, canvas: Canvas, tensor: Tensor, index: tuple[int, ...], fill: str, condition: str = "TRUE"
    ) -> None:
        """Fill a merged cell of 2×2."""
        place = canvas.place(tensor)
        rows, columns = np.broadcast_arrays(*place.cells())
        r, c = int(rows[index]), int(columns[index])
        canvas.highlight((r, c, r + 1, c + 1), condition, bg_color=fill)

    def _draw_code(self, canvas: Canvas) -> None:
        top, left = self.top, self.left + _CODE_COLUMN
        self._title(canvas, top + _ADDED - 4, left, self.label("added"), 36)
        self._title(canvas, top + _CODE - 4, left, self.label("code"), 36)
        canvas.tensor(self.added, "", canvas.TENTH, size=8, span=(2, 2), properties={"bg_color": "#FFF3BF"})
        canvas.tensor(self.code, "", canvas.TENTH, size=8, span=(2, 2))
        # a colour scale over merged cells is drawn in part, so each cell has its own two steps
        r0, c0, r1, c1 = canvas.place(self.code).box()
        largest = f"MAX({canvas.range((r0, c0, r1 + 1, c1 + 1))})"
        for index in np.ndindex(*self.code.shape):
            own = canvas.address(self.code, *index)
            self._tint(canvas, self.code, index, "#3FA7CC", f"{own}>{largest}*2/3")
            self._tint(canvas, self.code, index, "#BFE0EE", f"{own}>{largest}/3")
