"""A trace as a picture: the blocks of each sheet as grey pixels, the cells traced lit by level, the cell itself red.

Each block (a tensor's plane in our workbooks, elsewhere cells that touch) has its own scale from light to dark,
so that small weights and large activations both show; the values stay visible under the colour of a level.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sheetconv.errors import LimitError
from sheetconv.files import check_target, replacing
from sheetconv.formulas import box_sets as region
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.naming import CellNames
from sheetconv.formulas.precedents import Trace
from sheetconv.formulas.source import Source
from sheetconv.xlsx.a1 import column_letters

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PIXELS = 4_000_000
_MARGIN = 2
_RED = np.array([215.0, 25, 28])
_COLOURS = np.array(
    [
        [245, 130, 0], [40, 150, 60], [35, 105, 215], [150, 60, 190], [0, 150, 165], [190, 160, 0],
        [225, 90, 150], [110, 75, 40], [105, 165, 30], [70, 70, 150], [240, 100, 80], [90, 105, 115],
    ],
    float,
)  # fmt: skip
_DARKEST, _LIGHTEST = 70.0, 240.0
_WIDTH, _TALLEST = 11.0, 14.0


@dataclass
class _View:
    """The part of a sheet that is drawn: its bounds, the picture (rows, columns, 3), and titles of blocks."""

    sheet: str
    box: tuple[int, int, int, int]
    image: np.ndarray
    titles: list[tuple[int, int, str]]


def draw(source: Source, trace: Trace, path: Path, names: CellNames, *, force: bool = False) -> None:
    """Write a PNG with one panel for each sheet that the trace touches.

    Raises `LimitError` where the cells of one sheet span more than `MOST_PIXELS`, `OutputError`.
    """
    check_target(path, force=force)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lit = _lit(trace)
    views = [_view(source, names, sheet, lit[sheet]) for sheet in lit]
    shares = [_share(view) for view in views]
    height = min(max(_WIDTH * sum(shares) + 0.9 * len(views) + 0.8, 3.0), _TALLEST)
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(len(views), 1, gridspec_kw={"height_ratios": shares}))
    for axis, view in zip(axes, views, strict=True):
        _panel(axis, view)
    handles = [_swatch(_RED, str(trace.start))]
    most = len(trace.levels)
    for number in range(min(most, len(_COLOURS))):
        label = f"level {number + 1}" + (
            f", {number + 1 + len(_COLOURS)}, …" if most > number + len(_COLOURS) else ""
        )
        handles.append(_swatch(_colour(number + 1), label))
    figure.legend(handles=handles, loc="outside lower center", ncols=7, frameon=False)
    with replacing(path, force=force) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _share(view: _View) -> float:
    """Height of a panel over its width; a sheet with few cells need not fill the page."""
    rows, columns = view.image.shape[:2]
    return min(max(rows / columns, 0.08), max(0.25, 0.012 * rows))


def _lit(trace: Trace) -> dict[str, list[tuple[Area, np.ndarray]]]:
    """Areas with their colours by sheet, the start's sheet first; later entries are painted over earlier ones."""
    found: dict[str, list[tuple[Area, np.ndarray]]] = {trace.start.sheet: []}
    for level in trace.levels:
        for area in level.areas:
            found.setdefault(area.sheet, []).append((area, _colour(level.number)))
    found[trace.start.sheet].append((trace.start, _RED))
    return found


def _colour(level: int) -> np.ndarray:
    colour: np.ndarray = _COLOURS[(level - 1) % len(_COLOURS)]
    return colour


def _swatch(colour: np.ndarray, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=tuple(colour / 255), label=label)


def _view(source: Source, names: CellNames, sheet: str, lit: list[tuple[Area, np.ndarray]]) -> _View:
    r0, c0, r1, c1 = _bounds(source, names, sheet, lit)
    if (r1 - r0 + 1) * (c1 - c0 + 1) > MOST_PIXELS:
        raise LimitError(
            f"{Area(sheet, r0, c0, r1, c1)} is too large to draw; use --to, --levels, or the text"
        )
    numbers = source.cells(sheet).numbers(r0, c0, r1, c1)
    grey = np.full(numbers.shape, 255.0)
    titles = []
    for (top, left, bottom, right), title in _blocks(source, names, sheet, (r0, c0, r1, c1)):
        part = slice(max(top - r0, 0), bottom - r0 + 1), slice(max(left - c0, 0), right - c0 + 1)
        _shade(grey[part], numbers[part])
        if title and r0 <= top <= r1 and c0 <= left <= c1:
            titles.append((top, left, title))
    image = np.repeat(grey[..., None], 3, axis=2)
    for (_, top, left, bottom, right), colour in lit:
        cut = slice(max(top - r0, 0), bottom - r0 + 1), slice(max(left - c0, 0), right - c0 + 1)
        under = image[cut]
        strong = colour * (0.45 + 0.55 * under / 255) + (0.25 * (under - 160)).clip(0)
        image[cut] = np.where(np.isfinite(numbers[cut])[..., None], strong, 0.3 * colour + 0.7 * 255)
    return _View(sheet, (r0, c0, r1, c1), image.clip(0, 255).astype(np.uint8), titles)


