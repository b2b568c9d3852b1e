"""`sheetconv train` as a user meets it: the folder it leaves, going on after a kill, and every refusal."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file

from sheetconv.cli import main
from sheetconv.data.handwriting import digits
from sheetconv.models import load_model
from sheetconv.train.extras import winograd
from sheetconv.train.extras.winograd import conv3x3

# threads and precision are fixed, since two runs are compared to the last bit
QUICK = ["--epochs", "4", "--batch-size", "32", "--device", "cpu", "--threads", "1", "--amp", "off"]


def write_digits(folder: Path, per_class: int, seed: int, classes: int = 10) -> None:
    images, labels = digits(per_class * classes, seed, np.arange(per_class * classes) % classes)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{number:04}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders of 300 training and 100 test digits; the cache of decoded images lies beside them."""
    root = tmp_path_factory.mktemp("digits")
    write_digits(root / "data" / "train", 30, 1)
    write_digits(root / "data" / "test", 10, 2)
    before = os.environ.get("SHEETCONV_CACHE")
    os.environ["SHEETCONV_CACHE"] = str(root / "cache")
    yield root / "data"
    os.environ.pop("SHEETCONV_CACHE")
    if before is not None:
        os.environ["SHEETCONV_CACHE"] = before


def sheetconv(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def run(recipe: str, data: Path, out: Path, *more: object) -> Result:
    result = sheetconv("train", recipe, "--dataset", data, "--out", out, *QUICK, *more)
    assert result.exit_code == 0, result.output
    return result


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def without_clock(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    clock = ("seconds", "cpu_seconds", "images_per_s", "wait_share")
    return [{k: v for k, v in row.items() if k not in clock} for row in rows]


def same_weights(one: Path, other: Path) -> bool:
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# a recipe with everything that a checkpoint must bring back: Muon, batch-norm, averaging, augmentation
FULL = [
    "mnist-simple-cnn", "--model", "simple-cnn-bn", "--set", "average=0.9", "--set", "shift=1", "--set", "erase=0.5",
    "--set", "flip=yes",
]  # fmt: skip


@pytest.fixture(scope="module")
def unbroken(data: Path) -> Path:
    out = data.parent / "unbroken"
    run(FULL[0], data, out, *FULL[1:], "--epochs", 6)
    return out


def test_classifier_leaves_its_folder(unbroken: Path, data: Path) -> None:
    files = {p.name for p in unbroken.iterdir()}
    assert files >= {
        "model.safetensors",
        "history.jsonl",
        "run.json",
        "history.png",
        "confusion.png",
        "confused.png",
    }
    assert not [name for name in files if name.startswith(".")]
    rows = history(unbroken)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    keys = {
        "train_loss",
        "valid_loss",
        "accuracy",
        "lr",
        "images_per_s",
        "wait_share",
        "seconds",
        "cpu_seconds",
    }
    assert all(set(row) == keys | {"epoch"} for row in rows)
    assert all(0 <= row["wait_share"] < 1 < row["images_per_s"] for row in rows)
    about = json.loads((unbroken / "run.json").read_text())
    assert (about["recipe"], about["seed"], about["finished"]) == ("mnist-simple-cnn", 0, True)
    assert about["settings"]["average"] == 0.9
    assert about["versions"]["torch"] == torch.__version__
    # the figure in run.json is what the weights in the file do on the test images, loaded anew
    model, _ = load_model("simple-cnn-bn", unbroken / "model.safetensors")
    right = 0
    for path in sorted((data / "test").rglob("*.png")):
        pixels = torch.from_numpy(np.array(Image.open(path))).float()[None, None] / 255
        with torch.no_grad():
            right += int(model.eval()(pixels).argmax()) == int(path.parent.name)
    assert about["test"]["accuracy"] == pytest.approx(right / 100)
    assert about["test"]["standard_error"] == pytest.approx((right / 100 * (1 - right / 100) / 100) ** 0.5)
    assert right / 100 > 0.3


def test_autoencoder_leaves_reconstructions_and_baselines(data: Path, tmp_path: Path) -> None:
    result = run("fashion-autoencoder", data, tmp_path / "out", "--epochs", 1)
    found = json.loads((tmp_path / "out" / "run.json").read_text())["test"]
    assert (tmp_path / "out" / "reconstructions.png").is_file()
    train, test = (
        np.stack([np.array(Image.open(p)) for p in sorted((data / s).rglob("*.png"))]) / 255
        for s in ("train", "test")
    )
    assert found["grey"] == pytest.approx(float(((test - train.mean()) ** 2).mean()), rel=0.02)
    assert found["mean_image"] == pytest.approx(float(((test - train.mean(0)) ** 2).mean()), rel=0.05)
    assert 0 < found["pca_128"] < found["mean_image"] < found["grey"]
    assert "constant grey" in result.output
    assert "PCA with 128 numbers" in result.output


def test_killed_run_goes_on_and_ends_as_the_unbroken_one(unbroken: Path, data: Path, tmp_path: Path) -> None:
    """kill -9 in the middle, then --resume: the same weights and the same history, to the last bit."""
    out = tmp_path / "killed"
    command = [sys.executable, "-c", "from sheetconv.cli import main; main()", "train", *FULL, *QUICK]
    command += ["--epochs", "6", "--dataset", str(data), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (out / "history.jsonl").is_file() or not history(out):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not json.loads((out / "run.json").read_text())["finished"]
    assert not (out / "model.safetensors").exists()
    assert 1 <= len(history(out)) < 6
    result = run(FULL[0], data, out, *FULL[1:], "--epochs", 6, "--resume")
    assert "goes on after epoch" in result.output
    assert same_weights(out, unbroken)
    assert without_clock(history(out)) == without_clock(history(unbroken))


def test_interrupted_run_says_how_to_go_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sheetconv.train.callbacks.history import History

    def interrupt(self: History, learn: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(History, "after_epoch", interrupt)
        result = sheetconv("train", "mnist-mlp", "--dataset", data, "--out", out, *QUICK)
    assert result.exit_code == 130
    assert "--resume" in result.output
    run("mnist-mlp", data, out, "--resume")
    run("mnist-mlp", data, tmp_path / "other")
    assert same_weights(out, tmp_path / "other")


def test_seed_changes_the_run_and_nothing_else_does(data: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("mnist-mlp", data, tmp_path / name, "--seed", seed, "--epochs", 1)
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


def test_own_network_from_a_file(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    run("mnist-mlp", data, tmp_path / "out", "--model", f"{tmp_path / 'mine.py'}:net", "--epochs", 1)
    assert load_file(tmp_path / "out" / "model.safetensors")["1.weight"].shape == (10, 784)


def test_best_of_several_initialisations_goes_on(data: Path, tmp_path: Path) -> None:
    result = run(
        "fashion-autoencoder", data, tmp_path / "out", "--epochs", 1, "--set", "trials=3", "--seed", 5
    )
    found = re.search(
        r"initialisation (\d) of 3 starts best: validation loss ([0-9.]+) .*others (.*)", result.output
    )
    assert found
    assert float(found[2]) <= min(float(v) for v in found[3].split(", "))
    longer = ["--epochs", 1, "--set", "trials=2", "--set", "trial-epochs=12"]
    texts = [result.output, run("fashion-autoencoder", data, tmp_path / "longer", *longer).output]
    once, twice = (int(re.findall(r"after ([\d,]+) images", text)[0].replace(",", "")) for text in texts)
    assert twice == 2 * once
    alone = ["--epochs", 1, "--set", "trials=1", "--seed", 5]
    run("fashion-autoencoder", data, tmp_path / "first", *alone)
    assert same_weights(tmp_path / "out", tmp_path / "first") == (found[1] == "1")


def test_lr_find_suggests_one_rate(data: Path, tmp_path: Path) -> None:
    result = sheetconv("lr-find", "mnist-mlp", "--dataset", data, "--out", tmp_path, "--steps", 40)
    assert result.exit_code == 0, result.output
    assert "suggested learning rate" in result.output
    assert (tmp_path / "lr-find.png").is_file()


@pytest.mark.parametrize(("name", "views"), [("flip", 2), ("shift", 5), ("flip-shift", 6)])
def test_predictions_are_averaged_over_the_views_asked_for(
    name: str, views: int, data: Path, tmp_path: Path
) -> None:
    """The accuracy of the weights in the file, averaged here over images moved by slicing."""
    out = tmp_path / "out"
    run(FULL[0], data, out, *FULL[1:], "--set", f"test-time={name}")
    model, _ = load_model("simple-cnn-bn", out / "model.safetensors")
    steps = {"flip": [(0, 0)], "shift": [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]}
    moves = steps.get(name, [(0, 0), (1, 1), (-1, -1)])
    paths = sorted((data / "test").rglob("*.png"))
    pixels = torch.stack([torch.from_numpy(np.array(Image.open(path))).float()[None] / 255 for path in paths])
    seen = []
    for down, right in moves:
        moved = torch.nn.functional.pad(pixels, (1, 1, 1, 1))[:, :, 1 - down :, 1 - right :][:, :, :28, :28]
        seen += [moved] if name == "shift" else [moved, moved.flip(3)]
    assert len(seen) == views
    with torch.no_grad():
        logits = sum(model.eval()(x) for x in seen)
    assert isinstance(logits, torch.Tensor)
    labels = torch.tensor([int(path.parent.name) for path in paths])
    right_ones = float((logits.argmax(1) == labels).float().mean())
    about = json.loads((out / "run.json").read_text())
    assert about["test"]["accuracy"] == pytest.approx(right_ones, abs=1e-6)


def test_a_resumed_run_computes_its_convolutions_as_it_began(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the machine would choose otherwise, the record decides; without either it is torch's way."""
    calls: list[int] = []
    monkeypatch.setattr(winograd, "conv3x3", lambda *given: (calls.append(1), conv3x3(*given))[1])
    out, short = tmp_path / "out", ["--model", "compact-cnn", "--epochs", 1, "--limit", 60]
    run("mnist-simple-cnn", data, tmp_path / "other", *short, "--convolutions", "torch")
    assert not calls
    run("mnist-simple-cnn", data, out, *short, "--convolutions", "winograd")
    assert json.loads((out / "run.json").read_text())["convolutions"] == "winograd"
    first = len(calls)
    assert first
    (out / "model.safetensors").unlink()
    run("mnist-simple-cnn", data, out, *short, "--resume")
    assert json.loads((out / "run.json").read_text())["convolutions"] == "winograd"


def test_recipes_are_listed_with_their_settings() -> None:
    listed = sheetconv("recipes").output
    assert "mnist-best" in listed
    assert "fashion-autoencoder-best" in listed
    shown = sheetconv("recipes", "mnist-simple-cnn").output
    assert "batch-size" in shown
    assert "label-smoothing" in shown


@pytest.fixture
def folders(data: Path, tmp_path: Path) -> Path:
    """A working folder with foreign files, an earlier run, and datasets with something wrong."""
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("precious")
    (tmp_path / "file").write_text("x")
    for name in ("colour", "large", "empty", "few"):
        (tmp_path / name / "train" / "0").mkdir(parents=True)
        (tmp_path / name / "test" / "0").mkdir(parents=True)
    for split in ("train", "test"):
        for number in range(12):
            at = Path(split) / "0" / f"{number}.png"
            Image.new("RGB", (28, 28)).save(tmp_path / "colour" / at)
            Image.new("L", (32, 32)).save(tmp_path / "large" / at)
    for split in ("train", "test"):
        Image.new("L", (28, 28)).save(tmp_path / "few" / split / "0" / "1.png")
    shutil.copytree(data / "train", tmp_path / "more" / "train")
    shutil.copytree(data / "test", tmp_path / "more" / "test")
    shutil.copytree(data / "test" / "3", tmp_path / "more" / "test" / "eleven")
    return tmp_path


CASES: dict[str, tuple[list[str], int, list[str]]] = {
    "recipe": (["mnist-worst"], 2, ["mnist-worst", "mnist-best"]),
    "optimiser": (["mnist-mlp", "--opt", "magic"], 2, ["magic", "muon"]),
    "device": (["mnist-mlp", "--device", "abacus"], 2, ["abacus", "cpu"]),
    "setting": (["mnist-mlp", "--set", "warmth=1"], 2, ["warmth"]),
    "setting form": (["mnist-mlp", "--set", "shift"], 2, ["NAME=VALUE"]),
    "epochs": (["mnist-mlp", "--epochs", "0"], 2, ["epochs"]),
    "lr": (["mnist-mlp", "--lr", "-1"], 2, ["lr", "-1"]),
    "lr form": (["mnist-mlp", "--lr", "fast"], 2, ["fast"]),
    "model": (["mnist-mlp", "--model", "nothing"], 2, ["nothing", "simple-cnn"]),
    "dataset": (["mnist-mlp", "--dataset", "nothing"], 2, ["nothing", "builtin"]),
    "empty": (["mnist-mlp", "--dataset", "empty"], 1, ["empty"]),
    "few": (["mnist-mlp", "--dataset", "few"], 1, ["1 images are too few"]),
    "colour": (["mnist-mlp", "--dataset", "colour"], 1, ["3×28×28", "1×28×28"]),
    "size": (["mnist-mlp", "--dataset", "large"], 1, ["1×32×32", "1×28×28"]),
    "classes": (["mnist-mlp", "--dataset", "more"], 1, ["classes"]),
    "task": (["fashion-autoencoder", "--model", "simple-cnn"], 1, ["28×28", "autoencoder"]),
    "outputs": (["mnist-mlp", "--model", "autoencoder"], 1, ["logit"]),
    "colour net": (["mnist-mlp", "--model", "resnet20"], 1, ["3×32×32"]),
    "foreign folder": (["mnist-mlp", "--out", "foreign"], 1, ["foreign", "--force"]),
    "file as folder": (["mnist-mlp", "--out", "file"], 1, ["file", "--out"]),
    "resume nothing": (["mnist-mlp", "--out", "new", "--resume"], 1, ["new", "no run to resume"]),
    "diverges": (
        ["mnist-mlp", "--opt", "sgd", "--lr", "1e9", "--set", "warm-up=0.01"],
        1,
        ["lower", "finite"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_in_one_line(
    case: str, folders: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders)
    arguments, code, words = CASES[case]
    given = arguments if "--dataset" in arguments else [*arguments, "--dataset", str(data)]
    given = given if "--out" in given else [*given, "--out", "out"]
    result = sheetconv("train", *QUICK, *given)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    last = result.output.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert all(word in last for word in words), last
    assert (folders / "foreign" / "thesis.txt").read_text() == "precious"
    if case != "diverges":
        assert not (folders / "out").exists()
        assert not (folders / "new").exists()


def test_labels_out_of_range(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = (folders / "few" / "train" / "0" / "1.png").read_bytes()
    (folders / "labels").mkdir()
    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": [str(i) for i in range(10)]},
    }
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    for split, label in (("train", 10), ("test", 1)):
        table = pa.table({"image": [{"bytes": image, "path": None}] * 10, "label": [1] * 9 + [label]})
        pq.write_table(
            table.replace_schema_metadata(about), folders / "labels" / f"{split}-00000-of-00001.parquet"
        )
    monkeypatch.chdir(folders)
    result = sheetconv("train", "mnist-mlp", "--dataset", "./labels", "--out", "out", *QUICK)
    assert result.exit_code == 1
    assert "the label of image 9 is 10; expected 0…9" in result.output


def test_earlier_run_is_overwritten_only_with_force(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("mnist-mlp", data, out, "--epochs", 1)
    (out / "notes.txt").write_text("mine")
    refused = sheetconv("train", "mnist-mlp", "--dataset", data, "--out", out, *QUICK)
    assert refused.exit_code == 1
    assert "--resume" in refused.output
    assert len(history(out)) == 1
    run("mnist-mlp", data, out, "--epochs", 2, "--force")
    assert len(history(out)) == 2
    assert (out / "notes.txt").read_text() == "mine"
    other = sheetconv(
        "train", "mnist-mlp", "--dataset", data, "--out", out, *QUICK, "--epochs", 5, "--resume"
    )
    assert other.exit_code == 1
    assert "epochs" in other.output
