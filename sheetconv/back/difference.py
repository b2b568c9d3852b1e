"""Two workbooks, runs or files of weights compared, layer by layer: what differs, how much, where."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.back.network import BOOKS
from sheetconv.errors import UsageError, WorkbookError
from sheetconv.graph.expr import FloatArray
from sheetconv.graph.tensor import Tensor
from sheetconv.sheet.parameter_cells import ParameterCells, address
from sheetconv.train.folder import MODEL, is_run
from sheetconv.xlsx.cells import Book


@dataclass
class ModelContents:
    """Tensors by name, in the network's order: kind, values, and (in a workbook) a way to name a cell."""

    name: str
    kinds: dict[str, str] = field(default_factory=dict)
    values: dict[str, FloatArray] = field(default_factory=dict)
    cells: dict[str, Any] = field(default_factory=dict)

    def where(self, name: str, index: tuple[int, ...]) -> str:
        """The cell of an element, or its index."""
        if name in self.cells:
            return address(self.cells[name], index)
        return "[" + ", ".join(map(str, index)) + "]"


@dataclass
class TensorDifference:
    """One tensor in both: how many of its numbers differ, the largest and the mean difference, the place of the largest."""

    tensor: str
    kind: str
    size: int
    differ: int
    largest: float
    mean: float
    where: str
    before: float
    after: float


@dataclass
class Differences:
    """All of them, and what stands on one side only or in another shape."""

    rows: list[TensorDifference]
    only: list[str]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.only and all(not row.differ for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {"same": self.same, "tensors": [asdict(r) for r in self.rows], "only": self.only}

    def table(self) -> str:
        """Lines of text, tensors that differ only."""
        changed = [r for r in self.rows if r.differ]
        lines = [
            f"{'tensor':32} {'kind':10} {'differ':>17} {'largest':>10} {'mean':>10}  where the largest is"
        ]
        for r in changed:
            share = f"{r.differ:,} of {r.size:,}"
            where = f"{r.where}: {r.before:.6g} → {r.after:.6g}"
            lines.append(
                f"{r.tensor[:32]:32} {r.kind:10} {share:>17} {r.largest:10.3g} {r.mean:10.3g}  {where}"
            )
        lines = lines if changed else []
        same = len(self.rows) - len(changed)
        return "\n".join([*lines, *self.only, f"{len(changed)} tensors differ, {same} are the same"])


def contents(what: str) -> ModelContents:
    """The tensors of a workbook (inputs, parameters, and what torch computes from them), a run, or weights.

    Raises `UsageError` for what is none of these.
    """
    path = Path(what)
    if path.suffix.lower() in BOOKS:
        return _of_book(path)
    if path.is_dir() and is_run(path):
        path = path / MODEL
    if path.suffix != ".safetensors":
        raise UsageError(f"{what} is no workbook, no folder of a run and no safetensors file")
    return _of_weights(path, what)


def compare(before: ModelContents, after: ModelContents) -> Differences:
    """Every tensor that both have, in the first one's order."""
    rows, only = [], []
    for name, a in before.values.items():
        b = after.values.get(name)
        if b is None:
            only.append(f"{name} is in {before.name} only")
        elif a.shape != b.shape:
            only.append(f"{name} is {_sizes(a.shape)} in {before.name} and {_sizes(b.shape)} in {after.name}")
        else:
            rows.append(_difference(name, before, a, b))
    only += [f"{name} is in {after.name} only" for name in after.values if name not in before.values]
    return Differences(rows, only)


def _difference(name: str, before: ModelContents, a: FloatArray, b: FloatArray) -> TensorDifference:
    apart = np.abs(a - b)
    at = tuple(int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape)) if a.size else ()
    differ = int((a != b).sum())
    return TensorDifference(
        name, before.kinds[name], a.size, differ, float(apart[at]), float(apart.mean()), before.where(name, at),
        float(a[at]), float(b[at]),
    )  # fmt: skip


def _of_weights(path: Path, name: str) -> ModelContents:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from sheetconv.errors import ModelError

    try:
        found = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is not a safetensors file: {error}") from error
    contents = ModelContents(name)
    for key, array in found.items():
        if array.dtype.kind == "f":
            contents.kinds[key], contents.values[key] = "parameter", array.astype(np.float64)
    return contents


def _of_book(path: Path) -> ModelContents:
    with Book(path) as book:
        cells = ParameterCells.of(book, path)
        values = computed(cells)
    found = ModelContents(str(path))
    for tensor, array in values.items():
        found.kinds[tensor.name] = {"input": "pixels" if array.ndim > 1 else "input"}.get(
            tensor.kind, tensor.kind
        )
        found.values[tensor.name] = array
        if tensor in cells.manifest.places:
            found.cells[tensor.name] = cells.manifest.places[tensor]
    return found


def computed(cells: ParameterCells) -> dict[Tensor, FloatArray]:
    """torch's value of every tensor with cells, from the inputs and parameters as they stand in the workbook."""
    import torch

    from sheetconv.compile.reference import evaluate

    stored: dict[Tensor, Any] = {}
    graph, places = cells.manifest.graph, cells.manifest.places
    for tensor in graph:
        if tensor.operation is None:
            stored[tensor] = torch.from_numpy(cells.numbers(tensor, blank=0.0).copy())

    def typed_over(tensor: Tensor, value: torch.Tensor) -> torch.Tensor:
        if tensor.kind == "activation" or tensor not in places:
            return value
        typed, numbers = cells.typed(tensor)
        chosen = torch.where(torch.from_numpy(typed), torch.from_numpy(numbers), value.reshape(tensor.shape))
        return chosen.reshape(tensor.state_shape)

    try:
        result = evaluate(graph, stored, "cpu", typed_over)
    except (RuntimeError, IndexError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise WorkbookError(
            f"{cells.path}: the manifest's operators do not fit its tensors ({error!s:.100})"
        ) from error
    return {t: v.reshape(t.shape).numpy() for t, v in result.items() if t in places}


def _sizes(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"
