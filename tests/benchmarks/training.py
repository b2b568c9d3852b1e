"""Every figure of training that sheetconv promises, measured on the CPU, row by row.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/training.py ../shared/data --out runs/benchmarks [--only WORDS]

`data` holds the hub's MNIST and Fashion-MNIST in folders `mnist` and `fashion_mnist`. A row that is in
OUT/rows.jsonl is not measured again, and a recipe that was cut off goes on after its last epoch, so the script may
be stopped at any time; each call ends by printing the table of what there is. Seconds are CPU seconds of the
process, which a busy machine changes little; the ratios are of work that alternates in one process.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import training_speed

from sheetconv.train import recipes
from sheetconv.train.folder import LAST

MINUTE = 60


@dataclass(frozen=True)
class Row:
    """A recipe with its options, run with each seed; `figure` of run.json's test against `target`."""

    name: str
    recipe: str
    target: float
    options: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    figure: str = "accuracy"
    less_is_better: bool = False
    cpu_limit: float = 0.0
    worst: bool = False  # the worst seed counts, not the median


LESSON = "MNIST, lesson's net"
FASHION = "Fashion-MNIST"
AUTO = {"figure": "mse", "less_is_better": True}
ROWS = [
    Row(f"{LESSON}, 10 epochs", "mnist-simple-cnn", 0.986, seeds=(0, 1, 2)),
    Row(f"{LESSON} with batch-norm and shifts", "mnist-simple-cnn-bn", 0.989, seeds=(0, 1, 2)),
    Row(f"{LESSON} with batch-norm, one epoch", "mnist-simple-cnn-bn", 0.977, ("--epochs", "1", "--set", "shift=0"), (0, 1, 2)),
    Row("MNIST, best in one epoch", "mnist-best", 0.992, ("--epochs", "1", "--set", "affine=0", "--set", "shift=0", "--set", "average=0"), (0, 1)),
    Row("MNIST, best in 10 CPU minutes", "mnist-best", 0.9955, cpu_limit=10 * MINUTE),
    Row(f"{FASHION}, lesson's net, 5 epochs", "fashion-simple-cnn", 0.88, seeds=(0, 1, 2)),
    Row(f"{FASHION}, lesson's net, no collapse in 10 seeds", "fashion-simple-cnn", 0.80, seeds=tuple(range(10)), worst=True),
    Row(f"{FASHION}, best in 2 CPU minutes", "fashion-fast", 0.935, seeds=(0, 1), cpu_limit=2 * MINUTE),
    Row(f"{FASHION}, best in 7 CPU minutes", "fashion-best", 0.945, ("--epochs", "8", "--set", "erase=0.1", "--set", "shift=0", "--set", "average=0", "--set", "test-time=flip"), (0, 1), cpu_limit=7 * MINUTE),
    Row(f"{FASHION}, best in 18 CPU minutes", "fashion-best", 0.95, seeds=(0, 1), cpu_limit=18 * MINUTE),
    Row("autoencoder, lesson's layers", "fashion-autoencoder", 0.0125, **AUTO),
    Row("autoencoder, best in 5 epochs", "fashion-autoencoder-best", 0.0040, **AUTO),
    Row("autoencoder, best in 16 epochs", "fashion-autoencoder-best", 0.0032, ("--epochs", "16"), **AUTO),
    Row("handwriting only, simple CNN on MNIST's test set", "builtin-simple-cnn", 0.965, ("--set", "test-dataset=mnist"), (0, 1, 2)),
    Row("handwriting only, up to 160,000 parameters", "builtin-best", 0.987, ("--set", "test-dataset=mnist")),
]  # fmt: skip


@dataclass
class Book:
    """The rows measured so far, in OUT/rows.jsonl."""

    path: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self.rows[row["name"]] = row

    def add(self, row: dict[str, Any]) -> None:
        self.rows[row["name"]] = row
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


def hub_cache(data: Path, out: Path) -> Path:
    """A hub cache whose datasets are the folders given, so that recipes name their data as users do."""
    cache = (out / "hub").resolve()
    for name, folder in (("ylecun--mnist", "mnist"), ("zalando-datasets--fashion_mnist", "fashion_mnist")):
        snapshots = cache / f"datasets--{name}" / "snapshots"
        snapshots.mkdir(parents=True, exist_ok=True)
        link = snapshots / "main"
        if not link.exists():
            link.symlink_to((data / folder).resolve())
    return cache


