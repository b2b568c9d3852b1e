"""A network's answer for single pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sheetconv.back.network import BookNetwork
from sheetconv.data.image import array_input, digit_from_image
from sheetconv.errors import ModelError

_DIGIT = (1, 28, 28)


@dataclass
class Prediction:
    """Of one picture: classes by falling probability; an autoencoder has a squared error instead."""

    image: str
    classes: list[str]
    probabilities: list[float]
    squared_error: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        ranked = [
            {"class": c, "probability": p} for c, p in zip(self.classes, self.probabilities, strict=True)
        ]
        if self.squared_error is not None:
            return {"image": self.image, "mean_squared_error": self.squared_error}
        return {"image": self.image, "prediction": self.classes[0], "classes": ranked}

    def line(self) -> str:
        """One line: the most probable classes, at most three."""
        if self.squared_error is not None:
            return f"{self.image}: reconstructed with a mean squared error of {self.squared_error:.6f}"
        pairs = list(zip(self.classes, self.probabilities, strict=True))[:3]
        return f"{self.image}: " + ", ".join(f"{name} {chance:.2%}" for name, chance in pairs)


def predict(network: BookNetwork, files: Sequence[Path]) -> list[Prediction]:
    """Answers for picture files (or .npy arrays), in their order."""
    shape = network.shape or _DIGIT
    images = torch.stack([torch.from_numpy(_pixels(path, shape)) for path in files])
    outputs = network.outputs(images)
    return [_prediction(str(p), x, y, network) for p, x, y in zip(files, images, outputs, strict=True)]


def _pixels(path: Path, shape: tuple[int, ...]) -> Any:
    if shape == _DIGIT and path.suffix != ".npy":
        return digit_from_image(path).reshape(shape)
    return array_input(path, shape).reshape(shape)


def _prediction(name: str, image: torch.Tensor, output: torch.Tensor, network: BookNetwork) -> Prediction:
    if output.shape == image.shape:
        return Prediction(name, [], [], float((output - image).square().mean()))
    if output.ndim != 1 or not torch.isfinite(output).all():
        raise ModelError(
            f"{network.name} gives {tuple(output.shape)} numbers for {name}; one score per class is expected"
        )
    chances, order = output.softmax(0).sort(descending=True)
    names = [network.classes[i] if i < len(network.classes) else str(i) for i in order.tolist()]
    return Prediction(name, names, chances.tolist())
