"""Runs under LibreOffice's Python: what its auditing says of cells, and which conditions hold, after edits.

``python audit_worker.py ENGINES JOB RESULT``: a folder, and two files of JSON. JOB has ``pipe``, ``book`` and ``steps``; a step has ``edits``
([[sheet, row, column, value], …]), ``formulas`` ([[sheet, formula], …], each evaluated in a cell of that sheet that
nothing uses) and ``cells`` ([[sheet, row, column], …], whose precedents are followed level by level).
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

FREE = 1_000_000  # a row far below everything


def main(engines: str, job_file: str, result_file: str) -> None:
    sys.path.insert(0, engines)
    import _uno_worker as worker

    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    desktop = worker.connect(job["pipe"])
    document = worker.load(desktop, Path(job["book"]))
    document.calculateAll()
    found = [step(document, each) for each in job["steps"]]
    Path(result_file).write_text(json.dumps(found), encoding="utf-8")
    document.close(True)
    try:
        desktop.terminate()
    except Exception:  # it hangs up while it goes
        return


def step(document: Any, job: dict[str, Any]) -> dict[str, Any]:
    sheets = document.Sheets
    for name, row, column, value in job.get("edits", []):
        cell = sheets.getByName(name).getCellByPosition(column, row)
        cell.setString(value) if isinstance(value, str) else cell.setValue(value)
    by_sheet: dict[str, list[int]] = {}
    for number, (name, _) in enumerate(job.get("formulas", [])):
        by_sheet.setdefault(name, []).append(number)
    results: list[Any] = [None] * len(job.get("formulas", []))
    for name, numbers in by_sheet.items():
        area = sheets.getByName(name).getCellRangeByPosition(0, FREE, 0, FREE + len(numbers) - 1)
        area.setFormulaArray(tuple((job["formulas"][n][1],) for n in numbers))
        for number, (value,) in zip(numbers, area.getDataArray(), strict=True):
            results[number] = value
        area.clearContents(1 + 2 + 4 + 16)
    return {
        "formulas": results,
        "levels": [levels(document, *cell) for cell in job.get("cells", [])],
    }


def levels(document: Any, name: str, row: int, column: int) -> list[list[list[Any]]]:
    """The precedents of a cell, one list of [sheet, row0, column0, row1, column1] for each level."""
    here = [(name, row, column, row, column)]
    seen: set[Any] = {(name, row, column)}
    found = []
    while here and len(found) < 20:
        cells: set[Any] = set()
        for area in here:
            if area not in KNOWN:
                KNOWN[area] = direct(document, *area)
            cells |= KNOWN[area]
        here = rectangles(cells - seen)
        seen |= cells
        if here:
            found.append([list(area) for area in here])
    return found


def rectangles(cells: set[Any]) -> list[Any]:
    """The same cells in few areas (each call to the program costs milliseconds): runs in rows, then equal runs."""
    runs: list[list[Any]] = []
    for sheet, row, column in sorted(cells):
        if runs and runs[-1][:2] == [sheet, row] and runs[-1][3] == column - 1:
            runs[-1][3] = column
        else:
            runs.append([sheet, row, column, column])
    open_at: dict[Any, list[Any]] = {}
    areas = []
    for sheet, row, c0, c1 in runs:
        above = open_at.get((sheet, c0, c1))
        if above is not None and above[3] == row - 1:
            above[3] = row
        else:
            above = [sheet, row, c0, row, c1]
            open_at[sheet, c0, c1] = above
            areas.append(above)
    return [tuple(area) for area in areas]


KNOWN: dict[Any, set[Any]] = {}


def direct(document: Any, sheet: str, r0: int, c0: int, r1: int, c1: int) -> set[Any]:
    """The precedents of an area, one level.

    Auditing is right on one sheet, but names the cell's own sheet for what lies on another; so the references of
    formulas that read other sheets are taken from the text in which LibreOffice shows them.
    """
    names = document.Sheets.ElementNames
    area = document.Sheets.getByName(sheet).getCellRangeByPosition(c0, r0, c1, r1)
    formulas = [f for row in area.getFormulaArray() for f in row if f.startswith("=")]
    if any(match[1] for f in formulas for match in REFERENCE.finditer(f)):
        return {c for f in formulas for part in references(f, sheet) for c in cells_of(*part)}
    if not formulas:
        return set()
    parts = area.queryPrecedents(False).RangeAddresses
    found = ((names[p.Sheet], p.StartRow, p.StartColumn, p.EndRow, p.EndColumn) for p in parts)
    return {c for part in found for c in cells_of(*part)}


def cells_of(sheet: str, r0: int, c0: int, r1: int, c1: int) -> list[Any]:
    return [(sheet, r, c) for r in range(r0, r1 + 1) for c in range(c0, c1 + 1)]


REFERENCE = re.compile(
    r"(?:\$?('(?:[^']|'')+'|[A-Za-z_]\w*)\.)?\$?([A-Z]{1,3})\$?(\d+)(?::\$?([A-Z]{1,3})\$?(\d+))?(?!\()"
)


def references(formula: str, own: str) -> list[tuple[Any, ...]]:
    """All that a formula reads, as (sheet, row0, column0, row1, column1)."""
    found = []
    for sheet, c0, r0, c1, r1 in REFERENCE.findall(formula):
        name = sheet.strip("'").replace("''", "'") or own
        first, last = (int(r0) - 1, column(c0)), (int(r1 or r0) - 1, column(c1 or c0))
        found.append((name, *first, *last))
    return found


def column(letters: str) -> int:
    """A → 0."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


if __name__ == "__main__":
    main(*sys.argv[1:4])
