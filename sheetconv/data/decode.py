"""Encoded images to uint8 pixels: plain grey PNGs all at once in numpy, everything else with Pillow.

An 8-bit grey PNG is a zlib stream of rows, each led by a filter number (PNG specification, section 9).
Undoing a filter needs the row above and the pixel to the left, but nothing of other images: so one numpy
operation serves the same row of thousands of images.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sheetconv.errors import DataError

MAX_PIXELS = 64_000_000  # of one image
MAX_BYTES = 16 << 30  # of one decoded dataset
CHUNK = 4096
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def decode(blobs: Sequence[bytes], name: Callable[[int], str] = "image {}".format) -> np.ndarray:
    """Decode images of one size: uint8 (N, H, W) where the first is grey, (N, H, W, 3) where it is colour.

    `name` says what the i-th image is called, for messages. Raises `DataError` naming the image that cannot be
    read or differs from the first in size or colour, and when the whole would be larger than `MAX_BYTES`.
    """
    if not blobs:
        raise DataError("there are no images to decode")
    return decode_into(blobs, shape_of(blobs[0], name(0)), name)


def shape_of(blob: bytes, what: str) -> tuple[int, ...]:
    """(H, W) of a grey or (H, W, 3) of a colour image, from its header alone."""
    with _opened(blob, what) as image:
        width, height = image.size
        grey = _grey(image.mode)
    if width * height > MAX_PIXELS:
        raise DataError(f"{what} has {width}×{height} pixels; more than {MAX_PIXELS:,} are not read")
    return (height, width) if grey else (height, width, 3)


def decode_into(
    blobs: Sequence[bytes], shape: tuple[int, ...], name: Callable[[int], str] = "image {}".format
) -> np.ndarray:
    """Decode `blobs`, all of them (H, W) or (H, W, 3) as `shape` says."""
    if len(blobs) * int(np.prod(shape)) > MAX_BYTES:
        raise DataError(
            f"{len(blobs):,} images of {'×'.join(map(str, shape))} are more than {MAX_BYTES >> 30} GiB;"
            " take a part of them"
        )
    out = np.empty((len(blobs), *shape), np.uint8)
    rest = range(len(blobs)) if len(shape) != 2 else _fast(blobs, out)
    if not rest:
        return out

    def one(i: int) -> None:
        out[i] = _pillow(blobs[i], shape, name(i))

    if len(rest) < 64:
        for i in rest:
            one(i)
    else:  # Pillow decodes outside the interpreter's lock
        with ThreadPoolExecutor() as pool:
            for _ in _progress(pool.map(one, rest), len(rest)):
                pass
    return out


def _progress(steps: Iterable, total: int) -> Iterable:
    """A bar on a terminal's stderr for what takes longer than a second."""
    if total < 4:
        return steps
    from tqdm import tqdm  # type: ignore[import-untyped]

    return tqdm(steps, "decoding", total, leave=False, delay=1, disable=None)


def _grey(mode: str) -> bool:
    return mode in ("1", "L", "LA", "La", "I", "F") or mode.startswith("I;16")


def _opened(blob: bytes, what: str):  # type: ignore[no-untyped-def]
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(blob))
    except Image.DecompressionBombError as error:
        raise DataError(f"{what} has far too many pixels; at most {MAX_PIXELS:,} are read") from error
    except Exception as error:
        raise DataError(f"{what} is not an image that can be read ({type(error).__name__})") from error


def _pillow(blob: bytes, shape: tuple[int, ...], what: str) -> np.ndarray:
    with _opened(blob, what) as image:
        size = (image.size[1], image.size[0])
        if size != shape[:2]:
            raise DataError(
                f"{what} is {size[1]}×{size[0]} pixels, the first one {shape[1]}×{shape[0]};"
                " a dataset needs images of one size"
            )
        if len(shape) == 2 and not _grey(image.mode):
            raise DataError(f"{what} is in colour, the first one grey; a dataset needs one kind")
        try:
            return pixels(image, grey=len(shape) == 2)
        except (OSError, ValueError, SyntaxError, zlib.error, struct.error) as error:
            raise DataError(f"{what} is damaged: {error}") from error


