"""Photographs of handwritten digits, synthesised: a digit in ink on paper, in some light, before some camera.

A kind is one or more words of `WORDS`, such as "lines shadow pencil"; each word changes one thing. Every
photograph has a seed of its own, so that any of them can be made again alone.
"""

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

HEIGHT, WIDTH = 900, 1200


@dataclass
class Scene:
    """What a photograph is made of; brightness and colour in 0…1, places in pixels of 900×1200."""

    rng: np.random.Generator
    size: int = 420  # of the 28×28 field of the digit
    softness: float = 1.0  # of the pen's edge
    widen: float = 0.0  # of the stroke, in pixels of the field of 420
    ink: tuple[float, float, float] = (0.15, 0.15, 0.15)
    paper: np.ndarray = field(default_factory=lambda: np.full((HEIGHT, WIDTH, 3), 0.88))
    light: np.ndarray = field(default_factory=lambda: np.ones((HEIGHT, WIDTH)))
    grain: np.ndarray = field(default_factory=lambda: np.ones((HEIGHT, WIDTH)))  # of the ink
    noise: float = 0.015
    blur: float = 0.0
    shown: int = WIDTH  # width of the photograph
    quality: int = 80
    corners: np.ndarray | None = None  # where the corners of the sheet lie in the photograph
    table: float = 0.25
    bent: np.ndarray | None = None  # displacement (2, H, W) of crumpled paper
    band: int = 0  # a dark table along the left edge


def photograph(digit: np.ndarray, kind: str, seed: int | tuple[int, ...]) -> bytes:
    """A JPEG of `digit`, uint8 (28, 28) with ink 255, as the words of `kind` say."""
    scene = Scene(np.random.default_rng(seed))
    for word in kind.split():
        WORDS[word](scene)
    return _jpeg(_taken(scene, _on_paper(scene, digit)), scene)


def several(digits: list[np.ndarray], kind: str, seed: int) -> bytes:
    """A JPEG of several digits beside each other, of `size` 320."""
    scene = Scene(np.random.default_rng(seed), size=320)
    for word in kind.split():
        WORDS[word](scene)
    lay = np.zeros((HEIGHT, WIDTH))
    for number, digit in enumerate(digits):
        top, left = int(scene.rng.integers(200, 300)), 60 + number * 360
        lay[top : top + 320, left : left + 320] = np.maximum(
            lay[top : top + 320, left : left + 320], _pen(scene, digit)
        )
    return _jpeg(_taken(scene, _inked(scene, lay)), scene)


def empty(kind: str, seed: int) -> bytes:
    """A JPEG of paper without a digit."""
    scene = Scene(np.random.default_rng(seed))
    for word in kind.split():
        WORDS[word](scene)
    return _jpeg(_taken(scene, _inked(scene, np.zeros((HEIGHT, WIDTH)))), scene)


def _pen(scene: Scene, digit: np.ndarray) -> np.ndarray:
    """The digit as ink, (size, size): enlarged, with the edge of a pen."""
    n = scene.size
    large = Image.fromarray(digit).resize((n, n), Image.Resampling.BICUBIC)
    values = np.asarray(large.filter(ImageFilter.GaussianBlur(n / 70)), float) / 255
    if scene.widen:
        distance = ndimage.distance_transform_edt(values > 0.45) - ndimage.distance_transform_edt(
            values <= 0.45
        )
        return 1 / (1 + np.exp(-(distance + scene.widen * n / 420) / (1.5 * scene.softness)))
    return 1 / (1 + np.exp(-(values - 0.45) * 14 / scene.softness))


def _on_paper(scene: Scene, digit: np.ndarray) -> np.ndarray:
    lay = np.zeros((HEIGHT, WIDTH))
    n = scene.size
    top = int(scene.rng.integers(80, max(81, HEIGHT - n - 80)))
    left = int(scene.rng.integers(120, max(121, WIDTH - n - 80)))
    lay[top : top + n, left : left + n] = _pen(scene, digit)
    return _inked(scene, lay)


def _inked(scene: Scene, lay: np.ndarray) -> np.ndarray:
    lay = (lay * scene.grain)[..., None]
    return scene.paper * (1 - lay) + np.array(scene.ink) * lay


