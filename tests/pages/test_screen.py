"""What a page needs of a screen and of its readers, read from the file."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from openpyxl import load_workbook
from openpyxl.utils import range_boundaries

from sheetconv.building import Request, build

DRAWN = re.compile(r'<xdr:graphicFrame.*?<xdr:cNvPr [^>]*?(?:descr="([^"]*)")?/?>', re.DOTALL)
WIDER = (
    7.41 / 7
)  # LibreOffice measures columns by Arial's own digit, 7.41 pixels at 10 points; the file counts 7
AROUND = 45 + 20 + 36  # row numbers, scroll bar, the side bar's tabs
SCROLLED = {"Network", "Digits", "Images"}  # as wide as the network, and all pictures side by side
CHARTS = {"lesson": 7, "optimisers": 14, "simple-cnn": 1}


@pytest.fixture(scope="module", params=list(CHARTS))
def book(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    target = tmp_path_factory.mktemp("screen") / "book.xlsx"
    build(Request(target, request.param, dataset="builtin", verify=False))
    return request.param, target


def test_every_chart_has_an_alternative_text(book: tuple[str, Path]) -> None:
    name, path = book
    with zipfile.ZipFile(path) as parts:
        drawings = [n for n in parts.namelist() if re.fullmatch(r"xl/drawings/drawing\d+\.xml", n)]
        texts = [text for n in drawings for text in DRAWN.findall(parts.read(n).decode())]
        titles = [n for n in parts.namelist() if re.fullmatch(r"xl/charts/chart\d+\.xml", n)]
        named = [re.findall(r"<a:t>(.*?)</a:t>", parts.read(n).decode())[0] for n in titles]
    assert len(texts) == len(titles) >= CHARTS[name]
    for title in named:
        assert any(title in text and len(text) > len(title) + 10 for text in texts), (title, texts)


def too_low(sheet: Any) -> Iterator[str]:
    """Cells of one row whose text is higher than the row, by Arial's ascent and descent."""
    across = {(m.min_row, m.min_col): m for m in sheet.merged_cells.ranges}
    for cell in (c for row in sheet.iter_rows() for c in row if isinstance(c.value, str)):
        box = across.get((cell.row, cell.column))
        if cell.alignment.wrap_text or (box and box.max_row > box.min_row):
            continue
        high = (sheet.row_dimensions[cell.row].height or sheet.sheet_format.defaultRowHeight) * 4 / 3
        ems = 0.95 if cell.value.startswith("=") else 1.117  # figures have no descenders
        if cell.font.sz * 4 / 3 * ems > high + 0.5:
            yield f"{sheet.title} {cell.coordinate}: {cell.font.sz} pt in {high:.0f} pixels"


def too_wide(sheet: Any) -> Iterator[str]:
    """The part of a page that prints, and its charts, where they reach beyond the window."""
    zoom = (sheet.sheet_view.zoomScale or 100) / 100
    last = range_boundaries(sheet.print_area.rpartition("!")[2])[2] - 1  # the last is the paper's margin
    widths = {c: d.width * 7 for d in sheet.column_dimensions.values() for c in range(d.min, d.max + 1)}
    ends = {"page": last, **{f"chart {i}": c.anchor.to.col for i, c in enumerate(sheet._charts, 1)}}
    for what, end in ends.items():
        pixels = sum(widths.get(c, 64) for c in range(1, end + 1)) * WIDER * zoom
        if pixels > 1440 - AROUND:
            yield f"{sheet.title}: {what} {pixels:.0f}"


def test_texts_have_their_rows_height_and_pages_their_window(book: tuple[str, Path]) -> None:
    sheets = [s for s in load_workbook(book[1]) if s.sheet_state == "visible"]
    assert [fault for s in sheets for fault in too_low(s)] == []
    assert [fault for s in sheets if s.title not in SCROLLED for fault in too_wide(s)] == []


def test_what_is_too_low_or_too_wide_is_found(tmp_path: Path) -> None:
    path = tmp_path / "planted.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("S")
        sheet.set_default_row(15)
        sheet.set_column_pixels(0, 9, 150)
        sheet.print_area(0, 0, 5, 9)
        sheet.write(0, 0, "jpg", book.add_format({"font_size": 14}))
        sheet.write(1, 0, "jpg", book.add_format({"font_size": 11}))
        for column in (2, 8):
            chart = book.add_chart({"type": "line"})
            chart.add_series({"values": "=S!$A$1:$A$3"})
            sheet.insert_chart(2, column, chart)
    found = load_workbook(path)["S"]
    assert [fault.split(":")[0] for fault in too_low(found)] == ["S A1"]
    assert [fault.split()[1] for fault in too_wide(found)] == ["page", "chart"]
