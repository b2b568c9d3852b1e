"""Colours, number formats and conditional formats, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sheetconv.graph.expr import FloatArray
from sheetconv.xlsx.address import area

CELL = 28  # pixels, width and height of a cell of the network sheet
INK = "#1F2933"
PADDING = "#D5D9DE"
ACTIVATION = "#3FA7CC"
NEGATIVE, POSITIVE = "#E8604C", "#5B9BD5"
HEADING = "#14344F"
LINK = "#0563C1"

# Arial has metric-compatible stand-ins everywhere, so that cells are square in every program.
OPTIONS = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "default_format_properties": {"font_name": "Arial", "font_size": 10},
}

Box = tuple[int, int, int, int]


class Styles:
    """The formats of one workbook, each made once."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self._made: dict[tuple[tuple[str, Any], ...], Any] = {}

    def get(self, **properties: Any) -> Any:
        """A format with these XlsxWriter properties."""
        base = {"font_name": "Arial", "font_size": 8, "font_color": INK}
        key = tuple(sorted({**base, **properties}.items()))
        if key not in self._made:
            self._made[key] = self.book.add_format(dict(key))
        return self._made[key]

    def cell(self, pattern: str) -> Any:
        """A cell of a map: small, centred, in the given number format."""
        return self.get(
            font_size=7,
            align="center",
            valign="vcenter",
            num_format=pattern,
            border=1,
            border_color="#E4E7EB",
        )

    def padding(self) -> Any:
        """A blank margin cell."""
        return self.get(bg_color=PADDING)

    def text(self, size: int = 10, *, bold: bool = False, **more: Any) -> Any:
        """Running text."""
        return self.get(font_size=size, bold=bold, **more)


def pattern(values: FloatArray) -> str:
    """A number format that fits a square cell: two decimals, fewer for large numbers."""
    largest = float(abs(values).max(initial=0))
    return "0.00" if largest < 9.995 else "0.0" if largest < 99.95 else "0"


def colour(sheet: Any, boxes: Sequence[Box], scale: str) -> None:
    """Put a colour scale on some rectangles: "pixels", "activation" or "signed"."""
    if not boxes:
        return
    first = area(*boxes[0])
    ranges = " ".join(area(*b) for b in boxes)
    where = {"multi_range": ranges} if len(boxes) > 1 else {}
    if scale == "pixels":
        options: dict[str, Any] = {
            "type": "2_color_scale", "min_type": "num", "min_value": 0, "max_type": "num", "max_value": 1,
            "min_color": "#FFFFFF", "max_color": "#000000",
        }  # fmt: skip
        dark = sheet.book_styles.book.add_format({"font_color": "#FFFFFF"})
        sheet.conditional_format(
            first, {"type": "cell", "criteria": ">", "value": 0.5, "format": dark, **where}
        )
    elif scale == "activation":
        options = {
            "type": "2_color_scale", "min_type": "num", "min_value": 0, "max_type": "max",
            "min_color": "#FFFFFF", "max_color": ACTIVATION,
        }  # fmt: skip
    else:
        options = {
            "type": "3_color_scale", "min_type": "min", "mid_type": "num", "mid_value": 0, "max_type": "max",
            "min_color": NEGATIVE, "mid_color": "#FFFFFF", "max_color": POSITIVE,
        }  # fmt: skip
    sheet.conditional_format(first, {**options, **where})
