"""What the Learner adds to a batch of a loop written by hand: bare, with device and metrics, with progress.

The loops run in turns, an epoch of 235 batches each, and each is compared with the hand-written one before and after it
(CPU time of one thread); the median difference is told, since the machine's speed changes from second to second.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/learner_overhead.py
"""

import statistics
import tempfile
from collections.abc import Callable
from itertools import pairwise
from operator import sub
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from turns import alternating

from sheetconv.train.callbacks.device import Device
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.callbacks.progress import Progress
from sheetconv.train.callbacks.recorder import Recorder, StopAtNaN
from sheetconv.train.callbacks.schedule import OneCycle
from sheetconv.train.callbacks.train import Train
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders
from sheetconv.train.metrics import Accuracy

BATCHES, ROUNDS = 235, 40  # as many batches as an epoch of 60,000 images has by 256


def by_hand(data: list[Any]) -> Callable[[], None]:
    model = nn.Linear(4, 3)
    opt = torch.optim.SGD(model.parameters(), 0.01)

    def loop() -> None:
        model.train()
        for x, y in data:
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            opt.zero_grad()

    return loop


def learner(data: list[Any], *cbs: Any) -> Callable[[], None]:
    learn = Learner(nn.Linear(4, 3), DataLoaders(data), F.cross_entropy, 0.01, cbs)
    return lambda: learn.fit(1)


def in_turns(works: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Microseconds a batch: the first work's median, and that plus the median of what each other one adds to it.

    A round's times are compared with the first work's in that round and the next, between which they lie.
    """
    first, *others = alternating(*works.values(), rounds=ROUNDS)
    base = [(before + after) / 2 for before, after in pairwise(first)]
    added = [0.0, *(statistics.median(map(sub, times, base)) for times in others)]
    hand = statistics.median(first)
    return {name: (hand + more) / BATCHES * 1e6 for name, more in zip(works, added, strict=True)}


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    data = [(torch.randn(8, 4), torch.randint(0, 3, (8,)))] * BATCHES
    with tempfile.TemporaryFile("w") as quiet:
        device = Device("cpu")
        found = in_turns(
            {
                "by hand": by_hand(data),
                "bare": learner(data),
                "Train": learner(data, Train()),
                "Device, Metrics of the loss": learner(data, device, Metrics(Accuracy())),
                "Device, Metrics of loss and accuracy": learner(
                    data, device, Metrics(Accuracy(), on_train=True)
                ),
                "and Progress": learner(data, device, Metrics(Accuracy(), on_train=True), Progress(quiet)),
                "Device, Metrics, StopAtNaN, Recorder, OneCycle": learner(
                    data, device, Metrics(Accuracy()), StopAtNaN(), Recorder(), OneCycle()
                ),
            }
        )
    print(f"torch {torch.__version__}\n\n| loop | µs a batch | over by hand |\n|---|---|---|")
    for name, spent in found.items():
        print(f"| {name} | {spent:.1f} | {spent - found['by hand']:.1f} |")


if __name__ == "__main__":
    main()
