"""Write the module, run it in torch float64, and compare every recognised cell with what an engine computes.

One point proves little: half of the units may be dead there, and a weight taken for an input passes. So the workbook
is computed again with other numbers in every typed cell that the module reads (inputs and weights alike), and the
module with the same.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.engines import available
from sheetconv.errors import EngineError, UsageError, WorkbookError
from sheetconv.files import check_target, replacing
from sheetconv.formulas.cell_range import Area, rectangles
from sheetconv.formulas.source import Source
from sheetconv.inspect.recover.code import arrays, module_text
from sheetconv.inspect.recover.draws import depends, draws
from sheetconv.inspect.recover.names import name_tensors
from sheetconv.inspect.recover.network import RecoveredNetwork, Unread, compute, read_network
from sheetconv.inspect.recover.tensors import RecoveredTensor

TOLERANCE, TOLERANCE_ELSEWHERE = 1e-12, 1e-9
"""Largest error relative to the tensor's scale (its largest absolute value) that passes; with other numbers."""


@dataclass(frozen=True)
class Difference:
    """Cells whose value is not the network's: why, and how many other cells differ only because they read these."""

    area: Area
    found: float
    expected: float
    reason: str


@dataclass(frozen=True)
class Compared:
    """A layer: its torch code, the cells that it stands for in the order of its output, the largest relative error."""

    name: str
    code: str
    places: list[tuple[str, int, int]]
    error: float


@dataclass
class RecoveryReport:
    """The outcome.

    Attributes:
        model, weights: the files written.
        layers: each layer as compared.
        cells: number of cells compared.
        differences: where the workbook departs from the network, at the origin.
        follow: number of cells that differ because they read those.
        unread: maps that were not recognised.
        note: what another engine says otherwise.
        points: with how many sets of other numbers the workbook was computed again and compared.
        undefined: cells that were numbers at none of these points (the logarithm of a negative number, say).
        depends: for each output the inputs that it depends on, by name.
    """

    model: str
    weights: str
    engine: str
    layers: list[Compared] = field(default_factory=list)
    cells: int = 0
    differences: list[Difference] = field(default_factory=list)
    follow: int = 0
    unread: list[Unread] = field(default_factory=list)
    note: str = ""
    points: int = 0
    undefined: int = 0
    depends: dict[str, list[str]] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether every recognised cell is the network's."""
        return not self.differences

    def _repr_html_(self) -> str:
        from sheetconv.notebook.html import of_recovered

        return of_recovered(self)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {**asdict(self), "agrees": self.agrees} | {
            "layers": [
                {
                    "name": c.name,
                    "code": c.code,
                    "cells": list(map(str, rectangles(c.places))),
                    "error": c.error,
                }
                for c in self.layers
            ],
            "differences": [{**asdict(d), "area": str(d.area)} for d in self.differences],
            "unread": [{**asdict(u), "area": str(u.area)} for u in self.unread],
        }


def recover(book: Path, out: Path, engine: str = "ironcalc", *, force: bool = False) -> RecoveryReport:
    """Read the network of `book` and write it to `out` (.py) and its numbers beside it (.safetensors).

    Raises `UsageError` (out is no .py), `OutputError` (exists, not writable), `WorkbookError` (unreadable, or no
    layer recognised), `EngineError`, `LimitError`; nothing is written then.
    """
    if out.suffix != ".py" or not out.stem.isidentifier():
        raise UsageError(f"{out}: give a name that Python can import, such as model.py")
    weights = out.with_suffix(".safetensors")
    for target in (out, weights):
        check_target(target, force=force)
    with Source(book) as source:
        network = read_network(source, engine)
        name_tensors(network, source)
        text, held = module_text(network, book.name), arrays(network)
        with tempfile.TemporaryDirectory(prefix="sheetconv-") as folder:
            trial = Path(folder, out.name)
            _write(trial, text, held)
            module = _load(trial)
            report = RecoveryReport(
                str(out), str(weights), engine, unread=network.unread, depends=depends(network)
            )
            wrong = _compare(network, _run(module, network), source, report)
            if wrong:
                report = _second_witness(network, module, source, report, wrong)
            _elsewhere(network, module, source, report)
            with ExitStack() as stack:
                for target in (weights, out):
                    made = stack.enter_context(replacing(target, force=force))
                    shutil.copyfile(trial.with_suffix(target.suffix), made)
    return report


