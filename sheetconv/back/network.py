"""A network from wherever it lies, as a function of images: a name, a Python file, a workbook, a run's folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sheetconv.compile.reference import run
from sheetconv.errors import ModelError, UsageError, WorkbookError
from sheetconv.graph.tensor import Tensor
from sheetconv.models import load_model, load_weights
from sheetconv.sheet.parameter_cells import ParameterCells, pages
from sheetconv.train.folder import MODEL, is_run, read_run
from sheetconv.train.plain import PLAIN, plain
from sheetconv.xlsx.cells import Book

BOOKS = (".xlsx", ".xlsm")
CHUNK = 256
_SOFT = ("aten.softmax.int", "aten._softmax.default")


@dataclass
class BookNetwork:
    """A network in float64: `forward` takes images (N, C, H, W) in 0…1 and gives outputs (N, …).

    `shape` is (C, H, W) of one image, None where it is not known; `classes` names the outputs, where known.
    """

    name: str
    forward: Callable[[torch.Tensor], torch.Tensor]
    shape: tuple[int, ...] | None
    classes: list[str]

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Outputs for images of any number, some at a time; raises `ModelError` for images that do not fit."""
        if self.shape is not None and tuple(images.shape[1:]) != self.shape:
            raise ModelError(
                f"{self.name} takes images of {_sizes(self.shape)}, these are {_sizes(tuple(images.shape[1:]))}"
            )
        try:
            with torch.no_grad():
                parts = [self.forward(part.to(torch.float64)) for part in images.split(CHUNK)]
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise ModelError(
                f"{self.name} fails on images of {_sizes(tuple(images.shape[1:]))}: {reason}"
            ) from error
        found = torch.cat(parts)
        # a last convolution gives one score per class as a map of one cell
        return found.flatten(1) if found.ndim == 4 and found.shape[2:] == (1, 1) else found


def open_network(what: str, weights: Path | None = None, page: str | None = None) -> BookNetwork:
    """The network in a workbook (`page`: on that sheet), of a run's folder, or by name with a file of weights.

    Raises `UsageError` for options that do not go together, and the errors of what is opened.
    """
    path = Path(what)
    if path.suffix.lower() in BOOKS:
        if weights is not None:
            raise UsageError("--weights does not go with a workbook, which holds its own")
        return _of_book(path, page)
    if page is not None:
        raise UsageError("--page chooses a sheet of a workbook")
    if path.is_dir():
        return _of_run(path, weights)
    module, shape = load_model(what, weights, trusted=True)
    return _of_module(what, module, shape, [])


def _of_run(folder: Path, weights: Path | None) -> BookNetwork:
    if not is_run(folder):
        raise UsageError(f"{folder} is no folder of a training run (it has no run.json of ours)")
    about = read_run(folder)
    settings = about.get("settings")
    name = settings.get("net") if isinstance(settings, dict) else None
    if not isinstance(name, str):
        raise ModelError(f"{folder}/run.json names no network; train again")
    if name == PLAIN:
        module, shape = _plain(folder, about.get("plain"))
        load_weights(module, weights or folder / MODEL)
    else:
        module, shape = load_model(name, weights or folder / MODEL)
    return _of_module(str(folder), module, shape, [])


def _plain(folder: Path, sizes: Any) -> tuple[torch.nn.Module, tuple[int, ...] | None]:
    """The network that was made for the images of a run: channels, height, width and classes are in its record."""
    if (
        not isinstance(sizes, list)
        or len(sizes) != 4
        or not all(isinstance(n, int) and 0 < n <= 4096 for n in sizes)
    ):
        raise ModelError(f"{folder}/run.json does not say for which images its network was made; train again")
    return plain(*sizes), tuple(sizes[:3])


def _of_module(name: str, module: Any, shape: tuple[int, ...] | None, classes: list[str]) -> BookNetwork:
    return BookNetwork(name, module.double().eval(), shape, classes)


