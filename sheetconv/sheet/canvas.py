"""Drawing on a page: the band with title and links, the text column, tensors, selectors, highlights.

Every page looks alike: a dark band, a line of links, a column of text at the left with the question in a tinted
box, and cells to the right of it from row `TOP`, column `LEFT` on. Sizes of text are in points *on the screen*:
a page with many cells is shown at a smaller zoom, and its texts are set larger by as much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sheetconv.graph.expr import FloatArray
from sheetconv.graph.index import IntArray
from sheetconv.graph.tensor import Tensor
from sheetconv.sheet import measure
from sheetconv.sheet.draft import Draft
from sheetconv.sheet.formula import Printer
from sheetconv.sheet.frame import LEFT, TEXT, TOP, Frame, fill
from sheetconv.sheet.layout import Place
from sheetconv.sheet.stream import BulkSheet, WrittenBlock
from sheetconv.sheet.style import HEADING, INK, LINK, Box, Styles, colour, pattern
from sheetconv.sheet.text import Bytes
from sheetconv.xlsx.address import area, cell, quoted

A3 = (1440, 1000)  # pixels that a landscape sheet takes at full size
MUTED, ASK, PICK = "#52606D", "#FFF7E0", "#FFE99A"
SERIES = ("#3FA7CC", "#E8590C")  # the colours of a chart's series
CHOSEN = "#E8590C"  # the colour of what a selector has chosen
MAX_BOXES = 2000

Properties = Mapping[str, Any]


class Canvas:
    """One sheet being drawn."""

    PIXEL = "[<0.005]0;[>=0.995]0;.00"
    """A number format for pixels in small cells: 0, .53, 1."""
    MAP = "[=0]0;0.0"
    """A number format for maps in small cells; not for negative numbers, which LibreOffice shows without their sign."""
    TENTH = "[>=0.05]0.0;[<=-0.05]-0.0;0"
    """A number format for numbers of either sign: what would round to -0.0 is 0."""
    TINY = "[>=0.05].0;[<=-0.05]-#.0;0"
    """The same without the leading zero, for the smallest cells (without #, LibreOffice writes -1.5 as 1-.5)."""
    WEIGHT = "[>=0.005].00;[<=-0.005]-#.00;0"
    """A number format for weights below 1 in small cells: what would round to .00 is 0."""
    BAND = "#E3EBF2"
    """The colour behind the links."""

    def __init__(
        self, book: Any, styles: Styles, draft: Draft, page: Frame, values: Mapping[Tensor, FloatArray]
    ) -> None:
        self.book, self.styles, self.draft, self.page, self.values = book, styles, draft, page, values
        self.sheet: BulkSheet = book.add_worksheet(page.name, worksheet_class=BulkSheet)
        self.sheet.book_styles = styles
        self.printer = Printer(draft.places, page.name, xml=True)
        self.digits = draft.cached_digits
        self.zoom = page.zoom
        self.free = TOP
        """First row of the text column that is free."""
        self.bottom = TOP
        self.printed: int | None = None

    def pt(self, points: float) -> float:
        """Points of a text that is to be read at `points` on the screen."""
        return round(points / self.zoom * 2) / 2

    def px(self, pixels: float) -> int:
        """Pixels in the sheet for pixels on the screen."""
        return round(pixels / self.zoom)

    # --- the frame -------------------------------------------------------------------------------------

    def open(self) -> None:
        """Set the grid; write title, links, text and questions."""
        sheet, page = self.sheet, self.page
        sheet.hide_gridlines(2)
        sheet.set_default_row(page.unit * 0.75)
        sheet.set_column_pixels(0, 0, self.px(14))
        sheet.set_column_pixels(1, 1, self.px(TEXT))
        sheet.set_column_pixels(2, 2, self.px(24))
        sheet.set_column_pixels(LEFT, LEFT + page.columns, page.unit)
        sheet.set_zoom(round(self.zoom * 100))
        sheet.freeze_panes(2, 0)
        sheet.set_row_pixels(0, self.px(40), self.styles.get(bg_color=HEADING))
        sheet.set_row_pixels(1, self.px(26), self.styles.get(bg_color=self.BAND))
        for row, pixels in page.tall.items():
            sheet.set_row_pixels(row, self.px(pixels))
        title = self.style(18, bold=True, font_color="#FFFFFF", bg_color=HEADING, valign="vcenter")
        sheet.write_string(0, 1, fill_in(page, page.settings.title) or page.name, title)
        self._links()
        paragraphs = [text for p in page.settings.text if (text := fill_in(page, p))]
        row = self.paragraph(TOP, "\n\n".join(paragraphs))
        if page.settings.questions:
            asked = "\n\n".join(fill_in(page, q) for q in page.settings.questions)
            box = {"bg_color": ASK, "border": 1, "border_color": "#F0D58A", "indent": 1, "valign": "vcenter"}
            row = self.paragraph(row + 1, f"{page.shared('try')}  {asked}", **box)
        self.free = row + 1

    def _links(self) -> None:
        pages = self.draft.pages
        here = pages.index(self.page)
        style = self.style(10, bold=True, font_color=LINK, bg_color=self.BAND, valign="vcenter")
        column = LEFT
        if here:
            before = pages[here - 1]
            text = self.page.shared("back", page=before.name)
            self.sheet.write_url(1, 1, f"internal:{quoted(before.name)}!A1", style, text)
        links = [("next", pages[here + 1])] if here + 1 < len(pages) else []
        if here > 1:
            links.append(("contents", pages[0]))
        for key, target in links:
            text = self.page.shared(key, page=target.name)
            self.sheet.write_url(1, column, f"internal:{quoted(target.name)}!A1", style, text)
            column += int(measure.width(text, self.pt(10)) // self.page.unit) + 4

    def paragraph(self, row: int, text: str, **properties: Any) -> int:
        """A block of text in the text column; returns the row after it."""
        size = self.pt(11)
        height = (
            measure.rows(text, size, self.px(TEXT - (28 if properties else 14)), self.page.unit)
            * self.page.unit
        )
        count = 1
        while self._pixels(row, row + count) < height:
            count += 1
        style = self.style(11, **{"text_wrap": True, "valign": "top", **properties})
        if count > 1:
            self.sheet.merge_range(row, 1, row + count - 1, 1, "", style)
        self.sheet.write_string(row, 1, text, style)
        self.grow(row + count)
        return row + count

    def _pixels(self, first: int, end: int) -> int:
        """Height of rows `first` to before `end`."""
        return sum(
            self.px(self.page.tall[r]) if r in self.page.tall else self.page.unit for r in range(first, end)
        )

    def close(self) -> None:
        """Set the page up for printing; call when everything is drawn."""
        sheet, page = self.sheet, self.page
        last = LEFT + page.columns
        width = self.px(TEXT + 38) + page.columns * page.unit
        bottom = self.printed or self.bottom
        height = max(self._pixels(a, b) for a, b in pairwise([TOP, *page.breaks, bottom])) + self.px(66)
        if width >= height:
            sheet.set_landscape()
        sheet.set_paper(8 if width * height > 2_000_000 else 9)
        sheet.set_margins(0.3, 0.3, 0.3, 0.3)
        sheet.center_horizontally()
        if page.breaks:
            # a page that is fitted takes no breaks: scale it to the width of A3 (and the height) instead
            sheet.set_paper(8)
            room = A3 if width >= height else A3[::-1]
            sheet.set_print_scale(int(100 * min(room[0] / width, room[1] / height)))
            sheet.set_h_pagebreaks(page.breaks)
        else:
            sheet.fit_to_pages(1, 1)
        sheet.print_area(0, 0, bottom, last)

    def print_to_here(self) -> None:
        """What is drawn from now on stands below the part that prints."""
        self.printed = self.bottom

    def grow(self, row: int) -> None:
        """Tell the page that something reaches down to this row (it prints that far)."""
        self.bottom = max(self.bottom, row)

    # --- pieces ----------------------------------------------------------------------------------------

    def style(self, size: float = 11, **properties: Any) -> Any:
        """A format for text that is read at `size` points on the screen."""
        return self.styles.get(**{"font_size": self.pt(size), "font_color": INK, **properties})

    def text(
        self,
        row: int,
        column: int,
        text: str,
        size: float = 11,
        box: tuple[int, int] | None = None,
        **more: Any,
    ) -> None:
        """A text from a cell on; with `box` (rows, columns) it is wrapped inside that many merged cells."""
        size = size if box else self.fitting(size, row)
        style = self.style(
            size, **({"text_wrap": True, "valign": "top"} if box else {"valign": "vcenter"}) | more
        )
        if box and box != (1, 1):
            self.sheet.merge_range(row, column, row + box[0] - 1, column + box[1] - 1, "", style)
        self.sheet.write_string(row, column, text, style)
        self.grow(row + (box[0] if box else 1))

    def fitting(self, points: float, row: int, rows: int = 1) -> float:
        """`points` on the screen, or the fewer whose ascenders and descenders `rows` rows have room for."""
        room = self._pixels(row, row + rows) * self.zoom
        return min(points, measure.largest(room)) if room < measure.tall(points) else points

    def heighten(self, row: int, points: float) -> None:
        """Give a row the height of a text on it; not for rows of maps, whose cells are square."""
        high = measure.tall(points)
        if self._pixels(row, row + 1) * self.zoom >= high:
            return
        self.page.tall[row] = high
        self.sheet.set_row_pixels(row, self.px(high) + 1)

    def _in_map(self, row: int) -> bool:
        here = (p.box() for p in self.draft.places.values() if p.sheet == self.page.name)
        return any(r0 - 1 <= row <= r1 and r1 > r0 for r0, _, r1, _ in here)

    def title(self, row: int, column: int, text: str, detail: str = "") -> None:
        """A heading of a block, and in grey what is to be known of it."""
        if not self._in_map(row):
            self.heighten(row, 12)
        self.text(row, column, text, 12, bold=True, font_color=HEADING)
        if detail:
            self.text(row + 1, column, detail, 10, font_color=MUTED)

    def tensor(
        self,
        tensor: Tensor,
        scale: str = "",
        form: str = "",
        size: float | None = None,
        span: int | tuple[int, int] = 1,
        properties: Properties | Callable[..., Properties] | None = None,
    ) -> None:
        """All cells of a tensor of this page.

        `scale` colours them ("pixels", "activation", "signed"), `form` is a number format, `size` in points of the
        sheet itself; `properties` adds to the format, for all cells or by a function of the index; each
        element may `span` several columns, or (rows, columns).
        """
        place = self.draft.places[tensor]
        values = self.values[tensor]
        base: dict[str, Any] = {
            "font_size": size or max(7, round(self.page.unit * 0.3)), "align": "center", "valign": "vcenter",
            "num_format": form or pattern(values), "border": 1, "border_color": "#E4E7EB",
        }  # fmt: skip
        rows, columns = (a.reshape(-1) for a in np.broadcast_arrays(*place.cells()))
        flat = values.reshape(-1)
        down, across = span if isinstance(span, tuple) else (1, span)
        for chosen, numbers in _looks(tensor, base, properties):
            style = self.styles.get(**chosen)
            at = (rows, columns) if numbers is None else (rows[numbers], columns[numbers])
            if (down, across) != (1, 1):
                for r, c in zip(*(a.tolist() for a in at), strict=True):
                    self.sheet.merge_around((r, c, r + down - 1, c + across - 1), style)
            block = WrittenBlock(
                *at, style._get_xf_index(), flat if numbers is None else flat[numbers], name=tensor.name
            )
            if tensor.expr is not None:
                block.formulas, block.digits = self._formulas(tensor, numbers), self.digits
            self.sheet.add_block(block)
        boxes = [box for _, box in place.planes()]
        if any(place.margin):
            write_margin(self.sheet, self.styles, boxes, place.margin)
        if scale:
            # merged cells count whole: a scale over their first cells alone would be drawn in part
            many = len(boxes) > MAX_BOXES  # a column of single cells, say: one scale over its whole box
            boxes = [place.box()] if many else boxes
            wide = [(r0, c0, r1 + down - 1, c1 + across - 1) for r0, c0, r1, c1 in boxes]
            colour(self.sheet, wide, scale)
        self.grow(place.box()[2] + down + place.margin[2])

    def _formulas(self, tensor: Tensor, numbers: IntArray | None) -> Callable[[IntArray], Bytes]:
        """The formulas of a block's cells, which are all of a tensor's or those with these numbers."""
        if numbers is None:
            return lambda which: self.printer.text(tensor, which)
        return lambda which: self.printer.text(tensor, numbers[which])

    def choice(self, tensor: Tensor, allowed: range | list[int] | tuple[int, int], span: int = 2) -> None:
        """A yellow cell that drives the sheet: a drop-down of numbers, or for a tuple (low, high) a cell to type in."""
        bold = {"bold": True, "bg_color": PICK, "border": 1, "border_color": CHOSEN}
        self.tensor(tensor, form="0", size=self.pt(12), span=span, properties=bold)
        place = self.draft.places[tensor]
        r, c = place.row, place.column
        if isinstance(allowed, tuple):
            self.limit(tensor, *allowed)
            return
        rule = {"validate": "list", "source": [str(a) for a in allowed]}
        error = {
            "error_title": self.page.shared("no_choice")[:32],
            "error_message": f"{allowed[0]} … {allowed[-1]}",
        }
        self.sheet.data_validation(r, c, r, c, {**rule, **error})

    def decimal(self, tensor: Tensor, low: float, high: float, span: int = 2) -> None:
        """A yellow cell to type a number from `low` to `high` into."""
        bold = {"bold": True, "bg_color": PICK, "border": 1, "border_color": CHOSEN}
        self.tensor(tensor, form="General", size=self.pt(12), span=span, properties=bold)
        rule = {"validate": "decimal", "criteria": "between", "minimum": low, "maximum": high}
        error = {"error_title": self.page.shared("no_choice")[:32], "error_message": f"{low} … {high}"}
        self.sheet.data_validation(*self.draft.places[tensor].box(), {**rule, **error})

    def formula(
        self,
        row: int,
        column: int,
        text: str,
        value: Any,
        size: float = 11,
        span: int = 1,
        rows: int = 1,
        **properties: Any,
    ) -> None:
        """A formula beside the tensors, such as the caption of what is chosen; `value` is its present result.

        A number needs a `span` of columns that is wide enough for it; a text reaches over what is blank.
        """
        row, column = int(row), int(column)
        style = self.style(self.fitting(size, row, rows), valign="vcenter", **properties)
        if span > 1:
            self.sheet.merge_range(row, column, row + rows - 1, column + span - 1, "", style)
        self.sheet.write_formula(row, column, f"={text}", style, value)
        self.grow(row + rows)

    def limit(self, tensor: Tensor, low: int, high: int) -> None:
        """Let the cells of a tensor take whole numbers from `low` to `high` only."""
        rule = {"validate": "integer", "criteria": "between", "minimum": low, "maximum": high}
        error = {"error_title": self.page.shared("no_choice")[:32], "error_message": f"{low} … {high}"}
        self.sheet.data_validation(*self.draft.places[tensor].box(), {**rule, **error})

    def letters_choice(self, row: int, column: int, letters: Sequence[str], span: int = 2) -> None:
        """A yellow drop-down of words or letters (for what only lights up); it starts at the first."""
        style = self.style(
            12, bold=True, bg_color=PICK, border=1, border_color=CHOSEN, align="center", valign="vcenter"
        )
        if span > 1:
            self.sheet.merge_range(row, column, row, column + span - 1, "", style)
        self.sheet.write_string(row, column, letters[0], style)
        self.sheet.data_validation(row, column, row, column, {"validate": "list", "source": list(letters)})
        self.grow(row + 1)

    def merged(self, row: int, column: int, span: int, value: str | int, style: Any, link: str = "") -> None:
        """A text (perhaps with a link) or a number over `span` columns."""
        row, column = int(row), int(column)
        if span > 1:
            self.sheet.merge_range(row, column, row, column + span - 1, "", style)
        if link:
            self.sheet.write_url(row, column, link, style, str(value))
        elif isinstance(value, str):
            self.sheet.write_string(row, column, value, style)
        else:
            self.sheet.write_number(row, column, value, style)
        self.grow(row + 1)

    def captions(self, row: int, column: int, pick: Tensor, **properties: Any) -> None:
        """The caption of the chosen image, looked up by a formula that holds all captions."""
        texts = [c.replace('"', '""') for c in self.draft.picked.captions]
        at, groups = self.address(pick, 0), [texts[i : i + 20] for i in range(0, len(texts), 20)]
        if len(texts) < 30:  # LibreOffice's CHOOSE takes no more arguments
            groups = [texts]
        number = at if len(groups) == 1 else f"MOD({at}-1,20)+1"
        chosen = [f"CHOOSE({number},{','.join(f'{chr(34)}{t}{chr(34)}' for t in group)})" for group in groups]
        text = chosen[0] if len(groups) == 1 else f"CHOOSE(INT(({at}-1)/20)+1,{','.join(chosen)})"
        self.formula(row, column, text, texts[0], **properties)

    def at(self, place_row: int, place_column: int, *, row: bool = True, column: bool = True) -> str:
        """The address of a cell of this page, absolute unless `row` or `column` is off."""
        return _fixed(cell(place_row, place_column, absolute=True), row, column)

    def address(self, tensor: Tensor, *index: int, row: bool = True, column: bool = True) -> str:
        """The address of an element, absolute unless `row` or `column` is off; with its sheet where that is another."""
        place = self.draft.places[tensor]
        rows, columns = np.broadcast_arrays(*place.cells())
        text = _fixed(cell(int(rows[index]), int(columns[index]), absolute=True), row, column)
        return text if place.sheet == self.page.name else f"{quoted(place.sheet)}!{text}"

    def axis(self, row: int, column: int, count: int, down: bool = False, start: int = 0) -> None:
        """Small grey numbers beside a map, counted from `start`."""
        style = self.styles.get(font_size=max(7, round(self.page.unit * 0.28)), font_color="#9AA5B1", align="center",
                                valign="vcenter")  # fmt: skip
        for i in range(count):
            self.sheet.write_number(row + i * down, column + i * (not down), start + i, style)

    def highlight(self, box: Box, condition: str, **properties: Any) -> None:
        """Light cells up by a condition, written for the first cell of the box."""
        look = properties or {"bg_color": "#FFD8A8", "bold": True}
        self.sheet.conditional_format(
            area(*box), {"type": "formula", "criteria": f"={condition}", "format": self.book.add_format(look)}
        )

    def widen(self, columns: int) -> None:
        """Give square cells to that many columns, beyond the part that prints."""
        self.sheet.set_column_pixels(LEFT, LEFT + columns, self.page.unit)

    def ring(self, box: Box, condition: str, *, pixels: bool = False) -> None:
        """Frame cells that have a colour scale, where a fill of its own would not show; on dark `pixels` text is white."""
        frame = {"border": 1, "border_color": CHOSEN, "bold": True}
        if pixels:
            self.highlight(box, f"AND({condition},{cell(*box[:2])}>0.5)", font_color="#FFFFFF", **frame)
        self.highlight(box, condition, font_color=INK, **frame)

    def range(self, box: Box) -> str:
        """The address of a rectangle of this page, absolute."""
        return area(*box, absolute=True)

    def chart(
        self,
        title: str,
        classes: Box,
        values: Box,
        at: tuple[int, int],
        size: tuple[int, int],
        form: str = "0%",
    ) -> None:
        """A native column chart of values from 0 to 1 over their classes, `size` (columns, rows) of cells large."""
        look = {"fill": {"color": "#3FA7CC"}, "gap": 40}
        self._chart(
            "column",
            title,
            classes,
            [(title, values, look)],
            at,
            size,
            {"min": 0, "max": 1, "num_format": form},
        )

    def bars(
        self,
        title: str,
        classes: Box,
        series: Sequence[tuple[str, Box]],
        at: tuple[int, int],
        size: tuple[int, int],
        form: str = "0%",
    ) -> None:
        """The same for several series side by side, named in a legend."""
        looks = [{"fill": {"color": c}, "gap": 60, "overlap": 0} for c in SERIES]
        named = [(name, box, look) for (name, box), look in zip(series, looks, strict=False)]
        self._chart("column", title, classes, named, at, size, {"min": 0, "max": 1, "num_format": form})

    def lines(
        self,
        title: str,
        steps: Box,
        series: Sequence[tuple[str, Box]],
        at: tuple[int, int],
        size: tuple[int, int],
        form: str,
        least: float = 0,
    ) -> None:
        """A native line chart of one or two series over their steps, the value axis from `least` on."""
        looks = [{"line": {"color": c, "width": 2.25}, "marker": {"type": "circle", "size": 5, "fill": {"color": c},
                  "border": {"color": c}}} for c in SERIES]  # fmt: skip
        named = [(name, box, look) for (name, box), look in zip(series, looks, strict=False)]
        self._chart("line", title, steps, named, at, size, {"min": least, "num_format": form})

    def path(self, title: str, x: Box, y: Box, at: tuple[int, int], size: tuple[int, int]) -> None:
        """A native scatter chart of points (x, y) joined in their order."""
        look = {"line": {"color": SERIES[0], "width": 1.5}, "marker": {"type": "circle", "size": 4,
                "fill": {"color": SERIES[1]}, "border": {"color": SERIES[1]}}}  # fmt: skip
        self._chart("scatter", title, x, [(title, y, look)], at, size, {"num_format": "0.0"})

    def _chart(
        self,
        kind: str,
        title: str,
        classes: Box,
        series: Sequence[tuple[str, Box, dict[str, Any]]],
        at: tuple[int, int],
        size: tuple[int, int],
        axis: dict[str, Any],
    ) -> None:
        chart = self.book.add_chart({"type": kind})
        for name, box, look in series:
            where = {"categories": [self.page.name, *classes], "values": [self.page.name, *box]}
            chart.add_series({"name": name, **where, **look})
        font = {"size": self.pt(9), "color": INK}
        chart.set_title(
            {"name": title, "name_font": {"size": self.pt(11), "color": HEADING}, "overlay": False}
        )
        chart.set_legend({"none": True} if len(series) == 1 else {"position": "bottom", "font": font})
        lines = {"visible": True, "line": {"color": "#E4E7EB"}}
        chart.set_y_axis({**axis, "num_font": font, "major_gridlines": lines})
        chart.set_x_axis({"num_font": font})
        chart.set_size({"width": size[0] * self.page.unit, "height": size[1] * self.page.unit})
        self.sheet.insert_chart(*at, chart, {"description": self._described(kind, title, classes, series)})
        self.grow(at[0] + size[1])

    def _described(self, kind: str, title: str, classes: Box, series: Sequence[tuple[str, Box, Any]]) -> str:
        """What a chart shows, in words: for those who do not see it."""
        r0, c0, r1, c1 = classes
        text = self.page.shared(f"{kind}_chart", title=title, count=max(r1 - r0, c1 - c0) + 1)
        if len(series) == 1:
            return text
        return text + self.page.shared("chart_series", names=", ".join(name for name, _, _ in series))

    def place(self, tensor: Tensor) -> Place:
        """Where a tensor lies."""
        return self.draft.places[tensor]


def _looks(
    tensor: Tensor, base: Mapping[str, Any], properties: Properties | Callable[..., Properties] | None
) -> list[tuple[dict[str, Any], IntArray | None]]:
    """The formats of a tensor's cells, each with the numbers of its cells (None: all)."""
    if not callable(properties):
        return [({**base, **(properties or {})}, None)]
    groups: dict[tuple[tuple[str, Any], ...], list[int]] = {}
    for number, index in enumerate(np.ndindex(*tensor.shape)):
        groups.setdefault(tuple(sorted({**base, **properties(*index)}.items())), []).append(number)
    return [(dict(chosen), np.array(numbers)) for chosen, numbers in groups.items()]


def write_margin(
    sheet: BulkSheet, styles: Styles, boxes: Sequence[Box], margin: tuple[int, int, int, int]
) -> None:
    """Grey cells around each plane: blank, so 0 to a convolution and nothing to a maximum."""
    top, left, bottom, right = margin
    r0, c0, r1, c1 = np.array(boxes, dtype=np.int64).T
    height, width = int(r1[0] - r0[0]) + 1, int(c1[0] - c0[0]) + 1
    across = np.arange(-left, width + right)
    # the sides apart, so that each holds one stretch of cells in a row
    for down, aside in (
        (np.arange(-top, 0), across),
        (np.arange(height, height + bottom), across),
        (np.arange(height), np.arange(-left, 0)),
        (np.arange(height), np.arange(width, width + right)),
    ):
        rows, columns = np.broadcast_arrays(
            r0[:, None, None] + down[:, None], c0[:, None, None] + aside[None]
        )
        sheet.add_blanks(rows.reshape(-1), columns.reshape(-1), styles.padding())


def _fixed(address: str, row: bool, column: bool) -> str:
    _, letters, digits = address.split("$")
    return f"{'$' * column}{letters}{'$' * row}{digits}"


def fill_in(page: Frame, text: str) -> str:
    """A text of the page with its own words filled in."""
    return fill(text, page.words())
