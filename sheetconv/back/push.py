"""Another image into a workbook that exists: pixels, caption, label and cached values; all else stays as it is.

The image takes the place of the one that is chosen. Numbers, formats, charts and sheets that a user changed or
added are copied byte for byte; cached values of all formulas, the user's own too, come from a spreadsheet engine.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.data.pick import Picked
from sheetconv.engines import get
from sheetconv.errors import UsageError, WorkbookError
from sheetconv.files import check_target, replacing
from sheetconv.graph.tensor import Tensor
from sheetconv.sheet.layout import Place
from sheetconv.sheet.manifest import PIECE, SHEET
from sheetconv.sheet.parameter_cells import ParameterCells, address
from sheetconv.xlsx.cells import Book, CellError
from sheetconv.xlsx.renew import Changes, renewed

_MOST_TEXT = 32_767


@dataclass
class Pushed:
    """What was done: the number of the image (from 1), its caption, and what could not be kept or renewed."""

    number: int
    caption: str
    notes: list[str] = field(default_factory=list)


@dataclass
class _Target:
    """Where the pixels go: a typed tensor and, of a stack of images, which one."""

    pixels: Tensor
    entry: Tensor
    number: int | None


def push(
    path: Path, picked: Picked, output: Path | None = None, *, force: bool = False, engine: str = "ironcalc"
) -> Pushed:
    """Put the first of `picked` into the workbook `path` and write it to `output`, by default in its place.

    Raises `WorkbookError` for a workbook that is not ours or has no place for an image, `UsageError` for an image
    of another size; nothing is written then.
    """
    if output is not None:
        check_target(output, force=force, suffix=path.suffix)
    with Book(path) as book:
        cells = ParameterCells.of(book, path)
        cells.check_shape()
        target = _target(cells)
        done = Pushed(target.number or 1, picked.captions[0])
        changes = _pixels(cells, target, picked)
        _label(cells, target, picked, changes, done)
        _captions(cells, target, picked, changes)
        typed, _ = cells.typed(target.entry) if target.number is not None else (np.zeros(1, dtype=bool), None)
        if typed.any():
            done.notes.append(
                f"{int(typed.sum())} cells of {target.entry.name} were typed over and keep their numbers"
            )
    with (
        replacing(output or path, force=force or output is None) as temporary,
        tempfile.TemporaryDirectory() as folder,
    ):
        raw = Path(folder, "pushed" + path.suffix)
        renewed(path, raw, changes)
        _renew_values(raw, changes, engine, done)
        renewed(path, temporary, changes)
    return done


def _target(cells: ParameterCells) -> _Target:
    graph = cells.manifest.graph
    for tensor in graph:
        operation = tensor.operation
        if (
            tensor.kind == "input"
            and operation is not None
            and operation.target == "choose"
            and len(tensor.shape) == 4
        ):
            pick, stack = operation.arguments
            number = int(cells.numbers(pick).reshape(-1)[0])
            if not 1 <= number <= stack.shape[0]:
                raise WorkbookError(
                    f"{cells.path}: the choice of the image is {number}, not 1 to {stack.shape[0]}"
                )
            return _Target(stack, tensor, number)
    typed = [
        t
        for t in graph
        if t.kind == "input" and t.operation is None and len(t.shape) == 4 and t.shape[0] == 1
    ]
    if len(typed) != 1:
        raise WorkbookError(
            f"{cells.path} has no one place for an image; push takes the workbook of a network"
        )
    return _Target(typed[0], typed[0], None)


def _pixels(cells: ParameterCells, target: _Target, picked: Picked) -> defaultdict[str, Changes]:
    place, shape = cells.manifest.places[target.pixels], target.pixels.shape[1:]
    image = picked.images[0]
    image = image if image.ndim == 3 else image[None]
    if image.shape != shape:
        sizes = ("×".join(map(str, s)) for s in (shape, image.shape))
        raise UsageError(f"{cells.path} takes images of {next(sizes)}, this one is {next(sizes)}")
    changes: defaultdict[str, Changes] = defaultdict(Changes)
    first = (target.number or 1) - 1
    listed = _listed(cells, place.sheet)
    for index in np.ndindex(*shape):
        at = _at(place, (first, *index))
        if at not in listed:
            raise WorkbookError(
                f"{cells.path}: cell {address(place, (first, *index))} of the image is gone; undo that"
            )
        changes[place.sheet].numbers[at] = float(image[index])
    return changes


def _listed(cells: ParameterCells, sheet: str) -> set[tuple[int, int]]:
    return {(row, column) for row, column, _ in cells.sheet(sheet).listed()}


def _at(place: Place, index: tuple[int, ...]) -> tuple[int, int]:
    rows, columns = np.broadcast_arrays(*place.cells())
    return int(rows[index]), int(columns[index])


def _label(
    cells: ParameterCells, target: _Target, picked: Picked, changes: defaultdict[str, Changes], done: Pushed
) -> None:
    """The image's label, in a workbook that measures a loss against it."""
    labels = next((t for t in cells.manifest.graph if t.name == "labels" and t.operation is None), None)
    if labels is None or target.number is None:
        return
    if picked.labels[0] is None:
        done.notes.append("the image's label is not known; type it into the cell of the label")
        return
    place = cells.manifest.places[labels]
    changes[place.sheet].numbers[_at(place, (target.number - 1,))] = float(picked.labels[0])