def train(recipe: str, options: tuple[str, ...], seed: int, folder: Path) -> dict[str, Any]:
    """`run.json` of the run in `folder`, which is begun, gone on with, or only read."""
    about = folder / "run.json"
    known = json.loads(about.read_text()) if about.is_file() else {}
    fits = bool(known) and same(known["settings"], recipe, options)
    if not (fits and known["finished"]):
        more = ["--resume"] if fits and (folder / LAST).is_file() else ["--force"]
        code = "from sheetconv.cli import main; main()"
        command = [sys.executable, "-c", code, "train", recipe, *options, "--seed", str(seed)]
        subprocess.run(
            [*command, "--device", "cpu", "--threads", "1", "--amp", "off", "--out", str(folder), *more],
            check=True,
        )
    found: dict[str, Any] = json.loads(about.read_text())
    return found


def same(settings: dict[str, Any], recipe: str, options: tuple[str, ...]) -> bool:
    """Whether a finished run was by the recipe as it is now, but for what the options set."""
    given = {option.lstrip("-").partition("=")[0].replace("-", "_") for option in options}
    given |= {"net"} if "model" in given else set()
    now = asdict(recipes.load(recipe))
    was = asdict(recipes.Recipe(**settings))  # what the record does not say was at its default
    return all(was[key] == value for key, value in now.items() if key not in {*given, "summary"})


def measure(row: Row, out: Path) -> dict[str, Any]:
    """Run every seed of a row; rows of the same recipe and options share their runs."""
    runs = []
    for seed in row.seeds:
        parts = [row.recipe, *(o.lstrip("-").replace("=", "-") for o in row.options), f"seed-{seed}"]
        runs.append(train(row.recipe, row.options, seed, out / "runs" / "-".join(parts)))
    values = [run["test"][row.figure] for run in runs]
    worst = max(values) if row.less_is_better else min(values)
    value = worst if row.worst else statistics.median(values)
    cpu = statistics.median(run["cpu_seconds"] for run in runs)
    held = value <= row.target if row.less_is_better else value >= row.target
    return {
        "name": row.name,
        "value": value,
        "target": f"{'≤' if row.less_is_better else '≥'} {row.target:g}",
        "held": held and (not row.cpu_limit or cpu <= row.cpu_limit),
        "cpu_seconds": round(cpu, 1),
        "cpu_limit": row.cpu_limit or None,
        "seeds": list(row.seeds),
        "values": values,
        "command": " ".join(["sheetconv train", row.recipe, *row.options]),
    }


def table(book: Book) -> str:
    """Markdown of all rows measured."""
    lines = [
        f"Device: {cpu_name()}, one thread; Python {platform.python_version()}, torch {torch.__version__}.",
        "",
        "| figure | measured | wanted | holds | CPU s | seeds | command |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in book.rows.values():
        limit = f" (limit {row['cpu_limit']:g})" if row.get("cpu_limit") else ""
        cpu = f"{row['cpu_seconds']:g}{limit}" if row.get("cpu_seconds") else ""
        spread = f" ({min(row['values']):.4g} to {max(row['values']):.4g})" if len(row["values"]) > 1 else ""
        lines.append(
            f"| {row['name']} | {row['value']:.4g}{spread} | {row['target']} | {'yes' if row['held'] else 'NO'} |"
            f" {cpu} | {', '.join(map(str, row['seeds']))} | `{row['command']}` |"
        )
    return "\n".join(lines)


def cpu_name() -> str:
    """The processor as Linux names it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--only", default="", help="rows whose name contains one of these, divided by |")
    parser.add_argument("--table", action="store_true", help="only print what has been measured")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    os.environ["HF_HUB_CACHE"] = str(hub_cache(given.data, given.out))
    torch.set_num_threads(1)
    book = Book(given.out / "rows.jsonl")

    def wanted(name: str) -> bool:
        return any(word in name for word in given.only.split("|"))

    if not given.table:
        for name, work in training_speed.ROWS.items():
            if name not in book.rows and wanted(name):
                book.add(work(given.data))
        for row in ROWS:
            if row.name not in book.rows and wanted(row.name):
                book.add(measure(row, given.out))
    text = table(book)
    (given.out / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