def _write(path: Path, text: str, held: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    path.write_text(text, encoding="utf-8")
    save_file(held, path.with_suffix(".safetensors"))


def _load(path: Path) -> Any:
    """The network of the module that was written, and the module."""
    spec = importlib.util.spec_from_file_location("sheetconv_recovered", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module.load()


def _run(module: Any, network: RecoveredNetwork) -> dict[str, np.ndarray]:
    """Compute all layers from the numbers that stand in the workbook's cells now."""
    import torch

    held = {name: torch.from_numpy(values) for name, values in arrays(network).items()}
    inputs = [held.pop(f"input.{t.name}") for t in network.inputs]
    module.load_state_dict(held)
    try:
        with torch.no_grad():
            steps = module.steps(*inputs)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WorkbookError(f"the layers that were recognised do not fit together ({reason})") from error
    return {name: value[0].numpy() for name, value in steps.items()}


def _wrong(
    network: RecoveredNetwork, steps: dict[str, np.ndarray], tolerance: float
) -> Iterator[tuple[RecoveredTensor, np.ndarray]]:
    """Each layer with the relative errors of its cells; infinite where only one side is a number."""
    for tensor in network.layers:
        expected = steps[tensor.name].reshape(tensor.ids.shape)
        found = network.cells.values(tensor.ids)
        known = np.isfinite(expected)
        scale = float(np.abs(expected[known]).max(initial=0)) or 1.0
        with np.errstate(invalid="ignore"):
            error = np.abs(found - expected) / scale
        error[~np.isfinite(found) & ~known] = 0.0
        error[np.isnan(error)] = np.inf
        yield tensor, np.where(error > tolerance, error, np.minimum(error, tolerance))


def _compare(
    network: RecoveredNetwork, steps: dict[str, np.ndarray], source: Source, report: RecoveryReport
) -> dict[int, tuple[float, float]]:
    """Fill in the report; returns (found, expected) of each cell that differs."""
    wrong: dict[int, tuple[float, float]] = {}
    for tensor, error in _wrong(network, steps, TOLERANCE):
        assert tensor.layer is not None
        wrong |= _pairs(network, tensor, steps, error > TOLERANCE)
        code = tensor.layer.expression.format(
            *(t.name for t in tensor.layer.inputs), self=f"self.{tensor.name}"
        )
        report.layers.append(
            Compared(tensor.name, code, network.cells.places(tensor.ids), float(error.max(initial=0)))
        )
        report.cells += tensor.ids.size
        for cell in tensor.layer.doubtful:
            network.exceptions.setdefault(cell, "it reads something beyond its input")
    report.cells += sum(len(ids) for ids, _ in network.copies)
    wrong |= _wrong_copies(network)
    _explain(network, wrong, source, report)
    return wrong


def _second_witness(
    network: RecoveredNetwork,
    module: Any,
    source: Source,
    report: RecoveryReport,
    wrong: dict[int, tuple[float, float]],
) -> RecoveryReport:
    """Ask other engines before the workbook is blamed: the report by one that agrees with torch, if any does."""
    before, ids = network.cells.snapshot(), np.array(sorted(wrong), np.int64)
    found = network.cells.values(ids)
    for other in available():
        if other.name == report.engine:
            continue
        try:
            compute(source, network, other.name)
        except EngineError:
            continue
        second = RecoveryReport(
            report.model, report.weights, other.name, unread=report.unread, depends=report.depends
        )
        if not _compare(network, _run(module, network), source, second):
            second.note = (
                f"{report.engine} computes {len(wrong):,} cells otherwise than torch and {other.name} do"
            )
            return second
        if np.array_equal(network.cells.values(ids), found):  # two witnesses against the module
            break
    network.cells.restore(before)
    return report


def _pairs(
    network: RecoveredNetwork, tensor: RecoveredTensor, steps: dict[str, np.ndarray], bad: np.ndarray
) -> dict[int, tuple[float, float]]:
    """(found, expected) of the cells marked as bad."""
    found, expected = network.cells.values(tensor.ids)[bad], steps[tensor.name].reshape(tensor.ids.shape)[bad]
    return {int(i): (float(f), float(e)) for i, f, e in zip(tensor.ids[bad], found, expected, strict=True)}


def _wrong_copies(network: RecoveredNetwork) -> dict[int, tuple[float, float]]:
    wrong = {}
    for ids, copied in network.copies:
        found, expected = network.cells.values(ids), network.cells.values(copied)
        for i in np.flatnonzero((found != expected) & ~(np.isnan(found) & np.isnan(expected))):
            wrong[int(ids[i])] = float(found[i]), float(expected[i])
    return wrong


def _elsewhere(network: RecoveredNetwork, module: Any, source: Source, report: RecoveryReport) -> None:
    """Compare with other numbers in all typed cells; cells told of already are left out."""
    known = {(a.sheet, r, c) for d in report.differences for a in [d.area] for r, c in _cells(a)}
    before = network.cells.snapshot()
    wrong: dict[int, tuple[float, float]] = {}
    unseen = {int(i) for t in network.layers for i in t.ids.ravel()}
    for ids, values in draws(network):
        network.cells.restore(before)
        network.cells.retype(ids, values)
        typed: dict[str, dict[tuple[int, int], float]] = {}
        for (sheet, row, column), value in zip(network.cells.places(ids), values.tolist(), strict=True):
            typed.setdefault(sheet, {})[row, column] = value
        compute(source, network, report.engine, typed)
        steps = _run(module, network)
        for tensor, error in _wrong(network, steps, TOLERANCE_ELSEWHERE):
            wrong |= _pairs(network, tensor, steps, error > TOLERANCE_ELSEWHERE)
            unseen -= set(tensor.ids[np.isfinite(network.cells.values(tensor.ids))].tolist())
        wrong |= _wrong_copies(network)
        report.points += 1
    network.cells.restore(before)
    if report.agrees or wrong:
        places = network.cells.places(np.array(sorted(wrong), np.int64)) if wrong else []
        fresh = {c: wrong[c] for c, place in zip(sorted(wrong), places, strict=True) if place not in known}
        if fresh and report.agrees:
            _explain(network, fresh, source, report, "with other numbers in the typed cells, ", quiet=False)
    report.undefined = len(unseen) if report.points else 0


def _cells(area: Area) -> Iterator[tuple[int, int]]:
    for row in range(area.row0, area.row1 + 1):
        for column in range(area.column0, area.column1 + 1):
            yield row, column


def _explain(
    network: RecoveredNetwork,
    wrong: dict[int, tuple[float, float]],
    source: Source,
    report: RecoveryReport,
    when: str = "",
    quiet: bool = True,
) -> None:
    """Tell the origins of differences from the cells that only pass them on."""
    places = dict(zip(wrong, network.cells.places(np.array(list(wrong), np.int64)), strict=True))
    there = set(places.values())
    for ids, copied in network.copies:  # a copy of a wrong cell passes it on
        there.update(network.cells.places(ids[np.isin(copied, list(wrong))]))
    origins: dict[tuple[str, bool], list[int]] = {}
    for cell, place in places.items():
        reason = network.exceptions.get(cell)
        if reason is None and _reads(source, place, there):
            report.follow += 1
            continue
        reason = reason or "its formula is the map's, its value is not"
        origins.setdefault((reason, True), []).append(cell)
    for (reason, _), cells in origins.items():
        for area in rectangles([places[c] for c in cells]):
            found, expected = wrong[network.cells.number(area.sheet, area.row0, area.column0)]
            report.differences.append(Difference(area, found, expected, when + reason))
    if not quiet:
        return
    same = [c for c in network.exceptions if c not in wrong]
    for area in network.cells.areas(np.array(same, np.int64)) if same else []:
        value = network.cells.values(np.array([network.cells.number(area.sheet, area.row0, area.column0)]))[0]
        reason = network.exceptions[network.cells.number(area.sheet, area.row0, area.column0)]
        report.differences.append(
            Difference(area, float(value), float(value), f"{reason}, to the same value now")
        )


def _reads(source: Source, place: tuple[str, int, int], there: set[tuple[str, int, int]]) -> bool:
    for area in source.precedents(place).areas:
        if area.size <= len(there):
            cells = (
                (area.sheet, r, c)
                for r in range(area.row0, area.row1 + 1)
                for c in range(area.column0, area.column1 + 1)
            )
            if any(cell in there for cell in cells):
                return True
        elif any(
            s == area.sheet and area.row0 <= r <= area.row1 and area.column0 <= c <= area.column1
            for s, r, c in there
        ):
            return True
    return False