def _captions(
    cells: ParameterCells, target: _Target, picked: Picked, changes: defaultdict[str, Changes]
) -> None:
    """The new caption wherever the old one stands: in texts, in formulas that look it up, in the manifest."""
    known = cells.manifest.facts.get("captions")
    slot = (target.number or 1) - 1
    if (
        not isinstance(known, list)
        or slot >= len(known)
        or not isinstance(known[slot], str)
        or not known[slot]
    ):
        return
    old, new = known[slot], picked.captions[0]
    if known.count(old) > 1 or old == new:
        return
    for sheet in cells.book.sheet_names:
        if sheet == SHEET:
            continue
        for row, column, value in cells.sheet(sheet).listed():
            if isinstance(value, str) and not isinstance(value, CellError) and old in value:
                changes[sheet].texts[row, column] = value.replace(old, new)
    quoted_old, quoted_new = (f'"{t.replace(chr(34), chr(34) * 2)}"' for t in (old, new))
    for sheet, row, column, text in cells.manifest.texts:
        if quoted_old in text:
            written = cells.sheet(sheet).formula(row, column)
            if written is not None and quoted_old in written:
                changes[sheet].formulas[row, column] = written[1:].replace(quoted_old, quoted_new)
    _manifest(cells, changes[SHEET], slot, new, quoted_old, quoted_new)


def _manifest(cells: ParameterCells, changes: Changes, slot: int, caption: str, old: str, new: str) -> None:
    """The manifest with the new caption, in the cells that it has (a longer last piece, or blanks at the end)."""
    sheet = cells.sheet(SHEET)
    rows = [(row, str(value)) for row, column, value in sheet.listed() if column == 0 and value is not None]
    data: dict[str, Any] = json.loads("".join(text for _, text in rows))
    data["facts"]["captions"][slot] = caption
    data["texts"] = [[s, r, c, text.replace(old, new)] for s, r, c, text in data.get("texts", [])]
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    pieces = [text[i : i + PIECE] for i in range(0, len(text), PIECE)]
    if len(pieces) > len(rows):
        pieces[len(rows) - 1 :] = ["".join(pieces[len(rows) - 1 :])]
    if len(pieces[-1]) > _MOST_TEXT:
        raise WorkbookError(
            f"{cells.path}: the caption {caption[:40]!r} is too long for this workbook; rename the file"
        )
    for (row, _), piece in zip(rows, [*pieces, *[" "] * len(rows)], strict=False):
        changes.texts[row, 0] = piece


def _renew_values(raw: Path, changes: defaultdict[str, Changes], engine: str, done: Pushed) -> None:
    """New cached values for every formula, as the engine computes them from the changed workbook."""
    boxes, where = [], []
    with Book(raw) as book:
        for sheet in book.sheet_names:
            found = [(row, column) for row, column, _ in book.cells(sheet).formula_cells()]
            found += [
                (r, c)
                for r0, c0, r1, c1 in book.cells(sheet).arrays.values()
                for r in range(r0, r1 + 1)
                for c in range(c0, c1 + 1)
            ]
            if found:
                rows, columns = np.array(found).T
                boxes.append(
                    (sheet, (int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max())))
                )
                where.append(found)
    failed = 0
    for (sheet, (r0, c0, _, _)), found, block in zip(
        boxes, where, get(engine).evaluate(raw, boxes), strict=True
    ):
        for row, column in found:
            value = block[row - r0, column - c0]
            failed += value is None
            changes[sheet].values[row, column] = value
    if failed:
        done.notes.append(
            f"{failed} formulas that {engine} cannot compute have no cached value; the program that opens the file computes them"
        )
