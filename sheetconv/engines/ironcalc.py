"""ironcalc: the default engine, a small wheel. It always computes everything.

Quirks: it panics when ``styles.xml`` lacks ``cellStyles``; it prints a line for every formula cell without a
cached value, hence the poison; its ERF and NORM.S.DIST are good to 1e-10 only.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.child import Workplace
from sheetconv.engines.base import Job, LibraryEngine
from sheetconv.errors import EngineError
from sheetconv.xlsx.a1 import Range
from sheetconv.xlsx.strip import POISON, Typed, without_cached_values


class IronCalc(LibraryEngine):
    """The ironcalc library."""

    name = "ironcalc"
    poison = POISON
    quick = True

    def missing(self) -> str | None:
        """See `Engine.missing`."""
        if importlib.util.find_spec("ironcalc") is None:
            return "the engine ironcalc is not installed; install it with: pip install ironcalc"
        return None

    def work(self, job: Job) -> list[list[list[Any]]]:
        """See `LibraryEngine.work`."""
        import ironcalc

        model = ironcalc.load_from_xlsx(job["book"])
        model.evaluate()
        order = {sheet["name"]: index for index, sheet in enumerate(model.get_worksheets_properties())}

        def cell(sheet: int, row: int, column: int) -> Any:
            value = model.get_cell_value(sheet, row, column)
            if not (isinstance(value, str) and value.startswith("#")):
                return value
            is_error = model.get_cell_type(sheet, row, column) == ironcalc.CellType.ErrorValue
            return {"error": value} if is_error else value

        found = []
        for point in job.get("points", [[]]):
            for sheet, row, column, number in point:
                model.set_user_input(order[sheet], row + 1, column + 1, repr(number).upper())
            if point:
                model.evaluate()
            found += [
                [[cell(order[name], r + 1, c + 1) for c in range(c0, c1 + 1)] for r in range(r0, r1 + 1)]
                for name, (r0, c0, r1, c1) in job["ranges"]
            ]
        return found

    def evaluate_at(
        self, book: Path, ranges: Sequence[tuple[str, Range]], points: Sequence[Typed]
    ) -> list[list[np.ndarray]]:
        """See `Engine.evaluate_at`; the workbook is loaded once."""
        if reason := self.missing():
            raise EngineError(reason)
        listed = [
            [[s, r, c, v] for s, cells in point.items() for (r, c), v in cells.items()] for point in points
        ]
        with Workplace() as place:
            copy = place.folder / "book.xlsx"
            without_cached_values(book, copy, poison=self.poison, bare=True)
            found = self.compute(copy, ranges, place, points=listed)
        many = len(ranges)
        return [self._blocks(found[i * many : (i + 1) * many], ranges) for i in range(len(points))]


ENGINE = IronCalc()
