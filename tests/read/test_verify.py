"""The proof must fail where a number is wrong, and name the cell."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sheetconv.building import Request, build
from sheetconv.prove.verify import verify
from sheetconv.sheet.manifest import read_manifest
from sheetconv.xlsx.address import cell
from sheetconv.xlsx.cells import Book

NETS = ["conv-example", "mlp", "simple-cnn", "autoencoder", "lenet5"]


def rewrite(source: Path, target: Path, change: dict[str, tuple[str, str]]) -> None:
    """A copy with regular expressions applied to parts; each must match exactly once."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name in change:
                pattern, replacement = change[name]
                text, count = re.subn(pattern, replacement, data.decode())
                assert count == 1, (name, pattern, count)
                data = text.encode()
            new.writestr(name, data)


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("books") / "example.xlsx"
    build(Request(path, "conv-example", dataset="builtin", digit=3, verify=False))
    return path


def place(path: Path, tensor: str, *index: int) -> str:
    with Book(path) as opened:
        manifest = read_manifest(opened, path)
    rows, columns = np.broadcast_arrays(*manifest.places[manifest.graph[tensor]].cells())
    return cell(int(rows[index]), int(columns[index]))


@pytest.mark.parametrize("engine", ["ironcalc", "formualizer"])
@pytest.mark.parametrize("net", NETS)
def test_networks_verify_in_both_engines(net: str, engine: str, tmp_path: Path) -> None:
    path = tmp_path / f"{net}.xlsx"
    report = build(Request(path, net, dataset="builtin", digit=3, engine=engine)).report
    assert report is not None
    assert report.agrees
    assert report.largest <= 1e-12


def test_fused_relu_verifies(tmp_path: Path) -> None:
    path = tmp_path / "fused.xlsx"
    report = build(Request(path, "simple-cnn", dataset="builtin", digit=5, fuse_relu=True)).report
    assert report is not None
    assert report.largest <= 1e-12
    with Book(path) as opened:
        formula = opened.cells("Network").formula(*_first(path, "relu1"))
    assert formula is not None
    assert formula.startswith("=MAX(0,SUMPRODUCT(")


def _first(path: Path, tensor: str) -> tuple[int, int]:
    with Book(path) as opened:
        manifest = read_manifest(opened, path)
    box = manifest.places[manifest.graph[tensor]].box()
    return box[0], box[1]


def test_poisoned_cached_value_fails_the_cached_check_only(book: Path, tmp_path: Path) -> None:
    address = place(book, "conv1", 0, 1, 3, 4)
    bad = tmp_path / "poisoned.xlsx"
    pattern = rf'(<c r="{address}" s="\d+"><f>[^<]*</f><v>)[^<]*'
    rewrite(book, bad, {"xl/worksheets/sheet2.xml": (pattern, r"\g<1>999")})
    report = verify(bad, device="cpu")
    assert not report.agrees
    assert [c.tensor for c in report.computed if not c.agrees] == []
    assert [(c.tensor, c.worst) for c in report.cached if not c.agrees] == [("conv1", f"'Network'!{address}")]


def test_altered_formula_fails_the_engine_check_and_is_named(book: Path, tmp_path: Path) -> None:
    address = place(book, "dense", 0, 4)
    bad = tmp_path / "altered.xlsx"
    pattern = rf'(<c r="{address}" s="\d+"><f>)([^<]*)'
    rewrite(book, bad, {"xl/worksheets/sheet2.xml": (pattern, r"\g<1>\g<2>+0.001")})
    report = verify(bad, device="cpu")
    wrong = {c.tensor: c.worst for c in report.computed if not c.agrees}
    assert wrong["dense"] == f"'Network'!{address}"
    assert f"'Network'!{address}" in report.verdict()


def test_every_cached_value_poisoned_still_computes_right(book: Path, tmp_path: Path) -> None:
    bad = tmp_path / "all.xlsx"
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name).decode("utf-8", "surrogateescape")
            if name.startswith("xl/worksheets/"):
                data = re.sub(r"(</f><v>)[^<]*", r"\g<1>999", data)
            new.writestr(name, data.encode("utf-8", "surrogateescape"))
    report = verify(bad, device="cpu")
    assert all(c.agrees for c in report.computed)
    assert not all(c.agrees for c in report.cached)


def test_edited_pixel_and_kernel_are_read_from_the_cells(book: Path, tmp_path: Path) -> None:
    """An edit without recalculation: the engine agrees with torch on the new numbers, the caches do not."""
    edited = tmp_path / "edited.xlsx"
    kernel = place(book, "conv1.weight", 0, 0, 1, 1)
    pattern = rf'(<c r="{kernel}" s="\d+"><v>)[^<]*'
    rewrite(book, edited, {"xl/worksheets/sheet2.xml": (pattern, r"\g<1>7.5")})
    report = verify(edited, device="cpu")
    assert all(c.agrees for c in report.computed), report.verdict()
    assert not next(c for c in report.cached if c.tensor == "conv1").agrees


@pytest.mark.parametrize("choice", [2, 7])
def test_the_choice_feeds_another_digit(book: Path, tmp_path: Path, choice: int) -> None:
    changed = tmp_path / "choice.xlsx"
    pattern = rf'(<c r="{place(book, "pick", 0)}" s="\d+"><v>)[^<]*'
    rewrite(book, changed, {"xl/worksheets/sheet2.xml": (pattern, rf"\g<1>{choice}")})
    report = verify(changed, device="cpu")
    assert all(c.agrees for c in report.computed), report.verdict()
    assert not next(c for c in report.cached if c.tensor == "input").agrees


@pytest.mark.libreoffice
def test_pixel_edited_in_libreoffice_verifies_after_saving(book: Path, tmp_path: Path) -> None:
    from sheetconv.engines.libreoffice import LibreOffice

    with Book(book) as opened:
        manifest = read_manifest(opened, book)
    stack = manifest.places[manifest.graph["images"]]
    rows, columns = np.broadcast_arrays(*stack.cells())
    at = (stack.sheet, int(rows[0, 0, 14, 5]), int(columns[0, 0, 14, 5]))
    saved = tmp_path / "saved.xlsx"
    LibreOffice().save_recalculated(book, saved, {at: 0.875})
    report = verify(saved, device="cpu")
    assert report.agrees, report.verdict()
    with Book(saved) as opened:
        assert opened.cells(stack.sheet).value(at[1], at[2]) == 0.875
        row, column = _first(book, "input")
        assert opened.cells("Network").value(row + 14, column + 5) == 0.875


@pytest.mark.libreoffice
def test_libreoffice_agrees(book: Path) -> None:
    report = verify(book, "libreoffice", "cpu")
    assert report.agrees, report.verdict()


@pytest.mark.shared_data
def test_the_lesson_digit_and_its_top_edge(shared_data: Path, tmp_path: Path) -> None:
    """Training image 7 and L3's figure: 2.984 at rows 3–5, columns 14–16 (pixels / 255), −2.96 at rows 7–9."""
    path = tmp_path / "seven.xlsx"
    built = build(Request(path, "conv-example", dataset=str(shared_data / "mnist"), split="train", index=7))
    assert built.report is not None
    assert built.report.agrees
    with Book(path) as opened:
        row, column = _first(path, "conv1")
        top = opened.cells("Network").value(row + 3, column + 14)
        bottom = opened.cells("Network").value(row + 7, column + 14)
    assert isinstance(top, float)
    assert round(top, 3) == 2.984
    assert isinstance(bottom, float)
    assert round(bottom, 2) in (-2.96, -2.97)
