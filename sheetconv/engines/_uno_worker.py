"""Runs under a Python that has ``uno``, beside a LibreOffice that listens on a pipe; standard library only.

``python _uno_worker.py JOB RESULT``: JOB is a JSON object with ``pipe``, ``book``, and any of ``edits``
([[sheet, row, column, value], …]), ``ranges`` (cells to read), ``save`` with ``filter``, ``only`` (sheets to
print), ``recalculate``. With ``steps``, a list of such objects without ``book``, it does them in turn in the one open book
and answers with a list of their ranges.
"""

import importlib
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

UNO = importlib.import_module("uno")  # by name: it is not there for those who check types

_ERROR_CELLS = 4  # com.sun.star.sheet.FormulaResult.ERROR
_ERRORS = {
    502: "#VALUE!",
    503: "#NUM!",
    504: "#REF!",
    511: "#VALUE!",
    518: "#VALUE!",
    519: "#VALUE!",
    522: "#CIRC!",
    523: "#CIRC!",
    524: "#REF!",
    525: "#NAME?",
    532: "#DIV/0!",
    32767: "#N/A",
}


def main(job_file: str, result_file: str) -> None:
    """Do the job."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    desktop = connect(job["pipe"])
    document = load(desktop, Path(job["book"]))
    if document is None:
        sys.exit("it cannot open the file")
    if job.get("recalculate", True):
        document.calculateAll()
    found = [do(document, step) for step in job.get("steps", [job])]
    Path(result_file).write_text(json.dumps(found if "steps" in job else found[0]), encoding="utf-8")
    document.close(True)
    with suppress(Exception):  # it hangs up while it goes
        desktop.terminate()


def do(document: Any, step: dict[str, Any]) -> list[list[list[Any]]]:
    """Set cells, which the program computes on from by itself; read ranges; save."""
    sheets = document.Sheets
    document.enableAutomaticCalculation(False)  # so that it computes once, after the last edit
    for name, row, column, value in step.get("edits", []):
        cell = sheet(sheets, name).getCellByPosition(column, row)
        if isinstance(value, str):
            cell.setString(value)
        else:
            cell.setValue(value)
    document.enableAutomaticCalculation(True)
    document.calculate()
    found = [read(sheet(sheets, name), *area) for name, area in step.get("ranges", [])]
    if step.get("save"):
        save(document, step)
    return found


def connect(pipe: str) -> Any:
    """Return the desktop of the LibreOffice on the pipe, waiting while it starts."""
    local = UNO.getComponentContext()
    resolver = local.ServiceManager.createInstance("com.sun.star.bridge.UnoUrlResolver")
    for left in range(600, -1, -1):
        try:
            context = resolver.resolve(f"uno:pipe,name={pipe};urp;StarOffice.ComponentContext")
            return context.ServiceManager.createInstance("com.sun.star.frame.Desktop")
        except Exception as error:
            if not left:
                sys.exit(f"it does not answer after two minutes ({type(error).__name__})")
            time.sleep(0.2)
    return None


def load(desktop: Any, book: Path) -> Any:
    """Open the file hidden: no macros, no updates of links."""
    options = properties(Hidden=True, MacroExecutionMode=0, UpdateDocMode=0)
    return desktop.loadComponentFromURL(book.as_uri(), "_blank", 0, options)


def save(document: Any, job: dict[str, Any]) -> None:
    """Save under the job's filter; with ``only``, the other sheets are hidden and so not printed."""
    if only := job.get("only"):
        for name in only:
            sheet(document.Sheets, name).IsVisible = True
        for name in document.Sheets.ElementNames:
            document.Sheets.getByName(name).IsVisible = name in only
    document.storeToURL(Path(job["save"]).as_uri(), properties(FilterName=job["filter"], Overwrite=True))


def sheet(sheets: Any, name: str) -> Any:
    """Return a sheet by name."""
    if not sheets.hasByName(name):
        sys.exit(f"there is no sheet {name!r}")
    return sheets.getByName(name)


def read(sheet: Any, row0: int, column0: int, row1: int, column1: int) -> list[list[Any]]:
    """Rows of a range: numbers, texts, None for blank cells, {"error": …} for errors."""
    area = sheet.getCellRangeByPosition(column0, row0, column1, row1)
    rows = [[None if value == "" else value for value in row] for row in area.getDataArray()]
    for part in area.queryFormulaCells(_ERROR_CELLS).RangeAddresses:
        for row in range(part.StartRow, part.EndRow + 1):
            for column in range(part.StartColumn, part.EndColumn + 1):
                code = sheet.getCellByPosition(column, row).getError()
                rows[row - row0][column - column0] = {"error": _ERRORS.get(code, f"#ERR{code}!")}
    return rows


def properties(**values: Any) -> tuple[Any, ...]:
    """Return named values in UNO's form."""
    made = []
    for name, value in values.items():
        item = UNO.createUnoStruct("com.sun.star.beans.PropertyValue")
        item.Name, item.Value = name, value
        made.append(item)
    return tuple(made)


if __name__ == "__main__":
    main(*sys.argv[1:3])
