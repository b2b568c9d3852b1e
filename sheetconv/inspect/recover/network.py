"""A network read back out of a workbook: maps in the order of computing, grouped into layers of torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from sheetconv.engines import get
from sheetconv.formulas.blocks import components
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.filled_blocks import FilledBlock, all_grids
from sheetconv.formulas.source import Source
from sheetconv.formulas.syntax import Skeletons
from sheetconv.inspect.recover.cells import CellKind, Cells, Ids, split
from sheetconv.inspect.recover.evaluate import evaluate
from sheetconv.inspect.recover.reader import Formula, Match, SheetReader, apart, formula, per_cell
from sheetconv.inspect.recover.recognise import gathered, recognise
from sheetconv.inspect.recover.roles import typed_inputs
from sheetconv.inspect.recover.tensors import RecoveredTensor, Tensors
from sheetconv.inspect.recover.values import Poly, PolyCall, Unrecognised, all_ids, renamed
from sheetconv.xlsx.cells import numbers
from sheetconv.xlsx.strip import Typed

_MOST_APART, _LONG = 64, 3


@dataclass(frozen=True)
class Unread:
    """A map that was not recognised: its cells, the formula of the first, and why."""

    area: Area
    formula: str
    reason: str


@dataclass
class RecoveredNetwork:
    """What was found.

    Attributes:
        tensors: inputs first, then the outputs of layers in the order of computing.
        copies: (cells, the cells that they copy) of maps such as ``=Net!A1``.
        unread: maps that were not recognised.
        exceptions: cells within recognised maps that do not have the map's formula.
        cells: kinds and values, formulas computed by the engine.
        areas: where the formulas stand.
    """

    cells: Cells
    areas: list[Area] = field(default_factory=list)
    tensors: list[RecoveredTensor] = field(default_factory=list)
    copies: list[tuple[Ids, Ids]] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    exceptions: dict[int, str] = field(default_factory=dict)

    @property
    def layers(self) -> list[RecoveredTensor]:
        """Tensors that layers compute."""
        return [t for t in self.tensors if t.layer is not None]

    @property
    def inputs(self) -> list[RecoveredTensor]:
        """Tensors that come from outside."""
        return [t for t in self.tensors if t.layer is None]


def read_network(source: Source, engine: str) -> RecoveredNetwork:
    """Read a workbook's network; values of formulas come from the engine, never from the file's caches.

    Raises `EngineError`, `UsageError` (unknown engine), `LimitError` (formulas beyond all bounds).
    """
    maps = _maps(source)
    cells = Cells(source)
    network = RecoveredNetwork(cells, [grid.area for grid in maps])
    compute(source, network, engine)
    formulas = _formulas(maps, cells, network, source)
    reader = SheetReader(cells, Tensors(), _usage(formulas))
    _typed(formulas, reader)
    _levels(formulas, reader, network, source)
    read = {id(t) for held in reader.tensors.all if held.layer for t in held.layer.inputs}
    network.tensors = [t for t in reader.tensors.all if t.layer is not None or id(t) in read]
    return network


def _maps(source: Source) -> list[FilledBlock]:
    return all_grids(source, Skeletons(source))


def compute(source: Source, network: RecoveredNetwork, engine: str, typed: Typed | None = None) -> None:
    """Fill in the values of all formulas, as the engine computes them with other numbers in typed cells."""
    if not network.areas:
        return
    blocks = get(engine).evaluate(source.book.path, [(a.sheet, a[1:]) for a in network.areas], typed)
    for area, block in zip(network.areas, blocks, strict=True):
        network.cells.fill(network.cells.inside(area), numbers(block).ravel())


def _formulas(
    maps: list[FilledBlock], cells: Cells, network: RecoveredNetwork, source: Source
) -> list[Formula]:
    """Maps in normal form; copies of other cells are taken out and looked through."""
    odd = {(g.sheet, *at) for g in maps for at in g.exceptions}
    found: list[Formula] = []
    for grid in maps:
        if all((grid.sheet, *at) in odd for at in grid.cells):
            continue
        try:
            found.append(formula(grid, evaluate(grid, cells), cells))
        except Unrecognised as error:
            found.append(formula(grid, Poly(()), cells))
            _unread(found[-1], str(error), network, source)
    copies = {id(f): per_cell(c, f.count) for f in found if (c := f.poly.cell) is not None}
    old = np.concatenate([f.ids for f in found if id(f) in copies] or [np.empty(0, np.int64)])
    new = np.concatenate([copies[id(f)] for f in found if id(f) in copies] or [np.empty(0, np.int64)])
    order = np.argsort(old)
    old, new = old[order], new[order]
    for _ in range(64):  # copies of copies
        at = np.minimum(np.searchsorted(old, new), max(len(old) - 1, 0))
        deeper = (old[at] == new) if len(old) else np.zeros(0, bool)
        if not deeper.any():
            break
        new = np.where(deeper, new[at], new)
    network.copies = [(f.ids, copies[id(f)]) for f in found if id(f) in copies]
    rest = [f for f in found if id(f) not in copies]
    for one in rest:
        one.poly = renamed(one.poly, old, new)
    return rest


def _usage(formulas: list[Formula]) -> dict[int, int]:
    """How many maps have each cell as a factor of a product."""
    usage: dict[int, int] = defaultdict(int)
    for one in formulas:
        ids: set[int] = set()
        for part in _products(one.poly):
            for pair in part:
                ids.update(np.unique(pair).tolist())
        for cell in ids:
            usage[cell] += 1
    return usage


def _products(poly: Poly) -> list[tuple[Ids, Ids]]:
    """Pairs of factors of all products, calls looked into."""
    pairs: list[tuple[Ids, Ids]] = []
    waiting = [poly]
    while waiting:
        for term in waiting.pop().terms:
            waiting += [p for f in term.factors if isinstance(f, PolyCall) for p in f.of]
            plain = [f for f in term.factors if not isinstance(f, PolyCall)]
            if len(plain) == 2 == len(term.factors):
                pairs.append((plain[0], plain[1]))
    return pairs


def _typed(formulas: list[Formula], reader: SheetReader) -> None:
    """Make tensors of the typed numbers that maps read as input: images, each connected patch a plane."""
    ids: list[Ids] = []
    alone: dict[str, list[Ids]] = defaultdict(list)
    for one in formulas:
        pairs = [(per_cell(a, one.count), per_cell(b, one.count)) for a, b in _products(one.poly)]
        if pairs:
            ids += typed_inputs(pairs, one, reader)
        elif one.count > 1 or len(list(all_ids(one.poly))) > 3:
            for factor in all_ids(one.poly):
                cells = per_cell(factor, one.count)
                if one.count == 1 or (cells != cells[0]).any():
                    ids.append(cells[reader.cells.kinds(cells) == CellKind.NUMBER])
                else:  # one number for all of the map: an input where other maps do the same with other cells
                    alone[one.grid.skeleton.text].append(
                        cells[:1][reader.cells.kinds(cells[:1]) == CellKind.NUMBER]
                    )
    ids += [
        part for parts in alone.values() if len({int(p[0]) for p in parts if len(p)}) > 3 for part in parts
    ]
    if not ids:
        return
    maps = np.concatenate([one.lattice.ravel() for one in formulas])
    typed = np.setdiff1d(np.concatenate(ids), maps)  # not the numbers typed over formulas
    by_sheet: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for sheet, row, column in zip(*(part.tolist() for part in split(typed)), strict=True):
        by_sheet[sheet].add((row, column))
    planes: dict[tuple[int, int, int], list[Ids]] = defaultdict(list)
    for sheet, places in by_sheet.items():
        for part in sorted(components(places, reach=1), key=min):
            plane = _plane(reader, sheet, part)
            if reader.cells.values(plane).any():
                planes[(sheet, *plane.shape)].append(plane)
    reader.tensors.add([RecoveredTensor("", np.stack(same)) for same in planes.values()])


def _plane(reader: SheetReader, sheet: int, part: set[tuple[int, int]]) -> Ids:
    rows, columns = [r for r, _ in part], [c for _, c in part]
    name = reader.cells.sheets[sheet]
    return np.array(
        [
            [reader.cells.number(name, row, column) for column in range(min(columns), max(columns) + 1)]
            for row in range(min(rows), max(rows) + 1)
        ],
        np.int64,
    )


def _levels(formulas: list[Formula], reader: SheetReader, network: RecoveredNetwork, source: Source) -> None:
    """Recognise level by level: what reads inputs only, then what reads those, and so on."""
    owner = {int(cell): k for k, one in enumerate(formulas) for cell in one.lattice.ravel()}
    owner |= {int(cell): k for k, one in enumerate(formulas) for cell in one.ids}
    reads = [
        {owner[c] for ids in all_ids(one.poly) for c in np.unique(ids).tolist() if c in owner}
        for one in formulas
    ]
    waiting = dict(enumerate(reads))
    while waiting:
        ready = sorted(k for k, others in waiting.items() if not others & waiting.keys())
        if not ready:  # on a circle
            for k in waiting:
                steps = formulas[k].grid.steps
                why = (
                    f"it is recurrent: {steps} steps, each from the one before"
                    if steps
                    else "it depends on itself"
                )
                _unread(formulas[k], why, network, source)
            return
        _level([formulas[k] for k in ready], reader, network, source)
        for k in ready:
            del waiting[k]


def _level(ready: list[Formula], reader: SheetReader, network: RecoveredNetwork, source: Source) -> None:
    groups: dict[Hashable, list[Match]] = defaultdict(list)
    given: list[RecoveredTensor] = []
    for one in ready:
        try:
            if not one.poly.terms:
                raise Unrecognised("")
            for match in _matches(one, reader):
                groups[match.key].append(match)
        except Unrecognised as error:
            _unread(one, str(error), network, source)
            if np.isfinite(reader.cells.values(one.lattice)).all():
                given.append(RecoveredTensor("", one.lattice[None], note="formulas, taken as given"))
    made: list[RecoveredTensor] = []
    for matches in groups.values():
        try:
            ids, layer = matches[0].build(matches, reader)
            made.append(RecoveredTensor("", ids, layer))
        except Unrecognised as error:
            try:
                alone = [gathered.recognise(match.formula, reader) for match in matches]
                made += [RecoveredTensor("", *match.build([match], reader)) for match in alone]
            except Unrecognised:
                for match in matches:
                    _unread(match.formula, str(error), network, source)
                continue
        for match in matches:
            for cell in np.setdiff1d(match.formula.lattice, match.formula.ids).tolist():
                network.exceptions[cell] = "no number and no formula, within a map"
            for at, has_formula in match.formula.grid.exceptions.items():
                what = (
                    "another formula than the rest of its map"
                    if has_formula
                    else "a number typed over a formula"
                )
                network.exceptions[reader.cells.number(match.formula.grid.sheet, *at)] = what
    reader.tensors.add(made + _merged(given))


def _matches(one: Formula, reader: SheetReader) -> list[Match]:
    """The map as one part of a layer; a small map whose cells have no common law, cell by cell."""
    few = 1 < one.count <= _MOST_APART
    if few and len(one.poly.terms) > _LONG:  # sums over other cells each: rather one layer's units than a map
        for cells in ([one], apart(one)):
            with suppress(Unrecognised):
                return [recognise(cell, reader, layers_only=True) for cell in cells]
    try:
        return [recognise(one, reader)]
    except Unrecognised:
        if few:
            with suppress(Unrecognised):
                return [recognise(cell, reader) for cell in apart(one)]
        raise


def _merged(given: list[RecoveredTensor]) -> list[RecoveredTensor]:
    """Planes of one size, given alike, as channels of one tensor."""
    same: dict[tuple[int, ...], list[Ids]] = defaultdict(list)
    for tensor in given:
        same[tensor.ids.shape[1:]].append(tensor.ids)
    return [RecoveredTensor("", np.concatenate(ids), note=given[0].note) for ids in same.values()]


def _unread(one: Formula, reason: str, network: RecoveredNetwork, source: Source) -> None:
    if any(u.area == one.grid.area for u in network.unread):
        return
    text = source.formula((one.grid.sheet, *one.grid.first)) or ""
    network.unread.append(Unread(one.grid.area, text, reason or "it is no layer that is known"))
