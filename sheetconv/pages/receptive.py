"""Receptive field: choose a unit, and every cell before it that can matter lights up, with the paths that lead to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sheetconv.graph.tensor import Tensor
from sheetconv.pages.base import Page
from sheetconv.pages.checks import networks
from sheetconv.pages.grids import (
    CELL,
    CHAINS,
    EDGE,
    FIELD,
    HEAD,
    LABEL,
    NAME,
    TABLE,
    TEXT_ROWS,
    USED,
    Section,
)  # fmt: skip
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check
from sheetconv.xlsx.address import area

MUTED = "#52606D"
GREY = ("#DFE4E9", "#AEB8C2", "#7B8794")
ORANGE = ("#FFE3C2", "#FFC078", "#FF922B", "#D9480F")
UNIT = "#C2255C"
SHADES = (0.1, 0.4, 0.7)  # shares of a grid's largest number from which its cells are darker


class Drawn(Section):
    """A network's choice, table and grids, drawn."""

    def draw(self, canvas: Canvas) -> None:
        """Choice, table, grids."""
        name = self.page.label("network", name=self.settings["name"])
        canvas.title(self.row, LEFT, name)
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
            canvas.text(row + 1 + i, LEFT, label(name), 11)
            canvas.choice(getattr(chain.choice, name), allowed, span=CELL)
            if name != "layer":
                canvas.text(row + 1 + i, LEFT + LABEL + CELL + 1, label("used"), 10, font_color=MUTED)
                self._number(canvas, chain.choice.used[name], CELL, bold=True)
        listed = ",".join(f'"{n}"' for n in self._names()[1:])
        at = canvas.address(chain.choice.layer, 0)
        now = self._names()[int(canvas.values[chain.choice.layer][0])]
        canvas.formula(row + 1, LEFT + LABEL + CELL + 1, f"CHOOSE({at},{listed})", now, bold=True)
        for i, (axis, pair) in enumerate(self.seen.items()):
            canvas.text(row + 5 + i, LEFT, label(f"seen_{axis}s"), 11)
            for note in pair:
                self._number(canvas, note, CELL)
            canvas.text(row + 5 + i, LEFT + LABEL + CELL, "…", 11, (1, CELL), align="center")
        canvas.text(row + 7, LEFT, label("pixels"), 11)
        self._number(canvas, self.pixels, CELL)
        canvas.text(row + 7, LEFT + LABEL + CELL + 1, label("lit"), 10, font_color=MUTED)
        rows, columns = (area(*canvas.place(t[0]).box()) for t in (chain.rows, chain.columns))
        lit = f'COUNTIF({rows},">0")*COUNTIF({columns},">0")'
        count = int((canvas.values[chain.rows[0]] > 0).sum() * (canvas.values[chain.columns[0]] > 0).sum())
        self.lit_cell = (row + 7, LEFT + USED)
        canvas.sheet.merge_range(
            *self.lit_cell, row + 7, self.lit_cell[1] + CELL - 1, "", canvas.style(align="center")
        )
        canvas.formula(*self.lit_cell, lit, count, align="center")

    def _number(self, canvas: Canvas, tensor: Tensor, span: int, form: str = "0.##", **more: Any) -> None:
        canvas.tensor(tensor, form="General" if form == "0.##" else form, size=canvas.pt(11), span=span,
                      properties={"border": 0, **more})  # fmt: skip

    def _draw_table(self, canvas: Canvas) -> None:
        row, label = self.row + 1, self.page.label
        head = {"bold": True, "font_color": "#FFFFFF", "bg_color": "#14344F", "align": "center"}
        first = LEFT + TABLE + NAME
        canvas.text(
            row,
            LEFT + TABLE,
            label("layers"),
            10,
            (1, NAME),
            valign="vcenter",
            **{**head, "align": "left"},
        )
        heads = ("depth", "grid", "kernel", "stride", "padding", "size", "jump", "start", "most")
        for i, key in enumerate(heads):
            canvas.text(row, first + i * FIELD, label(key), 9, (1, FIELD), valign="vcenter", **head)
        for number, name in enumerate(self._names()):
            text = name if not number else f"{number}  {name}"
            canvas.text(row + 1 + number, LEFT + TABLE, text, 11, (1, NAME), valign="vcenter")
            for note in (
                *(self.chain.field[k][number] for k in ("size", "jump", "start")),
                self.most[number],
            ):
                form = "#,##0" if note is self.most[number] else "0.##"
                self._number(canvas, note, FIELD, form)
            if number:
                box = (row + 1 + number, LEFT + TABLE, row + 1 + number, LEFT + TABLE + NAME - 1)
                canvas.highlight(
                    box, f"{canvas.address(self.chain.choice.layer, 0)}={number}", bg_color="#FFE3C2"
                )
        for stored in self._stored():
            self._number(canvas, stored, FIELD, "0")
        canvas.text(row + 1 + len(self.layers), LEFT + TABLE, label("recurrence"), 10, font_color=MUTED)

    # --- grids -----------------------------------------------------------------------------------------

    def _draw_grid(self, canvas: Canvas, number: int) -> None:
        chain, layer = self.chain, self.layers[number]
        column, top = self.columns[number], self.top
        name = self._names()[number]
        canvas.text(
            top - HEAD,
            column,
            name if not number else f"{number}  {name}",
            12,
            bold=True,
            font_color="#14344F",
        )
        size = f"{layer.size}×{layer.size}"
        canvas.text(top - HEAD + 1, column, size, 10, font_color=MUTED)
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
        first = self.columns[number] + EDGE
        if self._planes(number):
            canvas.tensor(
                channels,
                form='"× "#,##0;;',
                size=canvas.pt(10),
                span=(2, CHAINS),
                properties={"border": 0, "align": "right"},
            )
            for c in range(layer.channels):
                row = place.row + int(place.rows[1][c])
                text = label("channel_number", channel=c) if number else label("through")
                canvas.text(row, first, text, 10, (2, 8 if number else 22), valign="vcenter")
            return
        text = label("channels", count=layer.channels)
        width = EDGE + self._least(layer)
        canvas.text(
            place.row - 2, place.column - EDGE, text, 10, (2, width), valign="bottom", text_wrap=False
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
        for share, orange in zip(reversed(SHADES), reversed(ORANGE[1:]), strict=True):
            canvas.highlight(box, f"AND({lit},{own}>={share}*{largest})", bg_color=orange)
        canvas.highlight(box, lit, bg_color=ORANGE[0])
        if channel is not None:
            for share, grey in zip(reversed(SHADES), reversed(GREY), strict=True):
                canvas.highlight(box, f"{own}>{share}*{largest}", bg_color=grey)

    def _draw_heat(self, canvas: Canvas) -> None:
        top, first = self.heat_top, LEFT + EDGE
        canvas.text(top - 2, first, self.page.label("heat"), 10, (2, 28), bold=True, valign="vcenter")
        canvas.tensor(self.heat, form="0;;", size=6.5)
        place = canvas.place(self.heat)
        largest = f"MAX({area(*place.box(), absolute=True)})"
        own = canvas.at(place.row, place.column, row=False, column=False)
        for share, orange in zip(reversed(SHADES), reversed(ORANGE[1:]), strict=True):
            canvas.highlight(place.box(), f"AND({own}>0,{own}>={share}*{largest})", bg_color=orange)
        canvas.highlight(place.box(), f"{own}>0", bg_color=ORANGE[0])

    def _draw_parameters(self, canvas: Canvas) -> None:
        for i, (row, weight, bias) in enumerate(self.kernels, start=1):
            text = self.page.label("kernels", number=i)
            canvas.text(row, self.columns[-1] + EDGE, text, 10, (2, 12), valign="vcenter")
            canvas.tensor(weight, "signed", form=canvas.TINY, size=4.5)
            if bias is not None:
                canvas.tensor(bias, "signed", form=canvas.TINY, size=4.5)


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
        row = TOP
        self.sections: list[Drawn] = []
        for number, settings in enumerate(self.options["networks"]):
            section = Drawn(self, number, settings, row)
            self.sections.append(section)
            self.tall |= dict.fromkeys(range(row, row + TEXT_ROWS + 2), 21)
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
