"""A finished training run as a workbook shows it: network, history, and what it does with the test images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from sheetconv.back.network import BookNetwork, open_network
from sheetconv.back.score import pixels
from sheetconv.data.sources import ImageData, open_dataset
from sheetconv.errors import ModelError, UsageError
from sheetconv.train.folder import EPOCHS, MODEL, is_run, read_history, read_run

FIGURES = ("train_loss", "valid_loss", "accuracy", "lr")
WORST = 6


@dataclass
class Mistake:
    """A test image that the network got wrong: its number, pixels (H, W), true and predicted class, probability."""

    number: int
    image: np.ndarray
    truth: str
    guess: str
    probability: float


@dataclass
class RunData:
    """What the page of a run shows; `history` (epochs, figures) with NaN where a figure was not taken."""

    folder: Path
    recipe: str
    net: str
    dataset: str
    classes: list[str]
    figures: list[str]
    history: np.ndarray
    confusion: np.ndarray | None
    mistakes: list[Mistake]
    probabilities: np.ndarray | None
    epochs: list[Path] = field(default_factory=list)

    def states(self) -> list[dict[str, np.ndarray]]:
        """The weights after each epoch, float64 by name. Raises `ModelError` for a file that is damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        found = []
        for path in self.epochs:
            try:
                found.append({k: v.astype(np.float64) for k, v in load_file(path).items()})
            except (SafetensorError, OSError, ValueError) as error:
                raise ModelError(f"{path} is not a safetensors file: {error}") from error
            if {k: v.shape for k, v in found[-1].items()} != {k: v.shape for k, v in found[0].items()}:
                raise ModelError(
                    f"{path} holds other tensors than {self.epochs[0].name}; it is of another run"
                )
        return found

    @property
    def weights(self) -> Path:
        """The weights at the end."""
        return self.folder / MODEL


def open_run(folder: Path) -> RunData:
    """Read a run's folder and ask its network about all of its test images.

    Raises `UsageError` for a folder that holds no run, and the errors of its network and data.
    """
    if not is_run(folder):
        raise UsageError(f"{folder} is no folder of a training run (it has no run.json of ours)")
    about = read_run(folder)
    settings = about.get("settings")
    if not isinstance(settings, dict) or not all(
        isinstance(settings.get(k), str) for k in ("net", "dataset")
    ):
        raise ModelError(f"{folder}/run.json does not say which network and data it is of; train again")
    dataset = settings.get("test_dataset") or settings["dataset"]
    figures, history = _history(folder)
    network = open_network(str(folder))
    data = open_dataset(dataset, "test")
    limit = about.get("limit")
    count = min(len(data.images), limit) if isinstance(limit, int) and limit > 0 else len(data.images)
    found = RunData(
        folder,
        str(about.get("recipe", "")),
        settings["net"],
        dataset,
        list(data.class_names),
        figures,
        history,
        None,
        [],
        None,
    )
    found.epochs = sorted((folder / EPOCHS).glob("[0-9]*.safetensors"))
    if settings.get("task") != "reconstruct":
        _classified(found, network, data, count)
    return found


def _history(folder: Path) -> tuple[list[str], np.ndarray]:
    rows = read_history(folder)
    figures = [f for f in FIGURES if any(isinstance(row.get(f), int | float) for row in rows)]
    values = [
        [float(row[f]) if isinstance(row.get(f), int | float) else np.nan for f in figures] for row in rows
    ]
    return figures, np.array(values, dtype=np.float64).reshape(len(rows), len(figures))


def _classified(found: RunData, network: BookNetwork, data: ImageData, count: int) -> None:
    parts = [network.outputs(part) for part in pixels(data.images[:count]).split(2048)]
    outputs = torch.cat(parts)
    if outputs.ndim != 2 or outputs.shape[1] < len(found.classes):
        raise ModelError(f"{found.folder}: its network gives no score per class of {data.source}")
    chances = outputs.softmax(1).numpy()
    truth, guess = np.asarray(data.labels[:count], dtype=np.int64), chances.argmax(1)
    known = guess < len(found.classes)
    found.confusion = np.zeros((len(found.classes),) * 2)
    np.add.at(found.confusion, (truth[known], guess[known]), 1)
    wrong = np.flatnonzero((truth != guess) & known)
    sure = chances.max(1)
    for number in wrong[np.argsort(-sure[wrong], kind="stable")][:WORST].tolist():
        image = np.asarray(data.images[number], dtype=np.float64) / 255
        image = image if image.ndim == 2 else image.mean(-1)
        names = found.classes[truth[number]], found.classes[guess[number]]
        found.mistakes.append(Mistake(number, image, *names, float(sure[number])))
    found.probabilities = chances
