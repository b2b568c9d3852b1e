"""A cell's terms add up to its number, computed here by hand; paths are those of torch's gradient."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import torch
import xlsxwriter
from click.testing import CliRunner
from openpyxl.worksheet.formula import ArrayFormula
from torch import nn

from sheetconv.cli import main
from sheetconv.compile.capture import capture
from sheetconv.data.pick import Picked
from sheetconv.errors import UsageError
from sheetconv.formulas.cell_range import parse_area
from sheetconv.formulas.source import Cell, Source
from sheetconv.inspect.explain import Explainer
from sheetconv.inspect.explain.active import strongest
from sheetconv.inspect.explain.result import Explanation
from sheetconv.inspect.fields.network import of_book
from sheetconv.ops import registry
from sheetconv.pages.workbook import write_network

registry.load()


def hand_made(path: Path, formulas: dict[str, tuple[str, Any]], names: dict[str, str] | None = None) -> Path:
    """A sheet S with pixels in A1:B2 (1 2 / 2 3), weights in D1:E2 (10 −1 / 10 −1), and formulas with values."""
    work = xlsxwriter.Workbook(path)
    sheet = work.add_worksheet("S")
    for row in range(2):
        sheet.write_row(row, 0, [row + 1, row + 2])
        sheet.write_row(row, 3, [10, -1])
    for cell, (formula, value) in formulas.items():
        if formula.startswith("{"):
            sheet.write_array_formula(f"{cell}:{cell}", formula, None, value)
        else:
            sheet.write_formula(cell, formula, None, value)
    for name, target in (names or {}).items():
        work.define_name(name, target)
    work.close()
    return path


def explained(book: Path, cell: Cell) -> Explanation:
    with Source(book) as source:
        return Explainer(source).explain(cell)


FORMS = {
    "SUMPRODUCT": "=SUMPRODUCT(A1:B2,$D$1:$E$2)",
    "SUMPRODUCT of a product": "=SUMPRODUCT(A1:B2*D1:E2)",
    "array SUM": "{=SUM(A1:B2*$D$1:$E$2)}",
    "by hand": "=A1*$D$1+B1*$E$1+A2*$D$2+B2*$E$2",
    "weights first": "=$D$1*A1+$E$1*B1+$D$2*A2+$E$2*B2",
    "by name": "=SUMPRODUCT(A1:B2,kernel)",
    "in rows": "=SUMPRODUCT(A1:B1,$D$1:$E$1)+SUMPRODUCT(A2:B2,$D$2:$E$2)",
}


@pytest.mark.parametrize("form", FORMS)
def test_terms_of_every_form(tmp_path: Path, form: str) -> None:
    book = hand_made(tmp_path / "b.xlsx", {"G1": (FORMS[form], 25)}, {"kernel": "=S!$D$1:$E$2"})
    found = explained(book, ("S", 0, 6))
    assert [t.product for t in found.terms] == [10, -2, 20, -3]
    assert (found.total, found.result, found.problems) == (25, 25, [])
    with Source(book) as source:
        explainer = Explainer(source)
        carrying = [explainer.signal(("S", 0, 6), t) for t in found.terms]
    assert [str(f.area) for f in carrying if f] == (["S!A1", "S!B1", "S!A2", "S!B2"])


def test_bias_relu_shares_and_paths(tmp_path: Path) -> None:
    formula = "=MAX(0,SUMPRODUCT(A1:B2,$D$1:$E$2)+SUM(A1:A2*$D$1:$D$2)-$E$1)"
    book = hand_made(tmp_path / "b.xlsx", {"G1": (formula, 56), "G2": ("=MAX(0,-G1+1)", 0)})
    found = explained(book, ("S", 0, 6))
    assert found.kind == "relu"
    assert found.total == 10 - 2 + 20 - 3 + 10 + 20 + 1
    assert [(g.total, round(g.share * 66)) for g in found.groups] == [(25, 35), (30, 30), (1, 1)]
    with Source(book) as source:
        explainer = Explainer(source)
        paths = strongest(explainer, ("S", 0, 6), 2)
        assert [(p.contribution, p.weights) for p in paths.paths] == [(40, (20.0,)), (20, (20.0,))]
        assert strongest(explainer, ("S", 1, 6), 2).count == 0
    off = explained(book, ("S", 1, 6))
    assert "not above 0, the ReLU cuts it off" in off.steps[0]


def test_maximum_average_choice_and_curve(tmp_path: Path) -> None:
    book = hand_made(tmp_path / "b.xlsx", {
        "G1": ("=MAX(A1:B2)", 3), "G2": ("=AVERAGE(A1:C2)", 2), "G3": ("=INDEX(A1:B2,2,1)", 2),
        "G4": ("=1/(1+EXP(-G1))", 1 / (1 + np.exp(-3.0))), "G5": ("=SUM(A1:B2)/4", 2), "G6": ("=G1/SUM(G1:G2)", 0.6),
        "G7": ("=IF(A1>0,B1,A1)*2", 4),
    })  # fmt: skip
    kinds = {row: explained(book, ("S", row, 6)) for row in range(7)}
    assert [k.kind for k in kinds.values()] == [
        "max",
        "average",
        "choice",
        "sigmoid",
        "sum",
        "softmax",
        "sum",
    ]
    assert all(not k.problems for k in kinds.values())
    assert str(kinds[0].terms[0].factors[0].area) == "S!B2"
    assert [t.times for t in kinds[1].terms] == [0.25] * 4  # blank cells are not averaged
    assert [t.product for t in kinds[4].terms] == [0.25, 0.5, 0.5, 0.75]


def test_stale_and_missing_values_are_said(tmp_path: Path) -> None:
    book = hand_made(
        tmp_path / "b.xlsx", {"G1": ("=A1+B1", 3), "G2": ("=A1*D1+G1", 99), "G3": ("=G1*D1", "")}
    )
    assert not explained(book, ("S", 0, 6)).problems
    (problem,) = explained(book, ("S", 1, 6)).problems
    assert problem.startswith("the terms give 13.0, the file has 99.0: its values are stale")
    assert "has no value in the file" in explained(book, ("S", 2, 6)).problems[0]


def test_command_and_its_errors(tmp_path: Path) -> None:
    book = hand_made(tmp_path / "b.xlsx", {"G1": (FORMS["SUMPRODUCT"], 25), "G2": ("=NPV(0.1,A1:B2)", 1)})
    run = CliRunner().invoke
    text = run(main, ["explain", str(book), "G1", "--paths", "1"]).output
    assert "+20 = 2 (S!A2) × 10 (S!D2)" in text
    assert "+20 (57.1%)  S!A2 2 × 10 → S!G1" in text
    data = json.loads(run(main, ["explain", str(book), "G1", "--json"]).output)
    assert sum(t["product"] for t in data["terms"]) == data["value"] == 25
    unknown = run(main, ["explain", str(book), "G2"])
    assert unknown.exit_code == 0
    assert "not taken apart: the formula holds the function NPV" in unknown.output
    assert "S!A1:B2" in unknown.output
    assert run(main, ["explain", str(book), "A1:B2"]).exit_code == 2
    with Source(book) as source, pytest.raises(UsageError, match="holds no formula"):
        Explainer(source).explain(("S", 0, 0))


def written(module: nn.Module, shape: tuple[int, ...], path: Path) -> Path:
    """Our workbook of a module fed with random pixels."""
    picked = Picked(np.random.default_rng(4).random(shape), [None], ["random"], "random", "a test")
    write_network(path, capture(module, shape), picked, "t")
    return path


def middle(book: Path, name: str) -> list[Cell]:
    """First, middle and last cell of a tensor."""
    network = of_book(book)
    place = network.places[network.layer(name)]
    rows, columns = (a.reshape(-1) for a in np.broadcast_arrays(*place.cells()))
    return [(place.sheet, int(rows[k]), int(columns[k])) for k in (0, len(rows) // 2, len(rows) - 1)]


@pytest.mark.parametrize("example", registry.EXAMPLES, ids=[e.name for e in registry.EXAMPLES])
def test_terms_of_every_operator_add_up(example: registry.Example, tmp_path: Path) -> None:
    torch.manual_seed(2)
    book = written(example.make(), example.shape, tmp_path / "b.xlsx")
    network = of_book(book)
    with Source(book) as source:
        explainer = Explainer(source)
        for tensor in network.layers(helpers=True):
            place = network.places[tensor]
            rows, columns = (a.reshape(-1) for a in np.broadcast_arrays(*place.cells()))
            for k in {0, len(rows) // 2, len(rows) - 1}:
                cell = (place.sheet, int(rows[k]), int(columns[k]))
                found = explainer.explain(cell)
                assert found.problems == []
                assert found.kind != "reads"
                assert found.result == pytest.approx(
                    found.value, rel=1e-10, abs=1e-10
                )  # the file has 12 digits


def test_paths_are_the_gradient_of_the_network(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 2)
    ).double()
    book = written(network, (1, 1, 8, 8), tmp_path / "b.xlsx")
    x = torch.from_numpy(np.random.default_rng(4).random((1, 1, 8, 8))).requires_grad_()
    gradient = torch.autograd.grad(network(x)[0, 0], x)[0]
    first = middle(book, "dense1")[0]
    with Source(book) as source:
        explainer = Explainer(source)
        found = strongest(explainer, first, 10_000)
        pixels = np.zeros((8, 8))
        for path in found.paths:
            element = explainer.names.element(path.cells[0])
            assert element is not None
            pixels[element.index[1:]] += np.prod(path.weights)
    assert len(found.paths) == found.count
    np.testing.assert_allclose(pixels, gradient[0, 0].numpy(), atol=1e-7)  # weights of float32
    assert sum(abs(p.contribution) for p in found.paths) == pytest.approx(found.size)
    sizes = [abs(p.contribution) for p in found.paths]
    assert sizes == sorted(sizes, reverse=True)


def test_slopes_of_curves_are_torchs(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Softmax(1)).double()
    book = written(network, (1, 1, 2, 2), tmp_path / "b.xlsx")
    x = torch.from_numpy(np.random.default_rng(4).random((1, 1, 2, 2))).requires_grad_()
    gradient = torch.autograd.grad(network(x)[0, 0], x)[0].reshape(-1)
    with Source(book) as source:
        explainer = Explainer(source)
        found = strongest(explainer, middle(book, "softmax1")[0], 1000)
        pixels = np.zeros(4)
        for path in found.paths:
            pixels[np.ravel_multi_index(explainer.names.element(path.cells[0]).index[1:], (2, 2))] += np.prod(
                path.weights
            )  # type: ignore[union-attr]
    assert found.curved
    np.testing.assert_allclose(pixels, gradient.numpy(), atol=1e-8)


@pytest.mark.parametrize(
    ("cell", "kind", "value", "terms"),
    [
        ("G1", "sum", 17.0, [3.0, 14.0]),
        ("H2", "sum", -28.0, [20.0, -48.0]),
        ("J1", "relu", 0.0, [-6.0]),
        ("J2", "sigmoid", 1 / (1 + math.exp(-1)), [1.0]),
        ("J3", "softmax", math.exp(1) / (math.exp(1) + math.exp(5)), [math.exp(1), math.exp(5)]),
        ("J4", "sum", 10.0, [10.0]),
    ],
)
def test_a_workbook_without_values(
    cell: str, kind: str, value: float, terms: list[float], tmp_path: Path
) -> None:
    """As openpyxl saves them: the numbers are computed; matrix products, ReLU, sigmoid and softmax are named."""
    work = openpyxl.Workbook()
    sheet = work.active
    sheet.title = "S"
    for row, (a, b, d, e) in enumerate([(1, 2, 3, 4), (5, -6, 7, 8)], 1):
        for column, number in zip("ABDE", (a, b, d, e), strict=True):
            sheet[f"{column}{row}"] = number
    sheet["G1"] = ArrayFormula("G1:H2", "=MMULT(A1:B2,D1:E2)")
    sheet["J1"], sheet["J2"] = "=IF(B2>0,B2,0)", "=1/(1+EXP(-A1))"
    sheet["J3"], sheet["J4"] = "=EXP(A1)/SUMPRODUCT(EXP($A$1:$A$2))", "=IF(AND(A1>0,B1<90),10*A1,0)"
    work.save(tmp_path / "b.xlsx")
    with Source(tmp_path / "b.xlsx") as source:
        found = Explainer(source).explain(parse_area(cell, ["S"])[:3])
    assert found.kind == kind
    assert found.value == pytest.approx(value, rel=1e-12)
    assert [t.product for t in found.terms] == pytest.approx(terms)
