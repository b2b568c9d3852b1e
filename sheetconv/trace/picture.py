"""A trace as a picture: a sheet's numbers as grey pixels, precedents lit by level, the cell itself red."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sheetconv.errors import LimitError
from sheetconv.files import check_target, replacing
from sheetconv.trace.area import Area
from sheetconv.trace.precedents import Trace
from sheetconv.trace.source import Source

MOST_PIXELS = 4_000_000
_LEVELS = np.array([[255, 140, 0], [60, 160, 60], [40, 110, 220], [150, 70, 190], [0, 150, 160]], float)


def draw(source: Source, trace: Trace, path: Path, *, force: bool = False) -> None:
    """Write a PNG with one panel per sheet that the trace touches.

    Raises `LimitError` for sheets with more than `MOST_PIXELS` cells in their used range.
    """
    check_target(path, force=force)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheets = list(dict.fromkeys([trace.start.sheet, *(a.sheet for v in trace.levels for a in v.areas)]))
    images = [_image(source, trace, sheet) for sheet in sheets]
    ratio = sum(image.shape[0] / image.shape[1] for image, _ in images)
    figure = Figure(figsize=(9, min(max(9 * ratio + 0.8 * len(sheets), 3), 14)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(len(sheets), 1))
    for axis, sheet, (image, (r0, c0, r1, c1)) in zip(axes, sheets, images, strict=True):
        axis.imshow(image, extent=(c0 + 0.5, c1 + 1.5, r1 + 1.5, r0 + 0.5), interpolation="nearest")
        axis.set_title(sheet, loc="left")
        axis.set_xlabel("column")
        axis.set_ylabel("row")
    handles = [_swatch(np.array([215, 25, 28]), str(trace.start))]
    handles += [_swatch(_colour(v.number), f"level {v.number}: {v.cells:,} cells") for v in trace.levels[:9]]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    with replacing(path, force=force) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _colour(level: int) -> np.ndarray:
    colour: np.ndarray = _LEVELS[(level - 1) % len(_LEVELS)]
    return colour


def _swatch(colour: np.ndarray, label: str):  # type: ignore[no-untyped-def]
    from matplotlib.patches import Patch

    return Patch(color=tuple(colour / 255), label=label)


def _image(source: Source, trace: Trace, sheet: str) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    areas = [a for v in trace.levels for a in v.areas if a.sheet == sheet]
    areas += [trace.start] if trace.start.sheet == sheet else []
    extent = source.cells(sheet).extent
    bounds = np.array([a[1:] for a in areas] + ([extent] if extent else []))
    r0, c0 = (int(v) for v in bounds[:, :2].min(0))
    r1, c1 = (int(v) for v in bounds[:, 2:].max(0))
    if (r1 - r0 + 1) * (c1 - c0 + 1) > MOST_PIXELS:
        raise LimitError(
            f"sheet {sheet!r} spans {Area(sheet, r0, c0, r1, c1)}: too large to draw; use --to or text"
        )
    numbers = source.cells(sheet).numbers(r0, c0, r1, c1)
    known = np.isfinite(numbers)
    grey = np.where(known, 225.0, 255.0)
    if known.any():
        size = np.abs(np.where(known, numbers, 0))
        grey = np.where(
            known, 232 - 150 * np.sqrt(size / (np.quantile(size[known], 0.98) or 1)).clip(0, 1), 255
        )
    image = np.repeat(grey[..., None], 3, axis=2)
    lit = [(a, _colour(v.number)) for v in reversed(trace.levels) for a in v.areas if a.sheet == sheet]
    lit += [(trace.start, np.array([215.0, 25, 28]))] if trace.start.sheet == sheet else []
    for (_, top, left, bottom, right), colour in lit:
        part = image[top - r0 : bottom - r0 + 1, left - c0 : right - c0 + 1]
        part[...] = colour * (0.35 + 0.65 * part / 255)
    return image.clip(0, 255).astype(np.uint8), (r0, c0, r1, c1)
