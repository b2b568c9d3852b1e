"""network: a whole network with its parameters beside the layers that use them, laid out from left to right.

It shows the workbook's own network (`model` in a template, or --model), or one of those for 28×28 images beside
other pages:

    [[page]]
    kind = "network"
    name = "LeNet"
    net = "lenet5"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sheetconv.errors import SheetconvError, UsageError
from sheetconv.graph.tensor import Graph, Tensor
from sheetconv.models import load_model, shipped
from sheetconv.nets import INPUT_SHAPES
from sheetconv.pages.base import Page
from sheetconv.pages.checks import one_of, switch
from sheetconv.pages.digits import offer_images
from sheetconv.pages.epochs import choose_epochs, loss_of_epoch
from sheetconv.pages.training import add_training, draw_control
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.layout import (
    FIRST_SHELF,
    NAME_SIZE,
    TEXT_SIZE,
    TITLE_ROWS,
    Band,
    arrange,
    defined_name,
    named_by,
)
from sheetconv.sheet.settings import Check
from sheetconv.sheet.style import ACTIVATION, HEADING, NEGATIVE, PADDING, POSITIVE
from sheetconv.xlsx.address import area, quoted

MAX_NAMES = 4000
_TITLES = (44, 32, 32)  # pixels of the rows with a layer's name, operator and shape
_LINKS = 560  # pixels of the screen that the links take before the choice of an image
_ASIDE = 24  # columns from the choice of an image to that of an epoch
_SHORT = {"running_mean": "mean", "running_var": "variance"}


def _weights(value: Any) -> Any:
    """The name of weights that come with sheetconv, or nothing for random ones."""
    if not isinstance(value, str):
        raise ValueError(f"must be the name of weights, not {value!r:.40}")
    try:
        return shipped(value) if value else None
    except SheetconvError as error:
        raise ValueError(f"names no weights: {error}") from error


class NetworkPage(Page):
    """A network captured whole; the workbook's own keeps its layers' names, others have the page's in front."""

    kind: ClassVar[str] = "network"
    unit: ClassVar[int] = 28
    smallest: ClassVar[float] = 0.3
    keys: ClassVar[Mapping[str, Check]] = {
        "net": one_of(*(name for name, shape in INPUT_SHAPES.items() if shape == (1, 28, 28))),
        "weights": _weights,
        "fuse_relu": switch,
    }

    def words(self) -> dict[str, Any]:
        """What the network is, and where its image comes from."""
        return {**super().words(), "operators": len(self.layout.bands)}

    def build(self) -> None:
        """Lay the network out below the page's heading, with the choice of the image above it."""
        self.choice = offer_images(self)
        self.network = self._network()
        breaks = self.training.breaks if self.training is not None else ()
        self.layout = arrange(self.network, self.name, breaks)
        self.layout.move(TOP - FIRST_SHELF, LEFT - 1)
        self.draft.places |= self.layout.places
        self.columns = max(24, self.layout.columns - LEFT)
        if self.choice is not None:
            self.put(self.choice, 1, LEFT + round(_LINKS / (self.unit * self.zoom)), (0, 1))
        if self.epoch is not None:
            self.put(self.epoch, 1, LEFT + round(_LINKS / (self.unit * self.zoom)) + _ASIDE, (0, 1))
        for top in {band.row for band in self.layout.bands}:
            self.tall |= {top + i: pixels * self.zoom for i, pixels in enumerate(_TITLES)}

    def _network(self) -> Graph:
        fuse, own = self.options.get("fuse_relu", False), self.draft.network
        self.training, self.epoch = None, None
        if "net" not in self.options and own is not None:
            if self.draft.gradients:
                self.training = add_training(self, own, self.draft.label)
            self.epoch = choose_epochs(self, own)
            if self.draft.images is not None and self.choice is not None:
                self.choice.name, self.draft.images.name = "pick", "images"
            return self.taken(own, "", bare=True, fuse=fuse)
        module, _ = load_model(self.options.get("net", "conv-example"), self.options.get("weights"))
        if self.draft.picked.images.shape[-2:] != (28, 28):
            raise UsageError(f"page {self.name}: its network takes images of 28×28")
        return self.net("", module, fuse=fuse)

    def draw(self, canvas: Canvas) -> None:
        """All layers with their titles, the legend, the choice, and names for the planes."""
        for band in self.layout.bands:
            for tensor in [*band.parameters, band.tensor]:
                if self.training is None or not draw_control(canvas, self.training, tensor):
                    canvas.tensor(tensor, self._scale(tensor), size=7)
                self._tile_titles(canvas, tensor, band.row)
            self._band_titles(canvas, band)
        self._legend(canvas)
        self._names(canvas)
        if self.choice is not None:
            self._choice(canvas, self.choice)
        if self.epoch is not None:
            self._epoch(canvas, self.epoch)
        if len({band.row for band in self.layout.bands}) == 1:  # else only links and choice stay in sight
            canvas.sheet.freeze_panes(TOP + TITLE_ROWS, 0)
        canvas.grow(self.layout.rows)

    def _scale(self, tensor: Tensor) -> str:
        """The colours of a tensor's cells; one number alone has none."""
        if tensor.kind == "input":
            pixels = len(tensor.shape) == 4 and tensor.shape[1] == 1 and not tensor.signed
            return "pixels" if pixels else "signed"
        if tensor.size == 1:
            return ""
        return "signed" if tensor.kind == "parameter" or tensor.signed else "activation"

    def _choice(self, canvas: Canvas, choice: Tensor) -> None:
        place = self.draft.places[choice]
        canvas.choice(choice, range(1, len(self.draft.picked.captions) + 1))
        label = {
            "bold": True,
            "align": "right",
            "valign": "vcenter",
            "font_color": HEADING,
            "bg_color": canvas.BAND,
        }
        canvas.sheet.write_string(1, place.column - 1, self.label("choose"), canvas.style(12, **label))
        canvas.captions(1, place.column + 3, choice, bg_color=canvas.BAND)

    def _epoch(self, canvas: Canvas, epoch: Tensor) -> None:
        place = self.draft.places[epoch]
        canvas.choice(epoch, range(1, int(canvas.values[epoch][0]) + 1))
        look = {
            "bold": True,
            "align": "right",
            "valign": "vcenter",
            "font_color": HEADING,
            "bg_color": canvas.BAND,
        }
        canvas.sheet.write_string(1, place.column - 1, self.label("epoch"), canvas.style(12, **look))
        found = loss_of_epoch(canvas, epoch)
        if found is not None:
            column, formula, value = place.column + 4, *found
            canvas.sheet.write_string(1, column, self.label("epoch_loss"), canvas.style(12, **look))
            shown: dict[str, Any] = {"bg_color": canvas.BAND, "align": "left", "num_format": "0.0000"}
            canvas.formula(1, column + 1, formula, value, 12, 3, **shown)

    def _band_titles(self, canvas: Canvas, band: Band) -> None:
        tensor, text, write = band.tensor, canvas.styles.text, canvas.sheet.write_string
        column = self.draft.places[tensor].column
        name = tensor.name.removeprefix(f"{self.name}.")
        write(band.row, column, name, text(NAME_SIZE, bold=True, font_color=HEADING))
        write(band.row + 1, column, tensor.operator, text(TEXT_SIZE))
        write(band.row + 2, column, sizes(tensor.shape[1:] or tensor.shape), text(TEXT_SIZE))
        for parameter in band.parameters:
            place = self.draft.places[parameter]
            name = parameter.name.rpartition(".")[2]
            name = _SHORT.get(name, name)  # two cells of room
            write(band.row + 1, place.column, name[:30], text(10, italic=True))
            if place.width > 2:
                write(band.row + 2, place.column, sizes(parameter.state_shape), text(10))

    def _tile_titles(self, canvas: Canvas, tensor: Tensor, top: int) -> None:
        place = self.draft.places[tensor]
        style = canvas.styles.text(9, font_color="#52606D")
        planes = place.planes()
        if len(planes) < 2 or tensor.placement == "channel":
            return
        for index, (r0, c0, _, c1) in planes:
            row = r0 - place.margin[0] - 1
            if row < top + TITLE_ROWS:
                continue
            if tensor.kind == "parameter":
                text = ",".join(map(str, index))
            else:
                text = self.label("channel", number=index[-1]) if c1 - c0 >= 2 else str(index[-1])
            canvas.sheet.write_string(row, c0, text, style)

    def _names(self, canvas: Canvas) -> None:
        made = 0
        for tensor, place in self.layout.places.items():
            planes = place.planes()
            owner = tensor.partner if tensor.placement == "like" and tensor.partner is not None else tensor
            if owner.placement == "channel" and len(planes) > 1:
                continue
            for index, box in planes[: MAX_NAMES - made]:
                target = f"={quoted(place.sheet)}!{area(*box, absolute=True)}"
                canvas.book.define_name(defined_name(tensor.name, named_by(tensor, index)), target)
                made += 1

    def _legend(self, canvas: Canvas) -> None:
        dark = {"font_color": "#FFFFFF"}
        looks = {"pixel": ("#444444", dark), "activation": (ACTIVATION, {}), "positive": (POSITIVE, {}),
                 "negative": (NEGATIVE, {}), "padding": (PADDING, {})}  # fmt: skip
        row = canvas.free
        for key, (fill, more) in looks.items():
            if key != "pixel" or any(self._scale(t) == "pixels" for t in self.network.inputs):
                row = canvas.paragraph(
                    row, self.label(key), bg_color=fill, indent=1, valign="vcenter", **more
                )


def sizes(shape: tuple[int, ...]) -> str:
    """A shape as people write it, without the batch axis: 2×26×26."""
    return "×".join(map(str, shape)) if shape else "1"
