"""Other points: numbers for every typed cell, drawn so that nothing coincides and layers stay in range.

Even draws are new numbers of both signs, none 0 and no two equal within a tensor, scaled by how many of them a
cell adds up; odd draws lie around the numbers that are there. Cells with a validation take its choices in turn.
What is a divisor, or under a root or a logarithm, stays positive; inputs of whole numbers that the manifest
marks (token numbers) take whole numbers between their bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sheetconv.graph.expr import Binary, Call, Expr, FloatArray, Read, walk
from sheetconv.graph.tensor import Tensor
from sheetconv.prove import choices
from sheetconv.prove.cells import Sheets
from sheetconv.sheet.manifest import Manifest
from sheetconv.xlsx.strip import Typed

_SELECTS = ("choose", "nth", "window", "drawn")
_INDEXES = (
    "embedding",
    "gather",
    "index",
    "nll",
    "cross_entropy",
    "one_hot",
    "take",
    "where",
    "bitwise",
    "logical",
)


@dataclass
class Draws:
    """The typed cells of a workbook, and other numbers for them."""

    manifest: Manifest
    stored: dict[Tensor, FloatArray]
    allowed: dict[Tensor, np.ndarray]
    """For typed tensors with validations, what each cell may hold (objects: lists of numbers, or None)."""
    positive: set[Tensor]
    fixed: set[Tensor]
    filled: dict[Tensor, np.ndarray]
    """Which typed cells hold a number at all (a cleared one is not typed into)."""

    def point(self, number: int) -> dict[Tensor, FloatArray]:
        """The numbers of one draw for every typed tensor, float64 of its shape; the same for the same number."""
        random = np.random.default_rng((number, 20))
        return {t: self._values(t, number, random) for t in self.stored}

    def selectors(self) -> int:
        """How many draws it takes until every selector has had each of its choices."""
        return max(
            (len(c) for a in self.allowed.values() for c in a.reshape(-1) if c and len(c) < 100), default=0
        )

    def typed(self, point: dict[Tensor, FloatArray]) -> Typed:
        """The draw as numbers for cells of sheets."""
        cells: dict[str, dict[tuple[int, int], float]] = {}
        for tensor, values in point.items():
            place = self.manifest.places[tensor]
            rows, columns = np.broadcast_arrays(*place.cells())
            of_sheet = cells.setdefault(place.sheet, {})
            given = self.filled[tensor].reshape(-1)
            for r, c, v, full in zip(rows.flat, columns.flat, values.flat, given, strict=True):
                if full:
                    of_sheet[int(r), int(c)] = float(v)
        return cells

    def _values(self, tensor: Tensor, number: int, random: np.random.Generator) -> FloatArray:
        held = self.stored[tensor]
        if tensor in self.fixed:
            return held
        values = self._fresh(tensor, random) if number % 2 == 0 else self._around(tensor, random)
        if tensor.within is not None:
            low, high = tensor.within
            values = random.integers(low, high, tensor.shape, endpoint=True).astype(np.float64)
        elif tensor in self.positive:
            values = np.abs(values) + 0.0625
        values = np.where(self.filled[tensor], values, 0.0)
        if tensor in self.allowed:
            choice = self.allowed[tensor].reshape(-1)
            flat = values.reshape(-1)
            for i in np.flatnonzero(np.array([c is not None for c in choice])):
                flat[i] = choice[i][(number + int(i)) % len(choice[i])] if choice[i] else held.reshape(-1)[i]
            values = flat.reshape(values.shape)
        return values

    @staticmethod
    def _fresh(tensor: Tensor, random: np.random.Generator) -> FloatArray:
        terms = tensor.size / tensor.shape[0] if tensor.kind == "parameter" and len(tensor.shape) > 1 else 1
        steps = random.permutation(tensor.size) + random.random() * 0.5
        size = 0.125 + 0.875 * steps / tensor.size
        signs = random.choice([-1.0, 1.0], tensor.size)
        return np.round(signs * size * 2 / math.sqrt(terms), 9).reshape(tensor.shape)

    def _around(self, tensor: Tensor, random: np.random.Generator) -> FloatArray:
        held = self.stored[tensor]
        spread = float(held.std()) or 0.25 * float(np.abs(held).max(initial=0)) or 1.0
        return np.round(held * (1 + 0.25 * random.standard_normal(held.shape)) + 0.2 * spread * random.standard_normal(
            held.shape
        ), 9)  # fmt: skip


def draws(manifest: Manifest, sheets: Sheets, stored: dict[Tensor, FloatArray]) -> Draws:
    """Prepare draws for a workbook whose typed numbers are `stored`."""
    allowed = {}
    for tensor in stored:
        found = _allowed(manifest, sheets, tensor)
        if any(c is not None for c in found.reshape(-1)):
            allowed[tensor] = found
    filled = {t: sheets.filled(manifest.places[t]) for t in stored}
    return Draws(manifest, stored, allowed, _positive(manifest), _fixed(manifest, stored, allowed), filled)


def _allowed(manifest: Manifest, sheets: Sheets, tensor: Tensor) -> np.ndarray:
    place = manifest.places[tensor]
    rows, columns = np.broadcast_arrays(*place.cells())
    found = np.full(rows.shape, None, dtype=object)
    if not sheets[place.sheet].validations:
        return found
    for index in np.ndindex(*rows.shape) if rows.size <= 10_000 else ():
        choice = choices.at(sheets, place.sheet, int(rows[index]), int(columns[index]))
        if choice is not None:
            numbers = choices.numbers_of(choice)
            if choice[0] == "decimal":
                low, high = (float(v) for v in choice[1])
                numbers = [round(low + (high - low) * k / 8, 6) for k in (3, 6, 1, 5, 2, 7, 4)]
            found[index] = numbers
    return found


def _positive(manifest: Manifest) -> set[Tensor]:
    """Tensors that stand under a root, a logarithm, a power, or below a fraction bar."""
    found: set[Tensor] = set()
    for tensor in [*manifest.graph, *manifest.notes]:
        for node in walk(tensor.expr) if tensor.expr is not None else ():
            inside: list[Expr] = []
            if isinstance(node, Call) and node.function in ("SQRT", "LN", "MOD"):
                inside = [node]
            elif isinstance(node, Binary) and node.operator in "/^":
                inside = [node.right] if node.operator == "/" else [node.left]
            found |= {e.tensor for i in inside for e in walk(i) if isinstance(e, Read)}
    return {t for t in found if t.operation is None}


def _fixed(
    manifest: Manifest, stored: dict[Tensor, FloatArray], allowed: dict[Tensor, np.ndarray]
) -> set[Tensor]:
    """Typed tensors that choose or count without a validation, and the switch to RAND(): they keep their numbers."""
    found: set[Tensor] = set()
    for tensor in manifest.graph:
        operation = tensor.operation
        if operation is None:
            continue
        target = operation.target
        if target == "drawn":
            found.add(next(operation.tensors()))
        if target in _SELECTS or any(name in target for name in _INDEXES):
            found |= {
                t
                for t in operation.tensors()
                if t in stored and t not in allowed and t.within is None and _whole(stored[t])
            }
    return found


def _whole(values: FloatArray) -> bool:
    return bool((values == np.round(values)).all())
