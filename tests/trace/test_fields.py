"""Receptive fields: known figures, and the three legs of the proof against one another."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import xlsxwriter
from click.testing import CliRunner
from torch import nn
from xlsxwriter.utility import xl_range

from sheetconv.building import Request, build
from sheetconv.cli import main
from sheetconv.compile.capture import capture
from sheetconv.errors import WorkbookError
from sheetconv.formulas.paths import path_counts
from sheetconv.formulas.source import Source
from sheetconv.inspect.fields.boxes import all_boxes
from sheetconv.inspect.fields.command import Fields
from sheetconv.inspect.fields.formulas import PixelSets
from sheetconv.inspect.fields.gradient import path_derivative
from sheetconv.inspect.fields.network import TracedNetwork, of_book, of_model
from sheetconv.inspect.fields.proof import prove
from sheetconv.inspect.fields.recurrence import recurrence
from sheetconv.ops import registry

registry.load()


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(2, 3, 5, padding=2)
        self.narrow = nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.relu(self.wide(x)) + self.narrow(x), self.narrow(x)], 1)


NETWORKS = {
    "dilated": nn.Sequential(nn.Conv2d(1, 2, 3, dilation=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
    "rectangular": nn.Sequential(nn.Conv2d(1, 2, (3, 1), stride=(2, 1), padding=(1, 0)), nn.AvgPool2d(2)),
    "upsampled": nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, padding=1)),
    "transposed": nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.ConvTranspose2d(2, 1, 4, 2, 1)),
    "padded": nn.Sequential(nn.ZeroPad2d((1, 2, 3, 0)), nn.Conv2d(1, 1, 3), nn.ZeroPad2d(-1)),
    "branches": nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), Branches()),
}


def network_of(module: nn.Module, shape: tuple[int, ...]) -> TracedNetwork:
    graph = capture(module, shape)
    return TracedNetwork("test", graph, graph.inputs[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_three_legs_agree(name: str) -> None:
    shape = (1, 1, 11, 9) if name != "upsampled" else (1, 1, 12, 8)
    proof = prove(network_of(NETWORKS[name], shape))
    assert [str(d) for d in proof.disagreements] == []
    assert sum(proof.units.values()) > 50
    assert sum(proof.interior.values()) > 20


@pytest.mark.parametrize("example", registry.EXAMPLES, ids=[e.name for e in registry.EXAMPLES])
def test_every_operator_is_proven(example: registry.Example) -> None:
    torch.manual_seed(0)
    proof = prove(network_of(example.make(), example.shape), most=60)
    assert [str(d) for d in proof.disagreements] == []
    assert proof.agrees


# Closed forms of Dumoulin and Visin (2016) and Araujo et al. (2019): size, jump, start, worked out by hand.
FIGURES = {
    "conv": (nn.Conv2d(1, 1, 3), (3, 1, 1)),
    "strided": (nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 3, 2, 1)), (7, 4, 0)),
    "dilated": (nn.Sequential(nn.Conv2d(1, 1, 3, dilation=3), nn.MaxPool2d(2)), (8, 2, 3.5)),
    "even kernel": (nn.Conv2d(1, 1, 4, 2, 1), (4, 2, 0.5)),
    "upsampled": (
        nn.Sequential(nn.UpsamplingNearest2d(scale_factor=2), nn.Conv2d(1, 1, 3, 1, 1)),
        (2, 0.5, -0.25),
    ),
    "transposed": (nn.ConvTranspose2d(1, 1, 4, 2, 1), (2, 0.5, -0.25)),
    "one unit": (nn.Sequential(nn.Conv2d(1, 1, 3, 8), nn.Conv2d(1, 1, 3, 2)), (19, 16, 9)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_size_jump_start(name: str) -> None:
    module, expected = FIGURES[name]
    size = 20 if name != "one unit" else 24
    graph = capture(module, (1, 1, size, size))
    found = recurrence(graph, graph.inputs[0])[graph.outputs[0]]
    assert [(r.size, r.jump, r.start) for r in found] == [expected] * 2


def test_residual_sees_what_the_wider_branch_sees() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.body(x)

    graph = capture(nn.Sequential(Residual(), nn.MaxPool2d(2), Residual()), (1, 1, 24, 24))
    reach = recurrence(graph, graph.inputs[0])[graph.outputs[0]][0]
    assert (reach.size, reach.jump, reach.start) == (14, 2, 0.5)


def test_lesson_pool_sees_six_by_six() -> None:
    network = of_model("conv-example")
    pool = network.layer("pool")
    boxes = all_boxes(network.graph, network.pixels)[pool]
    assert boxes[0] == ((0, 5), (0, 5))
    assert boxes[11 * 12 + 3] == ((22, 27), (6, 11))


def test_paths_by_expressions_equal_torchs_derivative() -> None:
    network = of_model("simple-cnn")
    layer = network.layer("relu3")
    units = np.array([0, 37, layer.size - 1])
    found = path_derivative(network.graph, network.pixels, {layer: units})[layer]
    for row, unit in zip(found, units, strict=True):
        at = tuple(int(i) for i in np.unravel_index(unit, layer.shape))
        np.testing.assert_array_equal(row, path_counts(network.graph, layer, at)[network.pixels].reshape(-1))


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("book") / "net.xlsx"
    build(Request(path, model="simple-cnn", random_input=True, verify=False))
    return path


def tampered(book: Path, out: Path, change: tuple[str, str]) -> Path:
    """A copy in which one formula of the network's sheet is another."""
    count = 0
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(out, "w") as new:
        for item in old.infolist():
            data = old.read(item)
            if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", item.filename):
                count += data.count(change[0].encode())
                data = data.replace(change[0].encode(), change[1].encode(), 1)
            new.writestr(item, data)
    assert count
    return out


