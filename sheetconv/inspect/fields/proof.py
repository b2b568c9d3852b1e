"""The proof of receptive fields, unit by unit: arithmetic = formulas in the file = non-zero gradient.

*Arithmetic* is `boxes` (index expressions, from layer to layer), whose interior units must also lie where size,
jump and start of `recurrence` put them. *Formulas* are the precedents traced through the cells of the workbook.
*Gradient* is torch's. The last two are compared as sets of pixels, all three as boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sheetconv.errors import ModelError
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Source
from sheetconv.graph.index import IntArray
from sheetconv.graph.tensor import Tensor
from sheetconv.inspect.fields import boxes as boxing
from sheetconv.inspect.fields.boxes import Box, Boxes, all_boxes, boxes_of, spatial
from sheetconv.inspect.fields.formulas import PixelSets
from sheetconv.inspect.fields.gradient import lit_pixels
from sheetconv.inspect.fields.network import TracedNetwork, of_book
from sheetconv.inspect.fields.recurrence import Reach, recurrence

MOST_UNITS = 2000
_ROUNDING = 1e-6


@dataclass
class Disagreement:
    """A unit whose legs differ: `unit` is its index without the batch axis, the boxes are None for padding only."""

    layer: str
    unit: tuple[int, ...]
    cell: str
    arithmetic: Box | None
    formulas: Box | None
    gradient: Box | None
    what: str

    def __str__(self) -> str:
        legs = (("arithmetic", self.arithmetic), ("formulas", self.formulas), ("gradient", self.gradient))
        seen = "; ".join(f"{name} {boxing.text(box)}" for name, box in legs)
        return f"{self.layer} unit {','.join(map(str, self.unit))} ({self.cell}): {self.what}: {seen}"


@dataclass
class Proof:
    """What was compared: units per layer, how many of those show size, jump and start, and every disagreement."""

    units: dict[str, int] = field(default_factory=dict)
    total: dict[str, int] = field(default_factory=dict)
    interior: dict[str, int] = field(default_factory=dict)
    disagreements: list[Disagreement] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing disagrees (and something was compared)."""
        return bool(self.units) and not self.disagreements

    def verdict(self) -> str:
        """One line: proven or not, with the counts."""
        compared, total = sum(self.units.values()), sum(self.total.values())
        sampled = "" if compared == total else f" (a sample of {total:,})"
        if self.disagreements:
            return f"DISAGREE: {len(self.disagreements):,} of {compared:,} units{sampled}"
        return (
            f"PROVEN: {compared:,} units{sampled} in {len(self.units)} layers: arithmetic = precedents in the file = "
            f"non-zero gradient; size, jump and start fit all {sum(self.interior.values()):,} units that no border cuts"
        )


def prove(network: TracedNetwork, layers: Sequence[Tensor] | None = None, most: int = MOST_UNITS) -> Proof:
    """Compare the three legs for the units of `layers` (all layers with cells when None), at most `most` of each.

    A network without a workbook gets one, in a temporary folder. Raises `WorkbookError` for circular formulas.
    """
    if network.path is None:
        with TemporaryDirectory() as folder:
            written = _written(network, Path(folder, "network.xlsx"))
            names = {t.name for t in layers} if layers is not None else None
            chosen = [t for t in written.layers(helpers=True) if names is None or t.name in names]
            return prove(written, chosen, most)
    chosen = network.layers(helpers=True) if layers is None else list(layers)
    units = {t: _sample(t.size, most) for t in chosen}
    gradient = lit_pixels(network.graph, network.pixels, units)
    last = max(chosen, key=network.graph.tensors.index)
    arithmetic = all_boxes(network.graph, network.pixels, last)
    reaches = recurrence(network.graph, network.pixels)
    proof = Proof()
    with Source(network.path) as source:
        sets = PixelSets(source, _cells(network, network.pixels, np.arange(network.pixels.size)))
        for tensor in chosen:
            cells = _cells(network, tensor, units[tensor])
            rows, columns = (np.array([c[k] for c in cells], np.int64) for k in (1, 2))
            lit = sets.lit(cells[0][0], rows, columns)
            layer = _Layer(network, tensor, units[tensor], arithmetic[tensor], lit, gradient[tensor], cells)
            proof.units[tensor.name], proof.total[tensor.name] = len(units[tensor]), tensor.size
            proof.disagreements += layer.disagreements()
            proof.interior[tensor.name], off = layer.against(reaches[tensor])
            proof.disagreements += off
    return proof


def _written(network: TracedNetwork, path: Path) -> TracedNetwork:
    """The workbook of a captured network, fed with random numbers (no field depends on them)."""
    from sheetconv.data.pick import Picked
    from sheetconv.pages.workbook import write_network

    shape = network.pixels.shape
    noise = np.random.default_rng(0).random(shape)
    picked = Picked(noise, [None], ["random numbers"], "random numbers", "only the formulas matter")
    write_network(path, network.graph, picked, network.name)
    return of_book(path)


