"""Speed of the input pipeline and of the Learner: ratios of work that alternates in one process.

Used by training.py; each function measures one row for the folder with the hub's datasets.
"""

import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import learner_overhead
import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from turns import alternating

from sheetconv.data.decode import decode
from sheetconv.data.handwriting import digits
from sheetconv.data.sources import open_dataset
from sheetconv.nets import simple_cnn
from sheetconv.train.callbacks.device import Device
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.extras.memory import keep_memory
from sheetconv.train.loaders import ResidentLoader
from sheetconv.train.metrics import Accuracy

BATCH, PART = 256, 12_800


def ratio(one: list[float], other: list[float]) -> float:
    """Median over the rounds of the quotient."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def row(name: str, values: list[float], target: float, less: bool, command: str = "") -> dict[str, Any]:
    """A row as training.py keeps it: the median and every round."""
    value = statistics.median(values)
    return {
        "name": name,
        "value": value,
        "values": values,
        "target": f"{'≤' if less else '≥'} {target:g}",
        "held": value <= target if less else value >= target,
        "seeds": [],
        "command": command or "tests/benchmarks/training_speed.py",
    }


def step(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """Forward, backward, gradients forgotten."""
    F.cross_entropy(model(x), y).backward()
    model.zero_grad()


class Png:
    """The lesson's dataset: an item is decoded and made a tensor when it is asked for."""

    def __init__(self, table: Any) -> None:
        self.images = table["image"].combine_chunks().field("bytes")
        self.labels = table["label"].to_pylist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        image = Image.open(io.BytesIO(self.images[at].as_py()))
        return torch.from_numpy(np.array(image))[None].float() / 255, self.labels[at]


def _mnist(data: Path) -> tuple[ResidentLoader, DataLoader[Any], list[Any]]:
    table = pq.read_table(data / "mnist" / "train-00000-of-00001.parquet").slice(0, PART)
    found = open_dataset(str(data / "mnist"), "train")
    resident = ResidentLoader(found.images[:PART], found.labels[:PART], BATCH, shuffle=True)
    return resident, DataLoader(Png(table), BATCH, shuffle=True), list(resident)


def pipeline(data: Path) -> dict[str, Any]:
    """An epoch from the resident tensor over the pure work on the same batches."""
    resident, _, batches = _mnist(data)
    model = simple_cnn()
    ours, pure = alternating(
        lambda: [step(model, x, y) for x, y in resident], lambda: [step(model, x, y) for x, y in batches]
    )
    values = [a / b for a, b in zip(ours, pure, strict=True)]
    return row("epoch of the simple CNN over its pure forward and backward", values, 1.10, True)


def against_lesson(data: Path) -> dict[str, Any]:
    """The lesson's loader (an image decoded when it is asked for) over ours, each with the training step.

    Ours is what `sheetconv train` does: channels last. Memory is kept for both, since they share a process.
    """
    keep_memory()
    resident, lesson, _ = _mnist(data)
    model = simple_cnn()
    ours = simple_cnn().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    slow, fast = alternating(
        lambda: [step(model, x, y) for x, y in lesson],
        lambda: [step(ours, x.contiguous(memory_format=torch.channels_last), y) for x, y in resident],
        rounds=7,
    )
    values = [a / b for a, b in zip(slow, fast, strict=True)]
    return row("times as fast as the lesson's loop", values, 4, False)


def data_side(data: Path) -> dict[str, Any]:
    """The same without the training step."""
    resident, lesson, _ = _mnist(data)
    slow, fast = alternating(
        lambda: [None for _ in lesson], lambda: [None for _ in range(10) for _ in resident], rounds=3
    )
    values = [10 * a / b for a, b in zip(slow, fast, strict=True)]
    return row("times as fast as the lesson's loader, data side alone", values, 80, False)


def decoding(folder: str, target: float) -> Callable[[Path], dict[str, Any]]:
    """Decoding of a dataset's PNGs over Pillow's time."""

    def measure(data: Path) -> dict[str, Any]:
        table = pq.read_table(data / folder / "train-00000-of-00001.parquet")
        blobs = table["image"].combine_chunks().field("bytes").to_pylist()
        ours, pillow = alternating(
            lambda: decode(blobs),
            lambda: np.stack([np.asarray(Image.open(io.BytesIO(b))) for b in blobs]),
            rounds=3,
        )
        values = [a / b for a, b in zip(ours, pillow, strict=True)]
        return row(f"decoding {folder}, share of Pillow's time", values, target, True)

    return measure


def cached_start(data: Path) -> dict[str, Any]:
    """Wall seconds until a decoded dataset is at hand."""
    with tempfile.TemporaryDirectory() as cache:
        before = os.environ.get("SHEETCONV_CACHE")
        os.environ["SHEETCONV_CACHE"] = cache
        try:
            open_dataset(str(data / "mnist"), "train")
            values = []
            for _ in range(7):
                start = time.perf_counter()
                open_dataset(str(data / "mnist"), "train")
                values.append(time.perf_counter() - start)
        finally:
            os.environ.pop("SHEETCONV_CACHE")
            if before is not None:
                os.environ["SHEETCONV_CACHE"] = before
    return row("cached start, s", values, 0.05, True)


def generator(data: Path) -> dict[str, Any]:
    """Handwriting drawn per CPU second on one thread."""
    (spent,) = alternating(lambda: digits(5000, 1))
    return row("handwriting, images per s", [5000 / s for s in spent], 15_000, False)


def overhead(data: Path) -> dict[str, Any]:
    """Microseconds that the Learner with device and metrics adds to a batch of a hand-written loop, three times."""
    batches = [(torch.randn(8, 4), torch.randint(0, 3, (8,)))] * learner_overhead.BATCHES
    callbacks = Device("cpu"), Metrics(Accuracy())
    values = []
    for _ in range(3):
        works = {
            "hand": learner_overhead.by_hand(batches),
            "ours": learner_overhead.learner(batches, *callbacks),
        }
        found = learner_overhead.in_turns(works)
        values.append(found["ours"] - found["hand"])
    return row("Learner's overhead with metrics, µs a batch", values, 25, True)


ROWS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "epoch of the simple CNN over its pure forward and backward": pipeline,
    "times as fast as the lesson's loop": against_lesson,
    "times as fast as the lesson's loader, data side alone": data_side,
    "decoding mnist, share of Pillow's time": decoding("mnist", 0.4),
    "decoding fashion_mnist, share of Pillow's time": decoding("fashion_mnist", 0.65),
    "cached start, s": cached_start,
    "Learner's overhead with metrics, µs a batch": overhead,
    "handwriting, images per s": generator,
}
