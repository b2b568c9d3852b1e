"""What an autoencoder must beat: the error of three reconstructions that need no network.

Each is fitted on training images and measured on others, as mean squared error per pixel (pixels in 0…1).
The loss of a network that has learned nothing *is* the first of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 5000


@dataclass(frozen=True)
class Baselines:
    """Mean squared errors of the best constant grey, of the mean image, and of PCA with `components` numbers."""

    grey: float
    mean: float
    pca: float
    components: int

    def lines(self) -> list[str]:
        """One line each, for the terminal."""
        return [
            f"constant grey {self.grey:.4f}",
            f"mean image {self.mean:.4f}",
            f"PCA with {self.components} numbers {self.pca:.4f}",
        ]


def baselines(train: Tensor, valid: Tensor, components: int = 128) -> Baselines:
    """Fit on `train`, measure on `valid`: both uint8 (N, C, H, W).

    PCA is exact (eigenvectors of the pixels' covariance, in float64) and keeps at most as many components as
    there are pixels.
    """
    pixels = train[0].numel()
    components = min(components, pixels)
    total = torch.zeros(pixels, dtype=torch.float64)
    second = torch.zeros(pixels, pixels, dtype=torch.float64)
    for part in _parts(train):
        total += part.sum(0)
        second += part.T @ part
    mean = total / len(train)
    covariance = second / len(train) - mean[:, None] * mean
    axes = torch.linalg.eigh(covariance).eigenvectors[:, -components:]
    grey_error = mean_error = pca_error = 0.0
    for part in _parts(valid):
        away = part - mean
        grey_error += float((part - mean.mean()).square().sum())
        mean_error += float(away.square().sum())
        pca_error += float((away - away @ axes @ axes.T).square().sum())
    count = len(valid) * pixels
    return Baselines(grey_error / count, mean_error / count, pca_error / count, components)


def _parts(images: Tensor) -> Iterator[Tensor]:
    """Float64 (n, C·H·W) in 0…1, a few thousand images at a time."""
    for part in images.split(CHUNK):
        yield part.flatten(1).double() / 255
