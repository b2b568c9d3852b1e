"""From a recipe to tensors and a network: which images train, which validate, which test; does the net fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sheetconv.data.folder import splits_at
from sheetconv.data.sources import DATASETS, ImageData, open_dataset
from sheetconv.errors import DataError, ModelError, TrainingError
from sheetconv.models import load_model, load_weights
from sheetconv.train.extras.starts import initialise
from sheetconv.train.plain import PLAIN, plain
from sheetconv.train.recipes import Recipe
from sheetconv.train.state import random_kept


@dataclass
class Data:
    """Three sets of images: to train on, held out from them, and to test on once."""

    train: ImageData
    valid: ImageData
    test: ImageData

    def lines(self) -> list[str]:
        """What was taken, for the terminal."""
        kept = "from the cache" if self.train.cached else "decoded now, cached for the next time"
        size = "×".join(map(str, self.train.images.shape[1:]))
        return [
            f"{self.train.source} ({size}, {kept})",
            f"{len(self.train.images):,} to train on, {len(self.valid.images):,} held out to validate on",
            f"{len(self.test.images):,} to test on once at the end ({self.test.source})",
        ]


def prepare_data(recipe: Recipe, limit: int | None = None) -> Data:
    """Open the recipe's dataset and divide its training split.

    Which images are held out, and which are left when `limit` takes fewer, does not depend on the seed of the
    run; the choice is random, since the images of a folder come sorted by class. Raises `DataError` and
    `UsageError` of the dataset, `TrainingError` where too few images are left.
    """
    column = recipe.label_column or None
    whole = open_dataset(recipe.dataset, "train", column)
    tested = recipe.test_dataset or recipe.dataset
    if _has_test(tested):
        test = _part(open_dataset(tested, "test", column), slice(None, limit))
    else:
        whole, test = _divided(whole, limit)
    order = np.random.default_rng(0).permutation(len(whole.images))[:limit]
    held_out = min(recipe.held_out, len(order) // 5)
    if held_out < 1 or len(order) - held_out < 2:
        raise TrainingError(
            f"{whole.source}: {len(order)} images are too few to train and validate on; give at least 5"
        )
    if whole.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"images to train on are {_size(whole)}, those to test on {_size(test)}; both need one size and kind"
        )
    if len(test.class_names) > len(whole.class_names):
        raise DataError(
            f"{test.source} has {len(test.class_names)} classes, the training images {len(whole.class_names)}"
        )
    valid, train = np.sort(order[:held_out]), np.sort(order[held_out:])
    return Data(_part(whole, train), _part(whole, valid), test)


def _has_test(dataset: str) -> bool:
    """Whether there are images to test on: only folders of one's own may come without."""
    path = Path(dataset).expanduser()
    return dataset in DATASETS or not path.exists() or "test" in splits_at(path)


def _divided(whole: ImageData, limit: int | None) -> tuple[ImageData, ImageData]:
    """A sixth of the images, drawn by a fixed seed whatever the run's, to test on; the others to train on."""
    order = np.random.default_rng(1).permutation(len(whole.images))
    cut = max(1, len(order) // 6)
    test = _part(whole, np.sort(order[:cut])[:limit])
    named = f"a sixth of {whole.source}, drawn at random since it has no split to test on"
    return _part(whole, np.sort(order[cut:])), replace(test, source=named)


def _part(data: ImageData, rows: np.ndarray | slice) -> ImageData:
    return replace(data, images=data.images[rows], labels=data.labels[rows])


def _size(data: ImageData) -> str:
    return "×".join(map(str, data.images.shape[1:]))


def prepare_net(recipe: Recipe, seed: int, data: Data, weights: Path | None = None) -> nn.Module:
    """The recipe's network with weights drawn from `seed` or read from a file, proven to fit the images and the task.

    Raises `ModelError` and `UsageError` of the model, `TrainingError` for images or classes that do not fit.
    """
    with random_kept():
        torch.manual_seed(seed)
        module, shape = _network(recipe, data)
        if shape is not None and tuple(shape) != image_shape(data.train):
            raise TrainingError(
                f"the network {recipe.net} takes images of {_sizes(shape)} (channels×height×width), {data.train.source}"
                f" has {_sizes(image_shape(data.train))}; give --model plain (a network made for the size), another"
                " --dataset or --model file.py:name"
            )
        initialise(module, recipe.init, _sample(data.train))
        if weights is not None:
            load_weights(module, weights)
    out = _trial(module, recipe, data)
    if recipe.task == "reconstruct":
        if tuple(out[1:]) != image_shape(data.train):
            raise TrainingError(
                f"{recipe.net} gives {_sizes(out[1:])} for images of {_sizes(image_shape(data.train))};"
                " an autoencoder must give back an image of the same size"
            )
    elif len(out) != 2 or out[1] < len(data.train.class_names):
        raise TrainingError(
            f"{recipe.net} gives {_sizes(out[1:])} numbers per image, {data.train.source} has"
            f" {len(data.train.class_names)} classes; give --model plain or a network with one logit per class"
        )
    return module


def _network(recipe: Recipe, data: Data) -> tuple[nn.Module, tuple[int, ...] | None]:
    if recipe.net == PLAIN:
        shape = image_shape(data.train)
        return plain(*shape, len(data.train.class_names)), shape
    return load_model(recipe.net, trusted=True)


def image_shape(data: ImageData) -> tuple[int, int, int]:
    """(C, H, W) of one image."""
    height, width, *channels = data.images.shape[1:]
    return (channels[0] if channels else 1, height, width)


def _sample(data: ImageData) -> torch.Tensor:
    """The first images as a network sees them, float (N, C, H, W) in 0…1."""
    images = torch.from_numpy(np.array(data.images[:256])).float() / 255
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)


def _trial(module: nn.Module, recipe: Recipe, data: Data) -> torch.Size:
    """The shape of the output for two images; a network that fails on them is the user's to mend."""
    training = module.training
    try:
        with torch.no_grad():
            out: torch.Tensor = module.eval()(torch.zeros(2, *image_shape(data.train)))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{recipe.net} fails on images of {_sizes(image_shape(data.train))}: {type(error).__name__}: {reason}"
        ) from error
    finally:
        module.train(training)
    if not isinstance(out, torch.Tensor):
        raise ModelError(f"{recipe.net} returns a {type(out).__name__}; it must return one tensor")
    return out.shape


def _sizes(shape: tuple[int, ...] | torch.Size) -> str:
    return "×".join(map(str, shape)) or "one"
