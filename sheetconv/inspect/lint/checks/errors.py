"""Error values, as last computed, and references that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from sheetconv.formulas.cell_range import rectangles
from sheetconv.inspect.lint.sheet import Finding, Sheet
from sheetconv.xlsx.cells import CellError

_BROKEN = ("does not exist", "is not defined", "refers to itself", "another workbook")


def check(sheet: Sheet) -> Iterator[Finding]:
    """Errors at their origin (cells that only pass an error on are not reported), and broken references."""
    wrong = {at for at, value in sheet.values.items() if isinstance(value, CellError)}
    origins: dict[str, list[tuple[int, int]]] = {}
    for at in wrong:
        if not _passed_on(sheet, at):
            origins.setdefault(str(sheet.values[at]), []).append(at)
    for value, cells in origins.items():
        for area in rectangles((sheet.name, *at) for at in cells):
            more = len(wrong) - sum(map(len, origins.values()))
            passed = f"; {more} cell{'s pass' if more > 1 else ' passes'} it on" if more else ""
            yield Finding(area, "errors", f"the value is {value}{passed}", "a number")
    for grid in sheet.maps:
        text = sheet.formulas[grid.first]
        notes = [n for n in sheet.source.precedents((sheet.name, *grid.first)).notes if _broken(n)]
        if "#REF!" in text:
            notes.append("a reference of the formula was deleted (#REF!)")
        for note in notes:
            yield Finding(grid.area, "errors", note, "a reference to cells that exist")


def _broken(note: str) -> bool:
    return any(part in note for part in _BROKEN)


def _passed_on(sheet: Sheet, at: tuple[int, int]) -> bool:
    for area in sheet.source.precedents((sheet.name, *at)).areas:
        if area.size <= 100_000:
            other = sheet.book[area.sheet]
            for row in range(area.row0, area.row1 + 1):
                for column in range(area.column0, area.column1 + 1):
                    if isinstance(other.values.get((row, column)), CellError):
                        return True
    return False
