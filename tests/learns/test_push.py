"""Another image in an existing workbook: everything else stays, and the workbook is proven again."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from learns.edits import edited, place
from PIL import Image

from sheetconv.cli import main
from sheetconv.data.pick import pick
from sheetconv.prove.verify import verify
from sheetconv.sheet.manifest import read_manifest
from sheetconv.sheet.weights import read_weights
from sheetconv.xlsx.cells import Book, numbers


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["push", *(str(a) for a in arguments)])
    return done.exit_code, done.output


@pytest.fixture
def mine(example_book: Path, tmp_path: Path) -> Path:
    """The example with a kernel edited and a note and a formula of one's own beside it."""
    path = tmp_path / "mine.xlsx"
    edited(example_book, path, {place(example_book, "conv1.weight", 0, 0, 1, 1): "0.75"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("docProps/mine.txt", b"kept")
    return path


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_another_digit(mine: Path) -> None:
    before, weights = parts(mine), read_weights(mine).values
    code, text = invoke(mine, "--dataset", "builtin", "--digit", 7)
    assert code == 0, text
    after = parts(mine)
    with Book(mine) as book:
        sheets = {book.sheet_part(name) for name in book.sheet_names}
        manifest = read_manifest(book, mine)
        stack = manifest.places[manifest.graph["images"]]
        r0, c0, _, _ = stack.box()
        digits = book.cells(stack.sheet)
        found = numbers(digits.values(r0, c0, r0 + 27, c0 + 27))
        expected = pick("builtin", "train", digit=7, others=0)
        assert np.array_equal(found, expected.images.reshape(28, 28))
        assert manifest.facts["captions"][0] == expected.captions[0]
        shown = [
            v for name in book.sheet_names for _, _, v in book.cells(name).listed() if isinstance(v, str)
        ]
        assert any(expected.captions[0] in v for v in shown)
    assert {n: d for n, d in before.items() if n not in sheets} == {
        n: d for n, d in after.items() if n not in sheets
    }
    assert all(np.array_equal(weights[name], values) for name, values in read_weights(mine).values.items())
    report = verify(mine)
    assert report.agrees, report.verdict()


def test_own_image_into_another_file(mine: Path, tmp_path: Path) -> None:
    before = mine.read_bytes()
    image = pick("builtin", "train", digit=4, others=0).images[0]
    Image.fromarray(np.kron((255 * (1 - image)).astype(np.uint8), np.ones((3, 3), np.uint8))).save(
        tmp_path / "four.png"
    )
    out = tmp_path / "out.xlsx"
    code, text = invoke(mine, "--image", tmp_path / "four.png", "-o", out)
    assert code == 0, text
    assert mine.read_bytes() == before
    assert "four.png" in text
    assert verify(out).agrees
    assert invoke(mine, "--image", tmp_path / "four.png", "-o", out)[0] == 1


def test_what_is_typed_over_is_said(mine: Path, tmp_path: Path) -> None:
    book = tmp_path / "typed.xlsx"
    edited(mine, book, {place(mine, "input", 0, 0, 3, 3): "0.5"})
    code, text = invoke(book, "--dataset", "builtin", "--digit", 7)
    assert code == 0, text
    assert "1 cells of input were typed over" in text


def test_refusals_leave_the_file_alone(mine: Path, tmp_path: Path) -> None:
    before = mine.read_bytes()
    assert invoke(mine)[0] == 2
    assert invoke(mine, "--dataset", "builtin", "--index", 10**7)[0] == 1
    Image.new("L", (20, 20), 255).save(tmp_path / "blank.png")
    assert invoke(mine, "--image", tmp_path / "blank.png")[0] == 1
    assert mine.read_bytes() == before
