"""Recover: hand-made and our own workbooks read back as torch modules that run alone and agree to 1e-12."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hand_made import STYLES, Made
from hand_made import build as hand_made

from sheetconv.cli import main
from sheetconv.errors import LimitError, UsageError, WorkbookError
from sheetconv.formulas.cell_range import Area
from sheetconv.inspect.recover import RecoveryReport, recover

RUN = """
import json, sys
sys.path.insert(0, sys.argv[1])
import model
assert not any(name.split(".")[0] == "sheetconv" for name in sys.modules)
steps = model.load().steps(*model.inputs())
print(json.dumps({name: value.flatten().tolist() for name, value in steps.items()}))
"""


def run_alone(folder: Path) -> dict[str, list[float]]:
    """Outputs of all layers of model.py, run by a Python that cannot import sheetconv from the folder."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def by_cells(report: RecoveryReport, steps: dict[str, np.ndarray]) -> dict[tuple[str, int, int], float]:
    """What the module computes for each cell that it stands for."""
    return {
        place: float(value)
        for layer in report.layers
        for place, value in zip(layer.places, np.ravel(steps[layer.name]), strict=True)
    }


def module_steps(path: Path) -> dict[str, np.ndarray]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        return {k: v.numpy() for k, v in module.load().steps(*module.inputs()).items()}


def check(made: Made, values: dict[tuple[str, int, int], float]) -> None:
    """The module's numbers against torch on the fixture's own pixels and weights."""
    for name, places in made.places.items():
        found = np.array([values[place] for place in places])
        expected = made.expected[name]
        scale = np.abs(expected).max()
        assert np.abs(found - expected).max() <= 1e-12 * scale, name


@pytest.mark.parametrize("style", STYLES)
def test_hand_made_networks(style: str, tmp_path: Path) -> None:
    made = hand_made(tmp_path / "book.xlsx", STYLES[style])
    report = recover(made.path, tmp_path / "model.py")
    assert report.agrees, report.differences
    unread = [("Dropout!B4:M15", "=RAND()"), ("Dropout!B18", "=COUNTIF(Q4:AB15,0)")]
    assert [(str(u.area), u.formula) for u in report.unread] == (unread if STYLES[style].dropout else [])
    check(made, by_cells(report, module_steps(tmp_path / "model.py")))


def test_the_module_runs_without_sheetconv(tmp_path: Path) -> None:
    made = hand_made(tmp_path / "book.xlsx", STYLES["sumproduct"])
    outcome = CliRunner().invoke(
        main, ["recover", str(made.path), "-o", str(tmp_path / "model.py"), "--json"]
    )
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout)["agrees"]
    steps = run_alone(tmp_path)
    probabilities = next(v for v in steps.values() if len(v) == 10 and abs(sum(v) - 1) < 1e-12)
    assert np.abs(np.array(probabilities) - made.expected["softmax"]).max() < 1e-12
    text = (tmp_path / "model.py").read_text()
    assert "nn.Conv2d(1, 2, 3, bias=False)" in text
    assert "nn.Conv2d(2, 2, 3, bias=False)" in text
    assert "nn.Linear(32, 10, bias=False)" in text


def test_stride_padding_and_bias(tmp_path: Path) -> None:
    made = hand_made(tmp_path / "book.xlsx", STYLES["padded"])
    recover(made.path, tmp_path / "model.py")
    assert "nn.Conv2d(1, 2, 3, stride=2, padding=1, bias=False)" in (tmp_path / "model.py").read_text()
    made = hand_made(tmp_path / "book.xlsx", STYLES["star-down"])
    recover(made.path, tmp_path / "model.py", force=True)
    text = (tmp_path / "model.py").read_text()
    assert "nn.Conv2d(1, 2, 3)" in text
    assert "F.avg_pool2d" in text


@pytest.mark.libreoffice
def test_saved_by_libreoffice(tmp_path: Path) -> None:
    from sheetconv.engines.libreoffice import LibreOffice

    made = hand_made(tmp_path / "book.xlsx", STYLES["lesson"])
    LibreOffice().save_recalculated(made.path, made.path)
    report = recover(made.path, tmp_path / "model.py", "libreoffice")
    assert report.agrees
    check(made, by_cells(report, module_steps(tmp_path / "model.py")))


