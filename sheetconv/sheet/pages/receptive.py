"""Receptive field: choose a unit, and every cell before it that can matter lights up, with the paths that lead to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sheetconv.graph.expr import Aggregate, Expr
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Tensor
from sheetconv.sheet.address import area
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.layout import Place
from sheetconv.sheet.pages.base import Page
from sheetconv.sheet.pages.chain import Chain, Layer, always, layers_of, spatial
from sheetconv.sheet.pages.checks import networks
from sheetconv.template import Check

if TYPE_CHECKING:
    from sheetconv.graph.tensor import Graph
    from sheetconv.sheet.canvas import Canvas

MUTED = "#52606D"
GREY = ("#DFE4E9", "#AEB8C2", "#7B8794")
ORANGE = ("#FFE3C2", "#FFC078", "#FF922B", "#D9480F")
UNIT = "#C2255C"
_STEPS = (0.1, 0.4, 0.7)  # shares of a grid's largest number from which its cells are darker

_TABLE = 40  # column of the table of layers, counted from the first of the content
_NAME, _FIELD = 12, 7  # columns that a layer's name and a number take there
_LABEL, _CELL, _USED = (
    13,
    5,
    29,
)  # columns of a label, of a number beside it, and where a second number stands
_TEXT_ROWS = 10  # rows above the grids: title, choice, table
_HEAD = 6  # rows of a grid's name, size, channel (2), column numbers and column paths
_EDGE = 2  # columns of row numbers and row paths at the left of a grid
_GAP = 2  # columns between grids
_NEXT = 3  # rows between the planes of two channels: a gap and the channel's name
_STRIP = 4  # channels in a row, where they have cells of their own
_CHAINS = 4  # columns of the number of paths through a channel
_LEFT = 3  # first column of the content
_PLANES = 2  # channels up to which every plane is shown


class Section:
    """One network on the page: its live grids where they are few, else the grids of paths."""

    def __init__(self, page: ReceptiveField, number: int, settings: Mapping[str, Any], row: int) -> None:
        from sheetconv.nets import INPUT_SHAPES, seeded

        self.page, self.settings, self.row, self.prefix = page, settings, row, f"net {number + 1}"
        network = seeded(settings["model"])
        if settings["weights"] is not None:
            network.load_state_dict(settings["weights"])
        module = spatial(network)
        self.layers = layers_of(module, INPUT_SHAPES[settings["model"]])
        self.live = max(v.channels for v in self.layers) <= _PLANES
        self.chain = Chain(page, self.prefix, self.layers, self._unit())
        self.top = row + _TEXT_ROWS + _HEAD  # first row of all planes
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
            put(getattr(chain.choice, name), row + 1 + i, _LEFT + _LABEL, DOWN)
            if name != "layer":
                put(chain.choice.used[name], row + 1 + i, _LEFT + _USED, DOWN)
        for i, pair in enumerate(self.seen.values()):
            for j, note in enumerate(pair):
                put(note, row + 5 + i, _LEFT + _LABEL + j * 2 * _CELL, DOWN)
        put(self.pixels, row + 7, _LEFT + _LABEL, DOWN)
        self._place_table()
        column = _LEFT
        self.columns: list[int] = []
        for i, layer in enumerate(self.layers):
            self.columns.append(column)
            self._place_grid(i, column)
            column += _EDGE + max(layer.size, self._least(layer)) + _GAP
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
        first = _LEFT + _TABLE + _NAME
        for i, stored in enumerate(self._stored()):
            put(stored, self.row + 2 + (i > 1), first + i * _FIELD, DOWN)
        for i, key in enumerate(("size", "jump", "start")):
            for number, note in enumerate(chain.field[key]):
                put(note, self.row + 2 + number, first + (5 + i) * _FIELD, DOWN)
        for number, note in enumerate(self.most):
            put(note, self.row + 2 + number, first + 8 * _FIELD, DOWN)

    def _planes(self, number: int) -> bool:
        """Whether a layer shows its own numbers, a plane for each channel; else one grid of paths stands for all."""
        return self.live or number == 0

    def _place_grid(self, number: int, column: int) -> None:
        chain, layer, put, top = self.chain, self.layers[number], self.page.put, self.top
        first = column + _EDGE
        pitch = layer.size + _NEXT
        put(chain.number["row"][number], top, column, STAY, STAY, DOWN, STAY)
        put(chain.rows[number], top, column + 1, STAY, STAY, DOWN, STAY)
        put(chain.number["column"][number], top - 2, first, STAY, STAY, STAY, ACROSS)
        put(chain.columns[number], top - 1, first, STAY, STAY, STAY, ACROSS)
        put(self.shown[number], top, first, STAY, (pitch, 0), DOWN, ACROSS)
        put(self.largest[number], top - _HEAD + 1, first + max(layer.size, self._least(layer)) - 3, DOWN)
        channels = chain.channels[number]
        c = np.arange(layer.channels)
        zero = c[:1]
        if self._planes(number):
            # the first plane's name stands above the column numbers
            rows, columns = c * pitch + 2 * (c > 0), 0 * c
            row, column = top - 4, first + max(layer.size, 12) - _CHAINS
        else:
            rows, columns = c // _STRIP, c % _STRIP
            row, column = top + layer.size + 3, first
        self.page.draft.places[channels] = Place(
            self.page.name, channels, [zero, rows, zero, zero], [zero, columns, zero, zero], row=row,
            column=column, plane_axes=(1,),
        )  # fmt: skip

    def _place_heat(self) -> None:
        self.heat_top = self.top + self.layers[0].size + _NEXT
        self.page.put(self.heat, self.heat_top, _LEFT + _EDGE, STAY, STAY, DOWN, ACROSS)

    def _place_parameters(self) -> None:
        """The kernels and biases under the last, small grid."""
        last = self.layers[-1]
        row = self.top + last.channels * (last.size + _NEXT)
        self.kernels: list[tuple[int, Tensor, Tensor | None]] = []
        stored = [t for t in self.graph.tensors if t.kind == "parameter"]
        for weight in (t for t in stored if len(t.shape) == 4):
            bias = next((t for t in stored if t.name == weight.name.replace("weight", "bias")), None)
            outputs, _, height, width = weight.shape
            self.page.put(
                weight, row + 2, self.columns[-1] + _EDGE, (height + 1, 0), (0, width + 1), DOWN, ACROSS
            )
            if bias is not None:
                at = self.columns[-1] + _EDGE + weight.shape[1] * (width + 1)
                self.page.put(bias, row + 2, at, (height + 1, 0))
            self.kernels.append((row, weight, bias))
            row += 2 + outputs * (height + 1) + 1

    # --- drawing ---------------------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """Choice, table, grids."""
        name = self.page.label("network", name=self.settings["name"])
        canvas.title(self.row, _LEFT, name)
        if self.settings["text"]:
            canvas.paragraph(self.row, self.settings["text"])
        self._draw_choice(canvas)
        self._draw_table(canvas)
        for number in range(len(self.layers)):
            self._draw_grid(canvas, number)
        self._draw_heat(canvas)
        if self.live:
            self._draw_parameters(canvas)

    def _names(self) -> list[str]:
        label = self.page.label
        counted: dict[str, int] = {}
        found = [label("input")]
        for layer in self.layers[1:]:
            kind = "conv" if layer.mixes else "pool"
            counted[kind] = counted.get(kind, 0) + 1
            found.append(f"{label(kind)} {counted[kind]}")
        single = {f"{label(kind)} 1": label(kind) for kind, n in counted.items() if n == 1}
        return [single.get(name, name) for name in found]

    def _draw_choice(self, canvas: Canvas) -> None:
        chain, label, row = self.chain, self.page.label, self.row
        biggest = max(v.size for v in self.layers[1:])
        deepest = max(v.channels for v in self.layers[1:])
        ranges = {"layer": range(1, len(self.layers)), "channel": range(deepest), "row": range(biggest),
                  "column": range(biggest)}  # fmt: skip
        for i, (name, allowed) in enumerate(ranges.items()):
            canvas.text(row + 1 + i, _LEFT, label(name), 11)
            canvas.choice(getattr(chain.choice, name), allowed, span=_CELL)
            if name != "layer":
                canvas.text(row + 1 + i, _LEFT + _LABEL + _CELL + 1, label("used"), 10, font_color=MUTED)
                self._number(canvas, chain.choice.used[name], _CELL, bold=True)
        listed = ",".join(f'"{n}"' for n in self._names()[1:])
        at = canvas.address(chain.choice.layer, 0)
        now = self._names()[int(canvas.values[chain.choice.layer][0])]
        canvas.formula(row + 1, _LEFT + _LABEL + _CELL + 1, f"CHOOSE({at},{listed})", now, bold=True)
        for i, (axis, pair) in enumerate(self.seen.items()):
            canvas.text(row + 5 + i, _LEFT, label(f"seen_{axis}s"), 11)
            for note in pair:
                self._number(canvas, note, _CELL)
            canvas.text(row + 5 + i, _LEFT + _LABEL + _CELL, "…", 11, (1, _CELL), align="center")
        canvas.text(row + 7, _LEFT, label("pixels"), 11)
        self._number(canvas, self.pixels, _CELL)
        canvas.text(row + 7, _LEFT + _LABEL + _CELL + 1, label("lit"), 10, font_color=MUTED)
        rows, columns = (area(*canvas.place(t[0]).box()) for t in (chain.rows, chain.columns))
        lit = f'COUNTIF({rows},">0")*COUNTIF({columns},">0")'
        count = int((canvas.values[chain.rows[0]] > 0).sum() * (canvas.values[chain.columns[0]] > 0).sum())
        self.lit_cell = (row + 7, _LEFT + _USED)
        canvas.sheet.merge_range(
            *self.lit_cell, row + 7, self.lit_cell[1] + _CELL - 1, "", canvas.style(align="center")
        )
        canvas.formula(*self.lit_cell, lit, count, align="center")

    def _number(self, canvas: Canvas, tensor: Tensor, span: int, form: str = "0.##", **more: Any) -> None:
        canvas.tensor(tensor, form="General" if form == "0.##" else form, size=canvas.pt(11), span=span,
                      properties={"border": 0, **more})  # fmt: skip

    def _draw_table(self, canvas: Canvas) -> None:
        row, label = self.row + 1, self.page.label
        head = {"bold": True, "font_color": "#FFFFFF", "bg_color": "#14344F", "align": "center"}
        first = _LEFT + _TABLE + _NAME
        canvas.text(
            row,
            _LEFT + _TABLE,
            label("layers"),
            10,
            (1, _NAME),
            valign="vcenter",
            **{**head, "align": "left"},
        )
        heads = ("depth", "grid", "kernel", "stride", "padding", "size", "jump", "start", "most")
        for i, key in enumerate(heads):
            canvas.text(row, first + i * _FIELD, label(key), 9, (1, _FIELD), valign="vcenter", **head)
        for number, name in enumerate(self._names()):
            text = name if not number else f"{number}  {name}"
            canvas.text(row + 1 + number, _LEFT + _TABLE, text, 11, (1, _NAME), valign="vcenter")
            for note in (
                *(self.chain.field[k][number] for k in ("size", "jump", "start")),
                self.most[number],
            ):
                form = "#,##0" if note is self.most[number] else "0.##"
                self._number(canvas, note, _FIELD, form)
            if number:
                box = (row + 1 + number, _LEFT + _TABLE, row + 1 + number, _LEFT + _TABLE + _NAME - 1)
                canvas.highlight(
                    box, f"{canvas.address(self.chain.choice.layer, 0)}={number}", bg_color="#FFE3C2"
                )
        for stored in self._stored():
            self._number(canvas, stored, _FIELD, "0")
        canvas.text(row + 1 + len(self.layers), _LEFT + _TABLE, label("recurrence"), 10, font_color=MUTED)

    # --- grids -----------------------------------------------------------------------------------------

    def _draw_grid(self, canvas: Canvas, number: int) -> None:
        chain, layer = self.chain, self.layers[number]
        column, top = self.columns[number], self.top
        name = self._names()[number]
        canvas.text(
            top - _HEAD,
            column,
            name if not number else f"{number}  {name}",
            12,
            bold=True,
            font_color="#14344F",
        )
        size = f"{layer.size}×{layer.size}"
        canvas.text(top - _HEAD + 1, column, size, 10, font_color=MUTED)
        edge = {"border": 0, "font_color": "#9AA5B1"}
        paths = {"border": 0, "bold": True, "font_color": "#D9480F"}
        for axis in ("row", "column"):
            canvas.tensor(chain.number[axis][number], form="0", properties=edge, size=6.5)
        for counts in (chain.rows[number], chain.columns[number]):
            canvas.tensor(counts, form="0;;", properties=paths, size=6.5)
        planes = self._planes(number)
        canvas.tensor(self.shown[number], form=";;;" if planes else "0;;", size=6.5)
        hidden = {"border": 0, "font_color": "#FFFFFF"}
        canvas.tensor(self.largest[number], form=";;;", properties=hidden)
        self._draw_channels(canvas, number)
        for index, box in canvas.place(self.shown[number]).planes():
            self._light(canvas, number, index[1] if planes else None, box)

    def _draw_channels(self, canvas: Canvas, number: int) -> None:
        channels, layer, label = self.chain.channels[number], self.layers[number], self.page.label
        place = canvas.place(channels)
        first = self.columns[number] + _EDGE
        if self._planes(number):
            canvas.tensor(
                channels,
                form='"× "#,##0;;',
                size=canvas.pt(10),
                span=(2, _CHAINS),
                properties={"border": 0, "align": "right"},
            )
            for c in range(layer.channels):
                row = place.row + int(place.rows[1][c])
                text = label("channel_number", channel=c) if number else label("through")
                canvas.text(row, first, text, 10, (2, 8 if number else 22), valign="vcenter")
            return
        text = label("channels", count=layer.channels)
        width = _EDGE + self._least(layer)
        canvas.text(
            place.row - 2, place.column - _EDGE, text, 10, (2, width), valign="bottom", text_wrap=False
        )
        canvas.tensor(channels, form='[>999]0,"k";0;', size=5)
        r0, c0, r1, c1 = place.box()
        canvas.highlight(
            (r0, c0, r1, c1), f"N({canvas.at(r0, c0, row=False, column=False)})>0", bg_color=ORANGE[0]
        )

    def _light(
        self, canvas: Canvas, number: int, channel: int | None, box: tuple[int, int, int, int]
    ) -> None:
        """Orange where a cell can matter, grey where it cannot, darker for larger numbers; the unit itself stands out."""
        chain, choice = self.chain, self.chain.choice
        r0, c0, _, _ = box
        own = canvas.at(r0, c0, row=False, column=False)
        row = canvas.address(chain.rows[number], 0, 0, 0, 0, row=False)
        column = canvas.address(chain.columns[number], 0, 0, 0, 0, column=False)
        through = canvas.address(chain.channels[number], 0, channel, 0, 0) if channel is not None else "1"
        lit = f"{row}*{column}*{through}>0"
        largest = canvas.address(self.largest[number], 0)
        if number:
            unit = f"AND({canvas.address(choice.layer, 0)}={number},{lit})"
            canvas.highlight(box, unit, bg_color=UNIT, font_color="#FFFFFF", bold=True)
        for share, orange in zip(reversed(_STEPS), reversed(ORANGE[1:]), strict=True):
            canvas.highlight(box, f"AND({lit},{own}>={share}*{largest})", bg_color=orange)
        canvas.highlight(box, lit, bg_color=ORANGE[0])
        if channel is not None:
            for share, grey in zip(reversed(_STEPS), reversed(GREY), strict=True):
                canvas.highlight(box, f"{own}>{share}*{largest}", bg_color=grey)

    def _draw_heat(self, canvas: Canvas) -> None:
        top, first = self.heat_top, _LEFT + _EDGE
        canvas.text(top - 2, first, self.page.label("heat"), 10, (2, 28), bold=True, valign="vcenter")
        canvas.tensor(self.heat, form="0;;", size=6.5)
        place = canvas.place(self.heat)
        largest = f"MAX({area(*place.box(), absolute=True)})"
        own = canvas.at(place.row, place.column, row=False, column=False)
        for share, orange in zip(reversed(_STEPS), reversed(ORANGE[1:]), strict=True):
            canvas.highlight(place.box(), f"AND({own}>0,{own}>={share}*{largest})", bg_color=orange)
        canvas.highlight(place.box(), f"{own}>0", bg_color=ORANGE[0])

    def _draw_parameters(self, canvas: Canvas) -> None:
        for i, (row, weight, bias) in enumerate(self.kernels, start=1):
            text = self.page.label("kernels", number=i)
            canvas.text(row, self.columns[-1] + _EDGE, text, 10, (2, 12), valign="vcenter")
            canvas.tensor(weight, "signed", form="0.0", size=5)
            if bias is not None:
                canvas.tensor(bias, "signed", form="0.0", size=5)


def _largest(tensor: Tensor) -> Expr:
    over = tuple(Var(v.name, v.size) for v in tensor.axes)
    return Aggregate("MAX", (tensor.at(*over),), over)


def _product(factors: Any) -> Expr:
    first, *rest = factors
    for factor in rest:
        first = first * factor
    return first


class ReceptiveField(Page):
    """A section for each network, one below the other."""

    kind: ClassVar[str] = "receptive-field"
    unit: ClassVar[int] = 14
    columns = 116
    keys: ClassVar[Mapping[str, Check]] = {
        "networks": networks("conv-example", "simple-cnn", "lenet5"),
    }

    def build(self) -> None:
        """The sections."""
        from sheetconv.sheet.canvas import LEFT, TOP

        assert LEFT == _LEFT
        row = TOP
        self.sections: list[Section] = []
        for number, settings in enumerate(self.options["networks"]):
            section = Section(self, number, settings, row)
            self.sections.append(section)
            self.tall |= dict.fromkeys(range(row, row + _TEXT_ROWS + 2), 21)
            if number:
                self.breaks.append(row)
            row = (
                max(p.box()[2] for t, p in self.draft.places.items() if t.name.startswith(f"{self.name}."))
                + 4
            )

    def draw(self, canvas: Canvas) -> None:
        """Every section; the second starts a new printed page."""
        for section in self.sections:
            section.draw(canvas)
