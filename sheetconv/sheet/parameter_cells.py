"""The numbers of a workbook's tensors as they stand in the cells now; the first damaged place is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sheetconv.compile.budget import check_work
from sheetconv.errors import WorkbookError
from sheetconv.graph.expr import FloatArray
from sheetconv.graph.tensor import Tensor
from sheetconv.sheet.layout import Place, defined_name, named_by
from sheetconv.sheet.manifest import Manifest, read_manifest
from sheetconv.xlsx.address import area, cell, quoted
from sheetconv.xlsx.cells import Book, SheetCells, numbers


def address(place: Place, index: tuple[int, ...]) -> str:
    """The cell of one element, with its sheet."""
    rows, columns = np.broadcast_arrays(*place.cells())
    return f"{quoted(place.sheet)}!{cell(int(rows[index]), int(columns[index]))}"


@dataclass
class ParameterCells:
    """An open workbook of ours: its manifest, and the cells of its sheets."""

    book: Book
    path: Path
    manifest: Manifest

    @classmethod
    def of(cls, book: Book, path: Path) -> ParameterCells:
        """Read the manifest; raises `WorkbookError` for a workbook that is not ours or damaged."""
        manifest = read_manifest(book, path)
        check_work(manifest.graph, path)
        return cls(book, path, manifest)

    def sheet(self, name: str) -> SheetCells:
        """The cells of a sheet; raises `WorkbookError` where it was removed or renamed."""
        if name not in self.book.sheet_names:
            raise WorkbookError(
                f"{self.path}: the sheet {name!r} is missing (removed or renamed); nothing can be read from it"
            )
        return self.book.cells(name)

    def objects(self, tensor: Tensor) -> np.ndarray:
        """What the cells of a tensor hold, in its shape: numbers, texts, errors, None."""
        return self._picked(tensor, self.sheet(self._place(tensor).sheet).values(*self._place(tensor).box()))

    def formulas(self, tensor: Tensor) -> np.ndarray:
        """The formulas of a tensor's cells, None where there is none."""
        place = self._place(tensor)
        return self._picked(tensor, self.sheet(place.sheet).formulas(*place.box()))

    def numbers(self, tensor: Tensor, *, blank: float | None = None) -> FloatArray:
        """The numbers of a tensor's cells, float64 in its shape; a blank cell counts as `blank`.

        Raises `WorkbookError` naming the first cell that holds no finite number.
        """
        found = self.objects(tensor)
        values = numbers(found)
        for index in map(tuple, np.argwhere(np.isnan(values)).tolist()):
            if found[index] is None and blank is not None:
                values[index] = blank
                continue
            held = "nothing" if found[index] is None else repr(found[index])
            raise WorkbookError(
                f"{self.path}: cell {address(self._place(tensor), index)} of {tensor.name} holds {held}, not a number"
            )
        return np.asarray(values)

    def typed(self, tensor: Tensor) -> tuple[np.ndarray, FloatArray]:
        """Where a number was typed over a tensor's formulas, and these numbers (0 elsewhere)."""
        values = numbers(self.objects(tensor))
        without = np.array([f is None for f in self.formulas(tensor).reshape(-1)]).reshape(values.shape)
        return without & ~np.isnan(values), np.nan_to_num(values)

    def current(self, tensor: Tensor) -> FloatArray:
        """The numbers of a parameter: typed ones, or, where it is chosen among epochs, those of its choice in full.

        A formula's cached value has fewer digits than what it chooses.
        """
        found = self.numbers(tensor)
        if tensor.operation is None:
            return found
        import torch

        from sheetconv.compile.reference import run

        sources = {
            s: torch.from_numpy(self.numbers(s).copy()).reshape(s.state_shape)
            for s in tensor.operation.tensors()
        }
        try:
            chosen = run(tensor.operation, sources).reshape(tensor.shape).numpy()
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise WorkbookError(
                f"{self.path}: {tensor.name} cannot be chosen ({error!s:.80}); choose another epoch"
            ) from error
        typed, values = self.typed(tensor)
        return np.asarray(np.where(typed, values, chosen))

    def check_shape(self) -> None:
        """Raise `WorkbookError` where cells have moved since the workbook was built.

        Rows that are inserted or deleted shift the names of the planes and leave cells without formulas.
        """
        for tensor in self.manifest.graph:
            place = self.manifest.places.get(tensor)
            if place is None:
                continue
            cells = self.sheet(place.sheet)
            self._check_names(tensor, place)
            if tensor.operation is None or len(cells) == 0:
                continue
            empty = (self.formulas(tensor) == None) & (self.objects(tensor) == None)  # noqa: E711 (element-wise)
            if empty.any():
                index = tuple(int(i) for i in np.argwhere(empty)[0])
                raise WorkbookError(
                    f"{self.path}: cell {address(place, index)} of {tensor.name} holds nothing where a formula was; "
                    "rows or columns were moved or cells cleared: undo that, or build the workbook again"
                )

    def _check_names(self, tensor: Tensor, place: Place) -> None:
        for index, box in place.planes():
            found = self.book.defined_names.get(defined_name(tensor.name, named_by(tensor, index)))
            expected = f"{quoted(place.sheet)}!{area(*box, absolute=True)}"
            if found is not None and _plain(found) != _plain(expected):
                now = "nowhere" if "#REF!" in found else f"at {found}"
                raise WorkbookError(
                    f"{self.path}: {tensor.name} was built at {expected} and is {now}; rows or columns were inserted or "
                    "deleted: undo that, or build the workbook again"
                )

    def _place(self, tensor: Tensor) -> Place:
        if tensor not in self.manifest.places:
            raise WorkbookError(f"{self.path}: the manifest gives no cells for {tensor.name}; build it again")
        return self.manifest.places[tensor]

    def _picked(self, tensor: Tensor, block: np.ndarray) -> np.ndarray:
        place = self._place(tensor)
        r0, c0, _, _ = place.box()
        rows, columns = np.broadcast_arrays(*place.cells())
        found = np.empty(rows.shape, dtype=object)
        found[...] = block[rows - r0, columns - c0]
        return found


def _plain(reference: str) -> str:
    """A reference without what programs write differently: quotes, a single cell as an area."""
    text = reference.replace("'", "").lstrip("=")
    return re.sub(r"^(.*!)(\$\w+\$\d+):\2$", r"\1\2", text)


def pages(manifest: Manifest) -> list[str]:
    """The sheets that hold parameters, in order."""
    return list(dict.fromkeys(p.sheet for t, p in manifest.places.items() if t.kind == "parameter"))


def parameters(manifest: Manifest, page: str | None) -> Iterator[tuple[str, Tensor]]:
    """Parameters with their names in torch; with `page`, those of that sheet, without the sheet's name in front."""
    for tensor in manifest.graph:
        if tensor.kind != "parameter":
            continue
        place = manifest.places.get(tensor)
        if page is None:
            yield tensor.name, tensor
        elif place is not None and place.sheet.lower() == page.lower():
            yield tensor.name.removeprefix(f"{place.sheet}."), tensor
