"""The Metrics page: the lesson's figures, and what they become when a batch is edited in LibreOffice."""

from typing import Any

import pytest
import torch

from sheetconv.train.metrics import Accuracy, Metric


@pytest.fixture(scope="module")
def page(lesson_page: Any) -> Any:
    return lesson_page("Metrics")


@pytest.mark.libreoffice
def test_the_lessons_figures_and_edits(page: Any) -> None:
    sizes, guesses = page.places["sizes"], page.places["predictions 1"]
    second = {(sizes.sheet, sizes.row, sizes.column): 2.0}
    hit = {(guesses.sheet, guesses.row, guesses.column + int(guesses.columns[0][2])): 1.0}
    names = ["weighted mean", "plain mean", "accuracy, each batch once", "accuracy, by size"]
    first, edited, better = ([b.item() for b in blocks] for blocks in page.drive([{}, second, hit], names))
    metric, accuracy = Metric(), Accuracy()
    metric.add(0.6, n=32)
    metric.add(0.9, n=2)
    accuracy.add(torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0, 1, 1, 2, 1, 0]))
    accuracy.add(torch.tensor([1, 1, 2, 0, 1]), torch.tensor([0, 1, 1, 2, 1]))
    assert first == pytest.approx([metric.value, 0.75, accuracy.value, 5 / 11], abs=1e-7)
    assert [round(v, 4) for v in first] == [0.6176, 0.75, 0.45, 0.4545]
    assert edited[:2] == pytest.approx([0.75, 0.75])
    assert better[2:] == pytest.approx([(4 / 6 + 2 / 5) / 2, 6 / 11])
