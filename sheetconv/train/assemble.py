"""From a recipe to a Learner: loaders, loss, optimiser, schedule, augmentation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sheetconv.data.sources import ImageData
from sheetconv.errors import UsageError
from sheetconv.train import augment
from sheetconv.train.callback import Callback
from sheetconv.train.callbacks.average import WeightAveraging
from sheetconv.train.callbacks.batch import BatchTransform
from sheetconv.train.callbacks.device import Device
from sheetconv.train.callbacks.flip import AlternatingFlip
from sheetconv.train.callbacks.fresh import FreshHandwriting
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.callbacks.precision import MixedPrecision
from sheetconv.train.callbacks.recorder import Recorder, StopAtNaN
from sheetconv.train.callbacks.schedule import CURVES, Schedule
from sheetconv.train.extras.skip import SkipEasy
from sheetconv.train.extras.winograd_callback import Winograd
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders, ResidentLoader
from sheetconv.train.metrics import Accuracy
from sheetconv.train.optimisers import optimiser
from sheetconv.train.prepare import Data
from sheetconv.train.recipes import Recipe


def make_learner(
    recipe: Recipe,
    model: nn.Module,
    data: Data,
    seed: int = 0,
    device: torch.device | str = "cpu",
    amp: str = "off",
    convolutions: str = "torch",
    after: int = 0,
) -> Learner:
    """A Learner that trains `model` on `data` as the recipe says, without anything that writes or prints.

    The schedule begins `after` so many epochs.
    """
    n_classes = len(data.train.class_names)
    dls = DataLoaders(
        loader(recipe, data.train, n_classes, shuffle=True, seed=seed), loader(recipe, data.valid, n_classes)
    )
    callbacks: list[Callback] = [
        Device(device, recipe.channels_last),
        Metrics(*([Accuracy()] if recipe.task == "classify" else [])),
        StopAtNaN(),
        Recorder(),
        Schedule(_curve(recipe), after),
    ]
    if recipe.fresh and recipe.dataset == "builtin":
        callbacks.append(FreshHandwriting(seed))
    if transforms := _transforms(recipe):
        callbacks.append(BatchTransform(*transforms))
    if recipe.flip:
        callbacks.append(AlternatingFlip(seed))
    if recipe.skip_easy:
        callbacks.append(SkipEasy(recipe.skip_easy))
    if recipe.average:
        callbacks.append(WeightAveraging(recipe.average))
    if amp != "off":
        callbacks.append(MixedPrecision(amp))
    if convolutions == "winograd":
        callbacks.append(Winograd())
    return Learner(
        model, dls, make_loss(recipe), recipe.lr, callbacks, optimiser(recipe.opt, **_settings(recipe))
    )


def check(recipe: Recipe) -> None:
    """Raise `UsageError` for an optimiser or a schedule that does not exist, before any long work."""
    _curve(recipe)
    optimiser(recipe.opt)


def _curve(recipe: Recipe) -> Callable[[float], float]:
    if recipe.schedule not in CURVES:
        raise UsageError(f"unknown schedule {recipe.schedule!r}; choose one of {', '.join(CURVES)}")
    warms = {"warm_up": recipe.warm_up} if recipe.schedule in ("one-cycle", "linear") else {}
    return CURVES[recipe.schedule](**warms)


def _settings(recipe: Recipe) -> dict[str, Any]:
    """What the optimiser is given beside parameters and learning rate."""
    settings: dict[str, Any] = {"weight_decay": recipe.weight_decay}
    if recipe.opt == "muon":
        settings |= {"momentum": recipe.momentum, "adam_ratio": recipe.adam_ratio}
    elif recipe.opt in ("momentum", "rmsprop"):
        settings["momentum"] = recipe.momentum
    return settings


def make_loss(recipe: Recipe) -> Callable[..., torch.Tensor]:
    """Mean squared error to reconstruct, else cross-entropy with the recipe's label smoothing."""
    if recipe.task == "reconstruct":
        return nn.functional.mse_loss
    return SmoothedCrossEntropy(recipe.label_smoothing)


class SmoothedCrossEntropy:
    """Cross-entropy with label smoothing while gradients are wanted, without it for validation."""

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        """The mean over the batch, or each image's own with `reduction="none"`."""
        smoothing = self.smoothing if torch.is_grad_enabled() else 0.0
        return nn.functional.cross_entropy(logits, labels, reduction=reduction, label_smoothing=smoothing)


def loader(
    recipe: Recipe, part: ImageData, n_classes: int, *, shuffle: bool = False, seed: int = 0
) -> ResidentLoader:
    """Batches of the recipe's size, with the image itself as the target where the task is to reconstruct it."""
    target = "image" if recipe.task == "reconstruct" else "label"
    return ResidentLoader(
        part.images,
        part.labels,
        recipe.batch_size,
        shuffle=shuffle,
        seed=seed,
        target=target,
        n_classes=n_classes,
    )


def _transforms(recipe: Recipe) -> list[augment.Transform]:
    found = []
    if recipe.affine:
        degrees = math.degrees(recipe.affine)
        found.append(augment.random_affine(degrees, recipe.affine, recipe.affine, recipe.shift))
    elif recipe.shift:
        found.append(augment.random_shift(recipe.shift))
    if recipe.erase:
        found.append(augment.random_erase(recipe.erase))
    return found
