"""The lesson's autoencoder, why it does not train, and what cures it without touching a layer (lesson: L22, L23).

    python examples/autoencoder_cure.py [--dataset fashion-mnist] [--epochs 5] [--limit 10000]

Three trainings of one architecture, 28×28 pixels through 128 numbers. Beside the loss stand what a constant
grey and the mean image reach, and whether the output depends on the input at all.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sheetconv.data.sources import open_dataset
from sheetconv.nets import autoencoder
from sheetconv.train.callbacks import Device, OneCycle, StopAtNaN
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.callbacks.predict import capture_preds
from sheetconv.train.devices import choose_device
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders
from sheetconv.train.optimisers import optimiser


def loaders(dataset: str, limit: int | None) -> DataLoaders:
    """Batches whose target is the image itself."""
    data = {split: open_dataset(dataset, split) for split in ("train", "test")}
    for part in data.values():
        part.images, part.labels = part.images[:limit], part.labels[:limit]
    return DataLoaders.from_dd(data, batch_size=128, target="image")


def as_taught() -> nn.Module:
    return autoencoder()


def initialised() -> nn.Module:
    """Kaiming's initialisation keeps the size of activations through ReLUs, so that the input comes through."""
    model = autoencoder()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return model


def spread(preds: Tensor) -> float:
    """Standard deviation across images of an output pixel, averaged: 0 where the input does not matter."""
    return preds.std(0).mean().item()


def train(
    name: str, make: Callable[[], nn.Module], dls: DataLoaders, epochs: int, lr: float, opt: str, *cbs: Any
) -> None:
    torch.manual_seed(1)
    learn = Learner(
        make(), dls, F.mse_loss, lr, [Device(choose_device()), StopAtNaN(), Metrics()], optimiser(opt)
    )
    before = spread(capture_preds(learn).preds)
    learn.fit(epochs, cbs=cbs)
    after = spread(capture_preds(learn).preds)
    loss = learn.history[-1]["valid_loss"]
    print(f"{name:42} MSE {loss:.4f}   output varies by {before:.4f} before, {after:.4f} after training")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="builtin")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    dls = loaders(options.dataset, options.limit)
    x, _ = dls.train.sample(len(dls.train.images))
    y, _ = dls.valid.sample(len(dls.valid.images))
    print(f"a constant grey reaches {F.mse_loss(x.mean().expand_as(y), y):.4f}", end=", ")
    print(f"the mean image {F.mse_loss(x.mean(0).expand_as(y), y):.4f}")
    train("as taught: SGD at 0.01", as_taught, dls, options.epochs, 0.01, "sgd")
    train("Adam instead", as_taught, dls, options.epochs, 0.01, "adam")
    train(
        "Adam, Kaiming initialisation, one cycle", initialised, dls, options.epochs, 0.02, "adamw", OneCycle()
    )


if __name__ == "__main__":
    main()
