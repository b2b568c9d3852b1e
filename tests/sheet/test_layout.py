"""Cells of different tensors never meet, margins hold nothing, and every formula's windows stay in their blocks."""

import re
from pathlib import Path

import numpy as np
import pytest

from sheetconv.building import Request, build
from sheetconv.compile.capture import capture
from sheetconv.nets import INPUT_SHAPES, NETS, seeded
from sheetconv.ops import registry
from sheetconv.pages.read_me import FIRST, RIGHT
from sheetconv.sheet.formula import Printer, number
from sheetconv.sheet.layout import arrange
from sheetconv.xlsx.address import area, cell, column_letters
from sheetconv.xlsx.cells import Book

registry.load()


def occupied(place: object) -> set[tuple[int, int]]:
    rows, columns = np.broadcast_arrays(*place.cells())  # type: ignore[attr-defined]
    return set(zip(rows.reshape(-1).tolist(), columns.reshape(-1).tolist(), strict=True))


# the wide ones are laid out as these are, with 300,000 to 800,000 cells more
SMALL = [net for net in NETS if not net.startswith(("compact-cnn", "fashion-cnn"))]


@pytest.mark.parametrize("net", SMALL)
def test_blocks_and_margins_are_disjoint(net: str) -> None:
    layout = arrange(capture(seeded(net), (1, *INPUT_SHAPES[net])), "Network")
    taken: dict[tuple[int, int], str] = {}
    for tensor, place in layout.places.items():
        cells = occupied(place)
        assert len(cells) == tensor.size
        for at in cells:
            assert at not in taken, (tensor, taken[at])
            taken[at] = tensor.name
    for tensor, place in layout.places.items():
        top, left, bottom, right = place.margin
        own = occupied(place)
        for _, (r0, c0, r1, c1) in place.planes():
            ring = {
                (r, c) for r in range(r0 - top, r1 + bottom + 1) for c in range(c0 - left, c1 + right + 1)
            }
            assert not (ring - own) & taken.keys(), tensor


@pytest.mark.parametrize("net", ["conv-example", "simple-cnn", "autoencoder"])
def test_formulas_read_exactly_the_precedents_of_the_expression(net: str) -> None:
    """Addresses in the text of a formula = cells that the expression says it reads."""
    from sheetconv.graph.expr import precedents
    from sheetconv.xlsx.a1 import parse_range

    graph = capture(seeded(net), (1, *INPUT_SHAPES[net]))
    layout = arrange(graph, "Network")
    printer = Printer(layout.places, "Network")
    random = np.random.default_rng(0)
    for tensor in graph.placed():
        if tensor.expr is None:
            continue
        formulas = printer.formulas(tensor)
        for which in random.integers(0, tensor.size, 5).tolist():
            index = np.unravel_index(which, tensor.shape)
            env = {v: np.array([i]) for v, i in zip(tensor.axes, index, strict=True)}
            expected = set()
            for source, _, at in precedents(tensor.expr, env):
                place = layout.places[source]
                for element in at:
                    row = place.row + sum(
                        int(place.offset(a, element[a : a + 1])[0]) for a in range(len(element))
                    )
                    column = place.column + sum(
                        int(place.offset(a, element[a : a + 1], columns=True)[0]) for a in range(len(element))
                    )
                    expected.add((row, column))
            found = set()
            for text in re.findall(r"\$?[A-Z]{1,3}\$?\d+(?::\$?[A-Z]{1,3}\$?\d+)?", formulas[which]):
                r0, c0, r1, c1 = parse_range(text)
                found |= {(r, c) for r in range(r0, r1 + 1) for c in range(c0, c1 + 1)}
            assert found == expected, (tensor, formulas[which])


def test_text_that_looks_like_a_formula_stays_text(tmp_path: Path) -> None:
    template = tmp_path / "t.toml"
    template.write_text('model = "mlp"\ntitle = "=1+1"\nnote = "@SUM(1)"\nclasses = ["=A1", "+2", "-3"]\n')
    build(Request(tmp_path / "t.xlsx", str(template), dataset="builtin", digit=1, verify=False))
    with Book(tmp_path / "t.xlsx") as book:
        cells = book.cells("Read me")
        assert cells.value(0, 1) == "=1+1"
        assert cells.formula(0, 1) is None
        assert cells.value(FIRST, RIGHT) == "=A1"
        assert cells.formula(FIRST, RIGHT) is None


def test_stored_numbers_are_exact(tmp_path: Path) -> None:
    build(Request(tmp_path / "m.xlsx", model="simple-cnn", dataset="builtin", digit=1, verify=False))
    module = seeded("simple-cnn")
    from sheetconv.sheet.manifest import read_manifest

    with Book(tmp_path / "m.xlsx") as book:
        manifest = read_manifest(book, tmp_path / "m.xlsx")
        place = manifest.places[manifest.graph["2.0.weight"]]
        rows, columns = np.broadcast_arrays(*place.cells())
        cells = book.cells("Network")
        found = [
            cells.value(r, c)
            for r, c in zip(rows.reshape(-1).tolist(), columns.reshape(-1).tolist(), strict=True)
        ]
    weights = module.state_dict()["2.0.weight"].reshape(-1).numpy()
    assert np.array_equal(np.array(found).astype(np.float32), weights)  # bit for bit what a float32 holds
    assert max(len(repr(v)) for v in found) <= 14  # in as few digits as that takes


def test_no_volatile_functions_and_no_macros(tmp_path: Path) -> None:
    build(Request(tmp_path / "c.xlsx", "conv-example", dataset="builtin", digit=1, verify=False))
    used = set()
    with Book(tmp_path / "c.xlsx") as book:
        for sheet in book.sheet_names:
            for _, _, formula in book.cells(sheet).formula_cells():
                used |= set(re.findall(r"([A-Z.]+)\(", formula))
    assert used <= {"SUMPRODUCT", "SUM", "MAX", "EXP", "CHOOSE", "INDEX", "MATCH"}


@pytest.mark.parametrize(
    ("column", "letters"), [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA"), (16383, "XFD")]
)
def test_column_letters(column: int, letters: str) -> None:
    assert column_letters(column) == letters


def test_addresses() -> None:
    assert cell(0, 0) == "A1"
    assert cell(9, 27, absolute=True) == "$AB$10"
    assert area(0, 0, 1, 1) == "A1:B2"
    assert area(3, 3, 3, 3) == "D4"


@pytest.mark.parametrize("value", [0.1, -2.5e-17, 3.0, 1e300, 1 / 3, 1e-5])
def test_literals_read_back(value: float) -> None:
    assert float(number(value)) == value
