"""One network of the receptive-field page: its tensors, and where their cells lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sheetconv.graph.expr import Aggregate, Expr
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Tensor
from sheetconv.pages.base import Page
from sheetconv.pages.chain import Chain, Layer, always, layers_of, spatial
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT
from sheetconv.sheet.layout import Place

if TYPE_CHECKING:
    from sheetconv.graph.tensor import Graph

TABLE = 40  # column of the table of layers, counted from the first of the content
NAME, FIELD = 12, 7  # columns that a layer's name and a number take there
LABEL, CELL, USED = (
    13,
    5,
    29,
)  # columns of a label, of a number beside it, and where a second number stands
TEXT_ROWS = 10  # rows above the grids: title, choice, table
HEAD = 6  # rows of a grid's name, size, channel (2), column numbers and column paths
EDGE = 2  # columns of row numbers and row paths at the left of a grid
GAP = 2  # columns between grids
NEXT = 3  # rows between the planes of two channels: a gap and the channel's name
STRIP = 4  # channels in a row, where they have cells of their own
CHAINS = 4  # columns of the number of paths through a channel
PLANES = 2  # channels up to which every plane is shown


class Section:
    """One network on the page: its live grids where they are few, else the grids of paths."""

    def __init__(self, page: Page, number: int, settings: Mapping[str, Any], row: int) -> None:
        from sheetconv.nets import INPUT_SHAPES, seeded

        self.page, self.settings, self.row, self.prefix = page, settings, row, f"net {number + 1}"
        network = seeded(settings["model"])
        if settings["weights"] is not None:
            network.load_state_dict(settings["weights"])
        module = spatial(network)
        self.layers = layers_of(module, INPUT_SHAPES[settings["model"]])
        self.live = max(v.channels for v in self.layers) <= PLANES
        self.chain = Chain(page, self.prefix, self.layers, self._unit())
        self.top = row + TEXT_ROWS + HEAD  # first row of all planes
        self.heat = self.chain.paths(0)
        self.shown = self._maps(module) if self.live else self._grids()
        self.seen = {axis: self.chain.seen(axis) for axis in ("row", "column")}
        self._notes()
        self._place()

    # --- tensors ---------------------------------------------------------------------------------------

    def _unit(self) -> list[int]:
        """The unit to start with, within the network."""
        layer = min(max(1, int(self.settings["unit"][0])), len(self.layers) - 1)
        chosen = self.layers[layer]
        limits = (chosen.channels, chosen.size, chosen.size)
        rest = [min(max(0, int(u)), n - 1) for u, n in zip(self.settings["unit"][1:], limits, strict=True)]
        return [layer, *rest]

    def _maps(self, module: Any) -> list[Tensor]:
        """The live activations of each grid, after their ReLU."""
        graph: Graph = self.page.net(self.prefix, module, fuse=True)
        found = [graph.inputs[0]]
        for layer in self.layers[1:]:
            size = (1, layer.channels, layer.size, layer.size)
            found.append(
                [t for t in graph.tensors if t.kind == "activation" and not t.view and t.shape == size][-1]
            )
        self.graph = graph
        return found

    def _grids(self) -> list[Tensor]:
        """The digit, and the paths from each cell of each grid."""
        digit = self.page.digit(f"{self.prefix} digit")
        return [digit, *(self.chain.paths(i) for i in range(1, len(self.layers)))]

    def _notes(self) -> None:
        chain, page = self.chain, self.page
        factors = (chain.rows, chain.columns, chain.channels)
        self.most = []
        self.largest = []
        for i, shown in enumerate(self.shown):
            most = _product(_largest(f[i]) for f in factors)
            self.most.append(page.note(f"{self.prefix} most paths {i}", (1,), always(most)))
            self.largest.append(page.note(f"{self.prefix} largest {i}", (1,), always(_largest(shown))))
        (a, b), (c, d) = self.seen["row"], self.seen["column"]
        self.pixels = page.note(
            f"{self.prefix} pixels", (1,), lambda t: (b.at(0) - a.at(0) + 1) * (d.at(0) - c.at(0) + 1)
        )

    # --- places ----------------------------------------------------------------------------------------

    def _place(self) -> None:
        chain, put, row = self.chain, self.page.put, self.row
        for i, name in enumerate(("layer", "channel", "row", "column")):
            put(getattr(chain.choice, name), row + 1 + i, LEFT + LABEL, DOWN)
            if name != "layer":
                put(chain.choice.used[name], row + 1 + i, LEFT + USED, DOWN)
        for i, pair in enumerate(self.seen.values()):
            for j, note in enumerate(pair):
                put(note, row + 5 + i, LEFT + LABEL + j * 2 * CELL, DOWN)
        put(self.pixels, row + 7, LEFT + LABEL, DOWN)
        self._place_table()
        column = LEFT
        self.columns: list[int] = []
        for i, layer in enumerate(self.layers):
            self.columns.append(column)
            self._place_grid(i, column)
            column += EDGE + max(layer.size, self._least(layer)) + GAP
        self._place_heat()
        if self.live:
            self._place_parameters()

    def _least(self, layer: Layer) -> int:
        """Columns that a small grid's name and channels need."""
        return 4 if self.live else 8

    def _stored(self) -> tuple[Tensor, ...]:
        chain = self.chain
        return chain.depths, chain.sizes, chain.kernels, chain.strides, chain.paddings

    def _place_table(self) -> None:
        chain, put = self.chain, self.page.put
        first = LEFT + TABLE + NAME
        for i, stored in enumerate(self._stored()):
            put(stored, self.row + 2 + (i > 1), first + i * FIELD, DOWN)
        for i, key in enumerate(("size", "jump", "start")):
            for number, note in enumerate(chain.field[key]):
                put(note, self.row + 2 + number, first + (5 + i) * FIELD, DOWN)
        for number, note in enumerate(self.most):
            put(note, self.row + 2 + number, first + 8 * FIELD, DOWN)

    def _planes(self, number: int) -> bool:
        """Whether a layer shows its own numbers, a plane for each channel; else one grid of paths stands for all."""
        return self.live or number == 0

    def _place_grid(self, number: int, column: int) -> None:
        chain, layer, put, top = self.chain, self.layers[number], self.page.put, self.top
        first = column + EDGE
        pitch = layer.size + NEXT
        put(chain.number["row"][number], top, column, STAY, STAY, DOWN, STAY)
        put(chain.rows[number], top, column + 1, STAY, STAY, DOWN, STAY)
        put(chain.number["column"][number], top - 2, first, STAY, STAY, STAY, ACROSS)
        put(chain.columns[number], top - 1, first, STAY, STAY, STAY, ACROSS)
        put(self.shown[number], top, first, STAY, (pitch, 0), DOWN, ACROSS)
        put(self.largest[number], top - HEAD + 1, first + max(layer.size, self._least(layer)) - 3, DOWN)
        channels = chain.channels[number]
        c = np.arange(layer.channels)
        zero = c[:1]
        if self._planes(number):
            # the first plane's name stands above the column numbers
            rows, columns = c * pitch + 2 * (c > 0), 0 * c
            row, column = top - 4, first + max(layer.size, 12) - CHAINS
        else:
            rows, columns = c // STRIP, c % STRIP
            row, column = top + layer.size + 3, first
        self.page.draft.places[channels] = Place(
            self.page.name, channels, [zero, rows, zero, zero], [zero, columns, zero, zero], row=row,
            column=column, plane_axes=(1,),
        )  # fmt: skip

    def _place_heat(self) -> None:
        self.heat_top = self.top + self.layers[0].size + NEXT
        self.page.put(self.heat, self.heat_top, LEFT + EDGE, STAY, STAY, DOWN, ACROSS)

    def _place_parameters(self) -> None:
        """The kernels and biases under the last, small grid."""
        last = self.layers[-1]
        row = self.top + last.channels * (last.size + NEXT)
        self.kernels: list[tuple[int, Tensor, Tensor | None]] = []
        stored = [t for t in self.graph.tensors if t.kind == "parameter"]
        for weight in (t for t in stored if len(t.shape) == 4):
            bias = next((t for t in stored if t.name == weight.name.replace("weight", "bias")), None)
            outputs, _, height, width = weight.shape
            self.page.put(
                weight, row + 2, self.columns[-1] + EDGE, (height + 1, 0), (0, width + 1), DOWN, ACROSS
            )
            if bias is not None:
                at = self.columns[-1] + EDGE + weight.shape[1] * (width + 1)
                self.page.put(bias, row + 2, at, (height + 1, 0))
            self.kernels.append((row, weight, bias))
            row += 2 + outputs * (height + 1) + 1


def _largest(tensor: Tensor) -> Expr:
    over = tuple(Var(v.name, v.size) for v in tensor.axes)
    return Aggregate("MAX", (tensor.at(*over),), over)


def _product(factors: Any) -> Expr:
    first, *rest = factors
    for factor in rest:
        first = first * factor
    return first
