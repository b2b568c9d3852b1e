"""What all engines share: a stripped copy, a process of their own, a time limit, a check for stale cells."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv import child
from sheetconv.child import Workplace
from sheetconv.errors import EngineError, OutputError
from sheetconv.xlsx.a1 import Range, sheet_cell
from sheetconv.xlsx.cells import CellError, Value
from sheetconv.xlsx.strip import POISON, Typed, without_cached_values

_WORKER = Path(__file__).with_name("_worker.py")
Job = dict[str, Any]
"""What a worker is asked, as JSON: ``book`` (path), ``ranges`` ([[sheet, [r0, c0, r1, c1]], …]), ``paths``."""


class Engine(ABC):
    """A program that computes the formulas of a workbook.

    Subclasses set the class attributes and implement `missing` and `compute`.

    Attributes:
        name: the name on the command line, that of the module.
        poison: what formula cells hold in the copy that it is given; None: nothing.
        timeout: seconds after which a calculation is given up.
        quick: whether it computes further points without loading the workbook anew.
    """

    name: str
    poison: float | None = None
    timeout: float = 1800
    quick: bool = False

    @abstractmethod
    def missing(self) -> str | None:
        """Return why the engine cannot be used here and how to install it, or None if it can be used."""

    @abstractmethod
    def compute(
        self, copy: Path, ranges: Sequence[tuple[str, Range]], place: Workplace
    ) -> list[list[list[Any]]]:
        """Compute the workbook `copy` (no cached values) and return the rows of each range.

        A cell is a number, a text, a truth value, None, or ``{"error": "#N/A"}``. `place` is a private
        folder, in which programs are started. Raises `EngineError`.
        """

    def evaluate(
        self, book: Path, ranges: Sequence[tuple[str, Range]], typed: Typed | None = None
    ) -> list[np.ndarray]:
        """Compute all formulas of `book` anew and return the cells of each (sheet, (r0, c0, r1, c1)).

        `typed` puts other numbers into typed cells first: {sheet: {(row, column): number}}.

        Ranges are zero-based and inclusive. Each result is an object array of shape (rows, columns) of
        `sheetconv.xlsx.cells.Value`: float, str (a predicted class, say), bool, `CellError` such as
        ``#DIV/0!``, or None for a blank cell; `sheetconv.xlsx.cells.numbers` makes float64 of it.

        Raises `EngineError` (missing, failed, over time, or a cell left uncomputed) and `WorkbookError`.
        """
        if reason := self.missing():
            raise EngineError(reason)
        with Workplace() as place:
            copy = place.folder / "book.xlsx"
            try:
                without_cached_values(book, copy, poison=self.poison, typed=typed, bare=True)
            except OutputError as error:
                raise EngineError(
                    f"no copy can be made in {place.folder.parent}: {error.__cause__}"
                ) from error
            found = self.compute(copy, ranges, place)
        return self._blocks(found, ranges)

    def evaluate_at(
        self, book: Path, ranges: Sequence[tuple[str, Range]], points: Sequence[Typed]
    ) -> list[list[np.ndarray]]:
        """What `evaluate` returns, for several points: each has other numbers for typed cells, on top of the last.

        Raises what `evaluate` does.
        """
        return [self.evaluate(book, ranges, point) for point in _together(points)]

    def _blocks(self, found: list[list[list[Any]]], ranges: Sequence[tuple[str, Range]]) -> list[np.ndarray]:
        blocks = [block(rows, area) for rows, (_, area) in zip(found, ranges, strict=True)]
        for cells, (sheet, area) in zip(blocks, ranges, strict=True):
            self._check_fresh(cells, sheet, area)
        return blocks

    def _check_fresh(self, cells: np.ndarray, sheet: str, area: Range) -> None:
        stale = np.argwhere(cells == POISON)
        if len(stale):
            row, column = stale[0]
            cell = sheet_cell(sheet, area[0] + int(row), area[1] + int(column))
            raise EngineError(f"{self.name} did not compute {cell}; try another engine (--engine)")


class LibraryEngine(Engine):
    """An engine that is a Python library, run in a process of its own: it may crash, print, or never end."""

    @abstractmethod
    def work(self, job: Job) -> list[list[list[Any]]]:
        """Do the computing, in the worker process; see `compute`."""

    def compute(
        self, copy: Path, ranges: Sequence[tuple[str, Range]], place: Workplace, **more: Any
    ) -> list[list[list[Any]]]:
        """Run `work` in a worker process; `more` goes into its job."""
        command = [*child.python(_WORKER), self.name]
        job = {"book": str(copy), "ranges": ranges, "paths": child.module_paths(), **more}
        return run_job(self, command, job, place)


def _together(points: Sequence[Typed]) -> Iterator[Typed]:
    """Each point with the numbers of those before it, where it has none of its own."""
    known: dict[str, dict[tuple[int, int], float]] = {}
    for point in points:
        for sheet, cells in point.items():
            known.setdefault(sheet, {}).update(cells)
        yield {sheet: dict(cells) for sheet, cells in known.items()}


def run_job(
    engine: Engine,
    command: Sequence[str],
    job: Job,
    place: Workplace,
    *,
    beside: Sequence[str] | None = None,
    sweep: str = "",
) -> list[list[list[Any]]]:
    """Run a worker that reads the JSON file `argv[-2]` and writes `argv[-1]`; return what it wrote.

    `beside` and `sweep` are as in `Workplace.run`. Raises `EngineError` when it fails, crashes, or takes longer
    than the engine's time limit.
    """
    asked, answered = place.folder / "job.json", place.folder / "result.json"
    asked.write_text(json.dumps(job), encoding="utf-8")
    answered.unlink(missing_ok=True)
    whole = [*command, str(asked), str(answered)]
    code, message = place.run(whole, engine.timeout, engine.name, beside=beside, sweep=sweep)
    if code or not answered.exists():
        reason = message.strip().splitlines()[-1:] or [f"exit code {code}"]
        ended = "crashed" if code < 0 else "failed"
        raise EngineError(f"{engine.name} {ended} on this workbook: {reason[0][:300]}; try another engine")
    found: list[list[list[Any]]] = json.loads(answered.read_text(encoding="utf-8"))
    return found


def block(rows: list[list[Any]], area: Range) -> np.ndarray:
    """The rows that a worker found in an area as an object array of `sheetconv.xlsx.cells.Value`."""
    made = np.full((area[2] - area[0] + 1, area[3] - area[1] + 1), None, object)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            made[i, j] = _value(cell)
    return made


def _value(cell: Any) -> Value:
    if type(cell) is int:
        return float(cell)
    if isinstance(cell, dict):
        return CellError(cell["error"])
    value: Value = cell
    return value
