"""The proof: every activation cell against torch in float64, and against what a spreadsheet computes.

Inputs and parameters are read from the cells as they are now. torch runs the operators that the manifest
names; an independent engine recalculates a copy of the file that has no cached values. The two share nothing
but the file. The cached values are compared too, separately.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.errors import UsageError, WorkbookError
from sheetconv.graph.expr import FloatArray
from sheetconv.graph.tensor import Tensor
from sheetconv.prove.engines import get
from sheetconv.sheet.layout import Place
from sheetconv.sheet.manifest import SHEET, Manifest, load
from sheetconv.xlsx.address import cell, quoted
from sheetconv.xlsx.cells import Book, SheetCells, numbers

# What torch raises for arguments that make no sense: only a damaged manifest has such.
_MISFITS = (RuntimeError, IndexError, TypeError, ValueError, KeyError, AttributeError, OverflowError)

TOLERANCE = 1e-9
"""Largest error relative to the tensor's scale (its largest absolute value) that passes."""


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

    @property
    def agrees(self) -> bool:
        """Whether the largest error is within the tolerance (not-a-number never is)."""
        return self.relative <= TOLERANCE


@dataclass
class Report:
    """The outcome for a workbook: per tensor, once for the engine and once for the cached values."""

    book: str
    engine: str
    computed: list[Comparison] = field(default_factory=list)
    cached: list[Comparison] = field(default_factory=list)
    overwritten: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether every comparison agrees."""
        return all(c.agrees for c in (*self.computed, *self.cached))

    @property
    def largest(self) -> float:
        """The largest relative error of the engine's values."""
        return max((c.relative for c in self.computed), default=0.0)

    def verdict(self) -> str:
        """One line: proven or not, and where it fails first."""
        cells = sum(c.cells for c in self.computed)
        for kind, found in (("computed", self.computed), ("cached", self.cached)):
            bad = [c for c in found if not c.agrees]
            if bad:
                worst = bad[0]
                by = self.engine if kind == "computed" else "the file's cached value"
                return (
                    f"DIFFERS: {worst.tensor} at {worst.worst}: {by} has {_show(worst.found)}, torch computes "
                    f"{worst.expected!r} ({len(bad)} of {len(found)} tensors differ in {kind} values)"
                )
        return (
            f"VERIFIED: {cells:,} cells in {len(self.computed)} tensors equal torch float64 in {self.engine} "
            f"(largest relative error {self.largest:.1e}) and in the cached values"
        )

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {**asdict(self), "agrees": self.agrees, "verdict": self.verdict()}


def _show(value: Any) -> str:
    return "nothing" if value is None else repr(value) if type(value) in (float, str) else str(value)


def read_manifest(book: Book, path: Path) -> Manifest:
    """The manifest of an open workbook; raises `WorkbookError` when it is not ours or damaged."""
    if SHEET not in book.sheet_names:
        raise WorkbookError(
            f"{path} was not written by sheetconv (it has no sheet {SHEET}); build-workbook makes one"
        )
    cells = book.cells(SHEET)
    extent = cells.extent
    if extent is None or extent[2] > 10_000:
        raise WorkbookError(f"{path}: the manifest on sheet {SHEET} is damaged; build the workbook again")
    pieces = [cells.value(row, 0) for row in range(extent[2] + 1)]
    return load("".join(str(p) for p in pieces if p is not None), path)


class _Sheets:
    """Cells of the sheets that are asked for, each read once."""

    def __init__(self, book: Book, path: Path) -> None:
        self.book, self.path = book, path
        self._read: dict[str, SheetCells] = {}

    def __getitem__(self, name: str) -> SheetCells:
        if name not in self._read:
            if name not in self.book.sheet_names:
                raise WorkbookError(
                    f"{self.path} has no sheet {name!r}, which its manifest names; build it again"
                )
            self._read[name] = self.book.cells(name)
        return self._read[name]


def _pick(block: np.ndarray, place: Place) -> np.ndarray:
    r0, c0, _, _ = place.box()
    rows, columns = np.broadcast_arrays(*place.cells())
    found = np.empty(rows.shape, dtype=object)
    found[...] = block[rows - r0, columns - c0]
    return found


def _stored(sheets: _Sheets, place: Place, path: Path) -> FloatArray:
    block = sheets[place.sheet].values(*place.box())
    found = _pick(block, place)
    values = numbers(found)
    if np.isnan(values).any():
        index = tuple(int(i) for i in np.argwhere(np.isnan(values))[0])
        held = found[index]
        if held is None:
            # a cell that was cleared counts as 0, as it does in every formula that reads it
            values = np.where([v is None for v in found.reshape(-1)], 0.0, values.reshape(-1)).reshape(
                values.shape
            )
            if not np.isnan(values).any():
                return values
            index = tuple(int(i) for i in np.argwhere(np.isnan(values))[0])
            held = found[index]
        raise WorkbookError(
            f"{path}: cell {_address(place, index)} of {place.tensor.name} holds {held!r}, not a number; type a number"
        )
    return values


def _address(place: Place, index: tuple[int, ...]) -> str:
    rows, columns = np.broadcast_arrays(*place.cells())
    return f"{quoted(place.sheet)}!{cell(int(rows[index]), int(columns[index]))}"


