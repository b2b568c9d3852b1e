"""The weights that ship know digits they have never seen."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sheetconv.build import Request, build
from sheetconv.data.handwriting import digits
from sheetconv.data.pick import pick
from sheetconv.models import load_model
from sheetconv.read.cells import Book

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "sheetconv" / "weights" / "simple-cnn.safetensors"


def test_shipped_weights_read_the_built_in_handwriting() -> None:
    model, _ = load_model("simple-cnn", WEIGHTS)
    images, labels = digits(500, seed=99)
    with torch.no_grad():
        guess = model(torch.from_numpy(images).float()[:, None] / 255).argmax(1).numpy()
    assert np.mean(guess == labels) > 0.85


@pytest.mark.parametrize("digit", [0, 4, 7])
def test_the_workbook_predicts_what_the_network_does(digit: int, tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    build(Request(path, "simple-cnn", dataset="builtin", digit=digit, verify=False))
    model, _ = load_model("simple-cnn", WEIGHTS)
    image = pick("builtin", "train", digit=digit).images[0]
    with torch.no_grad():
        guess = model(torch.from_numpy(image.astype("float32")).reshape(1, 1, 28, 28)).argmax().item()
    with Book(path) as book:
        assert book.cells("Read me").value(3, 8) == guess
