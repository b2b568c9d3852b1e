"""The built-in handwriting: 28×28 digits drawn by a varied pen, normalised as MNIST was.

A style's points are jittered and its curve (Catmull-Rom) sampled with a fixed matrix, then bent, stretched,
slanted and turned. The line is rendered into 20×20 pixels, which are pasted so that the centre of mass comes
to lie nearest to pixel 14, where MNIST has it (LeCun et al., 1998).

The pen is a row of Gaussian dabs. Being separable, the dabs of a whole image are summed by one matrix product; the
logarithm of the sum is the (softened) squared distance to the line, and all within the pen's radius is ink.

Each seed gives other images, so training need not see one twice. `tests/benchmarks/handwriting_worth.py` trains with
60,000 new images an epoch, batches of 256, Muon at 0.05 for the simple CNN and 0.02 for a larger one with batch-norm
(a tenth of it for biases), ramped up over a fifth of the steps and down to 0, label smoothing 0.1, no augmentation.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sheetconv.data.strokes import SKELETONS
from sheetconv.errors import UsageError

SIZE, BOX, CENTRE = 28, 20, 14.0
POINTS = 60  # dabs per image: about one a pixel on the longest line
_BATCH = 128
_FINE = 16  # places of a dab per pixel
_DAB = np.float32(0.6)  # standard deviation of a dab in pixels
_EDGE = np.float32(1.6)  # pixels from full ink to paper
_THINNEST = 0.55  # pen radius in pixels
_BROADEST = np.where(np.arange(10) == 1, 2.5, 1.8)  # times the median; a 1 has no loop that could fill

# Medians per class, such that generated digits agree with MNIST's training images in ink mass, ratio of width
# to height, and slant: pen radius in pixels, width (1: as the skeleton), slant (x per y, to the right).
_RADIUS = np.array([1.4, 1.36, 1.26, 1.28, 1.2, 1.2, 1.22, 1.32, 1.16, 1.16])
_WIDTH = np.array([1.03, 0.85, 1.22, 1.11, 0.91, 1.18, 0.96, 1.03, 1.03, 0.87])
_SLANT = np.array([0.2, 0.18, 0.05, 0.07, 0.19, 0.1, 0.1, 0.04, 0.08, 0.09])


@dataclass(frozen=True)
class StrokeTable:
    """All skeletons, S of them with up to K distinct points.

    `points` float32 (S, K, 2) in 0…1; `curves` float32 (S, 4P, K), which makes the P places on the smooth
    line, the P steps along it, and what must be added to each for straight lines; `beside` (S, K), the neighbour of a point that is the free end of a stroke,
    else the point itself; `bounds` (S,), where class d has the numbers from d to d + 1, shared by weight.
    """

    points: np.ndarray
    curves: np.ndarray
    beside: np.ndarray
    bounds: np.ndarray


def digits(
    n: int, seed: int | tuple[int, ...], labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`n` digits: uint8 (n, 28, 28), ink 255 on 0, and their labels int64 (n,), the same for the same seed.

    Labels are random, or those given (integers 0 to 9, shape (n,)). Raises `UsageError` for other labels.
    """
    if n < 0:
        raise UsageError(f"cannot draw {n} digits; give 0 or more")
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, 10, n) if labels is None else np.asarray(labels)
    if (
        chosen.shape != (n,)
        or chosen.dtype.kind not in "iu"
        or (n and not (chosen >= 0).all() & (chosen <= 9).all())
    ):
        raise UsageError(f"labels must be {n} whole numbers from 0 to 9")
    images = np.zeros((n, SIZE, SIZE), np.uint8)
    for start in range(0, n, _BATCH):
        part = chosen[start : start + _BATCH]
        _paste(_draw(part, rng), images[start : start + len(part)])
    return images, chosen.astype(np.int64)


