"""The whole workbook: sheets in order, names, manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import xlsxwriter
from xlsxwriter.exceptions import XlsxWriterException

from sheetconv import __version__
from sheetconv.compile.reference import evaluate
from sheetconv.data.pick import Picked
from sheetconv.errors import ModelError, OutputError
from sheetconv.graph.expr import FloatArray
from sheetconv.graph.tensor import Graph, Tensor
from sheetconv.sheet import manifest as manifests
from sheetconv.sheet.digits import add_choice, write_images, write_selector
from sheetconv.sheet.layout import arrange
from sheetconv.sheet.network import NetworkSheet, is_picture
from sheetconv.sheet.readme import SHEET as README
from sheetconv.sheet.readme import About, add_probabilities, write_readme
from sheetconv.sheet.stream import BulkSheet
from sheetconv.sheet.style import Styles

NETWORK = "Network"
# Arial has metric-compatible stand-ins everywhere, so that cells are square in every program.
OPTIONS = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "default_format_properties": {"font_name": "Arial", "font_size": 10},
}


def compute(graph: Graph, stored: Mapping[Tensor, FloatArray]) -> dict[Tensor, FloatArray]:
    """torch's value of every tensor, in the shape it is laid out in; `ModelError` for one that is no number."""
    import torch

    result = evaluate(graph, {t: torch.from_numpy(v.copy()) for t, v in stored.items()})
    values = {t: v.reshape(t.shape).numpy() for t, v in result.items()}
    for tensor, array in values.items():
        bad = ~(abs(array) < float("inf"))
        if bad.any():
            raise ModelError(
                f"layer {tensor.name} computes {array[bad][0]} in {int(bad.sum())} cells; a sheet holds finite numbers only"
            )
    return values


def write_workbook(path: Path, graph: Graph, picked: Picked, about: About) -> manifests.Manifest:
    """Write the workbook of `graph` fed with `picked.images` to `path` (a temporary file of the caller's)."""
    images = picked.images if picked.images.ndim == len(graph.inputs[0].shape) else picked.images[:, None]
    source = graph.inputs[0]
    picture = is_picture(source.shape)
    layout = arrange(graph, NETWORK)
    places = dict(layout.places)
    stored = {t: t.values for t in graph if t.kind == "parameter" and t.values is not None}
    choice = len(images) > 1 and len(source.shape) == 4
    sheet_name = "Images" if "ashion" in picked.source else "Digits"
    if choice:
        import numpy as np

        pick, stack, more = add_choice(graph, images, NETWORK, sheet_name)
        places |= more
        stored |= {pick: np.ones(1), stack: images}
    else:
        stored[source] = images[:1].reshape(source.shape)
    places |= add_probabilities(graph)
    values = compute(graph, stored)
    facts = {"sheetconv": __version__, "model": about.model, "source": picked.source, "classes": about.classes,
             "captions": picked.captions}  # fmt: skip
    manifest = manifests.Manifest(graph, places, facts)
    try:
        with xlsxwriter.Workbook(str(path), OPTIONS) as book:
            styles = Styles(book)
            readme: BulkSheet = book.add_worksheet(README, worksheet_class=BulkSheet)
            network = NetworkSheet(book, styles, graph, layout, places, values, about.title, NETWORK, picture)
            sheet = network.write()
            if choice:
                write_selector(sheet, styles, picked.captions, sheet_name)
                write_images(
                    book, styles, places[stack], values[stack], picked.captions, picked.source, NETWORK
                )
            sheet.close_cells()
            write_readme(book, readme, styles, graph, layout, places, values, about)
            manifests.write(book, manifest)
            readme.activate()
    except XlsxWriterException as error:
        reason = error.args[0] if error.args else error
        raise OutputError(f"cannot write {path.name}: {reason}") from error
    return manifest