def _sample(size: int, most: int) -> IntArray:
    """All units, or `most` of them: the first, the last, and the rest in even steps."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))


def _cells(network: TracedNetwork, tensor: Tensor, units: IntArray) -> list[tuple[str, int, int]]:
    place = network.places.get(tensor)
    if place is None:
        raise ModelError(f"{tensor.name} has no cells in {network.name}")
    rows, columns = (a.reshape(-1)[units] for a in np.broadcast_arrays(*place.cells()))
    return [(place.sheet, int(r), int(c)) for r, c in zip(rows, columns, strict=True)]


@dataclass
class _Layer:
    """The legs of one layer's units."""

    network: TracedNetwork
    tensor: Tensor
    units: IntArray
    arithmetic: Boxes
    formulas: np.ndarray
    gradient: np.ndarray
    cells: list[tuple[str, int, int]]

    def __post_init__(self) -> None:
        shape, axes = self.network.pixels.shape, spatial(self.network.pixels)
        self.traced = boxes_of(self.formulas, shape, axes)
        self.changed = boxes_of(self.gradient, shape, axes)

    def disagreements(self) -> list[Disagreement]:
        """Units whose boxes differ, or whose pixels differ within the same box."""
        own = Boxes(self.arithmetic.low[self.units], self.arithmetic.high[self.units])
        same = _equal(own, self.traced) & _equal(own, self.changed)
        pixels = (self.formulas == self.gradient).all(1)
        found = [self._report(int(k), "the fields differ") for k in np.flatnonzero(~same)]
        for k in np.flatnonzero(same & ~pixels).tolist():
            count = int((self.formulas[k] != self.gradient[k]).sum())
            found.append(
                self._report(k, f"{count} pixels within the field differ between formulas and gradient")
            )
        return found

    def against(self, reaches: tuple[Reach, ...]) -> tuple[int, list[Disagreement]]:
        """Number of units whose fields no border cuts, and those that do not lie where size, jump, start put them.

        Channels together (they may see different parts of the field, after `cat`); fields that a border cuts must
        lie within what the three numbers say.
        """
        index = np.stack(np.unravel_index(np.arange(self.tensor.size), self.tensor.shape or (1,)), -1)
        whole = np.ones(self.tensor.size, bool)
        bad: dict[int, str] = {}
        for k, reach in enumerate(reaches):
            position = index[:, reach.axis] if reach.axis is not None else np.zeros(len(index), np.int64)
            whole &= reach.interior[position] & (not reach.uneven)
            low, high = _around(position, self.arithmetic.low[:, k], self.arithmetic.high[:, k])
            for place in range(len(low)) if not reach.uneven else ():
                problem = _misplaced(reach, place, int(low[place]), int(high[place]))
                if problem:
                    bad[int(np.flatnonzero(position[self.units] == place)[:1].sum())] = problem
        return int(whole.sum()), [self._report(k, what) for k, what in bad.items()]

    def _report(self, k: int, what: str) -> Disagreement:
        index = np.unravel_index(self.units[k], self.tensor.shape or (1,))
        cell = Area(*self.cells[k], *self.cells[k][1:])
        legs = (self.arithmetic[int(self.units[k])], self.traced[k], self.changed[k])
        return Disagreement(self.tensor.name, tuple(int(i) for i in index[1:]), str(cell), *legs, what)


def _around(position: IntArray, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
    """First and last pixel over all units at each position."""
    first = np.full(position.max(initial=0) + 1, np.iinfo(np.int64).max)
    last = np.full(len(first), -1)
    np.minimum.at(first, position, low)
    np.maximum.at(last, position, high)
    return first, last


def _misplaced(reach: Reach, place: int, low: int, high: int) -> str:
    first, last = reach.ideal(place)
    room = reach.slack + _ROUNDING
    said = f"size {reach.size:g}, jump {reach.jump:g}, start {reach.start:g} give {first:g} to {last:g}"
    if reach.interior[place] and max(abs(low - first), abs(high - last)) > room:
        return f"{said}, the unit sees {low} to {high}"
    if low <= high and (low < first - room or high > last + room):
        return f"{said}, the unit sees more, {low} to {high}"
    return ""


def _equal(a: Boxes, b: Boxes) -> np.ndarray:
    empty_a, empty_b = (a.low > a.high).any(1), (b.low > b.high).any(1)
    same = (a.low == b.low).all(1) & (a.high == b.high).all(1)
    return np.where(empty_a | empty_b, empty_a & empty_b, same)
