"""The built-in handwriting: 28×28 digits drawn by a varied pen, normalised as MNIST was.

A style's points are jittered, its curve (Catmull-Rom) sampled with a fixed matrix, bent, slanted, turned and
fitted into 20×20 pixels with the centre of mass at pixel 14, where MNIST has it. The pen is a row of
Gaussian dabs: being separable, a whole image is one matrix product, and a threshold at the pen's
radius makes it ink with a soft edge.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from sheetconv.data.strokes import SKELETONS
from sheetconv.errors import UsageError

SIZE, BOX, CENTRE = 28, 20, 14.0
POINTS = 72  # dabs per image
_BATCH = 100
_FINE = 16  # places of a dab per pixel
_RADIUS_STEP = 0.06  # radii are drawn from a logarithmic scale
_RADII = (0.64 * np.exp(_RADIUS_STEP * np.arange(22))).astype(np.float32)
_EDGE = 1.3  # pixels from full ink to paper
_RADIUS = (1.3, 1.4, 1.25, 1.2, 1.2, 1.2, 1.2, 1.3, 1.05, 1.1)  # median pen radius in pixels, per class

# Pen radius that a digit bears, as a share of its narrower side (classes without loops bear any).
_LOOP_SHARE = np.array([0.14, 9, 9, 9, 0.105, 9, 0.1, 9, 0.1, 0.11])


@dataclass(frozen=True)
class Style:
    """A skeleton: its distinct points (K, 2) in 0…1, and the matrices (P, K) to places and to steps."""

    points: np.ndarray
    places: np.ndarray
    steps: np.ndarray
    weight: float


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
    images = np.empty((n, SIZE, SIZE), np.uint8)
    for start in range(0, n, _BATCH):
        part = chosen[start : start + _BATCH]
        images[start : start + len(part)] = _draw(part, rng)
    return images, chosen.astype(np.int64)


def _draw(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    places, steps = _curves(labels, rng)
    places, steps = _distort(places, steps, rng)
    usual = np.array(_RADIUS)[labels]
    radius = np.clip(usual * np.exp(rng.normal(0, 0.22, len(labels))), 0.65, 1.35 * usual).astype(np.float32)
    radius = np.minimum(radius, _open_loops(labels, places))
    places, steps = _fit(places, steps, radius)
    ink = _render(places, steps, radius)
    ink *= 1 + 0.04 * rng.standard_normal(ink.shape, np.float32)  # texture of pen and scanner
    return (np.clip(ink, 0, 1) * 255 + 0.5).astype(np.uint8)


def _open_loops(labels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The widest pen, float32 (n,) in pixels, that does not fill the loops of a narrow 0, 4, 6, 8 or 9."""
    x, y = np.moveaxis(places - places.mean(1, keepdims=True), -1, 0)
    xx, yy, xy = (x * x).mean(1), (y * y).mean(1), (x * y).mean(1)
    # the smaller eigenvalue of the covariance: how narrow the digit is in whatever direction it leans
    minor = (xx + yy) / 2 - np.sqrt((xx - yy) ** 2 / 4 + xy * xy)
    narrow = 3.2 * np.sqrt(np.maximum(minor, 0)) / np.maximum(np.ptp(places, axis=1).max(1), 1e-3) * BOX
    widest = np.maximum(_LOOP_SHARE[labels] * narrow, 0.65)
    return widest.astype(np.float32)


