"""Rectangles of cells: the unit in which precedents are counted and shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple

from sheetconv.errors import UsageError, WorkbookError
from sheetconv.xlsx.a1 import cell_name, parse_range

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


class Area(NamedTuple):
    """Cells ``row0 … row1`` × ``column0 … column1`` of a sheet, zero-based and inclusive."""

    sheet: str
    row0: int
    column0: int
    row1: int
    column1: int

    @property
    def size(self) -> int:
        """Number of cells."""
        return (self.row1 - self.row0 + 1) * (self.column1 - self.column0 + 1)

    def __str__(self) -> str:
        first = cell_name(self.row0, self.column0)
        last = cell_name(self.row1, self.column1)
        return f"{quoted(self.sheet)}!{first}" + (f":{last}" if self.size > 1 else "")

    def meet(self, other: Area) -> Area | None:
        """Cells that both hold; None where there are none."""
        if self.sheet != other.sheet:
            return None
        found = Area(
            self.sheet,
            max(self.row0, other.row0),
            max(self.column0, other.column0),
            min(self.row1, other.row1),
            min(self.column1, other.column1),
        )
        return found if found.row0 <= found.row1 and found.column0 <= found.column1 else None


def quoted(sheet: str) -> str:
    """A sheet's name as it stands before ``!``: quoted unless it is a plain word that is no address."""
    plain = _PLAIN.fullmatch(sheet) and not re.fullmatch(r"[A-Za-z]{1,3}\d+|[Rr]\d*[Cc]?\d*|[Cc]\d*", sheet)
    return sheet if plain else "'" + sheet.replace("'", "''") + "'"


def parse_area(text: str, sheets: list[str]) -> Area:
    """``'My net'!B3:C4`` as an `Area`; the sheet may be left out where a book has one only.

    Raises `UsageError` for an unknown sheet or a text that is no address.
    """
    sheet, bang, cells = text.strip().rpartition("!")
    if sheet.startswith("'") and sheet.endswith("'") and len(sheet) > 1:
        sheet = sheet[1:-1].replace("''", "'")
    if not bang:
        if len(sheets) != 1:
            raise UsageError(
                f"{text!r} names no sheet; write one of {', '.join(map(quoted, sheets[:9]))}!{text}"
            )
        sheet = sheets[0]
    match = next((name for name in sheets if name.lower() == sheet.lower()), None)
    if match is None:
        near = get_close_matches(sheet.lower(), [name.lower() for name in sheets], 3, 0.5)
        close = [name for name in sheets if name.lower() in near] or sheets
        more = f" and {len(close) - 9} more" if len(close) > 9 else ""
        said = "did you mean" if near else "the workbook has"
        raise UsageError(
            f"no sheet {sheet!r}; {said} {', '.join(map(repr, close[:9]))}{more}{'?' * bool(near)}"
        )
    try:
        return Area(match, *parse_range(cells))
    except WorkbookError as error:
        raise UsageError(str(error)) from error


def rectangles(cells: Iterable[tuple[str, int, int]]) -> list[Area]:
    """Cover (sheet, row, column) cells by disjoint rectangles: runs in a row, then equal runs downwards."""
    runs: list[Area] = []
    for sheet, row, column in sorted(set(cells)):
        last = runs[-1] if runs else None
        if last and last.sheet == sheet and last.row0 == row and last.column1 == column - 1:
            runs[-1] = last._replace(column1=column)
        else:
            runs.append(Area(sheet, row, column, row, column))
    open_runs: dict[tuple[str, int, int], Area] = {}
    done: list[Area] = []
    for run in runs:
        key = (run.sheet, run.column0, run.column1)
        above = open_runs.get(key)
        if above and above.row1 == run.row0 - 1:
            open_runs[key] = above._replace(row1=run.row0)
        else:
            if above:
                done.append(above)
            open_runs[key] = run
    return sorted([*done, *open_runs.values()])
