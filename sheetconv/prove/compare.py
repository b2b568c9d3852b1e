"""Cells against torch: each cell's error relative to the sum of its own absolute terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sheetconv.prove.cells import address, blank
from sheetconv.prove.reference import Expected
from sheetconv.sheet.layout import Place
from sheetconv.xlsx.cells import numbers

TOLERANCE = 1e-11
"""Largest error of a computed cell relative to the sum of its absolute terms that passes."""
CACHED = 1e-9
"""The same for cached values, which a program may have rounded to 12 digits or more when it saved them."""


@dataclass
class Comparison:
    """One tensor against torch: number of cells, largest errors, and the worst cell by address."""

    tensor: str
    cells: int
    absolute: float
    relative: float
    worst: str
    found: Any
    expected: float
    tolerance: float = TOLERANCE
    wrong: int = 0
    """How many cells are beyond the tolerance."""

    @property
    def agrees(self) -> bool:
        """Whether every error is within the tolerance (not-a-number never is)."""
        return self.relative <= self.tolerance


def compare(
    place: Place,
    found: np.ndarray,
    expected: Expected,
    tolerance: float = TOLERANCE,
    computed: np.ndarray | None = None,
) -> Comparison:
    """Compare the cells `found` (objects as they stand, in the tensor's shape) with what they must hold.

    What cannot be told, because something that the cell reads is no number, is left to that something. For cached
    values, `computed` has what an engine found: a cell that equals it is right even where one that it reads is
    not, and a cell that holds nothing is passed over.
    """
    values = numbers(found)
    error = np.abs(values - expected.values)
    relative = np.where(np.isfinite(expected.values), _relative(error, expected.scale), 0.0)
    if computed is not None:
        relative = np.minimum(relative, _relative(np.abs(values - numbers(computed)), expected.scale))
        relative = np.where(blank(found), 0.0, relative)
    index = (
        tuple(int(i) for i in np.unravel_index(int(relative.argmax()), relative.shape))
        if relative.ndim
        else ()
    )
    worst = float(error[index]) if error[index] == error[index] else float("inf")
    return Comparison(
        place.tensor.name,
        values.size,
        worst if relative[index] > 0 else 0.0,
        float(relative[index]),
        address(place, index),
        found[index],
        float(expected.values[index]),
        tolerance,
        int((relative > tolerance).sum()),
    )


def _relative(error: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Error over scale; infinite for not-a-number, and for any error where the scale is 0."""
    found = np.divide(error, scale, out=np.where(error > 0, np.inf, 0.0), where=(scale > 0) & (error > 0))
    return np.where(np.isnan(error), np.inf, found)
