"""A sheet that shows a receptive field: the maps as heat maps, what they measure, and the layers' sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xlsxwriter

from sheetconv.graph.expr import FloatArray
from sheetconv.sheet.style import HEADING, OPTIONS, Styles

NAME = "Receptive field"
_CELL = 22  # pixels
_SIDE = 1  # first column of the maps
_GAP = 3  # columns between them
_WIDEST_SHOWN = 999.5
_EDGE, _LINE = "#1B7FA8", "#E4E7EB"


@dataclass(frozen=True)
class Map:
    """A map of the image, (rows, columns): its title, the colour of its largest value, and lines about it."""

    title: str
    values: FloatArray
    colour: str
    facts: Sequence[str]


@dataclass(frozen=True)
class FieldPage:
    """What stands on the sheet: `box` is (row0, row1, column0, column1) of the field in the maps."""

    title: str
    text: Sequence[str]
    maps: Sequence[Map]
    box: tuple[int, int, int, int]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    here: int
    """Number of the row of the table that the maps belong to."""


def write_field_sheet(path: Path, page: FieldPage) -> None:
    """Write a workbook with this one sheet, its texts in the cells (for `sheetconv.xlsx.graft`)."""
    with xlsxwriter.Workbook(str(path), {**OPTIONS, "constant_memory": True}) as book:
        styles = Styles(book)
        sheet = book.add_worksheet(NAME)
        width = page.maps[0].values.shape[1]
        last = _SIDE + len(page.maps) * (width + _GAP) - _GAP
        last = max(last, _SIDE + sum(_spans(page)))
        sheet.hide_gridlines(2)
        sheet.set_column_pixels(0, last + 1, _CELL)
        sheet.set_landscape()
        sheet.set_paper(8)
        sheet.fit_to_pages(1, 1)
        row = _head(sheet, styles, page)
        row = _maps(sheet, styles, page, row)
        row = _table(sheet, styles, page, row + 1)
        sheet.print_area(0, 0, row, last)


def _head(sheet: Any, styles: Styles, page: FieldPage) -> int:
    sheet.set_row_pixels(0, 14)
    sheet.set_row_pixels(1, 38)
    sheet.write_string(1, _SIDE, page.title, styles.text(20, bold=True, font_color=HEADING, valign="vcenter"))
    row = 2
    for line in page.text:
        sheet.set_row_pixels(row, 22)
        sheet.write_string(row, _SIDE, line, styles.text(11, valign="vcenter"))
        row += 1
    return row + 1


def _maps(sheet: Any, styles: Styles, page: FieldPage, top: int) -> int:
    height, width = page.maps[0].values.shape
    starts = [_SIDE + k * (width + _GAP) for k in range(len(page.maps))]
    sheet.set_row_pixels(top, 26)
    for one, left in zip(page.maps, starts, strict=True):
        sheet.write_string(
            top, left, one.title, styles.text(12, bold=True, font_color=HEADING, valign="vcenter")
        )
    first = top + 1
    for r in range(height):
        sheet.set_row_pixels(first + r, _CELL)
        for one, left in zip(page.maps, starts, strict=True):
            for c in range(width):
                sheet.write_number(
                    first + r, left + c, float(one.values[r, c]), _cell(styles, page, one.values, r, c)
                )
    for one, left in zip(page.maps, starts, strict=True):
        scale = {"type": "2_color_scale", "min_color": "#FFFFFF", "max_color": one.colour}
        sheet.conditional_format(first, left, first + height - 1, left + width - 1, scale)
    row = first + height
    for k in range(max(len(one.facts) for one in page.maps)):
        sheet.set_row_pixels(row, 22)
        for one, left in zip(page.maps, starts, strict=True):
            if k < len(one.facts):
                sheet.write_string(row, left, one.facts[k], styles.text(10, valign="vcenter"))
        row += 1
    return row


def _cell(styles: Styles, page: FieldPage, values: FloatArray, r: int, c: int) -> Any:
    """A cell of a map; the border of the field is drawn thick. Numbers that do not fit show as colour alone."""
    top, bottom, left, right = page.box
    inside = top <= r <= bottom and left <= c <= right
    edges = {
        side: 2 if inside and at else 1
        for side, at in (
            ("top", r == top),
            ("bottom", r == bottom),
            ("left", c == left),
            ("right", c == right),
        )
    }
    colours = {f"{side}_color": _EDGE if width == 2 else _LINE for side, width in edges.items()}
    return styles.get(
        font_size=6, align="center", valign="vcenter", num_format=_format(values, inside), **edges, **colours
    )


def _format(values: FloatArray, inside: bool) -> str:
    largest = float(np.abs(values).max(initial=0))
    if not inside or largest > _WIDEST_SHOWN:
        return ";;;"
    return "0" if (values == values.round()).all() else "0.00" if largest < 9.995 else "0.0"


def _spans(page: FieldPage) -> list[int]:
    """Columns that each column of the table takes."""
    lines = [page.header, *page.rows]
    return [max(2, -(-max(len(line[k]) for line in lines) * 8 // _CELL) + 1) for k in range(len(page.header))]


def _table(sheet: Any, styles: Styles, page: FieldPage, top: int) -> int:
    spans = _spans(page)
    for k, line in enumerate([page.header, *page.rows]):
        row = top + k
        sheet.set_row_pixels(row, 22)
        look: dict[str, Any] = {"valign": "vcenter", "font_size": 10}
        if k == 0:
            look |= {"bold": True, "font_color": HEADING, "bottom": 1, "bottom_color": HEADING}
        elif k - 1 == page.here:
            look |= {"bold": True, "bg_color": "#FFF4CC"}
        left = _SIDE
        for column, (text, span) in enumerate(zip(line, spans, strict=True)):
            style = styles.get(**look, align="left" if column < 2 else "right")
            sheet.merge_range(row, left, row, left + span - 1, "", style)
            number = _number(text) if k and column > 2 else None
            if number is None:
                sheet.write_string(row, left, text, style)
            else:
                sheet.write_number(row, left, number, style)
            left += span
    return top + len(page.rows) + 1


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
