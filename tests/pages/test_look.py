"""No text is cut off: every text has the room that it needs, by the widths of Arial's characters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xlsxwriter
from openpyxl import load_workbook
from pages.lesson_book import LessonBook

from sheetconv.sheet import measure

ROOM = 0.95  # `measure` errs on the safe side by about as much


def cut_texts(path: Path) -> Iterator[tuple[str, str, str]]:
    """(sheet, cell, text) of every text that its cells are too small for."""
    for sheet in load_workbook(path):
        if sheet.sheet_state == "visible":
            yield from ((sheet.title, at, text) for at, text in _cut(sheet))


def _cut(sheet: Any) -> Iterator[tuple[str, str]]:
    widths = {c: d.width * 7 for d in sheet.column_dimensions.values() for c in range(d.min, d.max + 1)}
    merged = {(m.min_row, m.min_col): m for m in sheet.merged_cells.ranges}
    covered = {(r, c) for m in merged.values() for r in range(m.min_row, m.max_row + 1)
               for c in range(m.min_col, m.max_col + 1)}  # fmt: skip
    for row in sheet.iter_rows(max_col=200):
        filled = [c.column for c in row if c.value is not None or (c.row, c.column) in covered]
        for cell in row:
            if not isinstance(cell.value, str) or cell.value.startswith("="):
                continue
            box = merged.get((cell.row, cell.column))
            if box is not None:
                fits = _fits(sheet, cell, box, widths)
            else:
                end = min((c for c in filled if c > cell.column), default=None)
                room = sum(widths.get(c, 64) for c in range(cell.column, end)) if end else float("inf")
                fits = (
                    cell.alignment.horizontal == "center"
                    or measure.width(cell.value, cell.font.sz) * ROOM <= room
                )
            if not fits:
                yield cell.coordinate, cell.value


def _fits(sheet: Any, cell: Any, box: Any, widths: dict[int, float]) -> bool:
    room = sum(widths.get(c, 64) for c in range(box.min_col, box.max_col + 1))
    if not cell.alignment.wrap_text:
        return measure.width(cell.value, cell.font.sz) * ROOM <= room
    default = sheet.sheet_format.defaultRowHeight
    height = (
        sum(sheet.row_dimensions[r].height or default for r in range(box.min_row, box.max_row + 1)) * 4 / 3
    )
    lines = measure.lines(cell.value, cell.font.sz * ROOM, room - 6)
    return lines * cell.font.sz * 4 / 3 * 1.17 <= height + 2


def test_no_text_of_the_lesson_is_cut_off(lesson: LessonBook) -> None:
    assert list(cut_texts(lesson.path)) == []


def test_texts_without_room_are_found(tmp_path: Path) -> None:
    path = tmp_path / "cut.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("S")
        sheet.set_column_pixels(0, 20, 40)
        sheet.write(0, 0, "long enough to be cut")
        sheet.write(0, 2, 1)
        sheet.merge_range(2, 0, 3, 3, "several words that wrap " * 5, book.add_format({"text_wrap": True}))
        sheet.merge_range(5, 0, 5, 1, "no room in the box", book.add_format())
        sheet.write(7, 0, "free to the right, whatever its length")
    assert [at for _, at, _ in cut_texts(path)] == ["A1", "A3", "A6"]
