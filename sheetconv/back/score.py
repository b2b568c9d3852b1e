"""How good a network is on a whole set of images: loss, accuracy, confusion matrix; or the squared error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sheetconv.back.network import BookNetwork
from sheetconv.data.sources import ImageData
from sheetconv.errors import DataError, ModelError, UsageError
from sheetconv.files import replacing


@dataclass
class Score:
    """What came out on `images` images; `confusion` counts true classes down, predicted classes across.

    `accuracy` and `confusion` are None for an autoencoder, whose `loss` is the mean squared error.
    """

    network: str
    data: str
    images: int
    loss: float
    accuracy: float | None
    confusion: np.ndarray | None
    classes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        counts = None if self.confusion is None else self.confusion.tolist()
        return {**self.__dict__, "confusion": counts}

    def table(self) -> str:
        """Lines of text."""
        lines = [f"{self.network} on {self.data}: {self.images:,} images"]
        if self.confusion is None or self.accuracy is None:
            return "\n".join([*lines, f"mean squared error {self.loss:.6f}"])
        error = float(np.sqrt(self.accuracy * (1 - self.accuracy) / self.images))
        lines.append(f"accuracy {self.accuracy:.2%} ± {error:.2%}, cross-entropy {self.loss:.6f}")
        width = max(6, *(len(c) + 1 for c in self.classes), len(f"{self.confusion.max()}") + 1)
        first = max(4, *(len(c) for c in self.classes))
        lines += [
            "",
            f"{'true':{first}}  predicted",
            f"{'':{first}}" + "".join(f"{c:>{width}}" for c in self.classes),
        ]
        for name, row in zip(self.classes, self.confusion.tolist(), strict=True):
            lines.append(f"{name:{first}}" + "".join(f"{n or '·':>{width}}" for n in row))
        return "\n".join(lines)

    def write_csv(self, path: Path, *, force: bool = False) -> None:
        """The confusion matrix with its classes, or the one figure of an autoencoder."""
        import csv

        with (
            replacing(path, force=force) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.writer(stream)
            if self.confusion is None:
                writer.writerows([["images", "mean squared error"], [self.images, repr(self.loss)]])
                return
            writer.writerow(["true \\ predicted", *self.classes])
            writer.writerows(
                [name, *row] for name, row in zip(self.classes, self.confusion.tolist(), strict=True)
            )

    def draw(self, path: Path, *, force: bool = False) -> None:
        """The confusion matrix as a picture; raises `UsageError` where there is none."""
        from sheetconv.train.pictures import draw_confusion

        if self.confusion is None or self.accuracy is None:
            raise UsageError("an autoencoder has no confusion matrix; leave --png out")
        title = f"{Path(self.network).name}: {self.accuracy:.2%} of {self.images:,} images"
        with replacing(path, force=force) as temporary:
            draw_confusion(self.confusion, self.classes, temporary, title)


def score(network: BookNetwork, data: ImageData) -> Score:
    """Run the network on all images of `data` in float64.

    Raises `ModelError` where its outputs are neither one score per class nor an image of the same size.
    """
    images = pixels(data.images)
    found = [(network.outputs(part), part) for part in images.split(2048)]
    outputs = torch.cat([out for out, _ in found])
    if not torch.isfinite(outputs).all():
        raise ModelError(
            f"{network.name} gives outputs that are no finite numbers; there is nothing to score"
        )
    if outputs.shape == images.shape:
        loss = float((outputs - images).square().mean())
        return Score(network.name, data.source, len(images), loss, None, None, [])
    if outputs.ndim != 2 or outputs.shape[1] < len(data.class_names):
        raise ModelError(
            f"{network.name} gives {'×'.join(map(str, outputs.shape[1:]))} numbers for an image; {data.source} has "
            f"{len(data.class_names)} classes"
        )
    truth = torch.from_numpy(np.array(data.labels, dtype=np.int64))
    loss = float(torch.nn.functional.cross_entropy(outputs, truth))
    guess = outputs.argmax(1)
    classes = _names(data.class_names, outputs.shape[1])
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (truth.numpy(), guess.numpy()), 1)
    accuracy = float((guess == truth).double().mean())
    return Score(network.name, data.source, len(images), loss, accuracy, counts, classes)


def _names(known: list[str], count: int) -> list[str]:
    return [known[i] if i < len(known) else str(i) for i in range(count)]


def pixels(images: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W) or (N, H, W, C) as float64 (N, C, H, W) in 0…1."""
    if not len(images):
        raise DataError("there are no images to run on")
    values = torch.from_numpy(np.array(images)).to(torch.float64) / 255
    return values[:, None] if values.ndim == 3 else values.permute(0, 3, 1, 2).contiguous()
