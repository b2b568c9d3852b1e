"""Our own workbooks: what the file's formulas read is what the expressions say, unit by unit and composed to pixels.

The expected side comes from the graph (`sheetconv.graph.expr.precedents` and the layout's tables), the found side
only from the formulas in the file; gradients come from torch.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from sheetconv.data.pick import Picked
from sheetconv.graph.capture import capture
from sheetconv.graph.expr import precedents
from sheetconv.graph.tensor import Tensor
from sheetconv.nets import INPUT_SHAPES, NETS, seeded
from sheetconv.ops import registry
from sheetconv.sheet.book import write_workbook
from sheetconv.sheet.layout import Place
from sheetconv.sheet.readme import About
from sheetconv.trace.source import Source

registry.load()
MOST_UNITS = 2000
NAMES = [name for name in NETS if name in ("conv-example", "mlp", "simple-cnn", "autoencoder")]
EXAMPLES = {e.name: e for e in registry.EXAMPLES}


class Written:
    """A network's workbook and the graph behind it."""

    def __init__(self, module: torch.nn.Module, shape: tuple[int, ...], path: Path):
        self.path = path
        self.graph = capture(module, shape)
        self.x = np.random.default_rng(4).normal(size=shape)
        picked = Picked(self.x, [None], ["random"], "random numbers", "a test")
        self.places = write_workbook(path, self.graph, picked, About("t", "t", "random", [])).places


def written(name: str, folder: Path) -> Written:
    if name in EXAMPLES:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return Written(EXAMPLES[name].make(), EXAMPLES[name].shape, folder / "book.xlsx")
    return Written(seeded(name), (1, *INPUT_SHAPES[name]), folder / "book.xlsx")


def codes(units: np.ndarray, sheets: np.ndarray | int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(unit, sheet, cell) as one number each, sorted, once."""
    return np.unique(((units.astype(np.int64) << 4 | sheets) << 20 | rows) << 14 | columns)


def expected_reads(
    tensor: Tensor, units: np.ndarray, places: dict[Tensor, Place], sheets: list[str]
) -> np.ndarray:
    """What the expression of a tensor says that these units (numbers in C order) read."""
    assert tensor.expr is not None
    index = np.unravel_index(units, tensor.shape) if tensor.shape else ()
    env = {v: i.astype(np.int64) for v, i in zip(tensor.axes, index, strict=True)}
    found = [np.empty(0, np.int64)]
    for source, which, at in precedents(tensor.expr, env):
        place = places[source]
        rows = place.row + sum(place.offset(a, at[:, a]) for a in range(at.shape[1]))
        columns = place.column + sum(place.offset(a, at[:, a], columns=True) for a in range(at.shape[1]))
        shape = (len(at),)
        found.append(
            codes(
                units[which],
                sheets.index(place.sheet),
                np.broadcast_to(rows, shape),
                np.broadcast_to(columns, shape),
            )
        )
    return np.unique(np.concatenate(found))


def traced_reads(source: Source, place: Place, units: np.ndarray) -> np.ndarray:
    """What the formulas in the file say that these units read."""
    rows, columns = (np.broadcast_to(a, place.tensor.shape).reshape(-1)[units] for a in place.cells())
    found = [np.empty(0, np.int64)]
    for which, sheets, boxes in source.bulk_precedents(place.sheet, rows, columns):
        r0, c0, r1, c1 = boxes.T
        width, size = c1 - c0 + 1, (r1 - r0 + 1) * (c1 - c0 + 1)
        box = np.repeat(np.arange(len(boxes)), size)
        cell = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        at = units[which[box]], sheets[box], r0[box] + cell // width[box], c0[box] + cell % width[box]
        found.append(codes(*at))
    return np.unique(np.concatenate(found))


def sample(size: int) -> np.ndarray:
    if size <= MOST_UNITS:
        return np.arange(size)
    return np.sort(np.random.default_rng(1).choice(size, MOST_UNITS, replace=False))


@pytest.mark.parametrize("name", [*NAMES, *EXAMPLES])
def test_every_unit_reads_what_its_expression_says(name: str, tmp_path: Path) -> None:
    work = written(name, tmp_path)
    compared = 0
    with Source(work.path) as source:
        for tensor, place in work.places.items():
            if tensor.expr is not None:
                units = sample(tensor.size)
                expected = expected_reads(tensor, units, work.places, source.sheets)
                np.testing.assert_array_equal(
                    traced_reads(source, place, units), expected, err_msg=tensor.name
                )
                compared += len(units)
    assert compared > 0
