"""formualizer: the second opinion, written independently of the others.

Quirks: it has no MMULT; its limits on the size of a file's parts are raised here, because the copy that it
reads has passed our own.
"""

import importlib.util
from typing import Any

from sheetconv.engines.base import Job, LibraryEngine
from sheetconv.xlsx.package import LIMITS

_ERRORS = {
    "Null": "#NULL!",
    "Ref": "#REF!",
    "Name": "#NAME?",
    "Value": "#VALUE!",
    "Div": "#DIV/0!",
    "Na": "#N/A",
    "Num": "#NUM!",
    "Spill": "#SPILL!",
    "Calc": "#CALC!",
    "Circ": "#CIRC!",
    "NImpl": "#N/IMPL!",
}


class Formualizer(LibraryEngine):
    """The formualizer library."""

    name = "formualizer"

    def missing(self) -> str | None:
        """See `Engine.missing`."""
        if importlib.util.find_spec("formualizer") is None:
            return "the engine formualizer is not installed; install it with: pip install formualizer"
        return None

    def work(self, job: Job) -> list[list[list[Any]]]:
        """See `LibraryEngine.work`."""
        import formualizer

        limits = {
            "max_input_bytes": LIMITS.total,
            "max_expanded_bytes": LIMITS.total,
            "max_part_bytes": LIMITS.part,
            "max_entries": LIMITS.entries,
        }
        workbook = formualizer.load_workbook(job["book"], load_limits=limits)
        workbook.evaluate_all()
        found = []
        for name, (r0, c0, r1, c1) in job["ranges"]:
            if name not in workbook.sheet_names:
                raise KeyError(f"no sheet {name!r}")
            area = formualizer.RangeAddress(name, r0 + 1, c0 + 1, r1 + 1, c1 + 1)
            rows = workbook.sheet(name).get_values(area)
            found.append([[_plain(value) for value in row] for row in rows])
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and value.get("type") == "Error":
        kind = str(value.get("kind"))
        return {"error": _ERRORS.get(kind, f"#{kind.upper()}!")}
    return value if isinstance(value, bool | int | float | str | None) else str(value)


ENGINE = Formualizer()
