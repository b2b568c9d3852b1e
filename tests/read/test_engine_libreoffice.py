"""What only LibreOffice does: edit, recalculate and save, print, and work beside another LibreOffice."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sheetconv.engines import libreoffice
from sheetconv.engines.libreoffice import LibreOffice
from sheetconv.errors import EngineError, OutputError
from sheetconv.xlsx.cells import Book, numbers

pytestmark = pytest.mark.libreoffice
CELLS = {
    "A1": 0.1234567890123456,
    "B1": 2.0,
    "C1": "=SUMPRODUCT(A1:B1,A1:B1)",
    "A2": "=C1/3",
    "B2": '=A1&" text"',
    "C2": "a & b",
}


@pytest.fixture
def book(make_book, tmp_path: Path) -> Path:
    return make_book(tmp_path / "book.xlsx", {"Net": CELLS, "Other": {"A1": "=Net!A2*2"}})


def test_an_edited_cell_recalculates_and_is_saved(book: Path, tmp_path: Path) -> None:
    out = tmp_path / "saved.xlsx"
    LibreOffice().save_recalculated(book, out, {("Net", 0, 0): 0.75, ("Net", 1, 2): "new"})
    with Book(out) as saved:
        net, other = saved.cells("Net"), saved.cells("Other")
    assert net.values(0, 0, 1, 2).tolist() == [
        [0.75, 2.0, 4.5625],
        [pytest.approx(4.5625 / 3), "0.75 text", "new"],
    ]
    assert net.formulas(0, 0, 1, 2).tolist() == [
        [None, None, "=SUMPRODUCT(A1:B1,A1:B1)"],
        ["=C1/3", '=A1&" text"', None],
    ]
    assert other.value(0, 0) == pytest.approx(4.5625 / 3 * 2, rel=1e-14)
    assert other.formula(0, 0) == "=Net!A2*2"


def test_driven_step_by_step(book: Path, tmp_path: Path) -> None:
    steps: list[dict[tuple[str, int, int], float | str]] = [
        {},
        {("Net", 0, 0): 3.0},
        {("Net", 0, 1): 4.0, ("Net", 1, 2): "x"},
    ]
    found = LibreOffice().drive(book, steps, [("Net", (0, 2, 0, 2)), ("Other", (0, 0, 0, 0))], tmp_path)
    sums = [0.1234567890123456**2 + 4, 13.0, 25.0]
    assert [[float(b[0, 0]) for b in step] for step in found] == [[s, s / 3 * 2] for s in sums]
    assert [p.name for p in sorted(tmp_path.glob("*.html"))] == ["0.html", "1.html", "2.html"]
    assert ">x<" in (tmp_path / "2.html").read_text()
    with pytest.raises(EngineError, match="there is no sheet 'Nope'"):
        LibreOffice().drive(book, [{("Nope", 0, 0): 1.0}], [])


def test_full_precision_through_uno_and_fifteen_digits_without(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    area = [("Net", (0, 0, 1, 2))]
    exact = 0.1234567890123456**2 + 4
    (through_uno,) = LibreOffice().evaluate(book, area)
    assert through_uno[0, 0] == 0.1234567890123456
    assert through_uno[0, 2] == exact
    monkeypatch.setattr(libreoffice, "find_uno_python", lambda: None)
    (converted,) = LibreOffice().evaluate(book, area)
    assert np.allclose(numbers(converted)[0], numbers(through_uno)[0], rtol=1e-14, atol=0)
    assert converted[1, 1:].tolist() == through_uno[1, 1:].tolist()


def test_two_at_once(book: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(LibreOffice().evaluate, book, [("Other", (0, 0, 0, 0))]) for _ in range(2)]
        found = [run.result()[0][0, 0] for run in runs]
    assert found == [(0.1234567890123456**2 + 4) / 3 * 2] * 2


def test_time_limit_leaves_no_process(book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # so that ours can be told from others
    engine = LibreOffice()
    engine.timeout = 0.3
    with pytest.raises(EngineError, match=r"took longer than 0.3 s"):
        engine.evaluate(book, [("Net", (0, 0, 0, 0))])
    running = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    ours = [line for line in running.splitlines() if "soffice" in line and str(tmp_path) in line]
    assert ours == []


def test_errors_are_one_line(book: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"^[^\n]*there is no sheet 'Nope'[^\n]*$"):
        LibreOffice().save_recalculated(book, tmp_path / "out.xlsx", {("Nope", 0, 0): 1.0})
    with pytest.raises(OutputError, match="does not exist"):
        LibreOffice().save_recalculated(book, tmp_path / "no" / "out.xlsx")
    assert not (tmp_path / "out.xlsx").exists()


def test_pictures_of_sheets(book: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "render.py"
    run = [sys.executable, str(script), str(book), str(tmp_path / "pictures"), "Other"]
    printed = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert len(printed) == 1
    with Image.open(printed[0]) as picture:
        assert min(picture.size) > 500
        assert np.asarray(picture.convert("L")).min() < 128, "a blank page"
