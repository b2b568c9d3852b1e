"""From the loop written by hand to the Learner, in three steps that give the same numbers (lesson: L25 to L27).

python examples/learner_in_steps.py [--dataset mnist] [--epochs 1] [--limit 10000]
"""

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sheetconv.data.sources import open_dataset
from sheetconv.nets import simple_cnn
from sheetconv.train.callbacks import Device, Metrics, OneCycle, Progress, Recorder
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders
from sheetconv.train.metrics import Accuracy

LR = 0.02


def loaders(dataset: str, limit: int | None) -> DataLoaders:
    data = {split: open_dataset(dataset, split) for split in ("train", "test")}
    for part in data.values():
        part.images, part.labels = part.images[:limit], part.labels[:limit]
    return DataLoaders.from_dd(data, batch_size=64)


def by_hand(model: nn.Module, dls: DataLoaders, epochs: int) -> float:
    """Step 1: everything in one place, and everything to be written again for the next idea."""
    opt = torch.optim.AdamW(model.parameters(), LR)
    for _ in range(epochs):
        model.train()
        for x, y in dls.train:
            F.cross_entropy(model(x), y).backward()
            opt.step()
            opt.zero_grad()
        model.eval()
        with torch.no_grad():
            right = sum(int((model(x).argmax(1) == y).sum()) for x, y in dls.valid)
    return right / dls.valid.n_images


class BasicLearner:
    """Step 2: the loop taken apart, so that each part can be changed alone; what it shows is still built in."""

    def __init__(self, model: nn.Module, dls: DataLoaders) -> None:
        self.model, self.dls = model, dls

    def fit(self, epochs: int) -> None:
        self.opt = torch.optim.AdamW(self.model.parameters(), LR)
        for _ in range(epochs):
            self.one_epoch(True)
            with torch.no_grad():
                self.one_epoch(False)

    def one_epoch(self, train: bool) -> None:
        self.model.train(train)
        self.accuracy = Accuracy()
        for batch in self.dls.train if train else self.dls.valid:
            self.one_batch(batch, train)

    def one_batch(self, batch: tuple[Tensor, Tensor], train: bool) -> None:
        x, y = batch
        preds = self.model(x)
        loss = F.cross_entropy(preds, y)
        if train:
            loss.backward()
            self.opt.step()
            self.opt.zero_grad()
        self.accuracy.add(preds, y, len(x))


def with_callbacks(model: nn.Module, dls: DataLoaders) -> Learner:
    """Step 3: the loop knows nothing; device, metrics and progress are callbacks."""
    callbacks = [Device("cpu"), Metrics(Accuracy()), Progress()]
    return Learner(model, dls, F.cross_entropy, LR, callbacks, torch.optim.AdamW)


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return simple_cnn()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="builtin")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()

    found = by_hand(fresh(), loaders(options.dataset, options.limit), options.epochs)
    print(f"1. by hand: accuracy {found:.4f}")

    basic = BasicLearner(fresh(), loaders(options.dataset, options.limit))
    basic.fit(options.epochs)
    print(f"2. basic learner: accuracy {basic.accuracy.value:.4f}")

    print("3. learner with callbacks:")
    learn = with_callbacks(fresh(), loaders(options.dataset, options.limit))
    learn.fit(options.epochs)

    print("4. a further idea costs a word each:")
    learn.model = fresh()
    recorder = Recorder()
    learn.fit(options.epochs, cbs=[OneCycle(), recorder])
    print(f"the learning rate rose to {max(recorder.lr):.3g} and fell to {recorder.lr[-1]:.1g}")


if __name__ == "__main__":
    main()
