"""What a reader sees: LibreOffice is asked for the displayed text of every cell of every page, and each has room.

A number that is wider than its cell shows as ###; the widths are those of Arial's characters, with the margin that
LibreOffice leaves at both sides of a cell.
"""

import csv
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from openpyxl import load_workbook

from sheetconv.building import Request, build

pytestmark = pytest.mark.libreoffice

EM = {
    ".": 0.278,
    "-": 0.333,
    "−": 0.584,
    ",": 0.278,
    " ": 0.278,
    "+": 0.584,
    "%": 0.889,
    "E": 0.667,
    "/": 0.278,
}
MARGIN = 1.3  # pixels at each side of a cell
NUMBER = re.compile(r"[-+]?[\d.,]+(E[-+]?\d+)?%?")
ALL_SHEETS_AS_SHOWN = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,true,false,false,-1"


def displayed(book: Path, folder: Path) -> dict[str, list[list[str]]]:
    """By sheet, the rows of texts as LibreOffice shows them."""
    profile = (folder / "profile").as_uri()
    command = [
        "soffice",
        f"-env:UserInstallation={profile}",
        "--headless",
        "--convert-to",
        ALL_SHEETS_AS_SHOWN,
    ]
    subprocess.run([*command, "--outdir", folder, book], check=True, capture_output=True, timeout=300)
    found = {}
    for file in folder.glob(f"{book.stem}-*.csv"):
        with file.open(encoding="utf-8", newline="") as stream:
            found[file.stem.removeprefix(f"{book.stem}-")] = list(csv.reader(stream))
    return found


def faults(book: Path, folder: Path) -> Iterator[str]:
    """Every number of a visible sheet that does not fit its cell, shows no digit but zeros, or reads as another."""
    shown, values = displayed(book, folder), load_workbook(book, data_only=True)
    for sheet in load_workbook(book):
        if sheet.sheet_state != "visible":
            continue
        widths = {c: d.width * 7 for d in sheet.column_dimensions.values() for c in range(d.min, d.max + 1)}
        merged = {(m.min_row, m.min_col): m.max_col for m in sheet.merged_cells.ranges}
        for r, row in enumerate(shown[sheet.title], 1):
            for c, text in enumerate(row, 1):
                if text.startswith("##") or text in (".00", "-.00", "-0.00", "-0.0", "-0"):
                    yield f"{sheet.title} {sheet.cell(r, c).coordinate}: {text}"
                elif misread(values[sheet.title].cell(r, c).value, text):
                    yield f"{sheet.title} {sheet.cell(r, c).coordinate}: reads as {text}"
                elif NUMBER.fullmatch(text):
                    room = sum(widths.get(k, 64) for k in range(c, merged.get((r, c), c) + 1))
                    if needed(sheet.cell(r, c), text) > room:
                        yield f"{sheet.title} {sheet.cell(r, c).coordinate}: {text} in {room:.0f} pixels"


def misread(value: Any, text: str) -> bool:
    """Whether a cell's number shows as another: without its sign, say, or with the sign in the middle."""
    if not isinstance(value, (int, float)) or not any(c.isdecimal() for c in text):
        return False
    if not NUMBER.fullmatch(text):
        return bool(re.fullmatch(r"[-+\d.,]+", text))
    plain = text.rstrip("%").replace(",", "")
    last = 0.5 * 10.0 ** -len(plain.partition("E")[0].partition(".")[2])
    scaled = value * 100 if text.endswith("%") else value
    return "E" not in text and abs(float(plain) - scaled) > last * 1.001 + 1e-9


def needed(cell: Any, text: str) -> float:
    """Pixels that a number takes; a text that looks like one may run over into the next cell."""
    if cell.data_type == "s":
        return 0.0
    return sum(EM.get(c, 0.556) for c in text) * cell.font.sz * 4 / 3 + 2 * MARGIN


@pytest.mark.parametrize("template", ["lesson", "simple-cnn"])
def test_every_number_of_every_page_is_shown_whole(tmp_path: Path, template: str) -> None:
    target = tmp_path / "book.xlsx"
    build(Request(target, template, dataset="builtin", verify=False))
    assert list(faults(target, tmp_path)) == []


def test_numbers_without_room_are_found(tmp_path: Path) -> None:
    target = tmp_path / "planted.xlsx"
    with xlsxwriter.Workbook(target) as book:
        sheet = book.add_worksheet("S")
        sheet.set_column_pixels(0, 20, 25)
        small = {"font_size": 8, "font_name": "Arial"}
        sheet.write(0, 0, 0.997, book.add_format({"num_format": "0.000", **small}))
        sheet.write(0, 1, 0.001, book.add_format({"num_format": ".00", **small}))
        sheet.write(0, 2, 0.53, book.add_format({"num_format": ".00", **small}))
        sheet.write(1, 0, -0.53, book.add_format({"num_format": "[=0]0;0.0", **small}))
        sheet.write(1, 1, -1.5, book.add_format({"num_format": "[>=0.05].0;[<=-0.05]-.0;0", **small}))
        sheet.write(1, 2, -1.5, book.add_format({"num_format": "[>=0.05].0;[<=-0.05]-#.0;0", **small}))
        sheet.merge_range(0, 3, 0, 6, 0.12345, book.add_format({"num_format": "0.00000", **small}))
    assert [fault.partition(":")[0] for fault in faults(target, tmp_path)] == ["S A1", "S B1", "S A2", "S B2"]
