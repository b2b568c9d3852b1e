"""The effective field: known maps, measures computed by hand, and the sheet that is added to a workbook."""

import json
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import torch
import xlsxwriter
from click.testing import CliRunner
from PIL import Image
from torch import nn

from sheetconv.building import Request, build
from sheetconv.cli import main
from sheetconv.compile.capture import capture
from sheetconv.errors import UsageError
from sheetconv.inspect.fields.effective import Images, effective, measure
from sheetconv.inspect.fields.network import TracedNetwork
from sheetconv.prove.verify import verify
from sheetconv.sheet.field_sheet import NAME
from sheetconv.xlsx.graft import graft


def network_of(module: nn.Module, shape: tuple[int, ...]) -> TracedNetwork:
    graph = capture(module, shape)
    values = {t: t.values for t in graph if t.values is not None}
    return TracedNetwork("test", graph, graph.inputs[0], values=values)


def test_two_convolutions_of_ones_count_as_binomials_do() -> None:
    network = network_of(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)), (1, 1, 9, 9))
    images = Images(np.zeros((1, 1, 9, 9)), "nothing")
    found = effective(network, network.layer("conv2"), (0, 0, 2, 2), images)
    line = np.array([1, 2, 3, 2, 1])
    assert found.box == ((2, 6), (2, 6))
    np.testing.assert_array_equal(found.paths[2:7, 2:7], np.outer(line, line))
    say = found.say["paths"]
    assert say is not None
    # inner half: 2.5 of 5 pixels, the outer two by three quarters
    assert say.inner == pytest.approx(((3 + 2 * 2 * 0.75) / 9) ** 2)
    assert say.even == pytest.approx(0.25)
    assert say.centre == pytest.approx((4, 4))
    assert say.sigma == pytest.approx((np.sqrt(4 / 3),) * 2)
    assert say.fit is not None
    assert 0.9 < say.fit < 1


def test_gradient_is_torchs_averaged_over_images() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 1, 2)).double()
    network = network_of(module, (1, 2, 8, 8))
    pixels = np.random.default_rng(0).random((5, 2, 8, 8))
    found = effective(network, network.layer("conv2"), (0, 0, 1, 1), Images(pixels, "noise"))
    expected = np.zeros((8, 8))
    for image in pixels:
        x = torch.from_numpy(image[None]).requires_grad_()
        expected += torch.autograd.grad(module(x)[0, 0, 1, 1], x)[0][0].abs().sum(0).numpy() / 5
    np.testing.assert_allclose(found.gradient, expected, atol=1e-12)
    assert found.active == 5


def test_measures_of_a_gaussian_and_of_a_flat_map() -> None:
    y, x = np.mgrid[:41, :41]
    gaussian = np.exp(-((y - 20) ** 2) / (2 * 3**2) - (x - 20) ** 2 / (2 * 5**2))
    say = measure(gaussian, ((0, 40), (0, 40)))
    assert say is not None
    assert say.sigma == pytest.approx((3, 5), rel=1e-3)
    assert say.fit == pytest.approx(1, abs=1e-4)
    flat = measure(np.ones((6, 6)), ((1, 4), (0, 5)))
    assert flat is not None
    assert (flat.inner, flat.even, flat.fit) == (pytest.approx(0.25), pytest.approx(0.25), None)
    assert measure(np.zeros((3, 3)), ((0, 2), (0, 2))) is None


def test_a_unit_over_padding_has_no_field() -> None:
    network = network_of(nn.Conv2d(1, 1, 1, padding=2), (1, 1, 4, 4))
    with pytest.raises(UsageError, match="unit 0,0,0 of conv1 sees padding only"):
        effective(network, network.layer("conv1"), (0, 0, 0, 0), Images(np.ones((1, 1, 4, 4)), "ones"))


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("book") / "net.xlsx"
    build(Request(path, model="simple-cnn", dataset="builtin", verify=False))
    return path


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_added_sheet_leaves_the_workbook_as_it_was(book: Path, tmp_path: Path) -> None:
    out, png = tmp_path / "out.xlsx", tmp_path / "field.png"
    arguments = ["receptive-field", str(book), "--layer", "relu2", "--unit", "1,3,3", "--images", "8",
                 "--dataset", "builtin", "--png", str(png), "--add-sheet", str(out), "--json"]  # fmt: skip
    outcome = CliRunner().invoke(main, arguments)
    assert outcome.exit_code == 0, outcome.output
    found = json.loads(outcome.output)["effective"]
    before, after = parts(book), parts(out)
    allowed = {"[Content_Types].xml", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml"}
    assert {name for name in before if before[name] != after.get(name)} == allowed
    assert after.keys() - before.keys() == {"xl/worksheets/sheet5.xml"}
    assert verify(out).agrees
    opened = openpyxl.load_workbook(out)
    assert opened.sheetnames[-1] == NAME
    sheet = opened[NAME]
    maps = [
        [c.value for c in row if isinstance(c.value, int | float)]
        for row in sheet.iter_rows(min_row=9, max_row=36)
    ]
    numbers = np.array(maps)
    np.testing.assert_allclose(numbers[:, :28], found["paths"]["map"])
    np.testing.assert_allclose(numbers[:, 28:], found["gradient"]["map"], rtol=1e-12)
    assert len(sheet.conditional_formatting) == 2
    assert sheet["B2"].font.sz == 20
    assert sheet["B2"].font.b
    with Image.open(png) as picture:
        assert picture.width > 1000
        assert np.asarray(picture.convert("L")).std() > 20
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1
    assert "exists already" in again.output


def test_errors_of_the_command(tmp_path: Path) -> None:
    run = CliRunner().invoke
    for arguments, message in (
        (["simple-cnn", "--effective"], "give --layer"),
        (["simple-cnn", "--layer", "conv2", "--add-sheet", str(tmp_path / "x.xlsx"), "--dataset", "builtin"], "adds to a workbook"),
    ):  # fmt: skip
        outcome = run(main, ["receptive-field", *arguments])
        assert outcome.exit_code == 2
        assert message in outcome.output
    assert not list(tmp_path.iterdir())


def test_a_sheet_is_grafted_onto_a_workbook_of_openpyxls(tmp_path: Path) -> None:
    foreign = openpyxl.Workbook()
    foreign.active.title = "Receptive field"
    foreign.active["A1"] = 0.5
    foreign.active["A1"].number_format = "0.000%"
    foreign.save(tmp_path / "foreign.xlsx")
    with xlsxwriter.Workbook(str(tmp_path / "donor.xlsx"), {"constant_memory": True}) as donor:
        sheet = donor.add_worksheet("Receptive field")
        look = donor.add_format({"num_format": '0.0 "px"', "bold": True, "bg_color": "#FFCC00"})
        sheet.write_number(0, 0, 1.25, look)
    name = graft(tmp_path / "foreign.xlsx", tmp_path / "donor.xlsx", tmp_path / "out.xlsx")
    opened = openpyxl.load_workbook(tmp_path / "out.xlsx")
    assert opened.sheetnames == ["Receptive field", name] == ["Receptive field", "Receptive field 2"]
    old, new = (opened[n]["A1"] for n in opened.sheetnames)
    assert (old.value, old.number_format, new.value, new.number_format) == (0.5, "0.000%", 1.25, '0.0 "px"')
    assert new.font.b
    assert new.fill.fgColor.rgb == "FFFFCC00"
