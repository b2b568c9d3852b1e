"""The examples run, and the weights that came out of them know digits they have never seen."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sheetconv.build import Request, build
from sheetconv.data.handwriting import digits
from sheetconv.models import load_model
from sheetconv.read.cells import Book

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "sheetconv" / "weights" / "simple-cnn.safetensors"


def test_training_example_learns_in_one_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEETCONV_CACHE", str(tmp_path))
    out = tmp_path / "weights.safetensors"
    command = [sys.executable, str(ROOT / "examples" / "train_simple_cnn.py"), "builtin", str(out), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found = re.search(r"test accuracy ([0-9.]+)", done.stdout)
    assert found
    assert float(found[1]) > 0.8
    load_model("simple-cnn", out)


def test_shipped_weights_read_the_built_in_handwriting() -> None:
    model, _ = load_model("simple-cnn", WEIGHTS)
    images, labels = digits(500, seed=99)
    with torch.no_grad():
        guess = model(torch.from_numpy(images).float()[:, None] / 255).argmax(1).numpy()
    assert np.mean(guess == labels) > 0.85


@pytest.mark.parametrize("digit", [0, 4, 7])
def test_the_workbook_predicts_its_digit(digit: int, tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    build(Request(path, "simple-cnn", dataset="builtin", digit=digit, verify=False))
    with Book(path) as book:
        assert book.cells("Read me").value(3, 8) == digit
