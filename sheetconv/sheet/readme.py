"""The first sheet: what the workbook is, the architecture, the prediction, how to trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sheetconv.compile.apply import apply
from sheetconv.graph.expr import FloatArray
from sheetconv.graph.tensor import Graph, Tensor
from sheetconv.sheet.formula import Printer
from sheetconv.sheet.layout import Layout, Place
from sheetconv.sheet.network import link, sizes
from sheetconv.sheet.stream import BulkSheet
from sheetconv.sheet.style import HEADING, LINK, Styles
from sheetconv.xlsx.address import area

SHEET = "Read me"
MAX_CLASSES = 50
PROBABILITY_COLUMNS = (8, 9, 10)  # class, exponential or score, probability
FIRST_ROW = 6

HOW_TO = [
    ("Excel", "select a cell, then Formulas ▸ Trace Precedents; press again for one more layer. Arrows stay on one sheet."),
    ("LibreOffice", "select a cell, then Tools ▸ Detective ▸ Trace Precedents (Shift+F9); press again for one more layer."),
    ("Google Sheets", "double-click a cell: the ranges that its formula reads light up in colour."),
    ("Try", "overwrite a pixel, a kernel weight or a bias: everything to the right of it changes at once."),
]  # fmt: skip


@dataclass
class About:
    """Facts that the first sheet tells."""

    title: str
    model: str
    source: str
    classes: list[str]
    note: str = ""


def class_scores(graph: Graph) -> Tensor | None:
    """The output that holds one score per class, if the network ends in one: shape (1, F), 2 ≤ F ≤ 50."""
    output = graph.outputs[0]
    shape = output.shape
    return output if len(shape) == 2 and shape[0] == 1 and 2 <= shape[1] <= MAX_CLASSES else None


def add_probabilities(graph: Graph) -> dict[Tensor, Place]:
    """Append the probabilities that the first sheet shows: the softmax of the scores, or a copy of it."""
    scores = class_scores(graph)
    if scores is None:
        return {}
    final = scores.operation.target if scores.operation else ""
    target, arguments = "aten.softmax.int", (scores, 1, None)
    if "softmax" in final and "log" not in final:
        target, arguments = "aten.clone.default", (scores, None)  # type: ignore[assignment]
    elif "log_softmax" in final:
        target, arguments = "aten.exp.default", (scores,)  # type: ignore[assignment]
    count = len(graph.tensors)
    apply(graph.tensors, target, arguments, "probabilities", where=SHEET)
    from sheetconv.graph.tensor import look_through

    places = {}
    for tensor in graph.tensors[count:]:
        tensor.view = False
        assert tensor.expr is not None
        tensor.expr = look_through(tensor.expr, [t for t in graph.tensors if t.view])
        column = PROBABILITY_COLUMNS[2] if tensor.name == "probabilities" else PROBABILITY_COLUMNS[1]
        classes = tensor.shape[1]
        places[tensor] = Place(
            SHEET,
            tensor,
            [np.zeros(1, dtype=np.int64), np.arange(classes)],
            [np.zeros(1, dtype=np.int64), np.zeros(classes, dtype=np.int64)],
            (0, 0, 0, 0),
            FIRST_ROW,
            column,
            (0, 1),
        )
    return places


def write_readme(
    book: Any,
    sheet: BulkSheet,
    styles: Styles,
    graph: Graph,
    layout: Layout,
    places: Mapping[Tensor, Place],
    values: Mapping[Tensor, FloatArray],
    about: About,
) -> None:
    """Fill the first sheet."""
    sheet.hide_gridlines(2)
    for first, last, width in ((0, 0, 14), (1, 1, 150), (2, 2, 240), (3, 3, 110), (4, 4, 90), (5, 5, 90), (6, 7, 30),
                               (8, 8, 110), (9, 9, 80), (10, 10, 90), (11, 11, 30)):  # fmt: skip
        sheet.set_column_pixels(first, last, width)
    text = styles.text
    sheet.write_string(0, 1, about.title, text(18, bold=True, font_color=HEADING))
    sheet.set_row_pixels(0, 34)
    sheet.write_string(
        1,
        1,
        "A convolutional network in cells: every activation is a live formula, from the pixels to the prediction.",
        text(11),
    )
    sheet.write_string(2, 1, f"Image: {about.source}", text(10))
    note = text(10, font_color="#52606D", text_wrap=True, valign="top")
    sheet.merge_range(3, 1, 3, 6, "", note)
    sheet.write_string(3, 1, about.note, note)
    sheet.set_row_pixels(3, 46)
    last = _architecture(sheet, styles, graph, layout, places)
    _prediction(book, sheet, styles, graph, places, values, about)
    row = max(last + 2, FIRST_ROW)
    sheet.write_string(row, 1, "Where does a number come from?", text(12, bold=True, font_color=HEADING))
    for i, (program, how) in enumerate(HOW_TO, start=row + 1):
        sheet.write_string(i, 1, program, text(10, bold=True, valign="top"))
        sheet.merge_range(i, 2, i, 6, "", text(10, text_wrap=True, valign="top"))
        sheet.write_string(i, 2, how, text(10, text_wrap=True, valign="top"))
        sheet.set_row_pixels(i, 36)
    sheet.set_landscape()
    sheet.set_paper(8)
    sheet.fit_to_pages(1, 1)
    sheet.print_area(0, 0, max(row + len(HOW_TO) + 1, 34), 20)
    sheet.close_cells()


def _architecture(
    sheet: BulkSheet, styles: Styles, graph: Graph, layout: Layout, places: Mapping[Tensor, Place]
) -> int:
    head = styles.text(10, bold=True, font_color="#FFFFFF", bg_color=HEADING)
    body, right = styles.text(10, bottom=4), styles.text(10, bottom=4, align="right", num_format="#,##0")
    jump = styles.text(10, bottom=4, underline=1, font_color=LINK)
    row = FIRST_ROW - 1
    for column, title in enumerate(("layer", "operator", "shape", "parameters", "formulas"), start=1):
        sheet.write_string(row, column, title, head)
    total = formulas = 0
    counted: set[Tensor] = set()
    for band in layout.bands:
        tensor = band.tensor
        row += 1
        own = sum(p.size for p in band.parameters if p not in counted)
        counted.update(band.parameters)
        cells = tensor.size if tensor.expr is not None else 0
        total, formulas = total + own, formulas + cells
        sheet.write_url(row, 1, link(places[tensor]), jump, tensor.name)
        sheet.write_string(row, 2, tensor.operator, body)
        sheet.write_string(row, 3, sizes(tensor.shape[1:] or tensor.shape), body)
        sheet.write_number(row, 4, own, right)
        sheet.write_number(row, 5, cells, right)
    row += 1
    bold = styles.text(10, bold=True, num_format="#,##0", align="right")
    sheet.write_string(row, 1, "total", styles.text(10, bold=True))
    sheet.write_formula(row, 4, f"=SUM({area(FIRST_ROW, 4, row - 1, 4)})", bold, total)
    sheet.write_formula(row, 5, f"=SUM({area(FIRST_ROW, 5, row - 1, 5)})", bold, formulas)
    return row


def _prediction(
    book: Any,
    sheet: BulkSheet,
    styles: Styles,
    graph: Graph,
    places: Mapping[Tensor, Place],
    values: Mapping[Tensor, FloatArray],
    about: About,
) -> None:
    shown = [t for t, p in places.items() if p.sheet == SHEET]
    if not shown:
        return
    printer = Printer(places, SHEET)
    head = styles.text(10, bold=True, font_color="#FFFFFF", bg_color=HEADING)
    number = styles.text(10, num_format="0.0000")
    for tensor in shown:
        place = places[tensor]
        rows, columns = (np.broadcast_to(a, tensor.shape).reshape(-1).tolist() for a in place.cells())
        flat = values[tensor].reshape(-1).tolist()
        sheet.add_formulas(rows, columns, printer.formulas(tensor), flat, number)
        title = "probability" if tensor.name == "probabilities" else "exp(score − max)"
        sheet.write_string(FIRST_ROW - 1, place.column, title, head)
    label, _, chance = PROBABILITY_COLUMNS
    count = shown[-1].shape[1]
    names = [*about.classes, *(str(i) for i in range(len(about.classes), count))][:count]
    sheet.write_string(FIRST_ROW - 1, label, "class", head)
    for i, name in enumerate(names):
        left = styles.text(10, align="left")
        if name.isdecimal():  # a digit's name is a number, not a number stored as text
            sheet.write_number(FIRST_ROW + i, label, int(name), left)
        else:
            sheet.write_string(FIRST_ROW + i, label, name, left)
    labels = area(FIRST_ROW, label, FIRST_ROW + count - 1, label, absolute=True)
    chances = area(FIRST_ROW, chance, FIRST_ROW + count - 1, chance, absolute=True)
    winner = names[int(values[shown[-1]].reshape(-1).argmax())]
    best = int(winner) if winner.isdecimal() else winner
    sheet.write_string(2, label, "Prediction", styles.text(12, bold=True, font_color=HEADING))
    sheet.write_formula(
        3, label, f"=INDEX({labels},MATCH(MAX({chances}),{chances},0))",
        styles.text(20, bold=True, font_color=HEADING, align="left"), best,
    )  # fmt: skip
    chart = book.add_chart({"type": "bar"})
    chart.add_series(
        {
            "name": "probability",
            "categories": [SHEET, FIRST_ROW, label, FIRST_ROW + count - 1, label],
            "values": [SHEET, FIRST_ROW, chance, FIRST_ROW + count - 1, chance],
            "fill": {"color": "#0B6E99"},
            "gap": 40,
        }
    )
    chart.set_title({"name": "Probability of each class", "name_font": {"size": 12}})
    chart.set_legend({"none": True})
    chart.set_y_axis({"reverse": True})
    chart.set_x_axis(
        {
            "min": 0,
            "max": 1,
            "num_format": "0%",
            "major_gridlines": {"visible": True, "line": {"color": "#DDDDDD"}},
        }
    )
    chart.set_size({"width": 480, "height": max(300, 26 * count + 60)})
    sheet.insert_chart(FIRST_ROW - 1, 12, chart)
