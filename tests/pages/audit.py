"""A workbook in LibreOffice under test: cells set as a user would, conditions evaluated, precedents followed."""

from pathlib import Path
from typing import Any

from sheetconv.child import Workplace
from sheetconv.engines import libreoffice


def audit(book: Path, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Do `steps` (see `audit_worker`) one after the other in one LibreOffice; returns what each gave."""
    python = libreoffice.find_uno_python()
    assert python is not None, "no Python with uno"
    worker = [
        *python,
        str(Path(__file__).with_name("audit_worker.py")),
        str(Path(libreoffice.__file__).parent),
    ]
    with Workplace() as place:
        found: Any = libreoffice.ENGINE.serve(worker, {"book": str(book.resolve()), "steps": steps}, place)
        return list(found)
