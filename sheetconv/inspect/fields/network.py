"""The network whose fields are asked for: a model, or what a workbook's manifest describes.

Both give a graph with expressions; a workbook adds the cells of each tensor and the weights in them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sheetconv.compile.budget import check_work
from sheetconv.compile.capture import capture
from sheetconv.compile.rebuild import rebuilt
from sheetconv.errors import SheetconvError, UsageError, WorkbookError
from sheetconv.graph.expr import FloatArray, tensors_read
from sheetconv.graph.tensor import Graph, Tensor
from sheetconv.sheet.layout import Place
from sheetconv.sheet.manifest import SHEET, read_manifest
from sheetconv.xlsx.cells import Book


@dataclass
class TracedNetwork:
    """A graph with expressions, the tensor of its pixels, and, for a workbook, where each tensor lies.

    Attributes:
        name: as the user gave it.
        graph: tensors in the order in which they are computed.
        pixels: the input whose cells fields are made of, batch axis first.
        places: cells of the tensors in the workbook `path` (empty without one).
        values: of inputs and parameters: the model's, or the numbers in the workbook's cells.
    """

    name: str
    graph: Graph
    pixels: Tensor
    places: dict[Tensor, Place] = field(default_factory=dict)
    path: Path | None = None
    values: dict[Tensor, FloatArray] = field(default_factory=dict)

    def layers(self, *, helpers: bool = False) -> list[Tensor]:
        """Activations that have cells and see pixels (`helpers`: the intermediate steps of a layer too)."""
        seen = depending(self.graph, self.pixels)
        shown = [t for t in self.graph if t in seen and (t in self.places if self.places else not t.view)]
        return [t for t in shown if helpers or t.layer in (t.name, "")]

    def layer(self, name: str) -> Tensor:
        """A layer by its name; raises `UsageError` that lists them."""
        for tensor in self.layers(helpers=True):
            if tensor.name == name:
                return tensor
        known = ", ".join(t.name for t in self.layers())
        raise UsageError(f"no layer {name!r} in {self.name}; choose one of {known}")


def depending(graph: Graph, root: Tensor) -> set[Tensor]:
    """The tensors, views among them, that `root` can change."""
    found = {root}
    for tensor in graph:
        reads = tensors_read(tensor.expr) if tensor.kind == "activation" and tensor.expr is not None else []
        found |= {tensor} if any(t in found for t in reads) else set()
    return found - {root}


def of_model(
    name: str, weights: Path | None = None, input_shape: tuple[int, ...] | None = None
) -> TracedNetwork:
    """The network called `name` (or ``file.py:name``); its input's shape comes without the batch axis.

    Raises the errors of loading and capturing, `UsageError` where the input's shape is not known.
    """
    from sheetconv.models import load_model

    module, known = load_model(name, weights, trusted=True)
    shape = input_shape or known
    if shape is None:
        raise UsageError(f"the size of {name}'s input is not known; give --input-shape C,H,W")
    graph = capture(module, (1, *shape))
    values = {t: t.values for t in graph if t.values is not None}
    return TracedNetwork(name, graph, graph.inputs[0], values=values)


def is_ours(path: Path) -> bool:
    """Whether a workbook holds a manifest; raises `WorkbookError` where it cannot be read."""
    with Book(path) as book:
        return SHEET in book.sheet_names


def of_book(path: Path) -> TracedNetwork:
    """The network of one of our workbooks, with the weights that are in its cells now.

    Where the workbook holds several (pages), the pixels are the image that most layers depend on. Raises
    `WorkbookError` for a workbook without a manifest, or where that does not fit.
    """
    with Book(path) as book:
        manifest = read_manifest(book, path)
        check_work(manifest.graph, path)
        try:
            graph, made = rebuilt(manifest.graph)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, SheetconvError) as error:
            reason = " ".join(str(error).split())[:120]
            raise WorkbookError(f"{path}: the manifest does not describe a network ({reason})") from error
        places = {made[t]: p for t, p in manifest.places.items() if t in made}
        values = {t: _numbers(book, p).reshape(t.shape) for t, p in places.items() if t.expr is None}
    return TracedNetwork(str(path), graph, _pixels(graph, path), places, path, values)


def _numbers(book: Book, place: Place) -> FloatArray:
    r0, c0, r1, c1 = place.box()
    if place.sheet not in book.sheet_names:
        raise WorkbookError(f"{book.path} has no sheet {place.sheet!r}, which its manifest names")
    block = book.cells(place.sheet).numbers(r0, c0, r1, c1)
    rows, columns = place.cells()
    return np.nan_to_num(block[rows - r0, columns - c0])


def _pixels(graph: Graph, path: Path) -> Tensor:
    """The tensor without an expression of its own that most activations depend on; the largest of several."""
    roots = [t for t in graph if t.expr is None and t.kind != "parameter" and len(t.shape) > 1]
    if not roots:
        raise WorkbookError(f"{path}: the manifest names no input; there are no pixels to see")
    reached: Counter[Tensor] = Counter({t: len(depending(graph, t)) for t in roots})
    return max(roots, key=lambda t: (reached[t], t.size))
