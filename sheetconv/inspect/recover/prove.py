"""Write the module, run it in torch float64, and compare every recognised cell with what an engine computes."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.errors import UsageError, WorkbookError
from sheetconv.files import check_target, replacing
from sheetconv.formulas.area import Area, rectangles
from sheetconv.formulas.source import Source
from sheetconv.inspect.recover.code import arrays, module_text
from sheetconv.inspect.recover.names import name_tensors
from sheetconv.inspect.recover.network import Network, Unread, read_network

TOLERANCE = 1e-12
"""Largest error relative to the tensor's scale (its largest absolute value) that passes."""


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
class Report:
    """The outcome.

    Attributes:
        model, weights: the files written.
        layers: each layer as compared.
        cells: number of cells compared.
        differences: where the workbook departs from the network, at the origin.
        follow: number of cells that differ because they read those.
        unread: maps that were not recognised.
    """

    model: str
    weights: str
    engine: str
    layers: list[Compared] = field(default_factory=list)
    cells: int = 0
    differences: list[Difference] = field(default_factory=list)
    follow: int = 0
    unread: list[Unread] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether every recognised cell is the network's."""
        return not self.differences

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


def recover(book: Path, out: Path, engine: str = "ironcalc", *, force: bool = False) -> Report:
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
            steps = _run(trial, network)
            report = _compare(network, steps, source, Report(str(out), str(weights), engine))
            with ExitStack() as stack:
                for target in (weights, out):
                    made = stack.enter_context(replacing(target, force=force))
                    shutil.copyfile(trial.with_suffix(target.suffix), made)
    return report


def _write(path: Path, text: str, held: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    path.write_text(text, encoding="utf-8")
    save_file(held, path.with_suffix(".safetensors"))


def _run(path: Path, network: Network) -> dict[str, np.ndarray]:
    """Import the module that was written and compute all layers from the workbook's inputs."""
    import torch

    spec = importlib.util.spec_from_file_location("sheetconv_recovered", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    try:
        with torch.no_grad():
            steps = module.load().steps(*module.inputs())
    except (RuntimeError, IndexError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WorkbookError(f"the layers that were recognised do not fit together ({reason})") from error
    return {name: value[0].numpy() for name, value in steps.items()}


def _compare(network: Network, steps: dict[str, np.ndarray], source: Source, report: Report) -> Report:
    wrong: dict[int, tuple[float, float]] = {}
    for tensor in network.layers:
        assert tensor.layer is not None
        expected = steps[tensor.name].reshape(tensor.ids.shape)
        found = network.cells.values(tensor.ids)
        scale = float(np.abs(expected).max(initial=0)) or 1.0
        error = np.abs(found - expected) / scale
        error = np.where(np.isnan(error), np.inf, error)
        bad = error > TOLERANCE
        wrong |= {
            int(i): (float(f), float(e))
            for i, f, e in zip(tensor.ids[bad], found[bad], expected[bad], strict=True)
        }
        code = tensor.layer.expression.format(
            *(t.name for t in tensor.layer.inputs), self=f"self.{tensor.name}"
        )
        report.layers.append(
            Compared(tensor.name, code, network.cells.places(tensor.ids), float(error.max(initial=0)))
        )
        report.cells += tensor.ids.size
        for cell in tensor.layer.doubtful:
            network.exceptions.setdefault(cell, "it reads something beyond its input")
    for ids, copied in network.copies:
        report.cells += len(ids)
        found, expected = network.cells.values(ids), network.cells.values(copied)
        for i in np.flatnonzero(found != expected):
            wrong.setdefault(int(ids[i]), (float(found[i]), float(expected[i])))
    _explain(network, wrong, source, report)
    report.unread = network.unread
    return report


def _explain(network: Network, wrong: dict[int, tuple[float, float]], source: Source, report: Report) -> None:
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
            report.differences.append(Difference(area, found, expected, reason))
    quiet = [c for c in network.exceptions if c not in wrong]
    for area in network.cells.areas(np.array(quiet, np.int64)) if quiet else []:
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
