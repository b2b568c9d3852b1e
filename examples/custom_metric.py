"""A metric of one's own: the share of images whose class is among the three highest scores, and of each class.

python examples/custom_metric.py [--dataset mnist] [--limit 10000]
"""

import argparse

import torch
from torch import Tensor
from torch.nn import functional as F

from sheetconv.data.sources import open_dataset
from sheetconv.nets import simple_cnn
from sheetconv.train.callbacks import Device, Metrics, Progress
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders
from sheetconv.train.metrics import Accuracy, Metric


class TopAccuracy(Metric):
    """Overriding `calc` is enough: batches are weighted by their size, nothing is read back before the end."""

    def __init__(self, k: int) -> None:
        super().__init__(f"top_{k}_accuracy")
        self.k = k

    def calc(self, input: Tensor, target: Tensor) -> Tensor:
        best = input.topk(self.k, dim=1).indices
        return (best == target[:, None]).any(1).float().mean()


class WorstClassAccuracy:
    """Not a mean over batches, so it has the protocol of torchmetrics: reset, update, compute."""

    def reset(self) -> None:
        self.counts: list[Tensor] = []

    def update(self, preds: Tensor, target: Tensor) -> None:
        n = preds.shape[1]
        right = torch.where(preds.argmax(1) == target, target, n)  # those that are wrong count as class n
        hits = torch.zeros(n + 1, device=preds.device).scatter_add_(0, right, torch.ones_like(right).float())
        seen = torch.zeros(n, device=preds.device).scatter_add_(0, target, torch.ones_like(target).float())
        self.counts.append(torch.stack([hits[:n], seen]))

    def compute(self) -> float:
        hits, seen = torch.stack(self.counts).sum(0)
        return (hits / seen.clamp(min=1)).masked_fill(seen == 0, 1.0).min().item()


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
    metrics = Metrics(Accuracy(), TopAccuracy(3), worst_class_accuracy=WorstClassAccuracy())
    dls = DataLoaders.from_dd(data, batch_size=64)
    learn = Learner(
        simple_cnn(), dls, F.cross_entropy, 0.005, [Device(), metrics, Progress()], torch.optim.AdamW
    )
    learn.fit(options.epochs)


if __name__ == "__main__":
    main()
