"""Datasets by name: the hub's, local files, and the project's own handwriting.

Adding a named dataset is one line in `DATASETS`.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sheetconv.data.cache import Arrays, cached
from sheetconv.data.folder import open_path, starts_files
from sheetconv.data.hub import open_hub
from sheetconv.data.readers import DatasetReader, TableReader
from sheetconv.errors import DataError, UsageError, printable
from sheetconv.files import check_source

DATASETS = {"mnist": "ylecun/mnist", "fashion-mnist": "zalando-datasets/fashion_mnist"}
BUILTIN_SIZES = {"train": 60_000, "test": 10_000}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FOOTER = 1 << 16


@dataclass
class ImageData:
    """A decoded split: `images` uint8 (N, H, W) or (N, H, W, C), `labels` int64 (N,), and where from."""

    images: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    source: str
    fingerprint: str
    cached: bool


@dataclass
class DataSource:
    """One split of a dataset before decoding: its reader, a line about it, and a fingerprint."""

    reader: DatasetReader
    source: str
    fingerprint: str

    def labels(self) -> tuple[np.ndarray, list[str]]:
        """Checked labels int64 (N,) and class names; raises `DataError` when empty or out of range."""
        labels, names = self.reader.read_labels()
        if not len(labels):
            raise DataError(f"{self.source} is empty")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or (names and high >= len(names)) or high > 65_535:
            row = int(np.flatnonzero((labels < 0) | (labels == high if low >= 0 else labels < 0))[0])
            limit = len(names) if names else 65_536
            raise DataError(
                f"{self.source}: the label of image {row} is {labels[row]}; expected 0…{limit - 1}"
            )
        return labels, [printable(name) for name in names] or [str(i) for i in range(high + 1)]


@dataclass
class BuiltinReader:
    """The project's own handwriting as a dataset; the splits have seeds of their own."""

    split: str

    files: list[Path] = field(default_factory=list)

    def read_labels(self) -> tuple[np.ndarray, list[str]]:
        """Ten classes in a seeded order."""
        seed = sorted(BUILTIN_SIZES).index(self.split)
        labels = np.random.default_rng([seed, 1]).permutation(BUILTIN_SIZES[self.split]) % 10
        return labels.astype(np.int64), [str(i) for i in range(10)]

    def read_images(self, rows: Sequence[int] | None = None) -> np.ndarray:
        """All images; single rows are drawn with a seed each block, so only their block is made."""
        from sheetconv.data.handwriting import digits

        labels, _ = self.read_labels()
        seed, block = sorted(BUILTIN_SIZES).index(self.split), 1000
        blocks = range(len(labels) // block) if rows is None else sorted({row // block for row in rows})
        made = {b: digits(block, (seed, b), labels[b * block : (b + 1) * block])[0] for b in blocks}
        if rows is None:
            return np.concatenate([made[b] for b in blocks])
        return np.stack([made[row // block][row % block] for row in rows])


def find(name: str, split: str, label_column: str | None = None) -> DataSource:
    """The source of a split of dataset `name`, without decoding an image.

    `label_column` names the column of a table that holds the labels, where its own names do not tell.
    Raises `UsageError` for an unknown name or split, `DataError` where the data cannot be had.
    """
    if not name.strip():
        raise UsageError(
            "the dataset's name is empty; give mnist, fashion-mnist, builtin, a hub id or a path"
        )
    if name == "builtin":
        if split not in BUILTIN_SIZES:
            raise UsageError(f"unknown split {split!r} of builtin; choose train or test")
        if label_column is not None:
            raise UsageError("--label-column names a column of a table; the built-in handwriting has none")
        return DataSource(BuiltinReader(split), f"built-in handwriting, split {split}", _generator())
    path = Path(name).expanduser()
    local = path.exists() or path.is_absolute() or name.startswith((".", "~")) or starts_files(path)
    if name not in DATASETS and local:
        reader, source = open_path(path, split), f"{path}, split {split}"
    elif name in DATASETS or _HUB_ID.fullmatch(name):
        hub = DATASETS.get(name, name)
        reader, source = open_hub(hub, split), f"{hub} of the Hugging Face hub, split {split}"
    else:
        known = ", ".join([*DATASETS, "builtin"])
        raise UsageError(f"unknown dataset {name!r}; give {known}, a hub id (owner/name) or a path")
    about = fingerprint(reader.files)
    if label_column is not None:
        if not isinstance(reader, TableReader):
            raise UsageError(f"--label-column names a column of a table; {source} has none")
        reader.label_column = label_column
        about = hashlib.blake2b(f"{about} {label_column}".encode(), digest_size=8).hexdigest()
    return DataSource(reader, source, about)


def _generator() -> str:
    """The handwriting's fingerprint: of its own source, so that no change of it meets an old cache."""
    files = [Path(__file__).with_name(name) for name in ("handwriting.py", "strokes.py", "sources.py")]
    return hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=8).hexdigest()


def open_dataset(name: str, split: str, label_column: str | None = None) -> ImageData:
    """All images of a split, decoded once and then mapped from the cache file.

    Raises `UsageError` and `DataError` as `find` does, and `DataError` for images that cannot be used.
    """
    source = find(name, split, label_column)
    short = re.sub(r"[^\w.-]+", "-", Path(name).name or "data")[:40]
    arrays, kept = cached(f"{short}-{split}-{source.fingerprint}", lambda: _decode(source))
    images, labels, names = arrays
    return ImageData(images, labels, names, source.source, source.fingerprint, kept)


def _decode(source: DataSource) -> Arrays:
    labels, names = source.labels()
    try:
        images = source.reader.read_images()
    except DataError as error:
        raise DataError(f"{source.source}: {error}") from error
    if len(images) != len(labels):
        raise DataError(f"{source.source} has {len(images):,} images but {len(labels):,} labels")
    return images, labels, names


def fingerprint(files: Sequence[Path]) -> str:
    """Sixteen hex digits from names, sizes, times of change, and the ends of the first files."""
    digest = hashlib.blake2b(digest_size=8)
    for number, file in enumerate(files):
        check_source(file)
        try:
            about = file.stat()
            digest.update(f"{file.parent.name}/{file.name} {about.st_size} {about.st_mtime_ns}\n".encode())
            if number < 16:
                with file.open("rb") as stream:
                    stream.seek(max(0, about.st_size - _FOOTER))
                    digest.update(stream.read(_FOOTER))
        except OSError as error:
            raise DataError(f"cannot read {file}: {error.strerror}") from error
    return digest.hexdigest()
