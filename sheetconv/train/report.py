"""What a run says at its end: the figure on the test set with its error, the baselines, the pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sheetconv.data.sources import ImageData
from sheetconv.train import pictures
from sheetconv.train.baselines import baselines
from sheetconv.train.folder import read_history
from sheetconv.train.prepare import Data
from sheetconv.train.recipes import Recipe

SHOWN = 30  # reconstructions
MOST_CLASSES = 20  # lines on the terminal; run.json has all


@dataclass
class Outcome:
    """The test's `results` for run.json and its `lines` for the terminal."""

    results: dict[str, Any]
    lines: list[str]


def binomial_error(share: float, n: int) -> float:
    """The standard error of a share of `n` independent images, √(p(1−p)/n)."""
    return math.sqrt(share * (1 - share) / n)


def interval(right: int, n: int, deviations: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for the share behind `right` of `n`: by default it holds the true one 19 times of 20.

    Unlike share ± error it stays within 0…1, and 60 of 60 right still leave 94% possible.
    """
    spread = deviations**2 / n
    centre = (right / n + spread / 2) / (1 + spread)
    half = math.sqrt(right / n * (1 - right / n) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def by_class(counts: np.ndarray, names: Sequence[str]) -> list[str]:
    """A line per class, worst first: share right, how many there were, what most of the others were taken for."""
    lines = []
    for own in sorted(range(len(names)), key=lambda k: counts[k, k] / max(1, counts[k].sum())):
        row, total = counts[own].copy(), int(counts[own].sum())
        if not total:
            continue
        share, row[own] = row[own] / total, 0
        other = int(row.argmax())
        taken = f", most often taken for {names[other]} ({row[other]:,})" if row.any() else ""
        lines.append(f"  {names[own]:{max(map(len, names))}} {share:7.2%} of {total:,}{taken}")
    return lines


def report(recipe: Recipe, data: Data, predictions: Tensor, folder: Path, name: str) -> Outcome:
    """Measure the predictions for the test images and draw the pictures into `folder`."""
    eased = bool(recipe.task == "classify" and (recipe.label_smoothing or recipe.skip_easy))
    pictures.draw_history(read_history(folder), folder / "history.png", name, apart=eased)
    act = _reconstructed if recipe.task == "reconstruct" else _classified
    return act(data, predictions, folder, name)


def _classified(data: Data, predictions: Tensor, folder: Path, name: str) -> Outcome:
    test, names = data.test, data.train.class_names
    probabilities = predictions.softmax(1)
    sure, guess = probabilities.max(1)
    truth = torch.from_numpy(test.labels.astype(np.int64))
    right = guess == truth
    accuracy, n = right.double().mean().item(), len(truth)
    error = binomial_error(accuracy, n)
    low, high = interval(int(right.sum()), n)
    counts = np.zeros((len(names), len(names)), int)
    known = guess < len(names)  # a network may have more outputs than there are classes
    np.add.at(counts, (truth[known].numpy(), guess[known].numpy()), 1)
    title = f"{name}: {accuracy:.2%} of {n:,} test images"
    pictures.draw_confusion(counts, names, folder / "confusion.png", title)
    wrong = (~right & known).nonzero()[:, 0]
    worst = wrong[sure[wrong].argsort(descending=True)][:24]
    pictures.draw_confused(
        test.images[worst.numpy()],
        [names[i] for i in truth[worst].tolist()],
        [names[i] for i in guess[worst].tolist()],
        sure[worst].tolist(),
        folder / "confused.png",
        f"{name}: wrong and most certain",
    )
    lines = [
        f"test accuracy {accuracy:.2%} ({int(right.sum()):,} of {n:,} images right; {low:.2%} to {high:.2%} with 95%"
        " confidence)",
        *by_class(counts, names)[:MOST_CLASSES],
    ]
    results = {"accuracy": accuracy, "standard_error": error, "interval": [low, high], "images": n}
    shares = counts.diagonal() / np.maximum(1, counts.sum(1))
    return Outcome(results | {"by_class": dict(zip(names, shares.tolist(), strict=True))}, lines)


def _reconstructed(data: Data, predictions: Tensor, folder: Path, name: str) -> Outcome:
    images = pixels(data.test)
    loss = (
        sum(
            float((p.double() - x.double() / 255).square().sum())
            for p, x in zip(predictions.split(1000), images.split(1000), strict=True)
        )
        / images.numel()
    )
    floor = baselines(pixels(data.train), images)
    outputs = predictions[:SHOWN].clamp(0, 1).permute(0, 2, 3, 1).squeeze(-1).numpy()
    pictures.draw_reconstructions(
        data.test.images[:SHOWN],
        outputs,
        folder / "reconstructions.png",
        f"{name}: test images and, below each, the reconstruction; mean squared error {loss:.4f}",
    )
    lines = [f"test mean squared error {loss:.5f} over {len(images):,} images; without a network: "]
    lines[0] += ", ".join(floor.lines())
    results = {"mse": loss, "images": len(images), "grey": floor.grey, "mean_image": floor.mean}
    return Outcome(results | {f"pca_{floor.components}": floor.pca}, lines)


def pixels(data: ImageData) -> Tensor:
    """uint8 (N, C, H, W)."""
    images = torch.from_numpy(np.array(data.images))
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
