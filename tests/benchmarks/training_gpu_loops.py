"""Loops and steps timed on a GPU, in turns and warm, waited for by the device's own events. Used by training_gpu.py."""

from __future__ import annotations

import io
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from sheetconv.data.sources import open_dataset
from sheetconv.nets import seeded
from sheetconv.train.callbacks.device import Device
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.devices import wait_for
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders, ResidentLoader

FOLDERS = {"mnist": "mnist", "fashion-mnist": "fashion_mnist"}
Line = dict[str, Any]


@dataclass
class Given:
    """What the command line said, and the device."""

    data: Path
    out: Path
    device: torch.device
    limit: int | None = None
    epochs: int | None = None


def place(dataset: str, given: Given) -> str:
    return str(given.data / FOLDERS[dataset]) if dataset in FOLDERS else dataset


class Png:
    """The lesson's dataset: an image is decoded and made a tensor when it is asked for."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.labels = labels.tolist()
        self.files = []
        for image in images:
            Image.fromarray(image).save(file := io.BytesIO(), "png")
            self.files.append(file.getvalue())

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        image = Image.open(io.BytesIO(self.files[at]))
        return torch.from_numpy(np.array(image))[None].float() / 255, self.labels[at]


def against_the_lesson(given: Given) -> Line:
    """Epochs of the simple CNN, in turns and warm: the lesson's loop (PNGs, with and without workers), and ours."""
    found = open_dataset(place("mnist", given), "train")
    n = given.limit or 12_800
    images, labels = found.images[:n], found.labels[:n]
    device, data, loss = given.device, Png(images, labels), nn.functional.cross_entropy

    def lessons(workers: int) -> Callable[[], None]:
        batches = DataLoader(data, 256, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
        model = seeded("simple-cnn").to(device)
        opt = torch.optim.SGD(model.parameters(), 0.1)

        def epoch() -> None:
            for x, y in batches:
                loss(model(x.to(device)), y.to(device)).backward()
                opt.step()
                opt.zero_grad()

        return epoch

    resident = ResidentLoader(images, labels, 256, shuffle=True, device=device)
    learn = Learner(seeded("simple-cnn"), DataLoaders(resident), loss, 0.1, [Device(device), Metrics()])
    works = {"0 workers": lessons(0), "4 workers": lessons(4), "ours": lambda: learn.fit(1, valid=False)}
    spent: dict[str, list[float]] = {name: [] for name in works}
    for number in range(4):
        for name, work in works.items():
            wait_for(device)
            start = time.perf_counter()
            work()
            wait_for(device)
            if number:  # the first turn warms up
                spent[name].append(time.perf_counter() - start)
    seconds = {name: statistics.median(times) for name, times in spent.items()}
    best = min(seconds["0 workers"], seconds["4 workers"])
    return {
        "value": best / seconds["ours"],
        "wanted": 40,
        "held": best / seconds["ours"] >= 40,
        "images_per_s": n / seconds["ours"],
        "epoch_ms": {name: round(1000 * s, 2) for name, s in seconds.items()},
        "rounds_ms": {name: [round(1000 * t, 2) for t in times] for name, times in spent.items()},
    }


def waiting(given: Given) -> Line:
    """The share of an epoch in which the device has no step to compute, by the device's own events.

    From the end of a step to the beginning of the next one lies the loader's work, and any wait for the program.
    """
    found = open_dataset(place("fashion-mnist", given), "train")
    n = given.limit or 60_000
    loader = ResidentLoader(found.images[:n], found.labels[:n], 512, shuffle=True, device=given.device)
    model = seeded("fashion-cnn-wide").to(given.device)
    opt = torch.optim.SGD(model.parameters(), 0.01)
    marks: list[tuple[Any, Any]] = []
    for _ in range(2):
        marks.clear()
        for x, y in loader:
            begin = _mark(given.device)
            F.cross_entropy(model(x), y).backward()
            opt.step()
            opt.zero_grad()
            marks.append((begin, _mark(given.device)))
        wait_for(given.device)
    whole = _between(marks[0][0], marks[-1][1])
    apart = sum(_between(a[1], b[0]) for a, b in itertools.pairwise(marks))
    return {"value": apart / whole, "wanted": 0.1, "held": apart / whole <= 0.1, "epoch_ms": whole}


def _mark(device: torch.device) -> Any:
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _between(first: Any, second: Any) -> float:
    """Milliseconds."""
    return 1000 * (second - first) if isinstance(first, float) else first.elapsed_time(second)


# -- one step in several ways --------------------------------------------------------------------------------------


def steps(net: str, size: int) -> Callable[[Given], Line]:
    """Milliseconds of a training step of `net` with batches of `size`, in every way that might be the fastest."""

    def measure(given: Given) -> Line:
        few = given.limit is not None
        found: dict[str, float | str] = {}
        for name, way in WAYS.items():
            try:
                run = way(net, min(size, 64) if few else size, given.device)
                for _ in range(2 if few else 12):
                    run()
                found[name] = round(_timed(run, given.device, 3 if few else 30), 4)
            except Exception as error:  # a way that does not exist here
                found[name] = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        numbers = {name: ms for name, ms in found.items() if isinstance(ms, float)}
        fastest = min(numbers, key=lambda name: numbers[name])
        return {"value": numbers[fastest], "fastest": fastest, "step_ms": found}

    return measure


def _timed(run: Callable[[], object], device: torch.device, count: int) -> float:
    begin = _mark(device)
    for _ in range(count):
        run()
    end = _mark(device)
    wait_for(device)
    return _between(begin, end) / count


def _step(
    net: str,
    size: int,
    device: torch.device,
    *,
    last: bool = False,
    low: bool = False,
    compiled: bool = False,
) -> Callable[[], Any]:
    model = seeded(net).to(device).train()
    shape = (size, 1, 28, 28)
    x, y = torch.rand(shape, device=device), torch.randint(0, 10, (size,), device=device)
    if last:
        model, x = (
            model.to(memory_format=torch.channels_last),
            x.contiguous(memory_format=torch.channels_last),
        )  # type: ignore[call-overload]
    opt = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, foreach=True)
    forward: Callable[[Any], Any] = lambda x: model(x)  # noqa: E731
    forward = torch.compile(forward) if compiled else forward

    def run() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            preds = forward(x)
        F.cross_entropy(preds.float(), y).backward()
        opt.step()
        opt.zero_grad(set_to_none=False)

    return run


def _captured(net: str, size: int, device: torch.device, **how: bool) -> Callable[[], Any]:
    """The step recorded once as a CUDA graph and played back."""
    run = _step(net, size, device, **how)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


WAYS: dict[str, Callable[[str, int, torch.device], Callable[[], Any]]] = {
    "eager": lambda *a: _step(*a),
    "channels-last": lambda *a: _step(*a, last=True),
    "bf16": lambda *a: _step(*a, low=True),
    "bf16, channels-last": lambda *a: _step(*a, low=True, last=True),
    "graph": lambda *a: _captured(*a),
    "graph, bf16, channels-last": lambda *a: _captured(*a, low=True, last=True),
    "compiled": lambda *a: _step(*a, compiled=True),
    "compiled, bf16, channels-last": lambda *a: _step(*a, low=True, last=True, compiled=True),
}
