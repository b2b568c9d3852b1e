"""A photograph of a handwritten digit to 28×28 pixels, the way document scanners go about it.

photo → paper's brightness removed → ink → the strokes of one digit → thickness → 28×28

Lengths are pixels of the photo brought to `_LONG` on its longer side, or shares of that. Masks are bool (H, W),
densities float32 (H, W): 0 for paper, 1 where ink takes all of the paper's light (or gives all that a dark
board lacks).
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from sheetconv.errors import DataError

_LONG = 800
_SIZE, _BOX = 28, 20
_STROKE = (1.9, 3.2)  # thickness in MNIST's 20×20 box: from and to
_BLANK = 0.08  # density below which nothing stands out
_SOFT = 2.4  # area above 30% of the ink to that above 70%: a stroke has less, a stain more
_LEVELS = (0.6, 0.45, 0.34, 0.26, 0.2, 0.15)  # of density: the strongest ink first
_FAINTEST = 0.25  # density of strokes
_SMALLEST = 0.07  # height of a digit, of the picture's shorter side


@dataclass
class Steps:
    """How a digit was read: `photo` float (H, W, 3) in 0…1, `flat` density, `ink` and `cut` masks, `digit` float64
    (28, 28) with ink 1 on 0; `count` digits were found, from left to right."""

    photo: np.ndarray
    flat: np.ndarray
    ink: np.ndarray
    cut: np.ndarray
    digit: np.ndarray
    count: int


def read_photo(photo: np.ndarray, name: str, nth: int | None = None) -> Steps:
    """Read the digit of a photograph, float (H, W, 3) in 0…1; `nth` (from 1) chooses among several.

    Raises `DataError` where no digit is found, where several are and `nth` is None, or `nth` is too large.
    """
    if np.ptp(photo) < 0.05:
        raise DataError(f"{name} is blank: no digit stands out from its background")
    photo = _resized(photo)
    dark = _ink_is_dark(photo.mean(-1))
    for ink_is_dark in (dark, not dark):  # a table around the paper can mislead the first guess
        flat, paper = _density(photo if ink_is_dark else 1 - photo)
        ink, masks = _digits(flat, paper)
        if masks:
            break
    if not masks:
        raise DataError(f"no digit is found in {name}: nothing in the picture looks like the strokes of one")
    if nth is None and len(masks) > 1:
        raise DataError(
            f"{name} shows {len(masks)} digits; choose one with --nth 1 to {len(masks)}, counted from the left"
        )
    if not 1 <= (nth or 1) <= len(masks):
        raise DataError(
            f"{name} shows {len(masks)} digit{'s' * (len(masks) > 1)}, so there is no --nth {nth}"
        )
    cut = masks[(nth or 1) - 1]
    return Steps(photo, flat, ink, cut, to_digit(cut), len(masks))


def to_digit(mask: np.ndarray) -> np.ndarray:
    """float64 (28, 28) of a digit's mask: strokes as thick as MNIST's, in 20×20, centred by mass."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    mask = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    mask = _thickness_as_mnist(mask)
    scale = _BOX / max(mask.shape)
    height, width = (max(1, round(n * scale)) for n in mask.shape)
    small = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    return centred(np.clip(np.asarray(small, np.float64), 0, 1))


def centred(digit: np.ndarray) -> np.ndarray:
    """`digit`, at most 20×20, in 28×28 with its centre of mass in the middle and its brightest pixel 1."""
    height, width = digit.shape
    top = round(_SIZE / 2 - _centre(digit.sum(1)))
    left = round(_SIZE / 2 - _centre(digit.sum(0)))
    top = min(max(top, 0), _SIZE - height)
    left = min(max(left, 0), _SIZE - width)
    out = np.zeros((_SIZE, _SIZE))
    out[top : top + height, left : left + width] = digit / digit.max()
    return out


def _centre(mass: np.ndarray) -> float:
    return float((mass * (np.arange(len(mass)) + 0.5)).sum() / mass.sum())


def _resized(photo: np.ndarray) -> np.ndarray:
    """The longer side `_LONG`, or near it."""
    height, width = photo.shape[:2]
    scale = _LONG / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    planes = [
        Image.fromarray(np.ascontiguousarray(photo[..., c], np.float32)).resize(size, how) for c in range(3)
    ]
    return np.clip(np.stack([np.asarray(p) for p in planes], -1), 0, 1)


def _ink_is_dark(grey: np.ndarray) -> bool:
    """Whether what stands out from the brightness around it is darker than that."""
    thumb = ndimage.zoom(ndimage.uniform_filter(grey, 13), 64 / max(grey.shape), order=1)
    away = thumb - ndimage.median_filter(thumb, 23)
    return float((away**3).sum()) <= 0


