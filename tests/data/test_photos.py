"""Photographs of digits: read right on paper of every kind; several digits are told, none is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.photographs import empty, photograph, several
from click.testing import CliRunner
from PIL import Image

from sheetconv.cli import main
from sheetconv.data.image import read_image
from sheetconv.data.sources import find
from sheetconv.errors import DataError
from sheetconv.models import load_model, shipped

KINDS = (
    ("edge pencil shadow lines", 506, 7),
    ("blue grid vignette tilt", 1948, 1),
    ("chalk perspective", 803, 4),
    ("kraft ballpoint hand", 602, 8),
    ("table red crumpled", 1805, 3),
    ("small blurred margin", 780, 9),
)


def digit(row: int) -> np.ndarray:
    return find("builtin", "train").reader.read_images([row])[0]


def saved(path: Path, blob: bytes) -> Path:
    path.write_bytes(blob)
    return path


@pytest.mark.parametrize(("kind", "row", "label"), KINDS)
def test_a_photograph_is_read_right(tmp_path: Path, kind: str, row: int, label: int) -> None:
    steps = read_image(saved(tmp_path / "photo.jpg", photograph(digit(row), kind, row)))
    net, _ = load_model("simple-cnn", shipped("simple-cnn"))
    net.eval()
    with torch.no_grad():
        answer = net(torch.tensor(steps.digit[None, None], dtype=torch.float32)).argmax().item()
    assert answer == label
    assert steps.count == 1
    assert np.abs(steps.digit - digit(row) / 255).mean() < 0.13


@pytest.mark.parametrize("kind", ["clean", "grid hand", "lines vignette dim", "table margin"])
def test_paper_without_a_digit_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"photo.jpg"):
        read_image(saved(tmp_path / "photo.jpg", empty(kind, 1)))


def test_of_several_digits_one_is_chosen(tmp_path: Path) -> None:
    seven, one = digit(506), digit(1948)
    photo = saved(tmp_path / "two.jpg", several([seven, one], "lines shadow", 3))
    with pytest.raises(DataError, match="shows 2 digits; choose one with --nth 1 to 2"):
        read_image(photo)
    for nth, drawn in ((1, seven), (2, one)):
        assert np.abs(read_image(photo, nth).digit - drawn / 255).mean() < 0.1
    with pytest.raises(DataError, match="so there is no --nth 3"):
        read_image(photo, 3)


def test_a_workbook_of_two_photographs_and_the_steps(tmp_path: Path) -> None:
    import openpyxl

    photos = [
        saved(tmp_path / f"{row}.jpg", photograph(digit(row), "grid shadow", row)) for row in (506, 803)
    ]
    images = [word for photo in photos for word in ("--image", str(photo))]
    target, show = tmp_path / "book.xlsx", tmp_path / "steps.png"
    command = [
        "build-workbook",
        "conv-example",
        *images,
        "--show",
        str(show),
        "-o",
        str(target),
        "--no-verify",
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    with Image.open(show) as picture:
        assert picture.width > 1000
        assert picture.height > 500
    sheet = openpyxl.load_workbook(target, read_only=True)["Images"]
    texts = [str(cell) for row in sheet.iter_rows(max_row=4, values_only=True) for cell in row if cell]
    assert [text for text in texts if text.endswith(".jpg")] == ["1  506.jpg", "2  803.jpg"]
    again = CliRunner().invoke(main, ["build-workbook", "--show", str(show), "-o", str(target), "--force"])
    assert again.exit_code == 2
    assert "give --image too" in again.output
