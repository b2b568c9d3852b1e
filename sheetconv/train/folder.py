"""The folder that a run leaves behind, and how it is recognised as ours.

run.json              recipe, versions, seed, device, timing, results; written first, updated at the end
history.jsonl         one JSON object per epoch, flushed as it is written (history.csv, tensorboard/ with --log)
last.safetensors      what `--resume` goes on from
best.safetensors      the weights of the epoch that validated best
model.safetensors     the weights at the end: what workbooks take
model.py              the network, where it was made for the size of the images (--model plain)
epochs/*.safetensors  the weights after every epoch, where asked for
*.png                 the history, and pictures of what the network does
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sheetconv.errors import OutputError, UsageError
from sheetconv.files import replacing

MARK = "sheetconv train"
RUN, HISTORY, CSV = "run.json", "history.jsonl", "history.csv"
MODEL, LAST, BEST = "model.safetensors", "last.safetensors", "best.safetensors"
PLAIN, TENSORBOARD = "model.py", "tensorboard"
LOCK, HOLDER = ".lock", ".in-use"
EPOCHS = "epochs"
PICTURES = ("history.png", "reconstructions.png", "confusion.png", "confused.png")
_MAX_BYTES = 10_000_000


def free_folder(name: str) -> Path:
    """`runs/NAME`, or `runs/NAME-2` and so on where that is taken."""
    for number in range(1, 10_000):
        path = Path("runs") / (name if number == 1 else f"{name}-{number}")
        if not path.exists():
            return path
    raise OutputError(f"there are too many runs called {name} in runs/; give --out")


def latest_folder(name: str) -> Path:
    """The last begun of `runs/NAME`, `runs/NAME-2` …; raises `UsageError` where there is none."""
    found = [p for p in Path("runs").glob(f"{name}*") if p.name == name or p.name[len(name) + 1 :].isdigit()]
    ours = [p for p in found if is_run(p)]
    if not ours:
        raise UsageError(f"there is no run of {name} in runs/ to resume; give its folder with --out")
    return max(ours, key=lambda p: (p / RUN).stat().st_mtime)


def is_run(folder: Path) -> bool:
    """Whether `folder` was made by a training run."""
    return read_run(folder).get("made_by") == MARK


def read_run(folder: Path) -> dict[str, Any]:
    """What `run.json` says; empty where it is missing or no such file."""
    path = folder / RUN
    try:
        if path.stat().st_size > _MAX_BYTES:
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def claim(folder: Path, *, resume: bool, force: bool) -> None:
    """Make `folder` ready for a run; with `force` an earlier one's files go, and only those.

    Raises `OutputError` where the folder holds something else, or a run that was not to be touched.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; give another folder with --out")
    taken = folder.is_dir() and any(path.name not in (LOCK, HOLDER) for path in folder.iterdir())
    if resume and not is_run(folder):
        raise OutputError(f"{folder} holds no run to resume; leave --resume out to start one")
    if taken and not force and not resume:
        what = "holds a run already: --resume goes on with it" if is_run(folder) else "holds other files"
        raise OutputError(f"{folder} {what}; give another --out, or --force to overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if taken and force and not resume:
            _clear(folder)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the folder {folder} is not writable; give another --out")


def _clear(folder: Path) -> None:
    """Remove an earlier run's files by name, so that none of them is taken for this run's."""
    for name in (RUN, HISTORY, CSV, MODEL, LAST, BEST, PLAIN, *PICTURES):
        (folder / name).unlink(missing_ok=True)
    for kept in (folder / EPOCHS).glob("[0-9]*.safetensors"):
        kept.unlink()
    for log in (folder / TENSORBOARD).glob("events.out.tfevents.*"):
        log.unlink()


def write_run(folder: Path, about: Mapping[str, Any]) -> None:
    """Write `run.json`."""
    with replacing(folder / RUN, force=True) as temporary:
        text = json.dumps({"made_by": MARK, **about}, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_history(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `history.jsonl` anew."""
    with replacing(folder / HISTORY, force=True) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def append_history(folder: Path, row: Mapping[str, Any]) -> None:
    """Add one epoch's line and flush it to the disk."""
    try:
        with (folder / HISTORY).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OutputError(f"cannot write {folder / HISTORY}: {error.strerror or error}") from error


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The rows of `history.jsonl`; a last line that was cut off is left out."""
    path = folder / HISTORY
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
