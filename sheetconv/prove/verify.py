"""The proof that a workbook computes its function, leg by leg.

*Live*: every activation cell holds a formula. *By structure*: each formula is, in normal form, the one that the
manifest's tensors have there. *At this point*: what an engine recalculates, and the cached
values, against torch in float64 on the numbers in the cells. Inputs and parameters are read from the cells as
they are now; torch runs the operators that the manifest names; an independent engine recalculates a copy of
the file that has no cached values. The two share nothing but the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.engines import get
from sheetconv.errors import UsageError, printable
from sheetconv.formulas.source import Source
from sheetconv.graph.expr import FloatArray
from sheetconv.graph.tensor import Tensor
from sheetconv.prove import account, choices
from sheetconv.prove.cells import Sheets, blank, pick
from sheetconv.prove.compare import CACHED, Comparison, compare
from sheetconv.prove.draws import draws
from sheetconv.prove.model import against_model
from sheetconv.prove.points import Points, how_many, look
from sheetconv.prove.reference import Reference
from sheetconv.prove.structure import Structure, strange, structure
from sheetconv.prove.witness import second_opinion
from sheetconv.sheet.layout import Place
from sheetconv.sheet.manifest import Manifest, read_manifest
from sheetconv.xlsx.cells import numbers

__all__ = ["Comparison", "Report", "resolve_device", "table", "verify"]


@dataclass
class Leg:
    """One part of the proof: whether it holds, in a word, and what was looked at."""

    name: str
    holds: bool
    word: str
    detail: str


@dataclass
class Report:
    """The outcome for a workbook: per tensor, once for the engine and once for the cached values."""

    book: str
    engine: str
    computed: list[Comparison] = field(default_factory=list)
    cached: list[Comparison] = field(default_factory=list)
    overwritten: list[str] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    """Why the workbook is not proven although no number differs."""
    elsewhere: list[Comparison] = field(default_factory=list)
    """Cells that differ at other points."""
    unseen: dict[str, int] = field(default_factory=dict)
    """Branches that no point took, by tensor."""
    unruled: dict[str, int] = field(default_factory=dict)
    """Those of them that are of formulas that no rule gives."""
    branches: int = 0
    """How many branches the formulas have."""
    disagreement: str = ""
    """What to say where another engine finds right what the first finds wrong."""
    witness: str = ""
    """The second engine that finds a difference too."""
    points: int = 0
    """At how many other points the engine and torch were compared."""
    relative_to: str = "relative to the operators that the manifest names"
    uncached: int = 0
    """How many formula cells have no cached value."""

    @property
    def agrees(self) -> bool:
        """Whether the workbook is proven: every leg holds, and nothing else speaks against it."""
        return not self.reasons and self.equal and all(leg.holds for leg in self.legs)

    @property
    def equal(self) -> bool:
        """Whether every comparison of numbers agrees."""
        return all(c.agrees for c in (*self.computed, *self.cached))

    @property
    def cells(self) -> int:
        """How many cells were compared."""
        return sum(c.cells for c in self.computed)

    @property
    def largest(self) -> float:
        """The largest relative error of the engine's values."""
        return max((c.relative for c in self.computed), default=0.0)

    def verdict(self) -> str:
        """One line: proven or not, and where it fails first."""
        return printable(self.disagreement or self._differs() or self._unproven() or self._verified())

    def _differs(self) -> str:
        for kind, found in (("computed", self.computed), ("cached", self.cached)):
            bad = [c for c in found if not c.agrees]
            if bad:
                worst = bad[0]
                also = f" ({self.witness} too)" if self.witness else ""
                by = self.engine + also if kind == "computed" else "the file's cached value"
                return (
                    f"DIFFERS: {worst.tensor} at {worst.worst}: {by} has {_show(worst.found)}, torch computes "
                    f"{worst.expected!r} ({len(bad)} of {len(found)} tensors differ in {kind} values)"
                )
        return ""

    def _unproven(self) -> str:
        reasons = [*self.reasons, *(f"{leg.name}: {leg.detail}" for leg in self.legs if not leg.holds)]
        if not reasons:
            return ""
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return f"NOT PROVEN: {reasons[0]}{more}"

    def _verified(self) -> str:
        cached = " and in the cached values" if self.cached else ""
        if self.uncached:
            cached += f"; {'no' if not self.cached else f'{self.uncached:,} cells have no'} cached values"
        there = f" and at {self.points} other points" if self.points else ""
        return (
            f"VERIFIED: {self.cells:,} cells in {len(self.computed)} tensors are live, right by structure, and equal torch "
            f"float64 in {self.engine}{there} (largest relative error {self.largest:.1e}){cached}{self._branches()}; {self.relative_to}"
        )

    def _branches(self) -> str:
        """The share of branches that the points took, and whose branches only points could show; "" where all were."""
        left = sum(self.unseen.values())
        if not left:
            return ""
        text = f"; {math.floor(1000 * (self.branches - left) / self.branches) / 10}% of branches seen"
        if not self.unruled:
            return f"{text}, the others by rule"
        name, number = max(self.unruled.items(), key=lambda found: found[1])
        more = f" and {len(self.unruled) - 1} more" if len(self.unruled) > 1 else ""
        return f"{text}, no rule gives the others of {name} ({number:,}){more}"

    def _repr_html_(self) -> str:
        from sheetconv.notebook.html import of_report

        return of_report(self)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {**asdict(self), "agrees": self.agrees, "verdict": self.verdict()}


