"""An effective field as a picture: both maps with the field's box, and their profile beside a Gaussian."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.files import check_target, replacing
from sheetconv.inspect.fields.effective import Effective

_MAPS = (
    ("paths", "Paths: how often each pixel occurs"),
    ("gradient", "Gradient: how much it changes the unit"),
)


def draw(found: Effective, path: Path, *, force: bool = False) -> None:
    """Write a PNG. Raises `OutputError` where it cannot be written."""
    check_target(path, force=force)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    for axis, (key, title) in zip(axes[:2], _MAPS, strict=True):
        values = np.atleast_2d(getattr(found, key))
        image = axis.imshow(values, cmap="magma", interpolation="nearest")
        figure.colorbar(image, ax=axis, shrink=0.8)
        axis.set_title(title, fontsize=11)
        _frame(axis, found)
        axis.set_xlabel("column")
        axis.set_ylabel("row")
    _profile(axes[2], found)
    unit = ",".join(map(str, found.unit))
    figure.suptitle(
        f"{found.layer}, unit {unit}: how much each pixel contributes ({found.images.source})", fontsize=12
    )
    with replacing(path, force=force) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _frame(axis: Any, found: Effective) -> None:
    from matplotlib.patches import Rectangle

    (top, bottom), (left, right) = found.box if len(found.box) == 2 else ((0, 0), *found.box)
    height, width = bottom - top + 1, right - left + 1
    axis.add_patch(
        Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor="#4fc3f7", linewidth=2)
    )
    inner = Rectangle(
        (left - 0.5 + width / 4, top - 0.5 + height / 4),
        width / 2,
        height / 2,
        fill=False,
        edgecolor="#4fc3f7",
    )
    inner.set_linestyle("--")
    axis.add_patch(inner)


def _profile(axis: Any, found: Effective) -> None:
    """Sums over rows, by column, each as a share of the whole, with the Gaussian of the same moments."""
    colours = {"paths": "#e07b00", "gradient": "#6a3d9a"}
    low, high = found.box[-1]
    for key, say in found.say.items():
        if say is None:
            continue
        values = np.atleast_2d(getattr(found, key)).sum(0)
        values = values / values.sum()
        axis.plot(
            np.arange(len(values)),
            values,
            "o-",
            color=colours[key],
            markersize=3,
            label=f"{key}, inner half {say.inner:.0%}",
        )
        if say.sigma[-1] > 0:
            fine = np.linspace(low - 0.5, high + 0.5, 200)
            gaussian = np.exp(-((fine - say.centre[-1]) ** 2) / (2 * say.sigma[-1] ** 2)) / (
                say.sigma[-1] * np.sqrt(2 * np.pi)
            )
            axis.plot(fine, gaussian, "--", color=colours[key], label=f"Gaussian, σ = {say.sigma[-1]:.2f}")
    axis.axvspan(low - 0.5, high + 0.5, color="#4fc3f7", alpha=0.12)
    axis.set_title("Share of the contribution by column", fontsize=11)
    axis.set_xlabel("column")
    margin = max(2, (high - low) // 4)
    axis.set_xlim(max(low - margin, -0.5), min(high + margin, np.atleast_2d(found.paths).shape[1] - 0.5))
    axis.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False)
