"""An annotated copy of a workbook: findings listed on a sheet of their own, marked on their cells, and commented.

The copy has all parts of the original. A sheet is added behind the others; the cells of the findings get a
conditional format, and comments where their sheet has none yet (see `sheetconv.xlsx.marks`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import xlsxwriter

from sheetconv.errors import UsageError
from sheetconv.files import replacing
from sheetconv.inspect.lint.sheet import Finding
from sheetconv.xlsx.graft import graft
from sheetconv.xlsx.marks import Marks, find_spots
from sheetconv.xlsx.package import Package

SHEET = "Findings"
_HEADER = ("Cells", "Check", "What is there", "What was expected")
_WIDTHS = (26, 15, 78, 60)
_MOST_ROWS, _MOST_LINKS, _MOST_COMMENTS = 200_000, 60_000, 1000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")


def annotate(book: Path, findings: Sequence[Finding], out: Path, *, force: bool = False) -> None:
    """Write a copy of `book` to `out` with the findings on it; all else in it stays as it is.

    Raises `OutputError` when `out` cannot be written or exists without `force`, `UsageError` when it would
    replace the workbook itself or change its type, `WorkbookError` when the workbook is damaged.
    """
    if out.exists() and out.samefile(book):
        raise UsageError(f"{out} is the workbook itself; give the annotated copy another name")
    if out.suffix.lower() != book.suffix.lower():
        raise UsageError(f"{out}: the copy of {book.name} must be a {book.suffix} file too")
    with TemporaryDirectory() as folder, replacing(out, force=force) as temporary:
        marks = _marks(book, findings, Path(folder, "comments.xlsx"))
        _list(Path(folder, "list.xlsx"), findings)
        graft(book, Path(folder, "list.xlsx"), temporary, marks)


def _marks(book: Path, findings: Sequence[Finding], donor: Path) -> list[Marks]:
    """The marks on each sheet with findings; `donor` is where their comments are written on the way."""
    found, notes = [], []
    by_sheet: dict[str, dict[int, Finding]] = {}
    for number, finding in enumerate(findings, 1):
        by_sheet.setdefault(finding.area.sheet, {})[number] = finding
    with Package(book) as package:
        relations = package.relations(package.workbook_part)
        for sheet in package.sheets():
            kind, part = relations.get(sheet.relation, ("", ""))
            own = by_sheet.get(sheet.name)
            if own and kind == "worksheet":
                ranges = dict.fromkeys(str(f.area).rpartition("!")[2] for f in own.values())
                found.append(Marks(part, find_spots(package, part), list(ranges)))
                notes.append(_texts(own))
    commented = [(mark, texts) for mark, texts in zip(found, notes, strict=True) if mark.spots.free]
    if commented:
        _comment(donor, commented)
    return found


def _texts(findings: Mapping[int, Finding]) -> dict[tuple[int, int], str]:
    """The comment of each cell at which findings begin."""
    found: dict[tuple[int, int], str] = {}
    for number, f in findings.items():
        text = f"{number}. {f.rule}: {f.message}.\nExpected: {f.expected}."
        at = f.area.row0, f.area.column0
        if at in found or len(found) < _MOST_COMMENTS:
            found[at] = _plain(f"{found[at]}\n\n{text}" if at in found else text, 8000)
    return found


def _comment(donor: Path, sheets: Sequence[tuple[Marks, Mapping[tuple[int, int], str]]]) -> None:
    """Have XlsxWriter make the comments and their shapes, on sheets with the same widths of columns."""
    with xlsxwriter.Workbook(str(donor)) as work:
        for mark, texts in sheets:
            sheet = work.add_worksheet()
            sheet.set_default_row(mark.spots.row_height)
            for first, last, width in mark.spots.columns:
                sheet.set_column(first, last, width)
            for (row, column), text in texts.items():
                height = 60 + 18 * (len(text) // 55 + text.count("\n"))
                size = {"width": 380, "height": min(height, 900)}
                sheet.write_comment(row, column, text, {"author": "sheetconv lint", **size})
    with Package(donor) as package:
        relations = package.relations(package.workbook_part)
        for (mark, _), entry in zip(sheets, package.sheets(), strict=True):
            parts = dict(package.relations(relations[entry.relation][1]).values())
            mark.comments, mark.drawing = package.read(parts["comments"]), package.read(parts["vmlDrawing"])


def _list(path: Path, findings: Sequence[Finding]) -> None:
    """Write a workbook with the sheet that lists the findings."""
    with xlsxwriter.Workbook(str(path), {"constant_memory": True}) as work:
        sheet = work.add_worksheet(SHEET)
        for column, width in enumerate(_WIDTHS):
            sheet.set_column(column, column, width)
        sheet.freeze_panes(3, 0)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        many = f"{len(findings)} finding{'s' * (len(findings) != 1)} of sheetconv lint"
        many += f", the first {_MOST_ROWS:,} here" if len(findings) > _MOST_ROWS else ""
        many = many if findings else "sheetconv lint found nothing"
        sheet.write_string(0, 0, many, work.add_format({"bold": True, "font_size": 14}))
        header = work.add_format({"bold": True, "bg_color": "#D9D9D9"})
        for column, title in enumerate(_HEADER):
            sheet.write_string(2, column, title, header)
        wrapped = {"text_wrap": True, "valign": "top"}
        text = work.add_format(wrapped)
        link = work.add_format({**wrapped, "font_color": "#0563C1", "underline": 1})
        for row, f in enumerate(findings[:_MOST_ROWS], 3):
            if row < _MOST_LINKS and len(f.area.sheet) <= 31:
                sheet.write_url(row, 0, f"internal:{f.area}", link, _plain(str(f.area)))
            else:
                sheet.write_string(row, 0, _plain(str(f.area)), text)
            for column, content in enumerate((f.rule, f.message, f.expected), 1):
                sheet.write_string(row, column, _plain(content), text)


def _plain(text: str, most: int = 32_000) -> str:
    """A text as a cell can hold it: letters that XML cannot are question marks."""
    return _CONTROL.sub("?", text)[:most]