@pytest.mark.parametrize("template", ["conv-example", "simple-cnn"])
def test_our_own_workbooks(template: str, own_workbook: Callable[[str], Path], tmp_path: Path) -> None:
    """From formulas, without the manifest."""
    report = recover(own_workbook(template), tmp_path / "model.py")
    assert report.agrees
    counts = {
        "conv-example": 1352 * 2 + 1152 * 2 + 288 + 10 * 3,
        "simple-cnn": 2 * (784 + 392 + 256 + 64) + 10 * 3,
    }
    assert report.cells >= counts[template]
    text = (tmp_path / "model.py").read_text()
    assert {"conv-example": "nn.Conv2d(1, 2, 3)", "simple-cnn": "nn.Conv2d(8, 16, 3, stride=2, padding=1)"}[
        template
    ] in text


@pytest.mark.parametrize("style", ["star-down", "sumproduct"])
@pytest.mark.parametrize("mistake", ["constant", "formula", "wide"])
def test_mistakes_are_reported_at_their_cells(style: str, mistake: str, tmp_path: Path) -> None:
    made = hand_made(tmp_path / "book.xlsx", STYLES[style], (mistake,))
    report = recover(made.path, tmp_path / "model.py")
    if mistake == "wide":  # the column too many reads blank cells: a convolution with one column of padding
        assert report.agrees
        assert "F.pad(" in (tmp_path / "model.py").read_text()
        return
    assert [d.area for d in report.differences] == [made.planted[mistake]]
    assert report.follow > 0
    check_correct_network(made, module_steps(tmp_path / "model.py"), report)


def check_correct_network(made: Made, steps: dict[str, np.ndarray], report: RecoveryReport) -> None:
    """The module is the network without the mistake."""
    check(made, by_cells(report, steps))


def test_refusals_leave_nothing(tmp_path: Path) -> None:
    import xlsxwriter

    made = hand_made(tmp_path / "book.xlsx", STYLES["sumproduct"])
    (tmp_path / "model.safetensors").write_text("mine")
    before = sorted(p.name for p in tmp_path.iterdir())
    outcome = CliRunner().invoke(main, ["recover", str(made.path), "-o", str(tmp_path / "model.py")])
    assert outcome.exit_code == 1
    assert "--force" in outcome.stderr
    with pytest.raises(UsageError, match="import"):
        recover(made.path, tmp_path / "my model.py")
    with xlsxwriter.Workbook(tmp_path / "other.xlsx") as work:
        work.add_worksheet("S").write_formula(0, 0, '="text"&B1')
    with pytest.raises(WorkbookError, match="no layer"):
        recover(tmp_path / "other.xlsx", tmp_path / "new.py")
    with xlsxwriter.Workbook(tmp_path / "deep.xlsx") as work:
        work.add_worksheet("S").write_formula(0, 0, "=" + "-(" * 200 + "B1" + ")" * 200)
    with pytest.raises(LimitError, match="S!A1"):
        recover(tmp_path / "deep.xlsx", tmp_path / "new.py")
    after = sorted(p.name for p in tmp_path.iterdir() if p.name not in ("other.xlsx", "deep.xlsx"))
    assert after == before
    assert (tmp_path / "model.safetensors").read_text() == "mine"


def test_texts_of_the_workbook_never_become_code(tmp_path: Path) -> None:
    """A hostile sheet name and title: the module's text holds neither."""
    import openpyxl

    made = hand_made(tmp_path / "book.xlsx", STYLES["sumproduct"])
    work = openpyxl.load_workbook(made.path)
    area = Area(*made.places["conv1"][0], *made.places["conv1"][0][1:])
    evil = '"""\nimport os; os.abort()\n#'
    work["Net"].cell(area.row0, area.column0 + 1).value = evil
    work["Net"].cell(area.row0, area.column0 + 1).data_type = "s"
    work["Net"].title = "a'; raise SystemExit #"
    work.save(made.path)
    text_ok = recover(made.path, tmp_path / "model.py")
    text = (tmp_path / "model.py").read_text()
    assert "os.abort" not in text
    assert "SystemExit #" not in text.replace("# ", "")
    assert text_ok.layers
