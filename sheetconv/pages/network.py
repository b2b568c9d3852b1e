"""network: any of the networks for 28×28 images on the workbook's digit, laid out from left to right.

It is no page of the lesson, but may be added to a template of one's own:

    [[page]]
    kind = "network"
    name = "LeNet"
    net = "lenet5"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sheetconv.models import load_model, shipped
from sheetconv.nets import INPUT_SHAPES
from sheetconv.pages.base import Page
from sheetconv.pages.checks import one_of, switch
from sheetconv.sheet.layout import arrange
from sheetconv.sheet.network import NetworkSheet
from sheetconv.template import Check

if TYPE_CHECKING:
    from sheetconv.sheet.canvas import Canvas


def _weights(value: Any) -> Any:
    """The name of weights that come with sheetconv, or nothing for random ones."""
    from sheetconv.errors import SheetconvError

    if not isinstance(value, str):
        raise ValueError(f"must be the name of weights, not {value!r:.40}")
    try:
        return shipped(value) if value else None
    except SheetconvError as error:
        raise ValueError(f"names no weights: {error}") from error


class NetworkPage(Page):
    """A network captured whole, with its parameters beside the layers that use them."""

    kind: ClassVar[str] = "network"
    unit: ClassVar[int] = 28
    keys: ClassVar[Mapping[str, Check]] = {
        "net": one_of(*(name for name, shape in INPUT_SHAPES.items() if shape == (1, 28, 28))),
        "weights": _weights,
        "fuse_relu": switch,
    }

    def build(self) -> None:
        """Capture the network on the digit and lay it out below the page's heading."""
        from sheetconv.sheet.canvas import LEFT, TOP

        module, _ = load_model(self.options.get("net", "conv-example"), self.options.get("weights"))
        self.network = self.net("", module, fuse=self.options.get("fuse_relu", False))
        self.layout = arrange(self.network, self.name)
        self.layout.move(TOP - 2, LEFT - 1)
        self.draft.places |= self.layout.places
        self.columns = self.layout.columns - LEFT

    def draw(self, canvas: Canvas) -> None:
        """All layers with their titles."""
        drawn = NetworkSheet(
            canvas.book, canvas.styles, self.network, self.layout, self.draft.places, canvas.values,
            "", self.name, True, canvas.sheet,
        )  # fmt: skip
        drawn.bands()
        canvas.grow(self.layout.rows)
