"""A callback of one's own: the gradients' norm of every step, its figure in the table, a stop when it explodes.

python examples/custom_callback.py [--dataset mnist] [--limit 10000]
"""

import argparse

import torch
from torch.nn import functional as F

from sheetconv.data.sources import open_dataset
from sheetconv.errors import TrainingError
from sheetconv.nets import simple_cnn
from sheetconv.train.callback import Callback, CancelFitException
from sheetconv.train.callbacks import Device, Metrics, Progress
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders
from sheetconv.train.metrics import Accuracy, Metric


class GradientNorm(Callback):
    """Adds `gradient_norm` to the epoch's row, and ends the fit when its mean is above `most`."""

    order = 40  # before Progress prints the row

    def __init__(self, most: float = 100.0) -> None:
        self.most, self.mean = most, Metric()

    def before_epoch(self, learn: Learner) -> None:
        """A new mean each pass."""
        self.mean.reset()

    def after_backward(self, learn: Learner) -> None:
        """The norm over all parameters; it stays on the device, so no batch waits for it."""
        grads = [p.grad for p in learn.model.parameters() if p.grad is not None]
        self.mean.add(torch.nn.utils.get_total_norm(grads))

    def after_epoch(self, learn: Learner) -> None:
        """Into the row, where Progress and the history find it."""
        if learn.training:
            learn.row["gradient_norm"] = self.mean.value
            if self.mean.value > self.most:
                raise CancelFitException


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="builtin")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    data = {split: open_dataset(options.dataset, split) for split in ("train", "test")}
    for part in data.values():
        part.images, part.labels = part.images[: options.limit], part.labels[: options.limit]
    torch.manual_seed(0)
    callbacks = [Device(), Metrics(Accuracy()), GradientNorm(), Progress()]
    dls = DataLoaders.from_dd(data, batch_size=64)
    Learner(simple_cnn(), dls, F.cross_entropy, 0.005, callbacks, torch.optim.AdamW).fit(options.epochs)

    try:  # a misspelt hook would never run; so it is an error where the class is defined
        type("Misspelt", (Callback,), {"after_batches": lambda self, learn: None})
    except TrainingError as error:
        print(f"\nwhat a typing mistake gives: {error}")


if __name__ == "__main__":
    main()