def _draw(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ink float32 (n, 20, 20) in 0…1, line and pen fitted into it."""
    places, steps = _distort(*_curves(labels, rng), labels, rng)
    n = len(labels)
    radius = _RADIUS[labels] * np.exp(0.24 * rng.standard_t(6, n))  # a few are very broad
    radius = np.clip(radius, _THINNEST, (_BROADEST * _RADIUS)[labels]).astype(np.float32)
    places, steps = _fit(places, steps, radius)
    length = np.sqrt(np.einsum("npk,npk->np", steps, steps))
    distance = _distance(places, length * _pressure(n, rng))
    ink = np.float32(0.5) + (radius[:, None, None] - distance) / _EDGE
    ink += _grain(n, rng)
    np.clip(ink, 0, 1, out=ink)
    return ink * ink * (3 - 2 * ink)  # rounds the profile's corners, as resampling did


def _normal(rng: np.random.Generator, shape: tuple[int, ...], spread: float = 1) -> np.ndarray:
    return rng.standard_normal(shape, np.float32) * np.float32(spread)


def _curves(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places and steps float32 (n, P, 2) of each image's own variation of a style of its class."""
    n, table = len(labels), _table()
    # float32 below 1 plus a label is exact in float64, so it stays in its class
    style = np.searchsorted(table.bounds, labels + rng.random(n, np.float32).astype(float), side="right")
    points = table.points[style]
    wobble = np.exp(_normal(rng, (n, 1, 1), 0.4) + np.float32(np.log(0.035)))
    points = points + _normal(rng, points.shape) * wobble
    # a free end is shortened, or lengthened a little
    toward = np.take_along_axis(points, table.beside[style][..., None], 1) - points
    toward *= np.float32(0.25) / np.maximum(np.sqrt((toward**2).sum(-1, keepdims=True)), np.float32(0.25))
    points += (rng.random((*points.shape[:2], 1), np.float32) * np.float32(0.6) - np.float32(0.2)) * toward
    smooth, straighten = np.split(table.curves[style] @ points, 2, axis=1)
    line = smooth + np.abs(_normal(rng, (n, 1, 1), 0.3)) * straighten
    return line[:, :POINTS], line[:, POINTS:]


def _distort(
    places: np.ndarray, steps: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Warp by a slow sine, then stretch, slant and turn."""
    n = len(places)
    x, y = places[..., 0] - np.float32(0.5), places[..., 1] - np.float32(0.5)
    dx, dy = steps[..., 0], steps[..., 1]
    for _ in range(2):  # x moves with y, then y with x
        size, phase = _normal(rng, (n, 1), 0.04), rng.random((n, 1), np.float32) * np.float32(2 * np.pi)
        pace = 3 + 4 * rng.random((n, 1), np.float32)
        angle = pace * y + phase
        x, dx = x + size * np.sin(angle), dx + size * pace * np.cos(angle) * dy
        x, y, dx, dy = y, x, dy, dx
    wide = _WIDTH[labels, None] * np.exp(np.clip(_normal(rng, (n, 1), 0.2), -0.45, 0.45))
    slant = _SLANT[labels, None] + np.clip(_normal(rng, (n, 1), 0.23), -0.5, 0.5)
    turn = np.clip(_normal(rng, (n, 1), 0.1), -0.22, 0.22)
    a, b = np.cos(turn) * wide, -np.cos(turn) * slant - np.sin(turn)
    c, d = np.sin(turn) * wide, np.cos(turn) - np.sin(turn) * slant
    a, b, c, d = (values.astype(np.float32) for values in (a, b, c, d))
    return np.stack([a * x + b * y, c * x + d * y], -1), np.stack([a * dx + b * dy, c * dx + d * dy], -1)


def _fit(places: np.ndarray, steps: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scaled so that line and pen just fill the 20×20 box's longer side, in pixels from its first one."""
    low, high = places.min(1), places.max(1)
    margin = radius
    scale = (BOX - 2 * margin) / np.maximum((high - low).max(1), np.float32(1e-3))
    extent = (high - low) * scale[:, None] + 2 * margin[:, None]
    offset = np.floor((BOX - extent) / 2 + np.float32(0.01)) + (margin - np.float32(0.5))[:, None]
    return (places - low[:, None]) * scale[:, None, None] + offset[:, None], steps * scale[:, None, None]


def _pressure(n: int, rng: np.random.Generator) -> np.ndarray:
    """Weights float32 (n, P) of the dabs: the pen's pressure, slowly changing along the line."""
    along = np.arange(POINTS, dtype=np.float32) / POINTS
    pace, phase = rng.random((2, n, 1), np.float32) * np.float32(2 * np.pi)
    return np.exp(_normal(rng, (n, 1), 0.5) * np.sin((pace + 3) * along + phase))


def _distance(places: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Distance float32 (n, 20, 20) in pixels from each pixel to the line.

    On a long straight line with dabs of even weight, one a pixel of length, it is exact: the dabs add up to
    exp(−d² / 2s²) at distance d. It is a little less where lines meet, as ink runs together there.
    """
    at = (places * _FINE + np.float32(0.5)).astype(np.int32)
    np.clip(at, 0, BOX * _FINE - 1, out=at)
    across, down = (_dabs().take(at[..., axis], axis=0) for axis in (0, 1))
    across *= (weight / (_DAB * np.float32(np.sqrt(2 * np.pi))))[..., None]
    ridge: np.ndarray = down.transpose(0, 2, 1) @ across
    np.clip(ridge, 1e-30, 1, out=ridge)
    return np.sqrt(np.log(ridge, out=ridge) * (-2 * _DAB**2))


@cache
def _dabs() -> np.ndarray:
    """Gaussians float32 (fine places, 20): a table is much faster than exponentials.

    Far values are 0, since the denormal numbers that they would be slow the product down many times.
    """
    places = np.arange(BOX * _FINE, dtype=np.float32)[:, None] / _FINE
    table = np.exp((places - np.arange(BOX, dtype=np.float32)) ** 2 * (-0.5 / _DAB**2))
    table[table < 1e-15] = 0
    return table


def _grain(n: int, rng: np.random.Generator) -> np.ndarray:
    """Noise float32 (n, 20, 20), seen only at the edge of the ink; cut out of one strip, which is faster."""
    start = rng.integers(0, len(_noise()) - BOX * BOX, n)
    return sliding_window_view(_noise(), BOX * BOX)[start].reshape(n, BOX, BOX)


@cache
def _noise() -> np.ndarray:
    return _normal(np.random.default_rng(0), (1 << 16,), 0.06)


def _paste(ink: np.ndarray, images: np.ndarray) -> None:
    """Put ink (n, 20, 20) into images (n, 28, 28), moved by whole pixels to the centre of mass."""
    places, mass = np.arange(BOX, dtype=np.float32), ink.sum((1, 2))
    x, y = (ink.sum(axis) @ places / mass for axis in (1, 2))
    column, row = (np.clip(np.round(CENTRE - centre), 0, SIZE - BOX).astype(np.int64) for centre in (x, y))
    boxes = sliding_window_view(images, (BOX, BOX), axis=(1, 2), writeable=True)
    boxes[np.arange(len(ink)), row, column] = (ink * 255 + np.float32(0.5)).astype(np.uint8)


@cache
def _table() -> StrokeTable:
    kinds = [_style(text) for label in range(10) for text in SKELETONS[label]]
    most = max(len(points) for points, _, _ in kinds)
    points = np.zeros((len(kinds), most, 2), np.float32)
    curves = np.zeros((len(kinds), 4 * POINTS, most), np.float32)
    beside = np.tile(np.arange(most), (len(kinds), 1))
    for row, (distinct, matrix, free) in enumerate(kinds):
        points[row, : len(distinct)] = distinct
        curves[row, :, : len(distinct)] = matrix
        beside[row, : len(distinct)] = free
    return StrokeTable(points, curves, beside, np.concatenate([_bounds(label) for label in range(10)]))


def _bounds(label: int) -> np.ndarray:
    """Where the styles of one class end on the line from `label` to `label` + 1."""
    ends = np.cumsum([float(text.partition("*")[2] or 1) for text in SKELETONS[label]])
    return label + ends / ends[-1]


def _style(text: str) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Points (K, 2), matrix (4P, K) and neighbours of free ends [K] of a skeleton."""
    body = text.partition("*")[0]
    strokes = [[_point(word) for word in stroke.split()] for stroke in body.split("|")]
    distinct = sorted({point for stroke in strokes for point in stroke})
    segments = [_segment(stroke, i, distinct) for stroke in strokes for i in range(len(stroke) - 1)]
    segments = [segment for segment in segments if segment[0] > 0]
    counts = _shares([segment[0] for segment in segments])
    smooth, straight = (
        np.concatenate([_sample(basis, *piece) for piece in zip(segments, counts, strict=True)], 1)
        for basis in (_CATMULL_ROM, _CHORD)
    )
    return (
        np.array(distinct) / 100,
        np.concatenate([*smooth, *(straight - smooth)]),
        _free_ends(strokes, distinct),
    )


_CATMULL_ROM = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
_CHORD = np.array([[0, 1, 0, 0], [0, -1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def _sample(basis: np.ndarray, segment: tuple[float, np.ndarray], count: int) -> np.ndarray:
    """Matrices (2, count, K) to `count` places on a piece of a stroke, and to the steps along it."""
    t = (np.arange(count) + 0.5) / count
    powers = np.stack([[t**0, t, t**2, t**3], [0 * t, t**0 / count, 2 * t / count, 3 * t**2 / count]])
    matrices: np.ndarray = powers.transpose(0, 2, 1) @ basis @ segment[1]
    return matrices


def _point(word: str) -> tuple[float, float]:
    x, y = word.split(",")
    return float(x), float(y)


def _segment(stroke: list[tuple[float, float]], i: int, distinct: list) -> tuple[float, np.ndarray]:
    """Length of a stroke's piece from point i to i + 1, and the matrix (4, K) that selects its knots."""
    knots = [max(i - 1, 0), i, i + 1, min(i + 2, len(stroke) - 1)]
    select = np.zeros((4, len(distinct)))
    select[range(4), [distinct.index(stroke[k]) for k in knots]] = 1
    return float(np.hypot(*np.subtract(stroke[i], stroke[i + 1]))), select


def _shares(lengths: list[float]) -> list[int]:
    """How many of the dabs each piece gets: in proportion to length, at least one."""
    ends = np.round(np.cumsum(lengths) / np.sum(lengths) * (POINTS - len(lengths))).astype(int)
    return [int(n) + 1 for n in np.diff(ends, prepend=0)]


def _free_ends(strokes: list[list[tuple[float, float]]], distinct: list) -> list[int]:
    """For each point the neighbour if it ends a stroke and occurs nowhere else, else the point itself."""
    beside = list(range(len(distinct)))
    every = [point for stroke in strokes for point in stroke]
    for stroke in strokes:
        for end, neighbour in ((stroke[0], stroke[1]), (stroke[-1], stroke[-2])):
            if every.count(end) == 1:
                beside[distinct.index(end)] = distinct.index(neighbour)
    return beside
