"""What is said about a cell, and whether it fits: the terms must add up, to the number that the file has."""

from __future__ import annotations

from dataclasses import dataclass, field

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.tensor_elements import TensorElement
from sheetconv.inspect.explain.terms import Term
from sheetconv.xlsx.cells import Value

TOLERANCE = 1e-9
"""Largest difference, relative to the sum of the terms' sizes, between what the terms and the file say."""


@dataclass(frozen=True)
class Group:
    """Terms of one input channel (or one range): their sum, and their share of the sum of all terms' sizes, 0 … 1."""

    name: str
    count: int
    total: float
    share: float


@dataclass
class Explanation:
    """A cell taken apart.

    Attributes:
        cell, element: where it is, and what tensor's element it is in our workbooks.
        formula, value: its text, and the number that the file remembers (None where it has none).
        kind: sum, copy, choice, relu, max, min, average, softmax, curve (a function of a sum or of cells that are
            no sum), or reads where none of these.
        steps: what is done to the sum, from the inside out, in words.
        terms: the products that add up to `total`, in the formula's order.
        result: what the formula makes of them; None where it holds something that is not computed here.
        groups: the share of each input channel.
        reads: the areas that the formula reads.
        opaque: areas that enter the terms as one computed number (the deviation that a batch-norm divides by).
        problems: what does not fit: values missing or stale.
    """

    cell: Area
    element: TensorElement | None
    formula: str
    value: Value
    kind: str = "sum"
    steps: list[str] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)
    total: float = 0.0
    result: float | None = None
    groups: list[Group] = field(default_factory=list)
    reads: list[Area] = field(default_factory=list)
    opaque: list[Area] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def misfits(found: Explanation) -> list[str]:
    """What does not add up: the terms, or the number in the file."""
    if found.result is None:
        return []
    size = sum(abs(t.product) for t in found.terms)
    problems = []
    result = found.result
    extreme = found.kind in ("max", "min") and not found.steps[1:]
    if extreme or (found.kind in ("sum", "copy", "choice", "average") and not found.steps):
        result = found.total
    elif found.kind == "relu" and not found.steps[1:]:
        result = max(0.0, found.total)
    if abs(result - found.result) > TOLERANCE * max(size, abs(found.result)):
        problems.append(f"the terms add up to {result!r}, the formula gives {found.result!r}")
    if isinstance(found.value, float) and abs(result - found.value) > TOLERANCE * max(size, abs(result)):
        problems.append(
            f"the terms give {result!r}, the file has {found.value!r}: its values are stale; "
            "open it in a spreadsheet program, recalculate and save it"
        )
    elif found.value is not None and not isinstance(found.value, float):
        problems.append(f"the file has {found.value!r} for the cell, which is no number")
    return problems