def _bounds(
    source: Source, names: CellNames, sheet: str, lit: list[tuple[Area, np.ndarray]]
) -> tuple[int, int, int, int]:
    """What is drawn of a sheet: all of its blocks where that is not much more than what is lit, else near it."""
    r0, c0, r1, c1 = region.bounds(np.array([area[1:] for area, _ in lit], np.int64))
    extent = source.cells(sheet).extent or (r0, c0, r1, c1)
    whole = min(r0, extent[0]), min(c0, extent[1]), max(r1, extent[2]), max(c1, extent[3])
    if (whole[2] - whole[0] + 1) * (whole[3] - whole[1] + 1) <= 60_000:
        return whole
    around = [box for box, _ in _blocks(source, names, sheet, (r0, c0, r1, c1))]
    boxes = np.array([*around, (r0, c0, r1, c1)], np.int64)
    a, b, c, d = region.bounds(boxes)
    return max(a - _MARGIN, 0), max(b - _MARGIN, 0), min(c + _MARGIN, whole[2]), min(d + _MARGIN, whole[3])


def _blocks(
    source: Source, names: CellNames, sheet: str, box: tuple[int, int, int, int]
) -> list[tuple[tuple[int, int, int, int], str]]:
    """Rectangles of cells that belong together and meet `box`, with a title for the first of each tensor."""
    tensors = names.blocks(sheet, box)
    if tensors:
        return tensors
    grid = source.grid(source.number(sheet))
    inside = grid.inside(box)
    found = grid.cells.numbers_at(grid.listed_many(inside))
    return [(b, "") for b in _touching(region.from_keys(grid.keys[inside[~np.isnan(found)]]))]


def _touching(boxes: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Rectangles around groups of boxes whose cells touch, or are one row or column apart (pooled maps)."""
    if len(boxes) > 2000:
        return [region.bounds(boxes)]
    left = list(range(len(boxes)))
    groups = []
    while left:
        group = [left.pop()]
        for member in group:
            r0, c0, r1, c1 = (int(v) for v in boxes[member])
            near = [i for i in left if _near(boxes[i], (r0 - 2, c0 - 2, r1 + 2, c1 + 2), (r0, c0, r1, c1))]
            group += near
            left = [i for i in left if i not in near]
        groups.append(region.bounds(boxes[group]))
    return groups


def _near(box: np.ndarray, around: tuple[int, int, int, int], own: tuple[int, int, int, int]) -> bool:
    rows = box[0] <= own[2] and box[2] >= own[0]
    columns = box[1] <= own[3] and box[3] >= own[1]
    inside = box[0] <= around[2] and box[2] >= around[0] and box[1] <= around[3] and box[3] >= around[1]
    return bool(inside and (rows or columns))


def _shade(grey: np.ndarray, numbers: np.ndarray) -> None:
    """Paint a block: 0 is light, the largest absolute value dark; cells without a number stay as they are."""
    known = np.isfinite(numbers)
    if known.any():
        size = np.abs(np.where(known, numbers, 0))
        scale = float(np.quantile(size[known], 0.99)) or float(size.max()) or 1.0
        shade = _LIGHTEST - (_LIGHTEST - _DARKEST) * np.sqrt((size / scale).clip(0, 1))
        grey[known] = shade[known]


def _panel(axis: Axes, view: _View) -> None:
    from matplotlib.ticker import MaxNLocator

    r0, c0, r1, c1 = view.box
    axis.imshow(view.image, extent=(c0 - 0.5, c1 + 0.5, r1 + 0.5, r0 - 0.5), interpolation="nearest")
    axis.set_title(view.sheet, loc="left", fontsize=11, pad=14 if view.titles else 6)
    letter = 0.0055 * (c1 - c0 + 1)  # columns that a letter takes
    ends: dict[int, float] = {}
    for row, column, title in sorted(view.titles):
        lift = 8.0 if column < ends.get(row, 0.0) else 1.0
        ends[row] = column + letter * len(title) if lift == 1.0 else 0.0
        at = (column - 0.5, row - 0.5)
        axis.annotate(title, at, (0, lift), textcoords="offset points", fontsize=6.5, color="0.25")
    axis.xaxis.set_major_formatter(lambda value, _: column_letters(int(value)) if 0 <= value < 16384 else "")
    axis.yaxis.set_major_formatter(lambda value, _: f"{int(value) + 1}")
    axis.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    axis.set_anchor("W")
    axis.tick_params(labelsize=7, length=2)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("0.7")