def test_a_workbook_is_proven_by_its_own_formulas(book: Path, tmp_path: Path) -> None:
    network = of_book(book)
    proof = prove(network, [network.layer("relu2")])
    assert proof.verdict().startswith("PROVEN: 392 units in 1 layers")

    place = network.places[network.layer("conv2")]
    row, column = (int(a[0, 3, 2, 4]) for a in np.broadcast_arrays(*place.cells()))
    formula = network_formula(book, place.sheet, row, column)
    window = re.search(r"([A-Z]+)(\d+):([A-Z]+)(\d+)", formula)
    assert window
    first, last = int(window[2]) + 1, int(window[4]) + 1
    shifted = formula.replace(window[0], f"{window[1]}{first}:{window[3]}{last}", 1)
    changed = tampered(book, tmp_path / "shifted.xlsx", (formula, shifted))
    outcome = CliRunner().invoke(main, ["receptive-field", str(changed), "--layer", "conv2", "--prove"])
    assert outcome.exit_code == 1
    assert "DISAGREE: 1 of 392 units" in outcome.output
    assert re.search(r"conv2 unit 3,2,4 \(Network!\w+\).*formulas rows 5–1[0-9]", outcome.output)


def network_formula(book: Path, sheet: str, row: int, column: int) -> str:
    from sheetconv.xlsx.cells import Book

    with Book(book) as opened:
        formula = opened.cells(sheet).formula(row, column)
    assert formula
    return formula.removeprefix("=")


def test_a_typed_number_over_a_formula_is_found(book: Path, tmp_path: Path) -> None:
    network = of_book(book)
    place = network.places[network.layer("relu4")]
    row, column = (int(a[0, 0, 0, 0]) for a in np.broadcast_arrays(*place.cells()))
    formula = network_formula(book, place.sheet, row, column)
    changed = tampered(book, tmp_path / "typed.xlsx", (formula, "1+1"))
    proof = prove(of_book(changed))
    assert {(d.layer, d.unit) for d in proof.disagreements if d.formulas is None} == {("relu4", (0, 0, 0))}


def test_size_of_a_wrong_recurrence_is_found() -> None:
    from dataclasses import replace

    import sheetconv.inspect.fields.proof as module

    network = network_of(nn.Conv2d(1, 1, 3), (1, 1, 6, 6))
    right = module.recurrence
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module,
            "recurrence",
            lambda *a: {t: tuple(replace(r, start=2) for r in f) for t, f in right(*a).items()},
        )
        proof = prove(network)
    assert len(proof.disagreements) == 7  # four rows and four columns, one unit for each
    assert "size 3, jump 1, start 2 give 1 to 3, the unit sees 0 to 2" in str(proof.disagreements[0])