def pixels(image, *, grey: bool) -> np.ndarray:  # type: ignore[no-untyped-def]
    """uint8 (H, W) or (H, W, 3) of a Pillow image; 16-bit grey keeps its upper byte."""
    if grey and (image.mode == "I" or image.mode.startswith("I;16")):
        return np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
    return np.asarray(image.convert("L" if grey else "RGB"))


def _fast(blobs: Sequence[bytes], out: np.ndarray) -> list[int]:
    """Decode the plain grey PNGs among `blobs` into `out` (N, H, W); return the numbers of the others."""
    height, width = out.shape[1:]
    header = struct.pack(">I4sII5B", 13, b"IHDR", width, height, 8, 0, 0, 0, 0)
    size = height * (width + 1)
    rest: list[int] = []
    for start in _progress(range(0, len(blobs), CHUNK), -(-len(blobs) // CHUNK)):
        numbers, raws = [], []
        for i, blob in enumerate(blobs[start : start + CHUNK], start):
            raw = _inflate(blob, header, size)
            if raw is None:
                rest.append(i)
            else:
                numbers.append(i)
                raws.append(raw)
        if not raws:
            continue
        rows = np.frombuffer(b"".join(raws), np.uint8).reshape(-1, height, width + 1)
        good = (rows[:, :, 0] <= 4).all(1)
        if good.all() and len(numbers) == len(blobs[start : start + CHUNK]):
            _unfilter(rows, out[start : start + CHUNK])
        else:
            plain = np.empty((len(rows), height, width), np.uint8)
            _unfilter(rows, plain)
            out[numbers] = plain
            rest.extend(int(i) for i in np.array(numbers)[~good])
    return rest


def _inflate(blob: bytes, header: bytes, size: int) -> bytes | None:
    """The filtered rows of a plain grey PNG with one IDAT chunk, else None."""
    if blob[8:29] != header or blob[37:41] != b"IDAT" or blob[:8] != _SIGNATURE:
        return None
    length = int.from_bytes(blob[33:37], "big")
    if length > size + 1024 or blob[49 + length : 53 + length] != b"IEND":  # bounded: no bombs here
        return None
    try:
        raw = zlib.decompress(blob[41 : 41 + length], bufsize=size)
    except zlib.error:
        return None
    return raw if len(raw) == size else None


def _unfilter(rows: np.ndarray, out: np.ndarray) -> None:
    """Undo the row filters: `rows` (N, H, 1 + W) with the filter number first, `out` (N, H, W)."""
    above = np.zeros(out[:, 0].shape, np.uint8)
    for y in range(out.shape[1]):
        kind, row = rows[:, y, 0], rows[:, y, 1:]
        now = out[:, y]
        now[:] = row
        for name, chosen in _chosen(kind):
            if name == 1:
                now[chosen] = np.add.accumulate(row[chosen], axis=1, dtype=np.uint8)
            elif name == 2:
                now[chosen] = row[chosen] + above[chosen]
            elif name == 3:
                now[chosen] = _average(row[chosen].T, above[chosen].T).T
            else:
                now[chosen] = _paeth(row[chosen].T, above[chosen].T).T
        above = now


def _chosen(kind: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for name in range(1, 5):
        chosen = np.flatnonzero(kind == name)
        if len(chosen):
            yield name, chosen


def _average(row: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Filter 3 over the columns of (W, N): the mean of left and above, rounded down."""
    out = np.ascontiguousarray(row)
    left = np.zeros(row.shape[1], np.uint16)
    for x in range(len(out)):
        out[x] += ((left + above[x]) >> 1).astype(np.uint8)
        left = out[x].astype(np.uint16)
    return out


def _paeth(row: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Filter 4 over the columns of (W, N): whichever of left, above, above-left is nearest to a + b − c."""
    out = np.array(row, np.uint8, order="C")
    up = np.array(above, np.int16, order="C")
    corner = np.zeros_like(up)
    corner[1:] = up[:-1]
    slope = up - corner
    to_left = np.abs(slope)
    left = np.zeros(row.shape[1], np.int16)
    for x in range(len(out)):
        rise = left - corner[x]
        to_up = np.abs(rise)
        to_corner = np.abs(rise + slope[x])
        other = np.where(to_up <= to_corner, up[x], corner[x])
        take_left = (to_left[x] <= to_up) & (to_left[x] <= to_corner)
        out[x] += np.where(take_left, left, other).astype(np.uint8)
        left = out[x].astype(np.int16)
    return out
