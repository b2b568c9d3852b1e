"""The examples run and show what they are there to show; the weights that ship know digits never seen."""

import re
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sheetconv.building import Request, build
from sheetconv.data.handwriting import digits
from sheetconv.data.pick import pick
from sheetconv.data.sources import BUILTIN_SIZES
from sheetconv.models import load_model
from sheetconv.nets.lesson import LEFT_EDGE, TOP_EDGE
from sheetconv.pages.read_me import RIGHT
from sheetconv.sheet.frame import TOP
from sheetconv.xlsx.cells import Book

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "sheetconv" / "weights" / "simple-cnn.safetensors"


def test_two_layer_weights_keep_the_edge_kernels_and_read_handwriting() -> None:
    model, _ = load_model("conv-example", WEIGHTS.with_name("conv-example.safetensors"))
    state = model.state_dict()
    assert state["conv1.weight"].flatten().tolist() == [
        *TOP_EDGE[0],
        *TOP_EDGE[1],
        *TOP_EDGE[2],
        *sum(LEFT_EDGE, ()),
    ]
    assert not state["conv1.bias"].any()
    images, labels = digits(500, seed=98)
    with torch.no_grad():
        guess = model(torch.from_numpy(images).float()[:, None] / 255).argmax(1).numpy()
    assert np.mean(guess == labels) > 0.75


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
        assert book.cells("Read me").value(TOP + 1, RIGHT) == guess


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Less handwriting than usual, drawn once for all examples, and not into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHEETCONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        for split in BUILTIN_SIZES:
            patch.setitem(BUILTIN_SIZES, split, 1000)
        yield


@pytest.fixture
def example(
    drawn: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """A function that runs an example on little of the built-in handwriting and returns what it prints."""

    def run(name: str, *options: str) -> str:
        path = str(ROOT / "examples" / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, "--dataset", "builtin", *options])
        runpy.run_path(path, run_name="__main__")
        return capsys.readouterr().out

    return run


def test_three_steps_to_the_learner_give_the_same_accuracy(example: Callable[..., str]) -> None:
    out = example("learner_in_steps", "--limit", "1000", "--epochs", "2")
    first, second = re.findall(r"accuracy (0\.\d+)$", out, re.MULTILINE)
    third = re.search(r"^ +2 .* (\d+\.\d+) %$", out, re.MULTILINE)
    assert third
    assert float(first) == float(second) == pytest.approx(float(third[1]) / 100, abs=1e-4)
    assert float(first) > 0.5


def test_ways_of_convolving_agree_and_are_timed(example: Callable[..., str]) -> None:
    out = example("convolution_speed", "--limit", "16")
    assert re.findall(r"^  (loop|im2col|conv2d) ", out, re.MULTILINE) == ["loop", "im2col", "conv2d"]
    assert "(16×4×26×26)" in out


def test_decoding_once_and_each_time_are_compared(example: Callable[..., str]) -> None:
    out = example("decoding_and_cache", "--limit", "500")
    waits = [float(share) for share in re.findall(r"([0-9.]+)% waiting", out)]
    assert len(waits) == 3
    assert "times as fast" in out


def test_the_autoencoder_is_trained_three_ways(example: Callable[..., str]) -> None:
    out = example("autoencoder_cure", "--limit", "600", "--epochs", "2")
    losses = [float(loss) for loss in re.findall(r"MSE ([0-9.]+)", out)]
    before = [float(s) for s in re.findall(r"varies by ([0-9.]+) before", out)]
    assert len(losses) == 3
    assert losses[1] < losses[0]
    assert before[0] < 0.001 < 0.01 < before[2], "what the cure is about: at first the input must matter"


def test_a_callback_of_one_s_own(example: Callable[..., str]) -> None:
    out = example("custom_callback", "--limit", "500", "--epochs", "2")
    assert "gradient norm" in out.splitlines()[0]
    assert "did you mean after_batch?" in out


def test_a_metric_of_one_s_own(example: Callable[..., str]) -> None:
    out = example("custom_metric", "--limit", "1000", "--epochs", "2")
    last = [float(share) for share in re.findall(r"([0-9.]+) %", out.splitlines()[-1])]
    accuracy, top, worst = last
    assert worst <= accuracy <= top


def test_every_example_is_tried() -> None:
    tried = set(re.findall(r'example\("(\w+)"', Path(__file__).read_text()))
    trained_elsewhere = {"train_conv_example"}  # its weights ship
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == tried | trained_elsewhere