def _constants(sheets: _Sheets, place: Place) -> tuple[np.ndarray, FloatArray]:
    """Where a tensor of formulas holds typed numbers instead, and these numbers."""
    box = place.box()
    formulas = _pick(sheets[place.sheet].formulas(*box), place)
    values = numbers(_pick(sheets[place.sheet].values(*box), place))
    typed = np.array([f is None for f in formulas.reshape(-1)]).reshape(formulas.shape) & ~np.isnan(values)
    return typed, values


def _reference(
    manifest: Manifest, sheets: _Sheets, path: Path, device: str
) -> tuple[dict[Tensor, FloatArray], list[str]]:
    """torch's value of every tensor, from the inputs and parameters in the cells."""
    import torch

    from sheetconv.compile.reference import evaluate

    stored: dict[Tensor, torch.Tensor] = {}
    overwritten: list[str] = []
    for tensor in manifest.graph:
        if tensor.operation is None:
            if tensor not in manifest.places:
                raise WorkbookError(
                    f"{path}: the manifest gives no cells for {tensor.name}; build the workbook again"
                )
            stored[tensor] = torch.from_numpy(_stored(sheets, manifest.places[tensor], path).copy())

    def typed_over(tensor: Tensor, computed: torch.Tensor) -> torch.Tensor:
        if tensor.kind != "input":
            return computed
        typed, values = _constants(sheets, manifest.places[tensor])
        if not typed.any():
            return computed
        overwritten.append(f"{int(typed.sum())} cells of {tensor.name}")
        chosen = torch.from_numpy(np.nan_to_num(values)).to(computed)
        mask = torch.from_numpy(typed).to(computed.device)
        return torch.where(mask, chosen, computed.reshape(tensor.shape)).reshape(tensor.state_shape)

    _refuse_random(manifest, stored, path)
    try:
        result = evaluate(manifest.graph, stored, device, typed_over)
        return {t: v.cpu().reshape(t.shape).numpy() for t, v in result.items()}, overwritten
    except _MISFITS as error:
        reason = " ".join(str(error).split())[:120]
        raise WorkbookError(f"{path}: the manifest's operators do not fit its tensors ({reason})") from error


def _refuse_random(manifest: Manifest, stored: Mapping[Tensor, Any], path: Path) -> None:
    """Raise `WorkbookError` while a switch lets a page draw with RAND(): no two calculations agree then."""
    for tensor in manifest.graph:
        if tensor.operation is None or tensor.operation.target != "drawn":
            continue
        switch = next(tensor.operation.tensors())
        if switch in stored and float(stored[switch].reshape(-1)[0]) != 0:
            place = manifest.places[switch]
            raise WorkbookError(
                f"{path}: {_address(place, (0,) * len(switch.shape))} is not 0, so {tensor.name} comes from RAND(), new at "
                "every calculation, and cannot be compared; set the cell to 0 (fixed random numbers) and verify again"
            )


def _compare(place: Place, found: np.ndarray, expected: FloatArray) -> Comparison:
    values = numbers(found)
    error = np.abs(values - expected)
    error = np.where(np.isnan(error), np.inf, error)
    index = tuple(int(i) for i in np.unravel_index(int(error.argmax()), error.shape)) if error.ndim else ()
    scale = float(np.abs(expected).max(initial=0)) or 1.0
    worst = float(error[index])
    return Comparison(
        place.tensor.name,
        expected.size,
        worst,
        worst / scale,
        _address(place, index),
        found[index],
        float(expected[index]),
    )


def resolve_device(name: str) -> str:
    """`auto` is CUDA where there is one, else the CPU (MPS has no float64); raises `UsageError` where absent."""
    import torch

    if name == "mps":
        raise UsageError("MPS has no float64, which the proof needs; use --device cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available here; use --device cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def verify(path: Path, engine: str = "ironcalc", device: str = "auto") -> Report:
    """Prove a workbook; see the module's docstring for what is compared with what.

    Raises `WorkbookError` (not ours, damaged), `EngineError` (missing, failed), `UsageError` (device, engine).
    """
    where = resolve_device(device)
    program = get(engine)
    with Book(path) as book:
        manifest = read_manifest(book, path)
        sheets = _Sheets(book, path)
        expected, overwritten = _reference(manifest, sheets, path, where)
        places = [
            manifest.places[t] for t in manifest.graph if t.operation is not None and t in manifest.places
        ]
        cached = {p.tensor: _pick(sheets[p.sheet].values(*p.box()), p) for p in places}
    computed = program.evaluate(path, [(p.sheet, p.box()) for p in places])
    report = Report(str(path), engine, overwritten=overwritten)
    for place, block in zip(places, computed, strict=True):
        report.computed.append(_compare(place, _pick(block, place), expected[place.tensor]))
        report.cached.append(_compare(place, cached[place.tensor], expected[place.tensor]))
    return report


def table(report: Report) -> str:
    """The comparisons as lines of text."""
    rows = [f"{'tensor':28} {'cells':>8} {'abs. error':>11} {'rel. error':>11} {'cached':>9}  worst cell"]
    cached: Mapping[str, Comparison] = {c.tensor: c for c in report.cached}
    for c in report.computed:
        rows.append(
            f"{c.tensor[:28]:28} {c.cells:8,} {c.absolute:11.1e} {c.relative:11.1e} "
            f"{cached[c.tensor].relative:9.1e}  {c.worst}"
        )
    return "\n".join(rows)
