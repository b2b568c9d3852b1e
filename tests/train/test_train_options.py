"""What users of training tools expect of `train`: logs, patience, extending, other images, past runs, full memory."""

import csv
import gzip
import importlib.util
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from sheetconv.cli import main
from sheetconv.data.handwriting import digits
from sheetconv.errors import ModelError
from sheetconv.models import load_model, load_weights
from sheetconv.train import pictures
from sheetconv.train import run as running
from sheetconv.train.extras import trials
from sheetconv.train.extras.memory import is_full, largest
from sheetconv.train.plain import plain
from sheetconv.train.report import by_class, interval

QUICK = ["--batch-size", "16", "--device", "cpu", "--threads", "1", "--amp", "off", "--convolutions", "torch"]


def write_idx(folder: Path, split: str, n: int, seed: int) -> None:
    images, labels = digits(n, seed, np.arange(n) % 10)
    for array, name, kind in ((images, "images-idx3", 3), (labels.astype(np.uint8), "labels-idx1", 1)):
        head = struct.pack(f">BBBB{kind}I", 0, 0, 8, kind, *array.shape)
        (folder / f"{split}-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """120 training and 40 test digits as IDX files, in a working folder of their own."""
    monkeypatch.setenv("SHEETCONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("draw_history", "draw_confusion", "draw_confused"):  # other tests draw
        monkeypatch.setattr(pictures, name, lambda *given, **named: None)
    folder = tmp_path / "digits"
    folder.mkdir()
    write_idx(folder, "train", 120, 1)
    write_idx(folder, "t10k", 40, 2)
    return folder


def sheetconv(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def train(data: Path, out: str, *more: object, recipe: str = "mnist-mlp", code: int = 0) -> str:
    result = sheetconv("train", recipe, "--dataset", data, "--out", out, *QUICK, *more)
    assert result.exit_code == code, result.output
    return result.output


def about(folder: str) -> dict:
    return json.loads((Path(folder) / "run.json").read_text())


def history(folder: str) -> list[dict]:
    return [json.loads(line) for line in (Path(folder) / "history.jsonl").read_text().splitlines()]


def test_the_history_is_also_a_table(data: Path) -> None:
    train(data, "out", "--epochs", 2, "--log", "csv")
    with Path("out/history.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == history("out")


def test_the_history_is_also_tensorboard_s(data: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(data, "out", "--epochs", 2, "--log", "tensorboard")
    events = EventAccumulator("out/tensorboard")
    events.Reload()
    for name in ("train_loss", "accuracy", "lr"):
        seen = [(e.step, e.value) for e in events.Scalars(name)]
        assert seen == [(row["epoch"], pytest.approx(row[name], rel=1e-6)) for row in history("out")]


def test_patience_ends_a_run_that_gets_no_better(data: Path) -> None:
    output = train(data, "out", "--epochs", 30, "--lr", "0", "--patience", 2)
    assert "stopped after epoch 3" in output
    assert len(history("out")) == 3
    assert about("out")["finished"]


def test_the_schedule_is_an_option(data: Path) -> None:
    train(data, "out", "--epochs", 2, "--schedule", "constant", "--lr", "0.003")
    assert {row["lr"] for row in history("out")} == {0.003}
    assert "cosine" in train(data, "other", "--schedule", "zigzag", code=2)


def test_a_finished_run_is_extended(data: Path) -> None:
    """Epochs are counted on, the schedule begins anew, weights and optimiser go on; also when cut off in between."""
    train(data, "out", "--epochs", 2, "--schedule", "linear", "--lr", "0.01")
    first = load_file("out/model.safetensors")
    assert "no finished run" in train(data, "none", "--extend", 1, code=2)
    train(data, "out", "--epochs", 2, "--schedule", "linear", "--lr", "0.01", "--extend", 3)
    rows = history("out")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[1]["lr"] < 0.003 > rows[4]["lr"]
    assert rows[2]["lr"] > 0.005
    assert about("out")["settings"]["epochs"] == 5
    assert rows[2]["train_loss"] < rows[0]["train_loss"]
    last = load_file("out/model.safetensors")
    assert not torch.equal(
        first["1.weight" if "1.weight" in first else next(iter(first))], next(iter(last.values()))
    )


def test_an_extended_run_that_was_cut_off_ends_as_an_unbroken_one(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "broken"):
        train(data, name, "--epochs", 1)
    train(data, "whole", "--epochs", 1, "--extend", 3)

    def interrupt(self: object, learn: running.Learner) -> None:
        if learn.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running.History, "after_epoch", interrupt)
        train(data, "broken", "--epochs", 1, "--extend", 3, code=130)
    train(data, "broken", "--epochs", 1, "--extend", 3)
    a, b = (load_file(f"{name}/model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_training_starts_from_given_weights(data: Path) -> None:
    """Of a file or of a run's folder; with a rate of 0 they stay what they are."""
    train(data, "first", "--epochs", 2)
    given = load_file("first/model.safetensors")
    for place in ("first", "first/model.safetensors"):
        train(data, "second", "--epochs", 1, "--lr", 0, "--weights", place, "--force")
        found = load_file("second/model.safetensors")
        assert all(torch.equal(found[key], given[key]) for key in given)
    assert about("second")["weights"] == "first/model.safetensors"
    assert "does not exist" in train(data, "third", "--weights", "nowhere", code=1)


def test_a_run_s_folder_is_a_file_of_weights(data: Path) -> None:
    train(data, "out", "--epochs", 1)
    module, _ = load_model("mlp", Path("out"))
    assert all(torch.equal(v, load_file("out/model.safetensors")[k]) for k, v in module.state_dict().items())
    with pytest.raises(ModelError, match="folder of a finished run"):
        load_weights(module, Path("digits"))


def test_past_runs_are_listed_best_first(data: Path) -> None:
    train(data, "runs/short", "--epochs", 1, "--lr", 0)
    train(data, "runs/long", "--epochs", 4)
    result = sheetconv("runs")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "runs/long", "runs/short"]
    assert f"{about('runs/long')['test']['accuracy']:.2%}" in lines[1]
    none = sheetconv("runs", "elsewhere")
    assert none.exit_code == 2
    assert "no training runs in elsewhere" in none.output


