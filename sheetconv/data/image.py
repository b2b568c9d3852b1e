"""One picture or array from a file, as the network wants it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sheetconv.data.decode import MAX_PIXELS
from sheetconv.errors import DataError, UsageError
from sheetconv.files import check_source

if TYPE_CHECKING:
    from sheetconv.data.photo import Steps

MAX_VALUES = 1 << 26
_BOX = 20
_DRAWING = 64
_LUMA = (0.299, 0.587, 0.114)
_INK = 0.1  # of the range between paper and pen: what counts as paper


def digit_from_image(path: Path) -> np.ndarray:
    """The picture of one digit as MNIST would hold it: float64 (28, 28), ink 1 on 0.

    Dark on light or light on dark, any size, grey, colour or alpha, a drawing or a photograph. As MNIST's authors
    did (yann.lecun.com/exdb/mnist): cropped, scaled into 20×20 keeping its proportions, and placed with its centre
    of mass in the middle of 28×28. Raises `DataError` for a missing, unreadable, too large or blank picture, and
    for one without a digit or with several.
    """
    return read_image(path).digit


def read_image(path: Path, nth: int | None = None) -> Steps:
    """The picture of one digit, the `nth` from the left where there are several, with the steps of its reading.

    A picture of up to 64×64 pixels is a drawing, read as it is; a larger one is a photograph.
    """
    from sheetconv.data.photo import Steps, read_photo

    photo = _rgb(path)
    if max(photo.shape[:2]) > _DRAWING:
        return read_photo(photo, str(path), nth)
    flat = _ink(photo.mean(-1), path)
    return Steps(photo, flat, flat > 0.5, flat > 0.5, _drawing(flat), 1)


def _drawing(ink: np.ndarray) -> np.ndarray:
    from PIL import Image

    from sheetconv.data.photo import centred

    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = _BOX / max(ink.shape)
    height, width = (max(1, round(n * scale)) for n in ink.shape)
    small = Image.fromarray(ink.astype(np.float32)).resize((width, height), Image.Resampling.LANCZOS)
    return centred(np.clip(np.asarray(small, np.float64), 0, 1))


def array_input(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """float64 of `shape`, (C, H, W) or (C, L), from a .npy file, or from an image resized to (H, W), 0…1.

    Raises `DataError` where the file is missing, too large, of another shape, or holds NaN or infinity.
    """
    if path.suffix != ".npy":
        return _image_input(path, shape)
    found = load_array(path)
    if found.dtype.kind not in "fiub" or found.size > MAX_VALUES:
        raise DataError(f"{path} holds {found.size:,} values of {found.dtype}; expected numbers")
    if found.shape != tuple(shape):
        raise DataError(f"{path} has shape {found.shape}; the network needs {tuple(shape)}")
    values = np.array(found, np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{path} holds values that are not finite numbers")
    return values


def load_array(path: Path) -> np.ndarray:
    """The array of a .npy file, mapped from the disk; raises `DataError` for anything else."""
    check_source(path)
    try:
        with path.open("rb") as stream:
            magic = stream.read(6)
        if magic != b"\x93NUMPY":
            raise ValueError("it does not begin as one")
        found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        if min(found.shape, default=0) < 0:
            raise ValueError("a size is negative")
    except Exception as error:  # its header is a text in Python's grammar: all kinds of errors
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"cannot read {path} as a .npy array: {reason}") from error
    return found


def named_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by their names, or the one of a .npy: whole numbers as int64, others as float64.

    Raises `DataError` where the file cannot be read without running anything in it, or holds no finite numbers.
    """
    check_source(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        found = {"x": loaded} if isinstance(loaded, np.ndarray) else {n: loaded[n] for n in loaded.files}
    except Exception as error:  # as above
        raise DataError(f"cannot read {path} as arrays: {error!s:.100}") from error
    arrays = {
        n: a.astype(np.int64 if a.dtype.kind in "iu" else np.float64)
        for n, a in found.items()
        if a.dtype.kind in "fiub"
    }
    if not arrays or len(arrays) < len(found) or not all(np.isfinite(a).all() for a in arrays.values()):
        raise DataError(f"{path} holds values that are not finite numbers")
    return arrays


def random_input(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """float64 of `shape`, standard normal, from `seed`."""
    return np.random.default_rng(seed).standard_normal(shape)


def _image_input(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    from PIL import Image

    if len(shape) != 3 or shape[0] not in (1, 3):
        raise UsageError(f"an image cannot fill the shape {tuple(shape)}; give a .npy file")
    channels, height, width = shape
    colour = _rgb(path)
    planes = [colour @ np.array(_LUMA, np.float32)] if channels == 1 else list(colour.transpose(2, 0, 1))
    how = Image.Resampling.BICUBIC
    resized = [Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), how) for plane in planes]
    return np.clip(np.stack([np.asarray(plane, np.float64) for plane in resized]), 0, 1)


def _load(path: Path):  # type: ignore[no-untyped-def]
    from PIL import Image, ImageOps

    if not path.is_file():
        raise DataError(f"there is no image file at {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                if image.size[0] * image.size[1] > MAX_PIXELS:
                    raise DataError(
                        f"{path} has {image.size[0]}×{image.size[1]} pixels: too large; scale it down"
                    )
                image.load()
                return ImageOps.exif_transpose(image)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} has far too many pixels: too large; scale it down") from error
    except Exception as error:  # Pillow's plugins raise many kinds on hostile files
        raise DataError(f"{path} is not an image that can be read ({type(error).__name__})") from error


def _rgb(path: Path) -> np.ndarray:
    """float32 (H, W, 3) in 0…1; transparent parts become white, or black where all that shows is light."""

    image = _load(path)
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image, np.float32)
        return np.repeat((values / max(65_535.0, values.max()))[..., None], 3, -1)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"), np.float32) / 255
        colour, alpha = rgba[..., :3], rgba[..., 3:]
        shown = (colour * alpha).sum() / 3 / max(float(alpha.sum()), 1e-9)
        paper = 0.0 if shown > 0.5 and alpha.min() < 0.5 else 1.0
        return colour * alpha + paper * (1 - alpha)
    return np.asarray(image.convert("RGB"), np.float32) / 255


def _ink(grey: np.ndarray, path: Path) -> np.ndarray:
    """Ink 1, paper 0: the border tells what paper is."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = float(np.median(border))
    away = grey.max() - paper, paper - grey.min()
    reach = max(away)
    if reach < 0.05:
        raise DataError(f"{path} is blank: no digit stands out from its background")
    ink = (grey - paper if away[0] > away[1] else paper - grey) / reach
    return np.where(ink < _INK, 0.0, ink)
