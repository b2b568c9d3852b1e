"""Small data that a network can learn, for all tests of the training engine."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders, ResidentLoader


def blobs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (n, 8, 8) images whose bright quarter is their class 0…3, int64 labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    images = rng.integers(0, 120, (n, 8, 8)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        y, x = 4 * (label // 2), 4 * (label % 2)
        image[y : y + 4, x : x + 4] += 100
    return images, labels.astype(np.int64)


def small_net() -> nn.Module:
    """A convolution with batch norm and dropout, so that buffers and random numbers are at work."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(64, 4),
    )


def loaders(n_train: int = 100, n_valid: int = 50, batch_size: int = 16, seed: int = 0) -> DataLoaders:
    train = ResidentLoader(*blobs(n_train, 1), batch_size, shuffle=True, seed=seed, n_classes=4)
    return DataLoaders(train, ResidentLoader(*blobs(n_valid, 2), batch_size, n_classes=4))


@pytest.fixture
def make_learner() -> Callable[..., Learner]:
    """A function that gives a seeded Learner of the small net: keywords are those of `loaders` and `Learner`."""

    def make(*cbs: Any, opt_func: Any = torch.optim.SGD, lr: float = 0.1, **data: Any) -> Learner:
        torch.manual_seed(3)
        return Learner(small_net(), loaders(**data), nn.functional.cross_entropy, lr, cbs, opt_func)

    return make
