"""The weights that ship are what their records say: the recipe as it is now, its history, its test figure."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sheetconv
from sheetconv.data.sources import open_dataset
from sheetconv.models import load_model
from sheetconv.train import recipes

FOLDER = Path(sheetconv.__file__).parent / "weights"
RECORDED = sorted(path.name.removesuffix(".run.json") for path in FOLDER.glob("*.run.json"))
LOCAL = {"mnist": "mnist", "fashion-mnist": "fashion_mnist"}


def record(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.run.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", RECORDED)
def test_record_fits_recipe_and_history(name: str) -> None:
    about = record(name)
    recipe = asdict(recipes.load(about["recipe"]))
    told = {"summary", "test_dataset"}  # neither changes what is learned
    settings = asdict(recipes.Recipe(**about["settings"]))  # what the record does not say was at its default
    assert {k: v for k, v in settings.items() if k not in told} == {
        k: v for k, v in recipe.items() if k not in told
    }
    assert about["finished"]
    assert about["limit"] is None
    rows = [json.loads(line) for line in (FOLDER / f"{name}.history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, recipe["epochs"] + 1))
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert (FOLDER / f"{name}.safetensors").stat().st_size < 1_000_000
    load_model(recipe["net"], FOLDER / f"{name}.safetensors")


def test_page_names_every_file_with_its_figure() -> None:
    page = (FOLDER / "WEIGHTS.md").read_text(encoding="utf-8")
    rows = {m[1]: m[0] for m in re.finditer(r"^\| `([\w-]+)\.safetensors`.*$", page, re.MULTILINE)}
    assert set(rows) == {path.stem for path in FOLDER.glob("*.safetensors")}
    for name in RECORDED:
        about = record(name)
        figure = about["test"].get("mse") or about["test"]["accuracy"]
        assert (f"{figure:.4f}" if "mse" in about["test"] else f"{figure:.2%}") in rows[name]
        assert f"sheetconv train {about['recipe']}" in rows[name]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", RECORDED)
def test_weights_do_on_the_test_set_what_the_record_says(name: str, shared_data: Path) -> None:
    about = record(name)
    settings = about["settings"]
    dataset = settings["test_dataset"] or settings["dataset"]
    test = open_dataset(str(shared_data / LOCAL[dataset]) if dataset in LOCAL else dataset, "test")
    model, _ = load_model(settings["net"], FOLDER / f"{name}.safetensors")
    right, error = 0, 0.0
    for part in range(0, len(test.images), 1000):
        x = torch.from_numpy(np.array(test.images[part : part + 1000])).float()[:, None] / 255
        with torch.no_grad():
            out = model.eval()(x)
        if settings["task"] == "reconstruct":
            error += float((out - x).double().square().mean(dim=(1, 2, 3)).sum())
        else:
            right += int((out.argmax(1) == torch.from_numpy(test.labels[part : part + 1000])).sum())
    if settings["task"] == "reconstruct":
        # handwriting drawn by a later version of the generator is not quite the same
        same = dataset in LOCAL or test.fingerprint == about["data_fingerprint"]
        assert about["test"]["mse"] == pytest.approx(error / len(test.images), rel=1e-4 if same else 0.2)
    else:
        assert about["test"]["accuracy"] == pytest.approx(right / len(test.images), abs=2e-4)
