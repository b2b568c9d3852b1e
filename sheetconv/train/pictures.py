"""Pictures of a run: the history, reconstructions, the confusion matrix and the images most confused.

All are written as PNG through `sheetconv.files.replacing`, so a run that is cut off leaves whole files only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sheetconv.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_METRICS = (
    "epoch",
    "train_loss",
    "valid_loss",
    "lr",
    "seconds",
    "images_per_s",
    "wait_share",
    "cpu_seconds",
)
INK, VALID, LIGHT = "#1f4e79", "#c55a11", "#d9d9d9"


def _figure(width: float, height: float) -> Figure:
    """A figure without a window: the object's own canvas, no global state of pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=120)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path, force=True) as temporary:
        figure.savefig(temporary, format="png")


def draw_history(history: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """Losses, metrics and learning rate over the epochs, from the rows of `history.jsonl`."""
    if not history:
        return
    names = [key for key in history[-1] if key not in NO_METRICS]
    figure = _figure(4.2 * (1 + len(names)), 3.4)
    axes = np.atleast_1d(figure.subplots(1, 1 + len(names)))
    epochs = [row["epoch"] for row in history]
    for key, colour, label in (("train_loss", INK, "training"), ("valid_loss", VALID, "validation")):
        values = [row.get(key) for row in history]
        if any(v is not None for v in values):
            axes[0].plot(
                epochs, [np.nan if v is None else v for v in values], ".-", color=colour, label=label
            )
    axes[0].set_yscale("log")
    axes[0].set(title="loss", xlabel="epoch")
    axes[0].legend(frameon=False)
    for axis, name in zip(axes[1:], names, strict=True):
        values = [row.get(name, np.nan) for row in history]
        axis.plot(epochs, values, ".-", color=VALID)
        axis.set(title=f"{name}, last {values[-1]:.4g}", xlabel="epoch")
    for axis in axes:
        axis.grid(color=LIGHT, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title)
    _save(figure, path)


def draw_reconstructions(originals: np.ndarray, outputs: np.ndarray, path: Path, title: str) -> None:
    """Rows of originals, each with its reconstructions below: uint8 or 0…1, both (N, H, W) or (N, H, W, C)."""
    columns = min(10, len(originals))
    rows = max(1, min(3, len(originals) // columns))
    figure = _figure(0.9 * columns, 1.85 * rows + 0.4)
    axes = figure.subplots(2 * rows, columns, squeeze=False)
    for at in range(rows * columns):
        row, column = divmod(at, columns)
        for axis, image in ((axes[2 * row, column], originals[at]), (axes[2 * row + 1, column], outputs[at])):
            _show(axis, image)
    figure.suptitle(title)
    _save(figure, path)


def draw_confusion(counts: np.ndarray, names: Sequence[str], path: Path, title: str) -> None:
    """The confusion matrix (true class down, predicted class across), counts int (K, K), shaded by errors."""
    figure = _figure(1.8 + 0.55 * len(names), 1.9 + 0.5 * len(names))
    axis = figure.subplots()
    wrong = counts.astype(float).copy()
    np.fill_diagonal(wrong, 0)
    axis.imshow(wrong, cmap="Oranges", vmax=max(1.0, wrong.max() * 1.3))
    if len(names) <= 30:
        for (i, j), n in np.ndenumerate(counts):
            style: dict[str, Any] = {"color": INK, "weight": "bold"} if i == j else {"color": "black"}
            if n:
                axis.text(
                    j, i, f"{n:,}" if i == j else str(n), ha="center", va="center", fontsize=7.5, **style
                )
        rotate = 0 if max(map(len, names)) < 3 else 60
        axis.set_xticks(range(len(names)), names, rotation=rotate, ha="right" if rotate else "center")
        axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="predicted", ylabel="true", title=title)
    axis.title.set_fontsize(10)
    _save(figure, path)


def draw_confused(
    images: np.ndarray,
    truth: Sequence[str],
    guess: Sequence[str],
    sure: Sequence[float],
    path: Path,
    title: str,
) -> None:
    """The images that the network got wrong with the most certainty, with true and predicted class."""
    count = min(24, len(images))
    columns = min(8, max(1, count))
    rows = max(1, -(-count // columns))
    figure = _figure(1.35 * columns, 1.6 * rows + 0.5)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, image, t, g, p in zip(axes, images, truth, guess, sure, strict=False):
        _show(axis, image)
        axis.set_title(f"{t}, taken for {g}\n{p:.0%} sure", fontsize=6.5)
    figure.suptitle(title if count else f"{title}: none")
    _save(figure, path)


def _show(axis: Any, image: np.ndarray) -> None:
    image = image / 255 if image.dtype == np.uint8 else image
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    axis.axis("off")