def _show(value: Any) -> str:
    return "nothing" if value is None else repr(value) if type(value) in (float, str) else str(value)


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


def verify(
    path: Path,
    engine: str = "ironcalc",
    device: str = "auto",
    probes: int | None = None,
    model: str | None = None,
    weights: Path | None = None,
) -> Report:
    """Prove a workbook; see the module's docstring for what is compared with what.

    `probes` is the number of other points that the engine computes; None lets the workbook's size decide.
    `model` names a network (``file.py:name``) that the workbook must be, with the parameters of `weights`.

    Raises `WorkbookError` (not ours, damaged), `EngineError` (missing, failed), `UsageError` (device, engine).
    """
    where = resolve_device(device)
    program = get(engine)
    report = Report(str(path), engine)
    with Source(path) as source:
        manifest = read_manifest(source.book, path)
        sheets = Sheets(source.book, path)
        stored, typed, over = _typed(manifest, sheets, report)
        reference = Reference(manifest, path, where, typed, over)
        reference.refuse_random(stored)
        places = account.with_formulas(manifest)
        cached = {p.tensor: pick(sheets[p.sheet].values(*p.box()), p) for p in places}
        _live(manifest, sheets, report)
        _accounted(manifest, sheets, report)
        shape = _structure(manifest, sheets, source, report)
        given = draws(manifest, sheets, stored)
        if model is not None:
            _is_model(report, manifest, stored, model, weights)
    many = how_many(sum(p.tensor.size for p in places), len(places), probes, program.quick)
    points = [given.typed(given.point(k)) for k in range(many)]
    here, *there = program.evaluate_at(path, [(p.sheet, p.box()) for p in places], [{}, *points])
    computed = {p.tensor: pick(block, p) for p, block in zip(places, here, strict=True)}
    _here(report, reference, places, stored, computed, cached)
    _there(report, look(reference, places, given, there, shape.by_rule))
    if shape.holds:
        _ask_another(report, path, reference, places, stored)
    return report


def _typed(
    manifest: Manifest, sheets: Sheets, report: Report
) -> tuple[dict[Tensor, FloatArray], dict[Tensor, np.ndarray], dict[Tensor, FloatArray]]:
    """The typed numbers; for inputs that have a formula where one was typed over it, and which."""
    stored, typed, over_numbers = {}, {}, {}
    for tensor in manifest.graph:
        if tensor.operation is None:
            stored[tensor] = sheets.stored(manifest.places[tensor])
        elif tensor.kind == "input" and tensor in manifest.places:
            over = ~sheets.has_formula(manifest.places[tensor])
            if over.any():
                typed[tensor] = over
                place = manifest.places[tensor]
                over_numbers[tensor] = numbers(pick(sheets[place.sheet].values(*place.box()), place))
                report.overwritten.append(f"{int(over.sum())} cells of {tensor.name}")
    return stored, typed, over_numbers


def _live(manifest: Manifest, sheets: Sheets, report: Report) -> None:
    found = account.dead(manifest, sheets)
    places = [p for p in account.with_formulas(manifest) if p.tensor.kind != "input"]
    cells = sum(p.tensor.size for p in places)
    detail = f"DEAD: {'; '.join(found[:3])}" if found else f"{cells:,} cells hold formulas"
    report.legs.append(Leg("Live", not found and cells > 0, "live", detail if cells else "no cells at all"))


def _accounted(manifest: Manifest, sheets: Sheets, report: Report) -> None:
    report.reasons += choices.changed(manifest, sheets)
    for kind in (account.living_parameters, account.unaccounted, account.margins_filled, account.hidden):
        report.reasons += kind(manifest, sheets)
    report.reasons += account.twice(manifest)
    report.reasons += account.settings(sheets)