def write_pictures(folder: Path, per_class: int, mode: str, size: tuple[int, int]) -> None:
    """Three classes that differ in their brightest corner."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog", "emu")):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = rng.integers(0, 40, (size[1], size[0], 3)).astype(np.uint8)
            pixels[: size[1] // 2, number * 8 : number * 8 + 8] += 200
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{i}.png")


@pytest.mark.parametrize(("mode", "size"), [("RGB", (32, 32)), ("L", (40, 24))])
def test_a_folder_of_pictures_of_one_s_own(mode: str, size: tuple[int, int], data: Path) -> None:
    """Without images to test on, in colour or another size, with three classes: a network is made for them."""
    write_pictures(data.parent / "pets", 24, mode, size)
    channels = 3 if mode == "RGB" else 1
    told = train(data.parent / "pets", "out", code=1)
    assert "--model plain" in told
    output = train(data.parent / "pets", "out", "--model", "plain", "--epochs", 15, "--lr", 0.01, "--force")
    assert "12 to test on" in output
    assert "a sixth of" in output
    assert about("out")["test"]["accuracy"] > 0.6
    assert about("out")["plain"] == [channels, size[1], size[0], 3]
    assert set(about("out")["test"]["by_class"]) == {"cat", "dog", "emu"}
    assert "emu" in output
    spec = importlib.util.spec_from_file_location("made", "out/model.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    net = made.net()
    load_weights(net, Path("out"))
    assert net.input_shape == (channels, size[1], size[0])
    assert net.eval()(torch.zeros(1, *net.input_shape)).shape == (1, 3)


def test_images_to_test_on_are_never_trained_on(data: Path) -> None:
    """Those that are set apart are the same for every seed, and disjoint from the others."""
    from sheetconv.train import recipes
    from sheetconv.train.prepare import prepare_data

    write_pictures(data.parent / "pets", 24, "L", (28, 28))
    recipe = recipes.load("mnist-mlp").with_values(dataset=str(data.parent / "pets"))
    found = prepare_data(recipe)
    parts = [{image.tobytes() for image in part.images} for part in (found.train, found.valid, found.test)]
    assert [len(part) for part in parts] == [48, 12, 12]
    assert len(set().union(*parts)) == 72


@pytest.mark.parametrize("size", [(1, 4, 4, 2), (3, 224, 224, 5), (1, 28, 28, 10), (2, 9, 200, 1)])
def test_the_plain_network_takes_any_size(size: tuple[int, int, int, int]) -> None:
    assert plain(*size).eval()(torch.zeros(2, *size[:3])).shape == (2, size[3])


def test_a_full_memory_is_one_line_with_a_batch_size_that_fits(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Small(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) > 5:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            return super().forward(x)

    for module in (running, trials):
        monkeypatch.setattr(module, "prepare_net", lambda *given: nn.Sequential(nn.Flatten(), Small(784, 10)))
    output = train(data, "out", "--epochs", 1, code=1)
    last = output.strip().splitlines()[-1]
    assert last == "Error: the memory of cpu is too small for batches of 16; --batch-size 4 would fit"


def test_what_says_that_memory_is_full() -> None:
    assert is_full(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"))
    assert is_full(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert not is_full(RuntimeError("shapes cannot be multiplied"))

    def never(size: int) -> None:
        raise torch.OutOfMemoryError

    assert largest(never, 64) == 0


def test_the_interval_holds_the_true_share_19_times_of_20() -> None:
    """By simulation, also where the share is near 1 and the images are few."""
    rng = np.random.default_rng(0)
    for share, n in ((0.95, 60), (0.7, 40), (0.99, 500)):
        seen = [interval(int(k), n) for k in rng.binomial(n, share, 3000)]
        assert 0.92 < np.mean([low <= share <= high for low, high in seen]) < 0.985
    low, high = interval(60, 60)
    assert 0.93 < low < 0.95
    assert high == pytest.approx(1.0)


def test_classes_are_told_worst_first() -> None:
    counts = np.array([[9, 1, 0], [0, 10, 0], [3, 2, 5]])
    lines = by_class(counts, ["shirt", "bag", "coat"])
    assert [line.split()[0] for line in lines] == ["coat", "shirt", "bag"]
    assert "50.00% of 10, most often taken for shirt (3)" in lines[0]
    assert "taken" not in lines[2]


def test_compiled_training_captures_the_network_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that holds the whole network is handed to the compiler, which here only counts its operators."""
    from sheetconv.train.callbacks import compiled

    seen: list[int] = []

    def count(graph: torch.fx.GraphModule, inputs: object) -> object:
        seen.append(sum(node.op == "call_function" for node in graph.graph.nodes))
        return graph.forward

    original = compiled.Compile
    monkeypatch.setattr(running, "Compile", lambda: original(backend=count))
    train(data, "out", "--epochs", 1, "--compile", recipe="mnist-simple-cnn")
    assert seen
    assert max(seen) >= 5
    assert about("out")["compile"] is True


def test_the_ninth_fit_is_compiled_too() -> None:
    """torch stops compiling code that it has compiled eight times; each fit has code of its own."""
    from sheetconv.train import Device, Learner
    from sheetconv.train.callbacks.compiled import Compile
    from sheetconv.train.loaders import DataLoaders, ResidentLoader

    seen: list[int] = []

    def count(graph: torch.fx.GraphModule, inputs: object) -> object:
        seen.append(1)
        return graph.forward

    images, labels = digits(4, 1, np.arange(4))
    dls = DataLoaders(ResidentLoader(images, labels, 4))
    learn = Learner(nn.Sequential(nn.Flatten(), nn.Linear(784, 4)), dls, nn.functional.cross_entropy, 0.1)
    for _ in range(10):
        learn.fit(1, cbs=[Device("cpu"), Compile(backend=count)])
    assert len(seen) >= 10
