"""Scores, predictions and differences of networks that lie in workbooks."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from learns.edits import edited, place
from PIL import Image
from safetensors.torch import save_file

from sheetconv.back.network import open_network
from sheetconv.back.score import score
from sheetconv.building import Request, build
from sheetconv.cli import main
from sheetconv.data.sources import ImageData, open_dataset
from sheetconv.errors import ModelError, UsageError
from sheetconv.models import load_model, shipped


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    return done.exit_code, done.output


def few(split: str, count: int) -> ImageData:
    from sheetconv.data.sources import BuiltinReader

    reader = BuiltinReader(split)
    labels, names = reader.read_labels()
    return ImageData(reader.read_images(range(count)), labels[:count], names, "built-in", "", False)


@pytest.mark.parametrize("net", ["conv-example", "autoencoder"])
def test_the_network_in_the_cells_is_torchs(net: str, tmp_path: Path) -> None:
    module, _ = load_model(net)
    weights = tmp_path / "w.safetensors"
    save_file(module.state_dict(), weights)
    build(Request(tmp_path / "b.xlsx", net, weights=weights, dataset="builtin", verify=False))
    images = torch.from_numpy(np.random.default_rng(0).random((300, 1, 28, 28)))
    found = open_network(str(tmp_path / "b.xlsx")).outputs(images)
    with torch.no_grad():
        expected = module.double().eval()(images)
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)  # weights of at most 9 digits


def test_an_edited_weight_changes_the_score(example_book: Path, tmp_path: Path) -> None:
    data = few("test", 200)
    module, _ = load_model("conv-example", shipped("conv-example"))
    with torch.no_grad():
        out = module.double().eval()(torch.from_numpy(data.images[:, None] / 255.0))
    truth = torch.from_numpy(data.labels)
    before = score(open_network(str(example_book)), data)
    assert before.loss == pytest.approx(float(torch.nn.functional.cross_entropy(out, truth)), rel=1e-6)
    assert before.accuracy == float((out.argmax(1) == truth).double().mean())
    assert before.confusion is not None
    assert before.confusion.sum() == 200
    for true, guess in zip(truth.tolist(), out.argmax(1).tolist(), strict=True):
        before.confusion[true, guess] -= 1
    assert not before.confusion.any()
    book = tmp_path / "edited.xlsx"
    edited(example_book, book, {place(example_book, "dense.bias", 4): "1000"})
    after = score(open_network(str(book)), data)
    assert after.confusion is not None
    assert after.confusion[:, 4].sum() == 200


def test_evaluate_prints_and_writes(example_book: Path, tmp_path: Path) -> None:
    csv_path, png = tmp_path / "c.csv", tmp_path / "c.png"
    what = ("evaluate", example_book, "--dataset", _folder(tmp_path), "--split", "test")
    code, text = invoke(*what, "--csv", csv_path, "--png", png)
    assert code == 0, text
    assert "accuracy" in text
    rows = list(csv.reader(csv_path.read_text().splitlines()))
    assert len(rows) == 11
    assert sum(int(n) for row in rows[1:] for n in row[1:]) == 20
    with Image.open(png) as picture:
        assert picture.size[0] > 300
    code, text = invoke(*what, "--json", "--limit", 7)
    assert json.loads(text)["images"] == 7
    code, text = invoke(*what, "--csv", csv_path)
    assert (code, "exists already" in text) == (1, True)


def _folder(tmp_path: Path) -> Path:
    data = few("test", 20)
    for number, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        for kind in range(10) if number == 0 else [int(label)]:
            (tmp_path / "data" / "test" / str(kind)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "data" / "test" / str(label) / f"{number}.png")
    return tmp_path / "data"


def test_predict_reads_pictures_as_build_workbook_does(example_book: Path, tmp_path: Path) -> None:
    image = few("test", 1).images[0]
    big = np.kron(255 - image, np.ones((4, 4), np.uint8))
    Image.fromarray(big).save(tmp_path / "digit.png")
    np.save(tmp_path / "same.npy", image[None] / 255.0)
    code, text = invoke(
        "predict", example_book, "--image", tmp_path / "digit.png", tmp_path / "same.npy", "--json"
    )
    assert code == 0, text
    found = json.loads(text)
    assert [Path(f["image"]).name for f in found] == ["digit.png", "same.npy"]
    module, _ = load_model("conv-example", shipped("conv-example"))
    with torch.no_grad():
        chances = module.double().eval()(torch.from_numpy(image[None, None] / 255.0)).softmax(1)[0]
    assert found[1]["classes"][0]["probability"] == pytest.approx(float(chances.max()), rel=1e-6)
    assert found[1]["prediction"] == str(int(chances.argmax()))
    code, text = invoke(
        "predict", "conv-example", "--weights", shipped("conv-example"), "--image", tmp_path / "same.npy"
    )
    assert text.split(": ")[1].startswith(found[1]["prediction"])
    assert invoke("predict", example_book)[0] == 2


def test_networks_that_are_not_there(example_book: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--weights does not go"):
        open_network(str(example_book), shipped("conv-example"))
    with pytest.raises(UsageError, match="no network on a sheet"):
        open_network(str(example_book), page="Digits")
    with pytest.raises(UsageError, match="no folder of a training run"):
        open_network(str(tmp_path))
    with pytest.raises(ModelError, match="takes images of 1×28×28"):
        open_network(str(example_book)).outputs(torch.zeros(2, 1, 14, 14))


def test_diff_names_what_was_edited(example_book: Path, tmp_path: Path) -> None:
    book = tmp_path / "edited.xlsx"
    at = place(example_book, "conv2.weight", 0, 1, 1, 1)
    edited(example_book, book, {at: "5"})
    assert invoke("diff", example_book, example_book)[0] == 0
    code, text = invoke("diff", example_book, book, "--json")
    assert code == 1
    rows = {row["tensor"]: row for row in json.loads(text)["tensors"]}
    assert rows["conv2.weight"]["differ"] == 1
    assert rows["conv2.weight"]["where"] == at
    assert rows["conv2.weight"]["after"] == 5
    assert rows["conv1.weight"]["differ"] == rows["images"]["differ"] == rows["conv1"]["differ"] == 0
    assert rows["conv2"]["differ"] > 0
    assert "conv2.weight" in invoke("diff", example_book, book)[1]


def test_diff_of_weights(tmp_path: Path) -> None:
    a, b = {"w": torch.zeros(2, 3), "x": torch.zeros(1)}, {"w": torch.zeros(2, 3), "y": torch.zeros(1)}
    b["w"][1, 2] = -2
    save_file(a, tmp_path / "a.safetensors")
    save_file(b, tmp_path / "b.safetensors")
    code, text = invoke("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--json")
    found = json.loads(text)
    assert (code, found["tensors"][0]["where"], found["tensors"][0]["largest"]) == (1, "[1, 2]", 2.0)
    assert len(found["only"]) == 2
    assert invoke("diff", tmp_path / "a.safetensors", tmp_path / "none.txt")[0] == 2


@pytest.mark.shared_data
def test_a_run_is_opened(shared_data: Path, tmp_path: Path) -> None:
    from sheetconv.train.folder import write_run

    write_run(tmp_path, {"settings": {"net": "simple-cnn"}, "finished": True})
    (tmp_path / "model.safetensors").write_bytes(shipped("simple-cnn").read_bytes())
    data = open_dataset(str(shared_data / "mnist"), "test")
    found = score(
        open_network(str(tmp_path)),
        ImageData(data.images[:500], data.labels[:500], data.class_names, "", "", False),
    )
    assert found.accuracy is not None
    assert found.accuracy > 0.95
