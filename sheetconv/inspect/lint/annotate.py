"""An annotated copy of a workbook: findings as comments and fills on their cells, and listed on a sheet.

openpyxl writes the copy. It keeps cells, formulas, formats, names and macros; it does not keep cached values
(spreadsheet programs compute them on opening), charts and pictures. The original is not touched.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from sheetconv.errors import UsageError, WorkbookError
from sheetconv.files import replacing
from sheetconv.formulas.area import Area
from sheetconv.inspect.lint.sheet import Finding

SHEET = "Findings"
_FILL, _LINE = "FFFFD966", "FFC00000"
_MOST_FILLED = 5000
_WIDTHS = (26, 15, 78, 60)


def annotate(book: Path, findings: list[Finding], out: Path, *, force: bool = False) -> None:
    """Write a copy of `book` to `out` with the findings on it.

    Raises `OutputError` when `out` cannot be written or exists without `force`, `UsageError` when it would
    replace the workbook itself or change its type, `WorkbookError` when openpyxl cannot read the workbook.
    """
    import openpyxl

    if out.exists() and out.samefile(book):
        raise UsageError(f"{out} is the workbook itself; give the annotated copy another name")
    if out.suffix.lower() != book.suffix.lower():
        raise UsageError(f"{out}: the copy of {book.name} must be a {book.suffix} file too")
    with replacing(out, force=force) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl tells of extensions that it leaves out
        try:
            work = openpyxl.load_workbook(book, keep_vba=book.suffix.lower() == ".xlsm")
        except Exception as error:  # openpyxl raises whatever a damaged part makes it raise
            raise WorkbookError(
                f"{book}: openpyxl cannot read it ({' '.join(str(error).split())[:120]})"
            ) from error
        for index, finding in enumerate(findings, 1):
            if finding.area.sheet in work.sheetnames:
                _mark(work[finding.area.sheet], finding, index)
        _list(work, findings)
        work.calculation.fullCalcOnLoad = True
        work.save(temporary)


def _mark(sheet: Any, finding: Finding, number: int) -> None:
    from openpyxl.cell.cell import MergedCell
    from openpyxl.comments import Comment
    from openpyxl.styles import Border, PatternFill, Side

    fill, line = PatternFill("solid", fgColor=_FILL), Side(style="thin", color=_LINE)
    for row, column in _cells(finding.area):
        cell = sheet.cell(row + 1, column + 1)
        cell.fill, cell.border = fill, Border(line, line, line, line)
    cell = sheet.cell(finding.area.row0 + 1, finding.area.column0 + 1)
    if isinstance(cell, MergedCell):
        return
    before = cell.comment.text + "\n\n" if cell.comment else ""
    text = f"{before}{number}. {finding.rule}: {finding.message}.\nExpected: {finding.expected}."
    comment = Comment(text[:8000], "sheetconv lint")
    comment.width, comment.height = 380, 60 + 18 * (len(text) // 55 + text.count("\n"))
    cell.comment = comment


def _cells(area: Area) -> list[tuple[int, int]]:
    found = [
        (row, column)
        for row in range(area.row0, min(area.row1, area.row0 + _MOST_FILLED) + 1)
        for column in range(area.column0, area.column1 + 1)
    ]
    return found[:_MOST_FILLED]


def _list(work: Any, findings: list[Finding]) -> None:
    from openpyxl.styles import Alignment, Font, PatternFill

    taken = {sheet.lower() for sheet in work.sheetnames}
    name = next(n for n in (SHEET, *(f"{SHEET} {i}" for i in range(2, 9999))) if n.lower() not in taken)
    sheet = work.create_sheet(name, 0)
    work.active = 0
    for other in work.worksheets[1:]:
        other.sheet_view.tabSelected = False
    many = f"{len(findings)} finding{'s' * (len(findings) != 1)}"
    sheet["A1"] = f"{many} of sheetconv lint" if findings else "sheetconv lint found nothing"
    sheet["A1"].font = Font(bold=True, size=14)
    for column, (title, width) in enumerate(
        zip(("Cells", "Check", "What is there", "What was expected"), _WIDTHS, strict=True), 1
    ):
        cell = sheet.cell(3, column, title)
        cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor="FFD9D9D9")
        sheet.column_dimensions["ABCD"[column - 1]].width = width
    for row, finding in enumerate(findings, 4):
        texts = (str(finding.area), finding.rule, finding.message, finding.expected)
        for column, text in enumerate(texts, 1):
            cell = sheet.cell(row, column)
            cell.value, cell.data_type = text[:32_000], "s"  # a text that starts with = is no formula here
            cell.alignment = Alignment(wrap_text=True, vertical="top")
        link = sheet.cell(row, 1)
        link.hyperlink = f"#{finding.area}"
        link.font = Font(color="FF0563C1", underline="single")
    sheet.freeze_panes = "A4"
    sheet.page_setup.orientation, sheet.page_setup.fitToHeight = "landscape", 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
