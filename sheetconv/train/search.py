"""`sheetconv lr-find`: a recipe's learning rate by a short search, and a picture of it."""

from __future__ import annotations

from pathlib import Path

import torch

from sheetconv.errors import OutputError
from sheetconv.files import check_target, replacing
from sheetconv.train.assemble import check, make_learner
from sheetconv.train.callbacks.lr_finder import LRCurve, lr_find
from sheetconv.train.devices import choose_device
from sheetconv.train.prepare import prepare_data, prepare_net
from sheetconv.train.recipes import Recipe

PICTURE = "lr-find.png"


def search(
    name: str,
    recipe: Recipe,
    *,
    out: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    amp: str = "off",
    convolutions: str = "torch",
    limit: int | None = None,
    threads: int | None = None,
    steps: int = 100,
    start: float = 1e-5,
    end: float = 10.0,
    force: bool = False,
) -> list[str]:
    """Lines about the curve and the one suggestion; with `out` also a picture there.

    Raises what `train` raises, and `TrainingError` where no learning rate made the loss fall.
    """
    place = choose_device(device)
    check(recipe)
    if threads:
        torch.set_num_threads(threads)
    if out is not None and out.exists():
        _claim(out, force)
    data = prepare_data(recipe, limit)
    if out is not None:
        _claim(out, force)
    torch.manual_seed(seed)
    amp, convolutions = "off" if amp == "auto" else amp, "torch" if convolutions == "auto" else convolutions
    learn = make_learner(recipe, prepare_net(recipe, seed, data), data, seed, place, amp, convolutions)
    curve = lr_find(learn, start, end, steps)
    lines = _table(curve)
    lines.append(
        f"suggested learning rate {curve.suggestion:.2g} (the recipe {name} has {recipe.lr:g}), "
        f"from {len(curve.lrs)} batches of {recipe.batch_size}"
    )
    if out is not None:
        _draw(curve, out / PICTURE, name)
        lines.append(f"Wrote {out / PICTURE}")
    return lines


def _claim(out: Path, force: bool) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {out}: {error.strerror or error}") from error
    check_target(out / PICTURE, force=force)


def _table(curve: LRCurve, rows: int = 12) -> list[str]:
    """The smoothed loss at some of the rates, as bars."""
    lines = ["learning rate  smoothed loss"]
    top = float(curve.smooth[0]) * 1.2
    for at in sorted({round(i * (len(curve.lrs) - 1) / (rows - 1)) for i in range(rows)}):
        loss = float(curve.smooth[at])
        bar = "█" * round(40 * min(1.0, max(0.0, loss / top)))
        lines.append(f"{curve.lrs[at]:13.2e}  {loss:13.4f}  {bar}")
    return lines


def _draw(curve: LRCurve, path: Path, name: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.4), layout="constrained", dpi=120)
    axes = figure.subplots()
    curve.plot(axes)
    axes.set_title(f"{name}: loss over the learning rate")
    with replacing(path, force=True) as temporary:
        figure.savefig(temporary, format="png")
