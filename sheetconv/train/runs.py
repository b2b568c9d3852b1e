"""`sheetconv runs`: a table of past runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sheetconv.errors import UsageError
from sheetconv.train.folder import MARK, RUN, read_run

HEAD = ("run", "recipe", "begun", "epochs", "seed", "test", "seconds", "device")


def table(folder: Path) -> str:
    """Lines about all runs in and below `folder`: classifiers by accuracy, autoencoders by error, others last.

    Raises `UsageError` where there is none.
    """
    found = sorted(path.parent for path in folder.glob(f"**/{RUN}")) if folder.is_dir() else []
    runs = [(path, about) for path in found if (about := read_run(path)).get("made_by") == MARK]
    if not runs:
        raise UsageError(f"there are no training runs in {folder}; `sheetconv train` makes one")
    rows = [HEAD, *(_row(path, about) for path, about in sorted(runs, key=lambda run: _rank(run[1])))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _rank(about: dict[str, Any]) -> tuple[int, float]:
    test = about.get("test", {})
    if "accuracy" in test:
        return 0, -test["accuracy"]
    return (1, test["mse"]) if "mse" in test else (2, 0.0)


def _row(path: Path, about: dict[str, Any]) -> tuple[str, ...]:
    test, settings = about.get("test", {}), about.get("settings", {})
    figure = "interrupted"
    if "accuracy" in test:
        figure = f"{test['accuracy']:.2%}"
    elif "mse" in test:
        figure = f"error {test['mse']:.5f}"
    seconds = about.get("wall_seconds", about.get("seconds"))
    began = str(about.get("started", ""))[:16].replace("T", " ")
    return (
        str(path),
        str(about.get("recipe", "")),
        began,
        str(settings.get("epochs", "")),
        str(about.get("seed", "")),
        figure,
        "" if seconds is None else f"{seconds:.0f}",
        str(about.get("device", "")),
    )
