"""A handful of images on a sheet of their own, and the cell that chooses which one feeds the network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sheetconv.graph.expr import Call, Expr, FloatArray
from sheetconv.graph.tensor import Graph, Operation, Tensor
from sheetconv.sheet.layout import Place
from sheetconv.sheet.network import write_tensor
from sheetconv.sheet.stream import BulkSheet
from sheetconv.sheet.style import CELL, HEADING, Styles
from sheetconv.xlsx.address import area, cell, quoted

ACROSS = 5
FIRST_ROW = 5
PICK_CELL = (1, 5)  # on the network sheet, in the frozen part


def add_choice(
    graph: Graph, images: FloatArray, network: str, sheet: str
) -> tuple[Tensor, Tensor, dict[Tensor, Place]]:
    """Let the graph's input read one of `images` (K, C, H, W), chosen by a cell that holds 1 … K.

    Returns the choice, the stack, and the places of both.
    """
    pick = Tensor("pick", (1,), "input", operator="Choice", placement="fixed")
    stack = Tensor("images", images.shape, "input", operator="Images", signed=False)
    source = graph.inputs[0]
    source.expr, source.operation = chosen(pick, stack, source)
    graph.tensors[:0] = [pick, stack]
    graph.inputs[:] = [pick, stack]
    rows, columns = mosaic(images.shape, ACROSS)
    places = {
        pick: Place(network, pick, [np.zeros(1, dtype=np.int64)], [np.zeros(1, dtype=np.int64)], (0, 0, 0, 0),
                    *PICK_CELL, (0,)),
        stack: Place(sheet, stack, rows, columns, (0, 0, 0, 0), FIRST_ROW, 1, (2, 3)),
    }  # fmt: skip
    return pick, stack, places


def mosaic(shape: tuple[int, ...], across: int) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Where images (K, C, H, W) stand, `across` of them side by side: each axis's part of the row and column."""
    count, channels, height, width = shape
    number, channel, still = np.arange(count), np.arange(channels), np.zeros_like
    rows = [
        number // across * (channels * (height + 1) + 3),
        channel * (height + 1),
        np.arange(height),
        still(np.arange(width)),
    ]
    columns = [
        number % across * (width + 2),
        still(channel),
        still(np.arange(height)),
        np.arange(width),
    ]
    return rows, columns


def chosen(pick: Tensor, stack: Tensor, tensor: Tensor) -> tuple[Expr, Operation]:
    """The formula and the operation of image number `pick` (from 1) of `stack` (K, C, H, W)."""
    _, c, y, x = tensor.axes
    expr = Call("CHOOSE", (pick.at(0), *(stack.at(k, c, y, x) for k in range(stack.shape[0]))))
    return expr, Operation("choose", (pick, stack))


def write_selector(sheet: BulkSheet, styles: Styles, captions: list[str], images: str) -> None:
    """The drop-down in the frozen part of the network sheet, and beside it what it shows."""
    row, column = PICK_CELL
    label = styles.text(18, bold=True, align="right", valign="vcenter", font_color=HEADING)
    sheet.write_string(row, column - 1, "image ▸", label)
    style = styles.get(
        font_size=18, bold=True, align="center", valign="vcenter", bg_color="#FFF3BF", border=1
    )
    sheet.add_numbers([row], [column], [1.0], style)
    sheet.data_validation(
        row, column, row, column,
        {"validate": "list", "source": [str(i + 1) for i in range(len(captions))],
         "error_title": "No such image", "error_message": f"Choose 1 to {len(captions)}."},
    )  # fmt: skip
    names = f"{quoted(images)}!{area(*_captions_box(len(captions)), absolute=True)}"
    sheet.write_formula(
        row,
        column + 1,
        f"=INDEX({names},{cell(row, column, absolute=True)})",
        styles.text(18, valign="vcenter"),
        captions[0],
    )


def _captions_box(count: int) -> tuple[int, int, int, int]:
    """Where the list of captions stands on the image sheet: right of the tiles."""
    column = ACROSS * 30 + 2
    return (FIRST_ROW, column, FIRST_ROW + count - 1, column)


def write_images(
    book: Any,
    styles: Styles,
    place: Place,
    values: FloatArray,
    captions: list[str],
    source: str,
    network: str,
) -> None:
    """The image sheet: tiles with captions; every pixel may be overwritten."""
    sheet: BulkSheet = book.add_worksheet(place.sheet, worksheet_class=BulkSheet)
    sheet.book_styles = styles
    sheet.hide_gridlines(2)
    sheet.set_default_row(CELL * 0.75)
    box = _captions_box(len(captions))
    sheet.set_column_pixels(0, box[1] - 1, CELL)
    sheet.set_column_pixels(box[1], box[1], 260)
    sheet.freeze_panes(3, 0)
    sheet.set_zoom(40)
    sheet.write_string(0, 1, f"{place.sheet}: {source}", styles.text(36, bold=True, font_color=HEADING))
    sheet.set_row_pixels(0, 64)
    sheet.set_row_pixels(1, 40)
    how = f"Pixels from 0 (paper) to 1 (ink). Overwrite any of them; the yellow cell on sheet {network} chooses."
    sheet.write_string(1, 1, how, styles.text(18))
    write_tensor(sheet, styles, place, values, None, "pixels")
    for index, (r0, c0, _, _) in place.planes():
        if index[-1] == 0:
            text = f"{index[0] + 1}: {captions[index[0]]}"
            sheet.write_string(r0 - 1, c0, text, styles.text(16, bold=True))
    for i, caption in enumerate(captions):
        sheet.write_string(box[0] + i, box[1], caption, styles.text(9))
    r1 = place.box()[2]
    sheet.set_landscape()
    sheet.set_paper(8)
    sheet.fit_to_pages(1, 1)
    sheet.print_area(0, 0, r1 + 1, box[1])
    sheet.close_cells()
