"""A training run in a workbook: its network on test images, its history and its mistakes, shares by formula."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from sheetconv.building import Request, build
from sheetconv.cli import main
from sheetconv.engines import get
from sheetconv.errors import UsageError
from sheetconv.models import load_model, shipped
from sheetconv.sheet.draft import nth
from sheetconv.sheet.manifest import read_manifest
from sheetconv.train.folder import write_history, write_run
from sheetconv.xlsx.cells import Book, numbers

HISTORY = [
    {"epoch": n + 1, "train_loss": 1 / (n + 1), "valid_loss": 2 / (n + 1), "accuracy": 0.9 + n / 100}
    for n in range(3)
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `train` leaves, with weights that come with sheetconv and few test images."""
    folder = tmp_path_factory.mktemp("run")
    settings = {"net": "simple-cnn", "dataset": "builtin", "task": "classify"}
    write_run(folder, {"recipe": "builtin-simple-cnn", "settings": settings, "limit": 60, "finished": True})
    write_history(folder, HISTORY)
    (folder / "model.safetensors").write_bytes(shipped("simple-cnn-builtin").read_bytes())
    return folder


@pytest.fixture(scope="module")
def book(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("book") / "run.xlsx"
    done = CliRunner().invoke(main, ["build-workbook", "--run", str(run), "--images", "31", "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert "VERIFIED" in done.output
    assert "test image" in done.output
    return path


def test_history_and_shares(book: Path, run: Path) -> None:
    with Book(book) as opened:
        manifest = read_manifest(opened, book)
        cells = opened.cells("Run")
        places = {t.name: p for t, p in manifest.places.items()}
        place = places["Run.history"]
        rows, columns = np.broadcast_arrays(*place.cells())
        found = numbers(cells.values(*place.box()))[rows - place.row, columns - place.column]
        assert found[:, :3].tolist() == [[h["train_loss"], h["valid_loss"], h["accuracy"]] for h in HISTORY]
        matrix = places["Run.confusion"]
        rows, columns = np.broadcast_arrays(*matrix.cells())
        counts = numbers(cells.values(*matrix.box()))[rows - matrix.row, columns - matrix.column]
        texts = [v for _, _, v in cells.listed() if isinstance(v, str)]
    assert counts.sum() == 60
    score = json.loads(
        CliRunner()
        .invoke(main, ["evaluate", str(run), "--dataset", "builtin", "--limit", "60", "--json"])
        .output
    )
    assert counts.tolist() == score["confusion"]
    notes = {t.name: p for t, p in manifest.places.items() if t in manifest.notes}
    accuracy = notes["Run.accuracy"]
    share = get("ironcalc").evaluate(book, [(accuracy.sheet, accuracy.box())])[0]
    assert float(share[0, 0]) == score["accuracy"]
    if score["accuracy"] < 1:
        assert any("taken for" in text for text in texts)


def test_every_one_of_many_images_can_be_chosen(book: Path) -> None:
    with Book(book) as opened:
        manifest = read_manifest(opened, book)
        stack, source = (manifest.places[manifest.graph[name]] for name in ("images", "input"))
        images = numbers(opened.cells(stack.sheet).values(*stack.box()))
        formula = opened.cells(source.sheet).formula(source.row, source.column)
    assert formula is not None
    assert formula.count("CHOOSE") == 3
    pick = manifest.places[manifest.graph["pick"]]
    for number in (1, 20, 21, 31):
        typed = {pick.sheet: {(pick.row, pick.column): float(number)}}
        shown = numbers(get("formualizer").evaluate(book, [(source.sheet, source.box())], typed)[0])
        rows, columns = (t[number - 1, 0] for t in np.broadcast_arrays(*stack.cells()))
        assert np.array_equal(shown, images[rows - stack.row, columns - stack.column])


def test_a_choice_of_many_is_nested() -> None:
    from sheetconv.graph.expr import Number, evaluate

    for count in (5, 29, 30, 57, 100):
        choices = [Number(float(i)) for i in range(count)]
        assert [float(evaluate(nth(Number(k + 1.0), choices), (), {})) for k in range(count)] == list(
            range(count)
        )


def test_refusals(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder of a training run"):
        build(Request(tmp_path / "a.xlsx", run=tmp_path))
    with pytest.raises(UsageError, match="--model does not go with --run"):
        build(Request(tmp_path / "a.xlsx", run=run, model="mlp"))


@pytest.fixture(scope="module")
def scrubbed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workbook of the run with the weights of three epochs."""
    folder = tmp_path_factory.mktemp("scrubbed") / "run"
    shutil.copytree(run, folder)
    state = load_file(folder / "model.safetensors")
    (folder / "epochs").mkdir()
    for number, scale in enumerate((0.5, 0.8, 1.0), start=1):
        save_file(
            {k: v * np.float32(scale) for k, v in state.items()},
            folder / "epochs" / f"{number:04d}.safetensors",
        )
    path = folder.parent / "book.xlsx"
    build(Request(path, run=folder, images=1, verify=False))
    return path


@pytest.mark.parametrize("engine", ["ironcalc", pytest.param("libreoffice", marks=pytest.mark.libreoffice)])
def test_kernels_and_prediction_follow_the_epoch(scrubbed: Path, run: Path, engine: str) -> None:
    with Book(scrubbed) as opened:
        manifest = read_manifest(opened, scrubbed)
        source = manifest.places[manifest.graph["input"]]
        image = numbers(opened.cells(source.sheet).values(*source.box()))
    names = ["0.0.weight", manifest.graph.outputs[0].name]
    places = [
        manifest.places[manifest.graph[name]] for name in names if manifest.graph[name] in manifest.places
    ]
    scores = next(t for t in reversed(manifest.graph.tensors) if t.name == "Read me.probabilities")
    places.append(manifest.places[scores])
    cell = manifest.places[manifest.graph["epoch"]]
    module, _ = load_model("simple-cnn", run / "model.safetensors")
    state = {k: v.clone() for k, v in module.double().eval().state_dict().items()}
    for epoch, scale in ((1, 0.5), (2, 0.8)):
        typed = {cell.sheet: {(cell.row, cell.column): float(epoch)}}
        found = get(engine).evaluate(scrubbed, [(p.sheet, p.box()) for p in places], typed)
        expected = {k: (v.float() * np.float32(scale)).double() for k, v in state.items()}
        module.load_state_dict(expected)
        rows, columns = np.broadcast_arrays(*places[0].cells())
        kernel = numbers(found[0])[rows - places[0].box()[0], columns - places[0].box()[1]]
        assert np.abs(kernel - expected["0.0.weight"].numpy()).max() < 1e-15
        with torch.no_grad():
            chances = module(torch.from_numpy(image).reshape(1, 1, 28, 28)).softmax(1)
        assert np.abs(numbers(found[-1]).reshape(-1) - chances.numpy().reshape(-1)).max() < 1e-12


def test_the_scrubbed_workbook_verifies_and_gives_the_chosen_weights_back(scrubbed: Path, run: Path) -> None:
    from sheetconv.prove.verify import verify
    from sheetconv.sheet.weights import read_weights

    assert verify(scrubbed).agrees
    state = load_file(run / "model.safetensors")
    assert all(
        np.array_equal(v, state[k].astype(np.float64)) for k, v in read_weights(scrubbed).values.items()
    )