def _curves(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places and steps float32 (n, P, 2) of each image's own variation of a style of its class."""
    n = len(labels)
    places = np.empty((n, POINTS, 2), np.float32)
    steps = np.empty_like(places)
    pick = rng.random(n)
    wobble = np.exp(rng.normal(np.log(0.032), 0.35, n)).astype(np.float32)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        known = styles(int(label))
        bounds = np.cumsum([style.weight for style in known])
        kind = np.searchsorted(bounds, pick[rows] * bounds[-1], side="right")
        for number, style in enumerate(known):
            some = rows[kind == number]
            if len(some):
                jitter = rng.standard_normal((len(some), *style.points.shape), np.float32)
                points = style.points + jitter * wobble[some, None, None]
                places[some] = style.places @ points
                steps[some] = style.steps @ points
    return places, steps


def _distort(
    places: np.ndarray, steps: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Warp by a slow sine, then stretch, slant and turn."""
    n = len(places)

    def normal(spread: float) -> np.ndarray:
        return rng.normal(0, spread, (n, 1)).astype(np.float32)

    x, y = places[..., 0] - 0.5, places[..., 1] - 0.5
    dx, dy = steps[..., 0], steps[..., 1]
    for _ in range(2):  # x moves with y, then y with x
        size, phase = normal(0.033), (rng.random((n, 1)) * 2 * np.pi).astype(np.float32)
        pace = (3 + 4 * rng.random((n, 1))).astype(np.float32)
        x, dx = x + size * np.sin(pace * y + phase), dx + size * pace * np.cos(pace * y + phase) * dy
        x, y, dx, dy = y, x, dy, dx
    wide = np.exp(np.clip(normal(0.2), -0.35, 0.35)) * 0.98
    slant, turn = np.clip(normal(0.21), -0.4, 0.4) + 0.08, np.clip(normal(0.1), -0.2, 0.2)
    a, b = np.cos(turn) * wide, -np.cos(turn) * slant - np.sin(turn)
    c, d = np.sin(turn) * wide, np.cos(turn) - np.sin(turn) * slant
    return np.stack([a * x + b * y, c * x + d * y], -1), np.stack([a * dx + b * dy, c * dx + d * dy], -1)


def _fit(places: np.ndarray, steps: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Into the 20×20 box, which then lies on whole pixels with the centre of mass nearest to pixel 14."""
    low, high = places.min(1), places.max(1)
    scale = (BOX - 2 * radius) / np.maximum((high - low).max(1), 1e-3)
    places = (places - low[:, None]) * scale[:, None, None] + (radius - 0.5)[:, None, None]
    steps = steps * scale[:, None, None]
    mass = np.sqrt((steps**2).sum(-1))
    centre = (places * mass[..., None]).sum(1) / mass.sum(1)[:, None]
    extent = (high - low) * scale[:, None] + 2 * radius[:, None]
    corner = np.clip(np.round(CENTRE - centre), 0, np.maximum(SIZE - np.ceil(extent), 0))
    return places + corner[:, None].astype(np.float32), steps


def _render(places: np.ndarray, steps: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Ink float32 (n, 28, 28): on a long straight stroke the dabs add up to exp(−d² / 2r²) at distance d."""
    at = np.clip(places * _FINE + 0.5, 0, SIZE * _FINE - 1).astype(np.int32)
    size = np.round(np.log(radius / _RADII[0]) / _RADIUS_STEP).astype(np.int32)
    radius = _RADII[size]
    at += (size * (SIZE * _FINE))[:, None, None]
    across, down = (_dabs().take(at[..., axis], axis=0) for axis in (0, 1))
    weight = np.sqrt((steps**2).sum(-1)) / (radius[:, None] * np.float32(np.sqrt(2 * np.pi)))
    across *= weight[..., None]
    ridge: np.ndarray = down.transpose(0, 2, 1) @ across
    edge = np.float32(np.exp(-0.5))  # the ridge's height at distance r
    return np.clip(0.5 + (ridge / edge - 1) * radius[:, None, None] / _EDGE, 0, 1)


@cache
def _dabs() -> np.ndarray:
    """Gaussians float32 (radii · fine places, 28): a table is much faster than exponentials.

    Far values are 0, since the denormal numbers that they would be slow the product down many times.
    """
    places = np.arange(SIZE * _FINE, dtype=np.float32)[:, None] / _FINE
    square = (places - np.arange(SIZE, dtype=np.float32)) ** 2
    table = np.concatenate([np.exp(square * (-0.5 / radius**2)) for radius in _RADII])
    table[table < 1e-6] = 0
    return table


@cache
def styles(label: int) -> tuple[Style, ...]:
    """The prepared styles of one class."""
    return tuple(_style(text) for text in SKELETONS[label])


def _style(text: str) -> Style:
    body, _, weight = text.partition("*")
    strokes = [[_point(word) for word in stroke.split()] for stroke in body.split("|")]
    distinct = sorted({point for stroke in strokes for point in stroke})
    segments = [_segment(stroke, i, distinct) for stroke in strokes for i in range(len(stroke) - 1)]
    segments = [segment for segment in segments if segment[0] > 0]
    counts = _shares([segment[0] for segment in segments])
    places, steps = [], []
    for (_, knots), count in zip(segments, counts, strict=True):
        t = (np.arange(count) + 0.5) / count
        places.append(np.stack([t**0, t, t**2, t**3], 1) @ _CATMULL_ROM @ knots)
        steps.append(np.stack([0 * t, t**0, 2 * t, 3 * t**2], 1) @ _CATMULL_ROM @ knots / count)
    where, step = (np.concatenate(rows).astype(np.float32) for rows in (places, steps))
    return Style(np.array(distinct, np.float32) / 100, where, step, float(weight or 1))


_CATMULL_ROM = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2


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