def _structure(manifest: Manifest, sheets: Sheets, source: Source, report: Report) -> Structure:
    found = structure(manifest, sheets, source)
    report.reasons += strange(manifest)
    report.legs.append(Leg("By structure", found.holds, "by structure", found.detail()))
    return found


def _ask_another(
    report: Report,
    path: Path,
    reference: Reference,
    places: Sequence[Place],
    stored: Mapping[Tensor, FloatArray],
) -> None:
    """Where right formulas give wrong numbers, hear a second engine before the file is blamed."""
    blamed = next((c for c in report.computed if not c.agrees), None)
    if blamed is None:
        return

    def judge(blocks: Sequence[np.ndarray]) -> list[Comparison]:
        found = {p.tensor: pick(block, p) for p, block in zip(places, blocks, strict=True)}
        expected = reference.expected({**stored, **{t: numbers(v) for t, v in found.items()}})
        return [compare(p, found[p.tensor], expected[p.tensor]) for p in places]

    name, says = second_opinion(path, report.engine, places, blamed, {}, judge)
    if says == "right":
        report.disagreement = (
            f"ENGINES DISAGREE: {blamed.tensor} at {blamed.worst}: {report.engine} has {_show(blamed.found)}, {name} "
            f"has what torch computes, {blamed.expected!r}; the formula is right, so verify with --engine {name}"
        )
    elif says == "wrong":
        report.witness = name


def _is_model(
    report: Report, manifest: Manifest, stored: Mapping[Tensor, FloatArray], model: str, weights: Path | None
) -> None:
    """The leg of the network itself: its own graph and parameters against the workbook's."""
    found = list(against_model(manifest, stored, model, weights))
    detail = (
        f"{found[0]} ({len(found)} differences)"
        if found
        else "the same operators, wiring, shapes, parameters"
    )
    report.legs.append(Leg("The network", not found, f"the network {model}", detail))
    report.relative_to = f"it is the network {model} itself"


def _there(report: Report, found: Points) -> None:
    """The leg at other points."""
    report.elsewhere, report.unseen = found.wrong + found.unequal, found.branches.unseen()
    report.unruled, report.branches = found.unruled, found.branches.total
    report.points = found.points
    held = not report.elsewhere and found.points > 0
    report.legs.append(Leg("At other points", held, f"at {found.points} other points", found.detail()))


def _here(
    report: Report,
    reference: Reference,
    places: list[Place],
    stored: Mapping[Tensor, FloatArray],
    computed: Mapping[Tensor, np.ndarray],
    cached: Mapping[Tensor, np.ndarray],
) -> None:
    """The leg at this point: the engine's values and the cached ones, each against torch on themselves."""
    expected = reference.expected({**stored, **{t: numbers(v) for t, v in computed.items()}})
    report.computed = [compare(p, computed[p.tensor], expected[p.tensor]) for p in places]
    report.uncached = sum(int(blank(v).sum()) for v in cached.values())
    if report.uncached < report.cells:
        kept = {t: np.where(blank(v), computed[t], v) for t, v in cached.items()}
        expected = reference.expected({**stored, **{t: numbers(v) for t, v in kept.items()}})
        report.cached = [
            compare(p, cached[p.tensor], expected[p.tensor], CACHED, computed[p.tensor]) for p in places
        ]
    word = "equal here" if report.cached else "equal here, no cached values"
    detail = f"{report.cells:,} cells in {len(places)} tensors, largest relative error {report.largest:.1e}"
    report.legs.append(Leg("At this point", report.equal, word, detail))


def table(report: Report) -> str:
    """The comparisons as lines of text, then a line for each leg."""
    rows = [f"{'tensor':28} {'cells':>8} {'abs. error':>11} {'rel. error':>11} {'cached':>9}  worst cell"]
    cached: Mapping[str, Comparison] = {c.tensor: c for c in report.cached}
    for c in report.computed:
        kept = f"{cached[c.tensor].relative:9.1e}" if c.tensor in cached else f"{'none':>9}"
        rows.append(
            f"{c.tensor[:28]:28} {c.cells:8,} {c.absolute:11.1e} {c.relative:11.1e} {kept}  {c.worst}"
        )
    rows += [f"{leg.name:16} {'holds' if leg.holds else 'FAILS':6} {leg.detail}" for leg in report.legs]
    return "\n".join(printable(row) for row in rows)
