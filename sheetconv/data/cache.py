"""Decoded datasets, kept in one safetensors file each that maps straight into memory.

The file holds `images` uint8 and `labels` int64; its metadata holds the class names and a sum over all words,
so that a page lost in a crash is noticed and the file is made again. Nothing is ever evicted: the folder
may be deleted at any time.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sheetconv.errors import OutputError
from sheetconv.files import replacing

VERSION = "1"
PATIENCE = 120
Arrays = tuple[np.ndarray, np.ndarray, list[str]]


def cache_folder() -> Path:
    """`SHEETCONV_CACHE`, else `sheetconv` in `XDG_CACHE_HOME`, else `~/.cache/sheetconv`."""
    chosen = os.environ.get("SHEETCONV_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sheetconv"


def cached(key: str, make: Callable[[], Arrays]) -> tuple[Arrays, bool]:
    """The arrays kept under `key`, or those that `make` gives, kept from now on; and whether they were kept.

    Two processes that start at once make them once: the second waits. Where the folder cannot be written
    the arrays are made all the same and a line on stderr says so.
    """
    path = cache_folder() / f"{key}.safetensors"
    found = load(path)
    if found:
        return found, True
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.with_suffix(".lock")):
            found = load(path)  # another process may have made it while this one waited
            if found:
                return found, True
            arrays = make()
            save(path, arrays)
            return load(path) or arrays, False
    except (OSError, OutputError) as error:
        print(f"Note: decoded images are not kept: {error}", file=sys.stderr)
        return make(), False


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock; say what is waited for after a second, and go on without it after `PATIENCE` seconds."""
    import filelock

    lock = filelock.FileLock(str(path))
    held = True
    try:
        lock.acquire(timeout=1)
    except filelock.Timeout:
        print(
            f"Note: another process is decoding the same images ({path}); waiting {PATIENCE} s at most",
            file=sys.stderr,
        )
        try:
            lock.acquire(timeout=PATIENCE)
        except filelock.Timeout:
            held = False
            print("Note: it has not ended; decoding them here as well", file=sys.stderr)
    try:
        yield
    finally:
        if held:
            lock.release()


def save(path: Path, arrays: Arrays) -> None:
    """Write the arrays to a temporary file and move it to `path`."""
    from safetensors.numpy import save_file

    images, labels, names = arrays
    tensors = {"images": np.ascontiguousarray(images), "labels": np.ascontiguousarray(labels)}
    about = {"version": VERSION, "class_names": json.dumps(names)}
    sums = {f"sum_{name}": str(_sum(value)) for name, value in tensors.items()}
    with replacing(path, force=True) as temporary:
        save_file(tensors, temporary, metadata=about | sums)


def load(path: Path) -> Arrays | None:
    """Map a cache file; None where it is missing, damaged or of another version.

    The arrays are private copies-on-write: changing them changes no file.
    """
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= 1 << 24:
                return None
            header = json.loads(stream.read(length))
        about = header["__metadata__"]
        if about["version"] != VERSION:
            return None
        images = _map(path, 8 + length, header["images"], "U8", np.uint8)
        labels = _map(path, 8 + length, header["labels"], "I64", np.int64)
        names = json.loads(about["class_names"])
        whole = str(_sum(images)) == about["sum_images"] and str(_sum(labels)) == about["sum_labels"]
        return (images, labels, names) if whole and len(images) == len(labels) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _map(path: Path, start: int, entry: dict, code: str, dtype: type) -> np.ndarray:
    begin, end = entry["data_offsets"]
    shape = tuple(int(n) for n in entry["shape"])
    size = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    if entry["dtype"] != code or min(shape) < 1 or end - begin != size:
        raise ValueError("not the file's own header")
    mapped = np.memmap(path, dtype, "c", offset=start + begin, shape=shape)
    return mapped.view(np.ndarray)


def _sum(values: np.ndarray) -> int:
    """The sum of all 64-bit words (modulo 2^64) and of the bytes left over."""
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    whole = len(flat) // 8 * 8
    words = int(np.add.reduce(flat[:whole].view(np.uint64))) if flat.ctypes.data % 8 == 0 else 0
    if flat.ctypes.data % 8:
        words = int(np.add.reduce(flat[:whole].copy().view(np.uint64)))
    return (words + int(flat[whole:].sum())) % (1 << 64)