def _of_book(path: Path, page: str | None) -> BookNetwork:
    with Book(path) as book:
        cells = ParameterCells.of(book, path)
        entry, out = _ends(cells, page)
        needed = _between(cells, entry, out)
        stored: dict[Tensor, torch.Tensor] = {}
        for tensor in needed:
            if tensor.operation is None or tensor.kind == "parameter":
                chosen = tensor.operation is not None
                values = cells.current(tensor) if chosen else cells.numbers(tensor, blank=0.0)
                stored[tensor] = torch.from_numpy(values.copy()).reshape(tensor.state_shape)
        facts = cells.manifest.facts
    computed = [t for t in needed if t not in stored and t is not entry]

    def one(image: torch.Tensor) -> torch.Tensor:
        values = {**stored, entry: image.reshape(entry.state_shape)}
        for tensor in computed:
            assert tensor.operation is not None
            values[tensor] = run(tensor.operation, values).to(torch.float64)
        return values[out][0]

    def forward(images: torch.Tensor) -> torch.Tensor:
        try:
            found: torch.Tensor = torch.vmap(one)(images)
        except RuntimeError:  # an operator that torch cannot batch
            found = torch.stack([one(image) for image in images])
        return found

    classes = facts.get("classes")
    return BookNetwork(
        str(path), forward, entry.shape[1:], list(classes) if isinstance(classes, list) else []
    )


def _ends(cells: ParameterCells, page: str | None) -> tuple[Tensor, Tensor]:
    """The tensor that takes the image, and the last one of the network."""
    out = _last(cells, page)
    entries = [t for t in _sources(out) if t.kind == "input" and len(t.shape) > 1 and t.shape[0] == 1]
    if len(entries) != 1:
        raise WorkbookError(f"{cells.path}: {out.name} comes from {len(entries)} images; one is expected")
    return entries[0], out


def _last(cells: ParameterCells, page: str | None) -> Tensor:
    graph, places = cells.manifest.graph, cells.manifest.places
    if page is None and graph.outputs:
        return graph.outputs[0]
    with_weights = pages(cells.manifest)
    wanted = [p for p in with_weights if page is None or p.lower() == page.lower()]
    known = ", ".join(map(repr, with_weights)) or "none"
    if len(wanted) != 1:
        asked = (
            f"no network on a sheet {page!r}"
            if page
            else f"{len(with_weights)} sheets with networks; choose with --page"
        )
        raise UsageError(f"{cells.path} has {asked} (sheets with parameters: {known})")
    for tensor in reversed(graph.tensors):
        place = places.get(tensor)
        if (
            place is None
            or place.sheet != wanted[0]
            or tensor.kind != "activation"
            or tensor.shape[:1] != (1,)
        ):
            continue
        sources = _sources(tensor)
        if any(s.kind == "parameter" for s in sources) and any(
            len(s.shape) == 4 for s in sources if s.kind == "input"
        ):
            return _scores(tensor)
    raise UsageError(f"{cells.path}: the sheet {wanted[0]!r} holds no network that takes an image")


def _scores(tensor: Tensor) -> Tensor:
    """The scores of which a tensor is the softmax, if it is one."""
    operation = tensor.operation
    if operation is not None and operation.target in _SOFT and isinstance(operation.arguments[0], Tensor):
        return operation.arguments[0]
    return tensor


def _sources(tensor: Tensor) -> list[Tensor]:
    """Inputs and parameters that a tensor comes from; what an input itself copies is not followed."""
    return [t for t in _reached(tensor, _is_source) if _is_source(t)]


def _is_source(tensor: Tensor) -> bool:
    return tensor.kind != "activation" or tensor.operation is None


def _between(cells: ParameterCells, entry: Tensor, out: Tensor) -> list[Tensor]:
    """All tensors that `out` comes from, up to `entry`, in the graph's order."""
    seen = {entry, *_reached(out, lambda tensor: tensor is entry)}
    return [t for t in cells.manifest.graph if t in seen]


def _reached(out: Tensor, ends: Callable[[Tensor], bool]) -> list[Tensor]:
    """`out` and the tensors that it comes from, each once; those for which `ends` holds are not followed further."""
    seen: dict[Tensor, None] = {}
    todo = [out]
    while todo:
        at = todo.pop()
        if at in seen:
            continue
        seen[at] = None
        if at.operation is not None and not ends(at):
            todo += at.operation.tensors()
    return list(seen)


def _sizes(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
