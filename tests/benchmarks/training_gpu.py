"""Every recipe on a GPU in one call: figure on the test set, seconds, images/s, waiting for data, utilisation.

Run: python tests/benchmarks/training_gpu.py ../shared/data --out runs/gpu [--only WORD] [--minutes 9]

`data` holds the hub's MNIST and Fashion-MNIST in folders `mnist` and `fashion_mnist`. Rows are kept in
OUT/rows.jsonl as they are measured, and a row that is there is not measured again; with --minutes no row is begun
after so many. `--device cpu --limit 600 --epochs 1` tries the script where there is no GPU. The first row is the
lesson's own loop (an image decoded when it is asked for, batches moved to the device one by one) against ours.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import training_speed
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from training import Book, cpu_name, hub_cache

from sheetconv.data.sources import open_dataset
from sheetconv.nets import simple_cnn
from sheetconv.train.callbacks.device import Device
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders, ResidentLoader


@dataclass(frozen=True)
class Row:
    """A recipe with options; what is wanted of it, if anything: the figure, and within how many seconds."""

    recipe: str
    options: tuple[str, ...] = ()
    wanted: float | None = None
    seconds: float | None = None
    less_is_better: bool = False

    @property
    def name(self) -> str:
        return " ".join([self.recipe, *self.options])


ROWS = [
    Row("mnist-mlp"),
    Row("mnist-simple-cnn", (), 0.986),
    Row("mnist-simple-cnn-bn", (), 0.989),
    Row("mnist-best", (), 0.9955),
    Row("fashion-simple-cnn", (), 0.88),
    Row("fashion-fast"),
    Row("fashion-gpu", (), 0.957, 60),
    Row("fashion-best"),
    Row("fashion-autoencoder", (), 0.0125, None, True),
    Row("fashion-autoencoder-best", ("--epochs", "12"), 0.0032, None, True),
    Row("builtin-simple-cnn", ("--set", "test-dataset=mnist"), 0.965),
    Row("builtin-best", ("--set", "test-dataset=mnist"), 0.987),
    Row("builtin-autoencoder"),
    Row("fashion-gpu-long", (), 0.962, 600),
]


class Utilisation:
    """The GPU's utilisation in percent while a block runs, as nvidia-smi samples it; empty without one."""

    def __enter__(self) -> "Utilisation":
        self.samples: list[float] = []
        command = [
            "nvidia-smi",
            "--query-gpu=utilization.gpu",
            "--format=csv,noheader,nounits",
            "-lms",
            "200",
        ]
        try:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError:
            return self
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if line.strip().isdecimal():
                self.samples.append(float(line))

    def __exit__(self, *error: object) -> None:
        if hasattr(self, "_process"):
            self._process.terminate()
            self._thread.join(2)

    @property
    def median(self) -> float | None:
        """Over the samples in which anything ran."""
        busy = [s for s in self.samples if s > 0]
        return statistics.median(busy) if busy else None


def lesson(data: Path, device: torch.device, limit: int) -> dict[str, Any]:
    """Images per second of an epoch of the simple CNN: ours over the lesson's loop."""
    table = pq.read_table(data / "mnist" / "train-00000-of-00001.parquet").slice(0, limit)
    slow = DataLoader(training_speed.Png(table), 256, shuffle=True)
    found = open_dataset(str(data / "mnist"), "train")
    model = simple_cnn().to(device)
    start = time.perf_counter()
    opt = torch.optim.SGD(model.parameters(), 0.4)
    for x, y in slow:
        F.cross_entropy(model(x.to(device)), y.to(device)).backward()
        opt.step()
        opt.zero_grad()
    wait(device)
    theirs = limit / (time.perf_counter() - start)
    resident = ResidentLoader(found.images[:limit], found.labels[:limit], 256, shuffle=True, device=device)
    learn = Learner(model, DataLoaders(resident), nn.functional.cross_entropy, 0.1, [Device(device)])
    learn.fit(1, valid=False)
    wait(device)
    start = time.perf_counter()
    learn.fit(3, valid=False)
    wait(device)
    ours = 3 * limit / (time.perf_counter() - start)
    return {
        "name": "simple CNN, times as fast as the lesson's loop",
        "value": ours / theirs,
        "wanted": 40,
        "held": ours / theirs >= 40,
        "images_per_s": ours,
    }


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(row: Row, given: argparse.Namespace) -> dict[str, Any]:
    """Train by the recipe in a process of its own and read what it left."""
    folder = given.out / "runs" / row.name.replace(" --set ", "-").replace("=", "-")
    command = [
        sys.executable,
        "-c",
        "from sheetconv.cli import main; main()",
        "train",
        row.recipe,
        *row.options,
    ]
    command += ["--device", given.device, "--out", str(folder), "--force"]
    for option in ("limit", "epochs"):
        if getattr(given, option):
            command += [f"--{option}", str(getattr(given, option))]
    if given.compile:
        command.append("--compile")
    with Utilisation() as used:
        subprocess.run(command, check=True)
    about = json.loads((folder / "run.json").read_text())
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    later = history[1:] or history  # the first epoch warms up
    value = about["test"].get("accuracy", about["test"].get("mse"))
    good = row.wanted is None or (value <= row.wanted if row.less_is_better else value >= row.wanted)
    return {
        "name": row.name,
        "value": value,
        "wanted": row.wanted,
        "held": good and (row.seconds is None or about["seconds"] <= row.seconds),
        "seconds": about["seconds"],
        "seconds_wanted": row.seconds,
        "images_per_s": statistics.median(r["images_per_s"] for r in later),
        "wait_share": statistics.median(r["wait_share"] for r in later),
        "utilisation": used.median,
        "amp": about["amp"],
    }


def table(book: Book, device: torch.device) -> str:
    """Markdown of the rows."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{cpu_name()} (no GPU)"
    lines = [
        f"Device: {name}; Python {platform.python_version()}, torch {torch.__version__}; seed 0.",
        "",
        "| recipe | test | wanted | holds | seconds | images/s | waiting | utilisation | precision |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in book.rows.values():
        cells = [
            row["name"],
            f"{row['value']:.5g}",
            ""
            if row.get("wanted") is None
            else f"{row['wanted']:g}"
            + (f" in {row['seconds_wanted']:g} s" if row.get("seconds_wanted") else ""),
            "" if row.get("wanted") is None else "yes" if row["held"] else "NO",
            f"{row['seconds']:.1f}" if "seconds" in row else "",
            f"{row['images_per_s']:,.0f}",
            f"{row['wait_share']:.1%}" if "wait_share" in row else "",
            "" if row.get("utilisation") is None else f"{row['utilisation']:.0f} %",
            row.get("amp", ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--minutes", type=float, default=1e9)
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    given.out.mkdir(parents=True, exist_ok=True)
    os.environ["HF_HUB_CACHE"] = str(hub_cache(given.data, given.out))
    device, book = torch.device(given.device), Book(given.out / "rows.jsonl")
    if given.only in "lesson" and "simple CNN, times as fast as the lesson's loop" not in book.rows:
        book.add(lesson(given.data, device, given.limit or 12_800))
    for row in ROWS:
        if given.only in row.name and row.name not in book.rows and time.monotonic() < end:
            book.add(measure(row, given))
    text = table(book, device)
    (given.out / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
