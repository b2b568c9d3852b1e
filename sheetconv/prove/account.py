"""What else a workbook holds: formulas that belong to no tensor, hidden tensors, settings that change results."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sheetconv.graph.tensor import Tensor
from sheetconv.prove.cells import Sheets, address, first, keys
from sheetconv.sheet.layout import Place
from sheetconv.sheet.manifest import SHEET, Manifest
from sheetconv.xlsx.address import area, cell, quoted


def with_formulas(manifest: Manifest) -> list[Place]:
    """Places of all tensors whose cells are formulas, notes among them."""
    tensors = [*(t for t in manifest.graph if t.operation is not None), *manifest.notes]
    return [manifest.places[t] for t in tensors if t in manifest.places]


def dead(manifest: Manifest, sheets: Sheets) -> list[str]:
    """Activations and notes whose cells hold a typed number, a text or nothing where a formula belongs."""
    found = []
    for place in with_formulas(manifest):
        if place.tensor.kind == "input":
            continue
        lost = ~sheets.has_formula(place)
        if lost.any():
            where = address(place, first(lost))
            found.append(
                f"{int(lost.sum()):,} of {lost.size:,} cells of {place.tensor.name}, the first {where}"
            )
    return found


def living_parameters(manifest: Manifest, sheets: Sheets) -> Iterator[str]:
    """Typed tensors that hold a formula somewhere: what they are would depend on cells that nothing accounts for."""
    for tensor in manifest.graph:
        if tensor.operation is None and tensor in manifest.places:
            place = manifest.places[tensor]
            alive = sheets.has_formula(place)
            if alive.any():
                yield f"{address(place, first(alive))} of {tensor.name} holds a formula where a number is typed"


def unaccounted(manifest: Manifest, sheets: Sheets) -> Iterator[str]:
    """Formulas that belong to no tensor, no note and no text that the manifest lists: how many, and the first."""
    known: dict[str, list[np.ndarray]] = {}
    for place in [*with_formulas(manifest), *_typed(manifest)]:
        known.setdefault(place.sheet, []).append(keys(place).reshape(-1))
    for sheet, row, column, _ in manifest.texts:
        known.setdefault(sheet, []).append(np.array([row * 2**14 + column]))
    for sheet in sheets.book.sheet_names:
        stray = np.setdiff1d(
            sheets.formula_keys(sheet), np.concatenate(known.get(sheet, [np.empty(0, np.int64)]))
        )
        if len(stray):
            where = f"{quoted(sheet)}!{cell(int(stray[0]) >> 14, int(stray[0]) & (2**14 - 1))}"
            yield f"nothing accounts for {_count(len(stray), 'formula')}, the first at {where}"


def _typed(manifest: Manifest) -> list[Place]:
    return [manifest.places[t] for t in manifest.graph if t.operation is None and t in manifest.places]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def twice(manifest: Manifest) -> Iterator[str]:
    """Cells that two tensors claim."""
    seen: dict[str, dict[int, Tensor]] = {}
    for tensor, place in manifest.places.items():
        mine = seen.setdefault(place.sheet, {})
        for key in keys(place).reshape(-1).tolist():
            other = mine.setdefault(key, tensor)
            if other is not tensor:
                where = cell(key >> 14, key & (2**14 - 1))
                yield f"{quoted(place.sheet)}!{where} belongs to {other.name} and to {tensor.name}"
                return


def margins_filled(manifest: Manifest, sheets: Sheets) -> Iterator[str]:
    """Cells of margins that are not blank: a padding of other numbers than the operators know."""
    for place in manifest.places.values():
        if not any(place.margin):
            continue
        top, left, bottom, right = place.margin
        inside = keys(place).reshape(-1)
        planes = [(r0 - top, c0 - left, r1 + bottom, c1 + right) for _, (r0, c0, r1, c1) in place.planes()]
        cells = sheets[place.sheet]
        filled = np.sort(cells.keys[cells.filled])
        for box in planes:
            around = _box_keys(box)
            bad = np.intersect1d(np.setdiff1d(around, inside), filled)
            if len(bad):
                where = cell(int(bad[0]) >> 14, int(bad[0]) & (2**14 - 1))
                yield (
                    f"{quoted(place.sheet)}!{where} in the margin of {place.tensor.name} ({area(*box)}) is not blank"
                )
                return


def _box_keys(box: tuple[int, int, int, int]) -> np.ndarray:
    r0, c0, r1, c1 = box
    return (np.arange(max(r0, 0), r1 + 1)[:, None] * 2**14 + np.arange(max(c0, 0), c1 + 1)).reshape(-1)


def hidden(manifest: Manifest, sheets: Sheets) -> Iterator[str]:
    """Sheets that hold tensors and are hidden from view."""
    states = {
        e.attributes.get("name", ""): e.attributes.get("state", "visible")
        for e in sheets.book.package.elements(sheets.book.package.workbook_part, depth=2)
        if e.name == "sheet"
    }
    for sheet in dict.fromkeys(p.sheet for p in manifest.places.values()):
        if states.get(sheet, "visible") != "visible" or sheet == SHEET:
            yield f"the sheet {quoted(sheet)}, which holds tensors, is hidden: what is seen is not what is proven"


def settings(sheets: Sheets) -> Iterator[str]:
    """Settings of the workbook under which its formulas mean something else."""
    package = sheets.book.package
    for element in package.elements(package.workbook_part, depth=1):
        if element.name != "calcPr":
            continue
        if element.attributes.get("iterate", "0") not in ("0", "false"):
            yield "iterative calculation is on: results depend on how often a program calculates"
        if element.attributes.get("fullPrecision", "1") in ("0", "false"):
            yield "precision as displayed is on: programs round what the formulas compute"
