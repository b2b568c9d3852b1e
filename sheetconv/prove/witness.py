"""A second witness: before a file is blamed for a number, another engine computes it too.

Engines err (see the table in the tests): where one finds what torch computes and the other does not, they
disagree, and the file is not accused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sheetconv.engines import available
from sheetconv.errors import SheetconvError
from sheetconv.prove.compare import Comparison
from sheetconv.sheet.layout import Place
from sheetconv.xlsx.strip import Typed

Judge = Callable[[Sequence[np.ndarray]], list[Comparison]]
"""Comparisons of every tensor, given what an engine found in the cells of all places."""


def second_opinion(
    path: Path, first: str, places: Sequence[Place], blamed: Comparison, typed: Typed, judge: Judge
) -> tuple[str, str]:
    """What another engine says of a tensor that `first` finds wrong: (its name, "right", "wrong" or "none").

    Engines that cannot compute the workbook are passed over; ("", "none") where no other can.
    """
    for engine in available():
        if engine.name == first:
            continue
        try:
            found = engine.evaluate(path, [(p.sheet, p.box()) for p in places], typed)
        except SheetconvError:
            continue
        verdict = next(c for c in judge(found) if c.tensor == blamed.tensor)
        if verdict.agrees:
            return engine.name, "right"
        if not isinstance(verdict.found, str):  # an error value may be a function that the engine lacks
            return engine.name, "wrong"
    return "", "none"
