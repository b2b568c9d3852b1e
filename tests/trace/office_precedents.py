"""Runs under a Python that has ``uno``: LibreOffice's own answer to which cells a formula reads.

``python office_precedents.py JOB RESULT``: JOB holds ``pipe`` and ``books``, a list of [path, [[sheet, row,
column, recursive], …]]; the result holds, for each cell of each book, [[row0, column0, row1, column1], …] without
sheets: what `queryPrecedents` knows of other sheets is only the position.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sheetconv" / "engines"))
import _uno_worker as worker


def precedents(document: object, sheet: str, row: int, column: int, recursive: bool) -> list[list[int]]:
    cell = document.Sheets.getByName(sheet).getCellRangeByPosition(column, row, column, row)  # type: ignore[attr-defined]
    found = cell.queryPrecedents(recursive).RangeAddresses
    return [[a.StartRow, a.StartColumn, a.EndRow, a.EndColumn] for a in found]


def main(job_file: str, result_file: str) -> None:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    desktop = worker.connect(job["pipe"])
    results = []
    for path, cells in job["books"]:
        document = worker.load(desktop, Path(path))
        results.append([precedents(document, *cell) for cell in cells])
        document.close(True)
    Path(result_file).write_text(json.dumps(results), encoding="utf-8")
    with suppress(Exception):
        desktop.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:3])
