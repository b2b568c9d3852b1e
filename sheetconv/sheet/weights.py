"""The parameters of a workbook's network, from its cells into a safetensors file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.errors import UsageError, WorkbookError
from sheetconv.files import check_target, replacing
from sheetconv.graph.expr import FloatArray
from sheetconv.sheet.parameter_cells import ParameterCells, pages, parameters
from sheetconv.sheet.text import shortest
from sheetconv.xlsx.cells import Book


@dataclass
class Weights:
    """Parameters by name, float64 in torch's shapes, and the number of cells they were read from."""

    values: dict[str, FloatArray]
    model: str

    @property
    def count(self) -> int:
        """Number of parameters."""
        return sum(v.size for v in self.values.values())


def read_weights(path: Path, page: str | None = None) -> Weights:
    """The parameters as they stand in the cells of the workbook `path`, of one sheet with `page`.

    Raises `WorkbookError` that names the first damaged place: a cell that holds no finite number, a block that
    moved, a sheet that is gone.
    """
    with Book(path) as book:
        cells = ParameterCells.of(book, path)
        wanted = list(parameters(cells.manifest, page))
        if page is not None and not wanted:
            known = ", ".join(repr(p) for p in pages(cells.manifest)) or "none"
            raise UsageError(f"{path} has no parameters on a sheet {page!r}; sheets with parameters: {known}")
        if not wanted:
            raise WorkbookError(f"{path} holds a network without parameters; there is nothing to import")
        found = {name: cells.current(t).reshape(t.state_shape) for name, t in wanted}
        cells.check_shape()
        if _rounds(book):
            found = {name: unrounded(values) for name, values in found.items()}
        return Weights(found, str(cells.manifest.facts.get("model", "")))


def import_weights(
    path: Path, output: Path, *, page: str | None = None, dtype: str = "auto", force: bool = False
) -> Weights:
    """Write the parameters of a workbook to a safetensors file; nothing is written where one is damaged.

    With `dtype` "auto" a tensor whose numbers are all those of a float32 is written as float32, else as float64.
    """
    from safetensors.numpy import save_file

    check_target(output, force=force)
    found = read_weights(path, page)
    arrays = {name: stored_as(values, dtype) for name, values in found.values.items()}
    about: dict[str, Any] = {"made_by": "sheetconv import-weights", "book": path.name, "model": found.model}
    with replacing(output, force=force) as temporary:
        save_file(arrays, temporary, metadata=about)
    return found


def stored_as(values: FloatArray, dtype: str) -> np.ndarray:
    """The array in the precision asked for; "auto" is float32 wherever that loses nothing."""
    if dtype == "float64":
        return np.ascontiguousarray(values)
    single = _single(values)
    if dtype == "auto" and not _of_singles(single, values):
        return np.ascontiguousarray(values)
    if not np.isfinite(single).all():
        raise UsageError("a weight is too large for float32; use --dtype float64")
    return single


def _of_singles(single: np.ndarray, values: FloatArray) -> bool:
    """Whether all numbers are float32 numbers, or the shortest decimals of such (as workbooks hold them)."""
    exact = single.astype(np.float64)
    return bool(np.isfinite(exact).all() and ((exact == values) | (shortest(exact) == values)).all())


def _single(values: FloatArray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values.astype(np.float32))


def unrounded(values: FloatArray) -> FloatArray:
    """Numbers saved with 15 digits that are those of a float32, as that float32; all others as they are."""
    single = _single(values).astype(np.float64)
    near = np.abs(single - values) <= 5.1e-15 * np.abs(
        single
    )  # half of a fifteenth digit, however it was rounded
    pairs = zip(single.reshape(-1).tolist(), values.reshape(-1).tolist(), near.reshape(-1), strict=True)
    chosen = [a if close and float(f"{b:.15g}") == b else b for a, b, close in pairs]
    return np.array(chosen, dtype=np.float64).reshape(values.shape)


def _rounds(book: Book) -> bool:
    """Whether the program that saved the workbook writes 15 digits only: LibreOffice says that it was it."""
    part = "docProps/app.xml"
    return part in book.package and b"<Application>LibreOffice" in book.package.read(part)