def _density(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of the paper's light the ink takes, and the paper (H, W): what a wide closing leaves."""
    smooth = ndimage.gaussian_filter(photo, (1.4, 1.4, 0)).astype(np.float32)
    wide = 2 * (min(photo.shape[:2]) // 10) + 1
    paper = ndimage.grey_closing(smooth, (wide, wide, 1))
    lost = np.clip((paper - smooth) / np.maximum(paper, 0.1), 0, 1)
    lost -= np.median(lost, (0, 1))
    grey, colour = lost.mean(-1), lost.max(-1)
    strong = [np.quantile(d, 0.995) for d in (grey, colour)]
    return np.clip(colour if strong[1] > 1.3 * strong[0] else grey, 0, 1), paper.mean(-1)


def _digits(flat: np.ndarray, paper: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The ink and the masks of the digits on it, taken from the strongest ink that makes a digit."""
    for level in _LEVELS:
        seeds = _candidates(flat > level)
        if not seeds:
            continue
        strong = float(np.quantile(flat[np.any(seeds, 0)], 0.75))
        if strong < _FAINTEST:
            break
        for share in (0.5, 0.6, 0.7, 0.8):
            ink = flat > share * strong
            masks = _candidates(ink)
            masks = [mask for mask in masks if _on_paper(mask, flat, paper, strong)]
            if masks:
                return ink, masks
    return flat > _LEVELS[-1], []


def _on_paper(mask: np.ndarray, flat: np.ndarray, paper: np.ndarray, strong: float) -> bool:
    """Whether strokes have the sharp edge of a pen, on one sheet, and are darker than what lies around them."""
    reach = max(2, round(thickness(mask) / 2))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    room = max(3 * reach, len(rows) // 2, len(columns) // 2)
    part = np.s_[max(0, rows[0] - room) : rows[-1] + room, max(0, columns[0] - room) : columns[-1] + room]
    distance = ndimage.distance_transform_edt(~mask[part])
    here, near = flat[part], distance <= reach
    sharp = (here[near] > 0.3 * strong).sum() < _SOFT * max(1, (here[near] > 0.7 * strong).sum())
    low, high = np.quantile(paper[part][distance <= 3 * reach], (0.05, 0.95))
    others = ~near & ~_touching(flat > 0.5 * strong)[part]
    return bool(sharp and low > 0.45 * high and np.quantile(here[others], 0.95) < 0.4 * strong)


def _touching(ink: np.ndarray) -> np.ndarray:
    """The parts of a mask that touch the picture's edge."""
    labels, count = ndimage.label(ink, np.ones((3, 3)))
    edge = np.zeros(count + 1, bool)
    edge[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    edge[0] = False
    return edge[labels]


def _candidates(ink: np.ndarray) -> list[np.ndarray]:
    """Masks of what could be digits, from left to right: groups of strokes that do not touch the picture's edge."""
    ink = ndimage.binary_opening(ink, np.ones((3, 3)))
    labels, count = ndimage.label(ink, np.ones((3, 3)))
    if not count:
        return []
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    inner = np.bincount(labels.ravel(), minlength=count + 1) > 30
    inner[edge] = inner[0] = False
    boxes = ndimage.find_objects(labels)
    parts = [(int(number), _box(boxes[number - 1])) for number in np.flatnonzero(inner)]
    if not parts:
        return []
    groups = _grouped(parts)
    tallest = max(_extent(_union([box for _, box in group])) for group in groups)
    chosen = []
    for group in groups:
        box = _union([box for _, box in group])
        if _extent(box) < max(0.5 * tallest, _SMALLEST * min(ink.shape)):
            continue
        mask = np.isin(labels, [number for number, _ in group])
        if _like_strokes(mask, box):
            chosen.append((box[1], mask))
    chosen.sort(key=lambda item: item[0])
    return [mask for _, mask in chosen]


Box = tuple[int, int, int, int]  # top, left, bottom, right


def _box(slices: tuple[slice, slice]) -> Box:
    rows, columns = slices
    return rows.start, columns.start, rows.stop, columns.stop


def _union(boxes: list[Box]) -> Box:
    array = np.array(boxes)
    return (*(int(v) for v in array[:, :2].min(0)), *(int(v) for v in array[:, 2:].max(0)))  # type: ignore[return-value]


def _extent(box: Box) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def _gap(a: Box, b: Box) -> float:
    down = max(a[0] - b[2], b[0] - a[2], 0)
    across = max(a[1] - b[3], b[1] - a[3], 0)
    return float(np.hypot(down, across))


def _grouped(parts: list[tuple[int, Box]]) -> list[list[tuple[int, Box]]]:
    """Strokes of one digit together: from the largest on, smaller parts that lie within its reach."""
    rest = sorted(parts, key=lambda part: -_extent(part[1]))
    groups = []
    while rest:
        group = [rest.pop(0)]
        size = _extent(group[0][1])
        grown = True
        while grown:
            grown = False
            box = _union([b for _, b in group])
            for part in rest:
                reach = 0.15 if _extent(part[1]) < 0.6 * size else 0.05
                if _gap(box, part[1]) <= reach * size and _extent(_union([box, part[1]])) < 1.5 * size:
                    group.append(part)
                    rest.remove(part)
                    grown = True
                    break
        groups.append(group)
    return groups


def _like_strokes(mask: np.ndarray, box: Box) -> bool:
    part = mask[box[0] : box[2], box[1] : box[3]]
    thick = thickness(part)
    size = max(part.shape)
    return 0.02 < thick / size < 0.33 and (min(part.shape) > 0.1 * size or thick > 0.05 * size)


def thickness(mask: np.ndarray) -> float:
    """Mean thickness of the strokes of a mask, in pixels: four times the mean distance to the paper."""
    padded = np.pad(mask, 1)
    return 4 * float(ndimage.distance_transform_edt(padded)[padded].mean()) - 1


def _thickness_as_mnist(mask: np.ndarray) -> np.ndarray:
    """Grow or thin the strokes so that their thickness in a box of 20 lies within `_STROKE`."""
    thick, size = thickness(mask), max(mask.shape)
    wanted = min(max(thick * _BOX / size, _STROKE[0]), _STROKE[1])
    radius = (wanted * size / _BOX - thick) / (2 - 2 * wanted / _BOX)
    if abs(radius) < 0.5:
        return mask
    if radius > 0:
        room = int(np.ceil(radius))
        mask = np.pad(mask, room)
        return ndimage.distance_transform_edt(~mask) <= radius
    thin = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] > -radius
    return thin if thin.any() else mask