def _taken(scene: Scene, sheet: np.ndarray) -> np.ndarray:
    """The sheet under the light, seen by the camera: (H, W, 3) before noise."""
    if scene.bent is not None:
        places = np.mgrid[0:HEIGHT, 0:WIDTH] + scene.bent
        sheet = np.stack(
            [ndimage.map_coordinates(sheet[..., c], places, order=1, mode="nearest") for c in range(3)], -1
        )
    if scene.corners is not None:
        picture = Image.fromarray((np.clip(sheet, 0, 1) * 255).astype(np.uint8))
        around = (int(scene.table * 255),) * 3
        picture = picture.transform(
            (WIDTH, HEIGHT),
            Image.Transform.PERSPECTIVE,
            _homography(scene.corners),
            Image.Resampling.BICUBIC,
            fillcolor=around,
        )
        sheet = np.asarray(picture, float) / 255
    if scene.band:
        sheet = sheet.copy()
        sheet[:, : scene.band] = scene.table
    return sheet * scene.light[..., None]


def _homography(corners: np.ndarray) -> list[float]:
    """The eight numbers that bring `corners` (4, 2: x, y) of the photograph to those of the sheet."""
    sheet = np.array([(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)], float)
    rows, right = [], []
    for (x, y), (u, v) in zip(corners, sheet, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return [float(v) for v in np.linalg.solve(np.array(rows), np.array(right))]


def _jpeg(picture: np.ndarray, scene: Scene) -> bytes:
    if scene.blur:
        picture = ndimage.gaussian_filter(picture, (scene.blur, scene.blur, 0))
    picture = picture + scene.rng.normal(0, scene.noise, picture.shape[:2])[..., None]
    image = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
    if scene.shown != WIDTH:
        image = image.resize((scene.shown, HEIGHT * scene.shown // WIDTH), Image.Resampling.BOX)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=scene.quality)
    return stream.getvalue()


def _grid() -> tuple[np.ndarray, np.ndarray]:
    return np.mgrid[0:HEIGHT, 0:WIDTH]


def _ruled(scene: Scene, step: int, width: int, colour: tuple[float, float, float], *, both: bool) -> None:
    y, x = _grid()
    lines = (y % step) < width
    if both:
        lines |= (x % step) < width
    scene.paper[lines] -= np.array(colour)


def _margin(scene: Scene) -> None:
    _ruled(scene, 64, 3, (0.25, 0.18, 0.06), both=False)
    scene.paper[:, 150:154] -= np.array((0.05, 0.4, 0.4))


def _shadow(scene: Scene) -> None:
    scene.light *= 0.55 + 0.45 * _grid()[1] / WIDTH


def _vignette(scene: Scene) -> None:
    y, x = _grid()
    away = ((x - WIDTH / 2) / (WIDTH / 2)) ** 2 + ((y - HEIGHT / 2) / (HEIGHT / 2)) ** 2
    scene.light *= 1 - 0.45 * away / 2


def _hand(scene: Scene) -> None:
    """The shadow of a hand or a telephone: dark on one side of a slightly soft, slanting line."""
    y, x = _grid()
    angle = scene.rng.uniform(-0.6, 0.6)
    edge = (x - scene.rng.uniform(350, 850)) * np.cos(angle) + (y - HEIGHT / 2) * np.sin(angle)
    scene.light *= 0.58 + 0.42 / (1 + np.exp(-edge / 6))


def _gloss(scene: Scene) -> None:
    """A lamp mirrored in the paper: a bright spot in which ink turns pale."""
    y, x = _grid()
    cy, cx = scene.rng.uniform(200, 700), scene.rng.uniform(300, 900)
    spot = np.exp(-(((y - cy) / 160) ** 2 + ((x - cx) / 220) ** 2))
    scene.light *= 0.8 + 0.25 * spot
    scene.grain *= 1 - 0.45 * spot


def _crumpled(scene: Scene) -> None:
    """Facets of paper with a brightness each, creases between them, and everything a little displaced."""
    y, x = _grid()
    seeds = scene.rng.uniform((0, 0), (HEIGHT, WIDTH), (24, 2))
    distance = np.sort(np.stack([np.hypot(y - a, x - b) for a, b in seeds]), 0)[:2]
    owner = np.stack([np.hypot(y - a, x - b) for a, b in seeds]).argmin(0)
    tone = scene.rng.uniform(0.78, 1.0, 24)[owner]
    crease = np.exp(-(((distance[1] - distance[0]) / 5) ** 2))
    scene.light *= ndimage.gaussian_filter(tone, 8) - 0.12 * crease
    rough = scene.rng.normal(0, 1, (2, HEIGHT // 60 + 1, WIDTH // 60 + 1))
    scene.bent = np.stack(
        [ndimage.zoom(r, (HEIGHT / r.shape[0], WIDTH / r.shape[1]), order=3) * 6 for r in rough]
    )


def _chalk(scene: Scene) -> None:
    """White, grainy strokes on a dark board with smears of the sponge."""
    smear = ndimage.gaussian_filter(scene.rng.normal(0, 1, (HEIGHT, WIDTH)), (20, 90)) * 1.2
    scene.paper[:] = (0.2 + smear)[..., None] * np.array((0.85, 1.0, 0.9))
    grain = ndimage.gaussian_filter(scene.rng.normal(0, 1, (HEIGHT, WIDTH)), 1.5) * 5
    scene.grain *= np.clip(0.85 + 0.35 * grain, 0.25, 1)
    scene.ink = (0.9, 0.9, 0.86)


def _reverse(scene: Scene) -> None:
    """Writing of the other side shining through, and specks."""
    lay = np.zeros((HEIGHT, WIDTH))
    for _ in range(40):
        y, x = int(scene.rng.integers(40, 860)), int(scene.rng.integers(40, 1100))
        lay[y : y + 6, x : x + int(scene.rng.integers(10, 60))] = 1
    specks = scene.rng.uniform((10, 10), (HEIGHT - 10, WIDTH - 10), (60, 2)).astype(int)
    scene.paper -= ndimage.gaussian_filter(lay, 2)[..., None] * 0.1
    for y, x in specks:
        scene.paper[y : y + 4, x : x + 4] -= 0.4


def _corners(scene: Scene, inset: float) -> None:
    jitter = scene.rng.uniform(-1, 1, (4, 2)) * (60, 45)
    sheet = np.array([(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)], float)
    centre = np.array((WIDTH / 2, HEIGHT / 2))
    scene.corners = centre + (sheet - centre) * inset + jitter


def _tilt(scene: Scene) -> None:
    angle = np.deg2rad(scene.rng.uniform(-7, 7))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sheet = np.array([(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)], float) - (WIDTH / 2, HEIGHT / 2)
    scene.corners = (sheet * 1.25) @ turn.T + (WIDTH / 2, HEIGHT / 2)


def _set(**values):  # type: ignore[no-untyped-def]
    def change(scene: Scene) -> None:
        for name, value in values.items():
            setattr(scene, name, value)

    return change


def _coloured(*colour: float):  # type: ignore[no-untyped-def]
    def change(scene: Scene) -> None:
        scene.paper += np.array(colour) - 0.88

    return change


WORDS = {
    "clean": lambda scene: None,
    "lines": lambda scene: _ruled(scene, 60, 2, (0.22, 0.22, 0.22), both=False),
    "grid": lambda scene: _ruled(scene, 40, 2, (0.15, 0.15, 0.15), both=True),
    "margin": _margin,
    "shadow": _shadow,
    "vignette": _vignette,
    "hand": _hand,
    "gloss": _gloss,
    "dim": _set(noise=0.05, quality=60),
    "pencil": _set(ink=(0.55, 0.55, 0.55)),
    "blue": _set(ink=(0.15, 0.15, 0.75)),
    "red": _set(ink=(0.8, 0.12, 0.15)),
    "green": _set(ink=(0.1, 0.5, 0.25)),
    "ballpoint": _set(widen=-11.0, softness=0.7),
    "felt": _set(widen=9.0),
    "chalk": _chalk,
    "yellow": _coloured(0.93, 0.85, 0.45),
    "kraft": _coloured(0.68, 0.53, 0.38),
    "crumpled": _crumpled,
    "reverse": _reverse,
    "edge": _set(band=90),
    "perspective": lambda scene: _corners(scene, 1.15),
    "table": lambda scene: _corners(scene, 0.85),
    "tilt": _tilt,
    "small": _set(size=150),
    "large": _set(size=640),
    "blurred": _set(blur=5.0),
    "tiny": _set(shown=320),
}
