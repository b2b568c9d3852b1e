"""The Learner page: the log is the run's own, the picture names every hook and step that the Learner has."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

import sheetconv
from sheetconv.train.callback import HOOKS, STEPS
from sheetconv.xlsx.address import area
from sheetconv.xlsx.cells import Book


@pytest.fixture(scope="module")
def page(lesson_page: Any) -> Any:
    return lesson_page("Learner")


def test_the_log_is_the_history_of_the_shipped_weights(page: Any) -> None:
    file = Path(sheetconv.__file__).parent / "weights" / "simple-cnn.history.jsonl"
    epochs = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(epochs) >= 5
    with Book(page.path) as book:
        cells = book.cells("Learner")
        for key in ("epoch", "train_loss", "valid_loss", "accuracy", "lr"):
            place = page.places[f"log {key}"]
            rows, columns = place.cells()
            found = [cells.value(int(r), int(c)) for r, c in zip(rows, columns, strict=True)]
            assert found == [epoch[key] for epoch in epochs]


def test_the_picture_names_every_hook_and_step(page: Any) -> None:
    with Book(page.path) as book:
        cells = book.cells("Learner")
        _, _, rows, columns = cells.extent
        texts = {
            str(v).strip() for row in cells.values(0, 0, rows, columns) for v in row if isinstance(v, str)
        }
    assert set(HOOKS) <= texts
    assert set(STEPS) <= texts
    assert {"fit", "epoch", "batch"} <= texts


def test_charts_are_native_and_read_the_table(page: Any) -> None:
    with zipfile.ZipFile(page.path) as package:
        charts = [package.read(n).decode() for n in package.namelist() if n.startswith("xl/charts/chart")]
    r0, c0, r1, c1 = page.places["log accuracy"].box()
    accuracy = f"<c:f>Learner!{area(r0, c0, r1, c1, absolute=True)}</c:f>"
    assert len(charts) == 3
    assert all("<c:lineChart>" in chart for chart in charts)
    assert sum(accuracy in chart for chart in charts) == 1
