"""Our own workbooks: what the file's formulas read is what the expressions say, unit by unit and composed to pixels.

The expected side comes from the graph (`sheetconv.graph.expr.precedents` and the layout's tables), the found side
only from the formulas in the file; gradients come from torch.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from sheetconv.compile.capture import capture
from sheetconv.compile.reference import run
from sheetconv.data.pick import Picked
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.precedents import trace
from sheetconv.formulas.source import Source
from sheetconv.graph.expr import precedents
from sheetconv.graph.tensor import Tensor
from sheetconv.nets import INPUT_SHAPES, NETS, seeded
from sheetconv.ops import registry
from sheetconv.pages.workbook import write_network
from sheetconv.sheet.layout import Place

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
        self.places = write_network(path, self.graph, picked, "t").places


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


def values_of(work: Written) -> tuple[torch.Tensor, dict[Tensor, torch.Tensor]]:
    """The input and every tensor as torch computes it, with gradients."""
    x = torch.from_numpy(work.x).double().requires_grad_(True)
    values = {
        t: torch.from_numpy(t.values).reshape(t.state_shape) for t in work.graph if t.kind == "parameter"
    }
    values[work.graph.inputs[0]] = x.reshape(work.graph.inputs[0].state_shape)
    for tensor in work.graph:
        if tensor not in values and tensor.operation is not None:
            values[tensor] = run(tensor.operation, values).to(torch.float64)
    return x, values


def seen_by_units(source: Source, work: Written) -> dict[Tensor, np.ndarray]:
    """For each tensor which input pixels its units go back to: uint8 (units, pixels / 8), bits; from the file alone."""
    inputs = work.graph.inputs[0]
    pixels = inputs.size
    bits = {(work.places[inputs].sheet, inputs): np.packbits(np.eye(pixels, dtype=bool), axis=1)}
    owner: dict[int, tuple[Tensor, int]] = {}
    found = {inputs: bits[work.places[inputs].sheet, inputs]}
    for tensor, place in work.places.items():
        rows, columns = (np.broadcast_to(a, tensor.shape).reshape(-1) for a in place.cells())
        sheet = source.sheets.index(place.sheet)
        if tensor.expr is not None:
            reads = traced_reads(source, place, np.arange(tensor.size))
            total = np.zeros((tensor.size, found[inputs].shape[1]), np.uint8)
            for code in reads.tolist():
                known = owner.get(code & ((1 << 38) - 1))
                if known is not None:
                    total[code >> 38] |= found[known[0]][known[1]]
            found[tensor] = total
        if tensor.kind != "parameter":
            keys = (sheet << 34) | (rows.astype(np.int64) << 14) | columns
            owner |= {key: (tensor, unit) for unit, key in enumerate(keys.tolist())}
    return found


@pytest.mark.parametrize("name", ["conv-example", "mlp", "simple-cnn", "autoencoder"])
def test_traced_pixels_hold_every_gradient(name: str, tmp_path: Path) -> None:
    """All units composed down to the pixels; a sample against torch's gradient and against `trace` itself."""
    work = written(name, tmp_path)
    x, values = values_of(work)
    pixels, inputs = work.graph.inputs[0].size, work.graph.inputs[0]
    pick = np.random.default_rng(2)
    with Source(work.path) as source:
        seen = seen_by_units(source, work)
        home = work.places[inputs]
        rows, columns = (np.broadcast_to(a, inputs.shape).reshape(-1) for a in home.cells())
        for tensor, bits in seen.items():
            if tensor is inputs or tensor not in values:
                continue
            covered = np.unpackbits(bits, axis=1)[:, :pixels].astype(bool)
            for unit in {0, tensor.size - 1, *pick.integers(0, tensor.size, 4).tolist()}:
                flat = values[tensor].reshape(-1)[unit]
                (gradient,) = torch.autograd.grad(flat, x, retain_graph=True)
                lit = gradient.reshape(-1).numpy() != 0
                assert not (lit & ~covered[unit]).any(), (tensor.name, unit)
            place = work.places[tensor]
            r, c = (int(np.broadcast_to(a, tensor.shape).reshape(-1)[unit]) for a in place.cells())
            areas = [a for a in trace(source, Area(place.sheet, r, c, r, c)).areas if a.sheet == home.sheet]
            hit = np.zeros(pixels, bool)
            for _, r0, c0, r1, c1 in areas:
                hit |= (rows >= r0) & (rows <= r1) & (columns >= c0) & (columns <= c1)
            np.testing.assert_array_equal(hit, covered[unit], err_msg=tensor.name)
