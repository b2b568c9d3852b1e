"""Everything worth knowing of a first GPU in one call of at most eight minutes, the most valuable first.

Run: python tests/benchmarks/training_gpu.py --pack ../shared/data travel    (where the data is: MNIST's sets as IDX)
     python tests/benchmarks/training_gpu.py travel --out runs/gpu [--only WORDS] [--minutes 8]      (on the GPU)

Each line is written to OUT/lines.jsonl, and printed, as soon as it is known, so that a run cut off loses nothing; one
that is there is not measured again, and one that failed says why (the whole report is in OUT/errors.txt) and holds
up no other. With --minutes none is begun later. `--device cpu --limit 600 --epochs 1` tries the script without a GPU,
which says that it runs and nothing about its figures. It needs no pyarrow and no network.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib.util
import io
import json
import os
import platform
import statistics
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from training_gpu_loops import FOLDERS, Given, Line, against_the_lesson, place, steps, waiting

from sheetconv.data.sources import open_dataset
from sheetconv.train import recipes
from sheetconv.train.devices import device_name
from sheetconv.train.folder import HISTORY, RUN
from sheetconv.train.run import Options, train

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Work:
    """One thing to find out: its name, and the function that does so."""

    name: str
    measure: Callable[[Given], Line] = field(repr=False)


# -- recipes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """A recipe with changed settings; what is wanted of it, and within how many seconds of the clock on the wall."""

    recipe: str
    texts: tuple[str, ...] = ()
    wanted: float | None = None
    seconds: float | None = None
    quick: bool = False
    compile: bool = False
    resume: bool = False

    def __call__(self, given: Given) -> Line:
        """Train in this process and tell what came of it."""
        recipe = recipes.load(self.recipe).with_texts(dict(t.split("=") for t in self.texts))
        recipe = recipe.with_values(dataset=place(recipe.dataset, given))
        if recipe.test_dataset:
            recipe = recipe.with_values(test_dataset=place(recipe.test_dataset, given))
        epochs, limit = (
            (2 if self.resume else 1, min(2000, given.limit or 2000))
            if self.quick
            else (given.epochs, given.limit)
        )
        recipe = recipe.with_values(epochs=epochs, trials=1 if self.quick else None)
        folder = (
            given.out
            / "runs"
            / "-".join([self.recipe, *self.texts, *("quick" * self.quick,)]).replace("=", "-")
        )
        options = Options(folder, device=str(given.device), limit=limit or given.limit, force=True)
        options.compile = self.compile
        _forget_peak(given.device)
        with Utilisation() as used, contextlib.redirect_stdout(io.StringIO()):
            train(self.recipe, recipe, options, lambda line: None)
            if self.resume:  # one epoch more than there was
                options.extend, options.force = 1, False
                train(self.recipe, recipe, options, lambda line: None)
        about = json.loads((folder / RUN).read_text())
        rows = [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]
        value = about["test"].get("accuracy", about["test"].get("mse"))
        good = self.wanted is None or (
            value <= self.wanted if "mse" in about["test"] else value >= self.wanted
        )
        return {
            "value": value,
            "wanted": self.wanted,
            "held": None if self.wanted is None else good and about["wall_seconds"] <= (self.seconds or 1e9),
            "wall_s": about["wall_seconds"],
            "wall_s_wanted": self.seconds,
            "epochs": len(rows),
            "images_per_s": statistics.median(row["images_per_s"] for row in rows[1:] or rows),
            "precision": about["amp"],
            "utilisation": used.mean,
            "peak_MiB": _peak(given.device),
        }


# -- the rest ------------------------------------------------------------------------------------------------------


def suite(given: Given) -> Line:
    """The tests of the training engine that run on a real device."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", "-o", "addopts="]
    command += ["--import-mode=importlib", "--tb=short", str(ROOT / "tests" / "train" / "test_on_devices.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    (given.out / "suite.txt").write_text(done.stdout + done.stderr)
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1]
    return {"value": done.returncode, "wanted": 0, "held": done.returncode == 0, "said": last}


def proof(given: Given) -> Line:
    """A workbook proven on the device, where the packages for workbooks are there."""
    missing = [name for name in ("xlsxwriter", "openpyxl", "ironcalc") if not importlib.util.find_spec(name)]
    if missing:
        return {"said": f"left out: {', '.join(missing)} not installed"}
    book, code = given.out / "proof.xlsx", "from sheetconv.cli import main; main()"
    book.unlink(missing_ok=True)
    start = time.perf_counter()
    for words in (
        ["build-workbook", "lesson", "--dataset", "builtin", "-o", str(book)],
        ["verify", str(book), "--device", given.device.type],
    ):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise RuntimeError(done.stdout[-300:] + done.stderr[-600:])
    return {
        "value": done.returncode,
        "held": True,
        "wall_s": time.perf_counter() - start,
        "said": done.stdout[-200:],
    }


WORKS = [
    Work("the device suite", suite),
    *(Work(f"{name}, a short epoch", Trained(name, quick=True)) for name in recipes.names()),
    Work("mnist-best, a short run resumed", Trained("mnist-best", ("average=0.9",), quick=True, resume=True)),
    Work("simple CNN, times as fast as the lesson's loop", against_the_lesson),
    Work("share of an epoch without a step on the device", waiting),
    Work("a step of the simple CNN, batches of 256, ms", steps("simple-cnn", 256)),
    Work("a step of fashion-cnn-wide, batches of 512, ms", steps("fashion-cnn-wide", 512)),
    Work("fashion-gpu", Trained("fashion-gpu", wanted=0.957, seconds=60)),
    Work("fashion-fast", Trained("fashion-fast", wanted=0.935)),
    Work("mnist-best", Trained("mnist-best", wanted=0.9955)),
    Work("mnist-simple-cnn", Trained("mnist-simple-cnn", wanted=0.986)),
    Work("mnist-simple-cnn, compiled", Trained("mnist-simple-cnn", quick=True, compile=True)),
    Work(
        "fashion-autoencoder-best, 12 epochs",
        Trained("fashion-autoencoder-best", ("epochs=12",), wanted=0.0032),
    ),
    Work("verify of the lesson's workbook", proof),
    Work("builtin-best on MNIST", Trained("builtin-best", ("test-dataset=mnist",), wanted=0.987)),
    Work("fashion-gpu-long", Trained("fashion-gpu-long", wanted=0.962, seconds=600)),
    Work("fashion-autoencoder", Trained("fashion-autoencoder", wanted=0.0125)),
]


class Utilisation:
    """The GPU's utilisation in percent while a block runs, as nvidia-smi samples it; None without one."""

    mean: float | None = None

    def __enter__(self) -> Utilisation:
        self._samples: list[float] = []
        words = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
        try:
            self._process = subprocess.Popen(
                ["nvidia-smi", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError:
            return self
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if line.strip().isdecimal():
                self._samples.append(float(line))

    def __exit__(self, *error: object) -> None:
        if hasattr(self, "_process"):
            self._process.terminate()
            self._thread.join(2)
            self.mean = round(statistics.fmean(self._samples), 1) if self._samples else None


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> float | None:
    return round(torch.cuda.max_memory_allocated(device) / 2**20, 1) if device.type == "cuda" else None


def about(device: torch.device) -> str:
    """Device, driver and versions, in a line."""
    driver = ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        words = ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"]
        driver = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return ", ".join(
        [
            *filter(None, [device_name(device), driver and f"driver and memory {driver}"]),
            f"torch {torch.__version__}",
            f"Python {platform.python_version()}",
            f"{os.cpu_count()} processors",
        ]
    )


def table(lines: dict[str, Line], head: str) -> str:
    """Markdown of the lines."""
    rows = [
        "| figure | measured | wanted | holds | wall s | images/s | precision | utilisation | peak MiB | more |"
    ]
    rows += ["|" + "---|" * 10]
    shown = {
        "name",
        "value",
        "wanted",
        "held",
        "wall_s",
        "wall_s_wanted",
        "images_per_s",
        "precision",
        "utilisation",
    }
    for name, line in lines.items():
        value, wanted = line.get("value"), line.get("wanted")
        more = {k: v for k, v in line.items() if k not in {*shown, "peak_MiB", "rounds_ms"}}
        limit = f" in {line['wall_s_wanted']:g} s" if line.get("wall_s_wanted") else ""
        cells = [
            name,
            "" if value is None else f"{value:.5g}",
            "" if wanted is None else f"{wanted:g}{limit}",
            {None: "", True: "yes", False: "NO"}[line.get("held")],
            f"{line['wall_s']:.1f}" if "wall_s" in line else "",
            f"{line['images_per_s']:,.0f}" if "images_per_s" in line else "",
            str(line.get("precision", "")),
            str(line.get("utilisation") or ""),
            str(line.get("peak_MiB") or ""),
            json.dumps(more, ensure_ascii=False) if more else "",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([f"Device: {head}; seed 0.", "", *rows])


@contextlib.contextmanager
def told(path: Path) -> Iterator[Callable[[str, Line], None]]:
    """A function that writes a line to the file and the terminal at once."""
    with path.open("a", encoding="utf-8") as stream:

        def tell(name: str, line: Line) -> None:
            stream.write(json.dumps({"name": name, **line}, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
            print(name, json.dumps(line, ensure_ascii=False), flush=True)

        yield tell


def measure(given: Given, only: str, end: float) -> dict[str, Line]:
    """All works that are wanted and not known yet, each told as soon as it is done."""
    path = given.out / "lines.jsonl"
    known: dict[str, Line] = {}
    if path.is_file():
        known = {
            line["name"]: line for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())
        }
    with told(path) as tell:
        for work in WORKS:
            if (
                work.name in known
                or not any(word in work.name for word in only.split("|"))
                or time.monotonic() > end
            ):
                continue
            start = time.monotonic()
            try:
                line = work.measure(given)
            except Exception as error:
                line = {"held": False, "failed": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
                with (given.out / "errors.txt").open("a", encoding="utf-8") as stream:
                    stream.write(f"== {work.name}\n{traceback.format_exc()}\n")
            line["took_s"] = round(time.monotonic() - start, 1)
            known[work.name] = line
            tell(work.name, line)
    return known


def pack(data: Path, to: Path) -> None:
    """MNIST and Fashion-MNIST from the hub's folders under `data` to IDX files under `to`: 42 MB that travel."""
    for folder in FOLDERS.values():
        (to / folder).mkdir(parents=True, exist_ok=True)
        for split, prefix in (("train", "train"), ("test", "t10k")):
            found = open_dataset(str(data / folder), split)
            pairs = (("images-idx3", found.images), ("labels-idx1", found.labels.astype(np.uint8)))
            for name, array in pairs:
                head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
                file = to / folder / f"{prefix}-{name}-ubyte.gz"
                file.write_bytes(gzip.compress(head + np.ascontiguousarray(array).tobytes(), 9, mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--pack", type=Path, metavar="DATA", help="write the IDX files of DATA's sets to this folder"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--only", default="", help="lines whose name contains one of these, divided by |")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--minutes", type=float, default=8.0)
    found = parser.parse_args()
    if found.pack:
        pack(found.pack, found.data)
        return
    end = time.monotonic() + 60 * found.minutes
    found.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("SHEETCONV_CACHE", str((found.out / "cache").resolve()))
    device = torch.device(found.device)
    given = Given(found.data.resolve(), found.out.resolve(), device, found.limit, found.epochs)
    lines = measure(given, found.only, end)
    text = table(lines, about(device))
    (found.out / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
