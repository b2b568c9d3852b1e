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


def draw_history(
    history: Sequence[Mapping[str, Any]], path: Path, title: str, *, apart: bool = False
) -> None:
    """Losses and metrics over the epochs, from the rows of `history.jsonl`.

    With `apart` the two losses have an axis each, since they are not the same quantity: in training the labels are
    smoothed, or hard images count for more.
    """
    if not history:
        return
    names = [key for key in history[-1] if key not in NO_METRICS]
    losses = 2 if apart else 1
    figure = _figure(4.2 * (losses + len(names)), 3.4)
    axes = np.atleast_1d(figure.subplots(1, losses + len(names)))
    epochs = [row["epoch"] for row in history]
    for axis, key, colour, label in (
        (axes[0], "train_loss", INK, "training"),
        (axes[losses - 1], "valid_loss", VALID, "validation"),
    ):
        values = [np.nan if row.get(key) is None else row[key] for row in history]
        if not np.isnan(values).all():
            axis.plot(epochs, values, ".-", color=colour, label=label)
        axis.set_yscale("log")
        axis.set(title="loss", xlabel="epoch")
    if apart:
        axes[0].set_title("training loss (of softened targets)")
        axes[1].set_title("validation loss")
    else:
        axes[0].legend(frameon=False)
    for axis, name in zip(axes[losses:], names, strict=True):
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
    images = []
    for row in range(rows):
        part = slice(row * columns, (row + 1) * columns)
        images += [*_unit(originals[part]), *_unit(outputs[part])]
    figure = _figure(0.9 * columns, 1.85 * rows + 0.4)
    _grid(figure.subplots(), images, columns, gap=2)
    figure.suptitle(title, fontsize=10)
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
    gap = max(2, round(0.34 * images.shape[1]))  # room for two lines of text
    tall = (images.shape[1] + gap) / (images.shape[2] + gap)
    figure = _figure(1.35 * columns, 1.35 * tall * rows + 0.4)
    axis = figure.subplots()
    places = _grid(axis, list(_unit(images[:count])), columns, gap)
    for (y, x), t, g, p in zip(places, truth, guess, sure, strict=False):
        text = f"{t}, taken for {g}\n{p:.0%} sure"
        axis.text(x + images.shape[2] / 2, y - 1, text, fontsize=6.5, ha="center", va="bottom")
    figure.suptitle(title if count else f"{title}: none")
    if not count:
        figure.set_size_inches(6, 1.6)
        axis.text(0.5, 0.5, "every test image was classified rightly", ha="center", va="center")
    _save(figure, path)


def _grid(axis: Any, images: Sequence[np.ndarray], columns: int, gap: int) -> list[tuple[int, int]]:
    """Show the images as one mosaic on white; returns the row and column of each one's top left pixel.

    One picture instead of a plot per image: twenty times as fast to draw.
    """
    axis.axis("off")
    if not len(images):
        return []
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    mosaic = np.ones((rows * (height + gap), columns * (width + gap), *images[0].shape[2:]))
    places = []
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        y, x = row * (height + gap) + gap, column * (width + gap) + gap // 2
        mosaic[y : y + height, x : x + width] = image
        places.append((y, x))
    axis.imshow(mosaic, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return places


def _unit(images: np.ndarray) -> np.ndarray:
    """In 0…1."""
    return images / 255 if images.dtype == np.uint8 else images
