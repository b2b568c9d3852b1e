"""The network sheet: every tensor's cells with titles, margins, colours and names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from sheetconv.graph.expr import FloatArray
from sheetconv.graph.tensor import Graph, Tensor
from sheetconv.sheet.formula import Printer
from sheetconv.sheet.layout import FIRST_SHELF, NAME_SIZE, TEXT_SIZE, TITLE_ROWS, Band, Layout, Place
from sheetconv.sheet.stream import BulkSheet
from sheetconv.sheet.style import (
    ACTIVATION,
    CELL,
    HEADING,
    NEGATIVE,
    PADDING,
    POSITIVE,
    Styles,
    colour,
    pattern,
)
from sheetconv.xlsx.address import area, cell, quoted

SCREEN = 1800  # pixels that the whole network should fit into, by zoom
MAX_NAMES = 4000
_SHORT = {"running_mean": "mean", "running_var": "variance"}


def scale_of(tensor: Tensor, pixels: bool) -> str:
    """Which colour scale a tensor takes."""
    if tensor.kind == "parameter":
        return "signed"
    if tensor.kind == "input":
        return "pixels" if pixels else "signed"
    return "signed" if tensor.signed else "activation"


def sizes(shape: tuple[int, ...]) -> str:
    """A shape as people write it, without the batch axis: 2×26×26."""
    return "×".join(map(str, shape)) if shape else "1"


def write_tensor(
    sheet: BulkSheet, styles: Styles, place: Place, values: FloatArray, formulas: list[str] | None, scale: str
) -> None:
    """All cells of one tensor, its margin and its colours."""
    tensor = place.tensor
    rows, columns = (a.reshape(-1).tolist() for a in np.broadcast_arrays(*place.cells()))
    style = styles.cell(pattern(values))
    flat = values.reshape(-1).tolist()
    if formulas is None:
        sheet.add_numbers(rows, columns, flat, style)
    else:
        sheet.add_formulas(rows, columns, formulas, flat, style)
    boxes = [box for _, box in place.planes()]
    if any(place.margin):
        write_margin(sheet, styles, boxes, place.margin)
    if tensor.size > 1 or scale == "pixels":
        # a column of single cells (biases beside their channels) takes one scale over its whole box
        colour(sheet, boxes if len(boxes) <= 2000 else [place.box()], scale)


def write_margin(
    sheet: BulkSheet,
    styles: Styles,
    boxes: list[tuple[int, int, int, int]],
    margin: tuple[int, int, int, int],
) -> None:
    """Grey cells around each plane: blank, so 0 to a convolution and nothing to a maximum."""
    top, left, bottom, right = margin
    rows, columns = [], []
    for r0, c0, r1, c1 in boxes:
        for row in range(r0 - top, r1 + bottom + 1):
            inside = r0 <= row <= r1
            for column in range(c0 - left, c1 + right + 1):
                if not (inside and c0 <= column <= c1):
                    rows.append(row)
                    columns.append(column)
    sheet.add_blanks(rows, columns, styles.padding())


def defined_name(tensor: str, index: tuple[int, ...]) -> str:
    """A legal name of a plane: net_conv1_0 (with a prefix, since conv1 and w1 are addresses)."""
    return re.sub(r"[^A-Za-z0-9_]", "_", "_".join(["net", tensor, *map(str, index)]))


class NetworkSheet:
    """Writes one graph to one sheet."""

    def __init__(
        self,
        book: Any,
        styles: Styles,
        graph: Graph,
        layout: Layout,
        places: Mapping[Tensor, Place],
        values: Mapping[Tensor, FloatArray],
        title: str,
        name: str,
        pixels: bool,
        sheet: BulkSheet | None = None,
    ) -> None:
        self.book, self.styles, self.graph, self.layout = book, styles, graph, layout
        self.places, self.values, self.title, self.name = places, values, title, name
        self.sheet: BulkSheet = sheet or book.add_worksheet(name, worksheet_class=BulkSheet)
        self.sheet.book_styles = styles
        self.pixels = pixels

    def write(self) -> BulkSheet:
        """Fill the sheet; returns it so that other pages can add a selector."""
        self._frame()
        self.bands()
        self._names()
        self._legend()
        return self.sheet

    def bands(self) -> None:
        """Write all tensors with the titles of their layers and channels."""
        for top in {band.row for band in self.layout.bands}:
            for i, height in enumerate((44, 32, 32)):
                self.sheet.set_row_pixels(top + i, height)
        printer = Printer(self.places, self.name)
        for band in self.layout.bands:
            for tensor in [*band.parameters, band.tensor]:
                place = self.places[tensor]
                formulas = printer.formulas(tensor) if tensor.expr is not None else None
                write_tensor(
                    self.sheet,
                    self.styles,
                    place,
                    self.values[tensor],
                    formulas,
                    scale_of(tensor, self.pixels),
                )
                self._tile_titles(tensor, place, band.row)
            self._band_titles(band)

    def _frame(self) -> None:
        sheet, layout = self.sheet, self.layout
        sheet.hide_gridlines(2)
        sheet.set_default_row(CELL * 0.75)
        sheet.set_column_pixels(0, max(layout.columns, 40), CELL)
        tops = sorted({band.row for band in layout.bands})
        # with shelves below each other only the title, the choice and the legend can stay in sight
        sheet.freeze_panes(FIRST_SHELF + (TITLE_ROWS if len(tops) == 1 else 0), 0)
        sheet.set_zoom(max(10, min(100, SCREEN * 100 // (layout.columns * CELL))))
        sheet.set_landscape()
        sheet.set_paper(8)
        sheet.set_margins(0.3, 0.3, 0.3, 0.3)
        sheet.fit_to_pages(1, 1)
        sheet.print_area(0, 0, layout.rows, layout.columns)
        sheet.set_row_pixels(0, 64)
        sheet.set_row_pixels(1, 48)
        sheet.write_string(0, 1, self.title, self.styles.text(36, bold=True, font_color=HEADING))

    def _band_titles(self, band: Band) -> None:
        tensor, text = band.tensor, self.styles.text
        column = self.places[tensor].column
        self.sheet.write_string(
            band.row,
            column,
            tensor.name.removeprefix(f"{self.name}."),
            text(NAME_SIZE, bold=True, font_color=HEADING),
        )
        self.sheet.write_string(band.row + 1, column, tensor.operator, text(TEXT_SIZE))
        self.sheet.write_string(
            band.row + 2, column, sizes(tensor.shape[1:] or tensor.shape), text(TEXT_SIZE)
        )
        for parameter in band.parameters:
            place = self.places[parameter]
            name = parameter.name.rpartition(".")[2]
            name = _SHORT.get(name, name)  # two cells of room
            self.sheet.write_string(band.row + 1, place.column, name[:30], text(10, italic=True))
            if place.width > 2:
                self.sheet.write_string(band.row + 2, place.column, sizes(parameter.state_shape), text(10))

    def _tile_titles(self, tensor: Tensor, place: Place, top: int) -> None:
        style = self.styles.text(9, font_color="#52606D")
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
                text = f"channel {index[-1]}" if c1 - c0 >= 2 else str(index[-1])
            self.sheet.write_string(row, c0, text, style)

    def _names(self) -> None:
        made = 0
        for tensor, place in self.places.items():
            if place.sheet != self.name:
                continue
            for index, box in place.planes():
                if made == MAX_NAMES:
                    return
                lead = index[1:] if tensor.kind != "parameter" and len(index) > 0 else index
                if tensor.placement == "channel" and len(place.planes()) > 1:
                    continue
                target = f"={quoted(place.sheet)}!{area(*box, absolute=True)}"
                self.book.define_name(defined_name(tensor.name, lead), target)
                made += 1

    def _legend(self) -> None:
        column = 18
        entries = [
            ("#444444", "pixel"),
            (ACTIVATION, "activation ≥ 0"),
            (NEGATIVE, "negative"),
            (POSITIVE, "positive (maps, kernels, weights)"),
            (PADDING, "padding: blank cells, read as 0"),
        ]
        for fill, text in entries:
            self.sheet.write_blank(1, column, None, self.styles.get(bg_color=fill))
            self.sheet.write_string(1, column + 1, text, self.styles.text(18, valign="vcenter"))
            column += 3 + len(text) * 13 // CELL


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether an input of this shape (N, C, H, W) holds grey pixels."""
    return len(shape) == 4 and shape[1] == 1


def link(place: Place) -> str:
    """An internal hyperlink to the first cell of a tensor."""
    return f"internal:{quoted(place.sheet)}!{cell(max(place.row - 1, 0), place.column)}"