def test_command_and_its_errors(book: Path) -> None:
    run = CliRunner().invoke
    outcome = run(main, ["receptive-field", "simple-cnn", "--layer", "relu2", "--unit", "0,0,6"])
    assert "unit 0,0,6 of relu2 sees rows 0–3, columns 21–27" in outcome.output
    found = json.loads(run(main, ["receptive-field", str(book), "--json"]).output)
    conv4 = next(row for row in found["layers"] if row["layer"] == "conv4")
    assert (
        conv4["axes"]
        == [{"size": 31, "jump": 16, "start": 0, "padding": 1, "off_by_at_most": 0, "even": True}] * 2
    )
    for arguments in (["nothing"], ["simple-cnn", "--unit", "0,0,0"], ["simple-cnn", "--layer", "nope"],
                      ["simple-cnn", "--layer", "conv1", "--unit", "4,0,0"]):  # fmt: skip
        outcome = run(main, ["receptive-field", *arguments])
        assert outcome.exit_code == 2
        assert "Traceback" not in outcome.output


def test_table_says_where_one_number_is_not_enough() -> None:
    network = network_of(
        nn.Sequential(nn.Conv2d(1, 1, (3, 1)), nn.UpsamplingNearest2d(scale_factor=2)), (1, 1, 8, 8)
    )
    text = Fields(network).text()
    assert re.search(r"conv1 +Conv2d 3×1 +1×6×8 +3×1 +1 +1×0 +0", text)
    assert re.search(r"upsample1 .* 3~×1~ +0.5 +0.75×-0.25", text)


def test_a_workbook_of_someone_elses_is_measured(tmp_path: Path) -> None:
    """Convolution by array formulas, pooled cells in every second row and column, no manifest."""
    path = tmp_path / "foreign.xlsx"
    work = xlsxwriter.Workbook(path)
    sheet = work.add_worksheet("net")
    for r, c in np.ndindex(12, 12):
        sheet.write(r + 2, c + 1, (r * c) % 5 / 4)
    for r, c in np.ndindex(3, 3):
        sheet.write(r + 2, c + 15, r - 1)
    for r, c in np.ndindex(10, 10):
        window = xl_range(r + 2, c + 1, r + 4, c + 3)
        sheet.write_array_formula(r + 2, c + 20, r + 2, c + 20, f"{{=MAX(0,SUM({window}*$P$3:$R$5))}}")
    for r, c in np.ndindex(5, 5):
        window = xl_range(2 * r + 2, 2 * c + 20, 2 * r + 3, 2 * c + 21)
        sheet.write_formula(2 * r + 2, 2 * c + 34, f"=MAX({window})")
    work.close()
    run = CliRunner().invoke
    found = json.loads(run(main, ["receptive-field", str(path), "--json"]).output)
    assert found["image"] == "net!B3:M14"
    assert [(row["layer"], row["shape"]) for row in found["layers"]] == [
        ("net!U3:AD12", [10, 10]),
        ("net!AI3:AQ11", [5, 5]),
    ]
    numbers = [[(a["size"], a["jump"], a["start"]) for a in row["axes"]] for row in found["layers"]]
    assert numbers == [[(3, 1, 1)] * 2, [(4, 2, 1.5)] * 2]
    unit = run(main, ["receptive-field", str(path), "--layer", "AK5", "--unit", "1,2"])
    assert "sees rows 2–5, columns 4–7 of net!B3:M14" in unit.output
    for arguments in (["--prove"], ["--layer", "A1"], ["--layer", "AK5", "--unit", "5,0"]):
        assert run(main, ["receptive-field", str(path), *arguments]).exit_code == 2


def test_long_chains_and_circles_of_formulas(tmp_path: Path) -> None:
    work = xlsxwriter.Workbook(tmp_path / "chain.xlsx")
    sheet = work.add_worksheet("S")
    sheet.write(0, 0, 1)
    for row in range(1, 5000):
        sheet.write_formula(row, 0, f"=A{row}")
    sheet.write_formula(0, 1, "=A1+C1")
    sheet.write_formula(0, 2, "=B1")
    work.close()
    with Source(tmp_path / "chain.xlsx") as source:
        sets = PixelSets(source, [("S", 0, 0)])
        assert sets.lit("S", np.array([4999, 6000]), np.array([0, 0])).tolist() == [[True], [False]]
        with pytest.raises(WorkbookError, match=r"S!B1 depends on itself"):
            sets.lit("S", np.array([0]), np.array([1]))
