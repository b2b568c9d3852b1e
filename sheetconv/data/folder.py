"""Find the files of one split in a folder (or a single file): the hub's forms and IDX."""

import re
from pathlib import Path

from sheetconv.data.readers import IMAGE_SUFFIXES, FolderReader, IdxReader, Reader, TableReader
from sheetconv.errors import DataError

_ALIASES = {
    "t10k": "test",
    "testing": "test",
    "training": "train",
    "val": "validation",
    "valid": "validation",
}
_SPLITS = ("train", "training", "test", "testing", "t10k", "validation", "valid", "val")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})")
_IDX = re.compile(r"(.*?)-?images[-.]idx\d-ubyte(\.gz)?$")


def open_path(path: Path, split: str) -> Reader:
    """The reader of `split` at `path`: parquet, Arrow, a folder per class, or IDX files.

    Raises `DataError` where nothing is there, the split is missing (naming those present), or shards lack.
    """
    if not path.exists():
        raise DataError(f"there is no dataset at {path}; check the path")
    try:
        found = splits_at(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if not found:
        raise DataError(
            f"{path} holds no dataset: neither parquet or Arrow files, nor a folder per class, nor IDX files"
        )
    if split not in found:
        raise DataError(f"{path} has no split {split!r}; it has: {', '.join(sorted(found))}")
    return found[split]


def splits_at(path: Path) -> dict[str, Reader]:
    """All splits at `path`, unopened."""
    if path.is_file():
        match = _IDX.match(path.name)
        if path.suffix in (".parquet", ".arrow"):
            return {_split_of(Path(path.name)): TableReader([path])}
        if match:
            return {_split_of(Path(path.name)): _idx(path)}
        return {}
    tables: dict[str, list[Path]] = {}
    for file in sorted([*path.rglob("*.parquet"), *path.rglob("*.arrow")]):
        if not file.name.startswith("cache-"):
            tables.setdefault(_split_of(file.relative_to(path)), []).append(file)
    if tables:
        return {split: TableReader(_complete(files)) for split, files in tables.items()}
    images = {f: _IDX.match(f.name) for f in sorted(path.iterdir()) if f.is_file()}
    if any(images.values()):
        return {_split_of(Path(f.name)): _idx(f) for f, match in images.items() if match}
    return _class_folders(path)


def _split_of(relative: Path) -> str:
    """The split that a file's name or folder tells, `train` where neither does."""
    for part in (relative.name, *reversed(relative.parts[:-1])):
        words = re.split(r"[^a-z0-9]+", part.lower())
        for word in words:
            if word in _SPLITS:
                return _ALIASES.get(word, word)
    return "train"


def _complete(files: list[Path]) -> list[Path]:
    """The shards, refused when one of `-00000-of-00003` and so on is missing."""
    numbered = [m for f in files if (m := _SHARD.search(f.name))]
    if numbered and len(numbered) == len(files):
        total = int(numbered[0][2])
        if len({int(m[1]) for m in numbered}) < total:
            raise DataError(
                f"{files[0].parent} holds {len(files)} of {total} parts; the download is incomplete"
            )
    return files


def _idx(images: Path) -> IdxReader:
    name = images.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    for other in (name, name.removesuffix(".gz"), name + ".gz"):
        if (images.parent / other).is_file():
            return IdxReader([images, images.parent / other])
    raise DataError(f"{images} has no labels beside it; expected {name}")


def _class_folders(path: Path) -> dict[str, Reader]:
    folders = [f for f in sorted(path.iterdir()) if f.is_dir() and not f.name.startswith(".")]
    splits = {_ALIASES.get(f.name, f.name): f for f in folders if f.name.lower() in _SPLITS}
    if not splits:
        splits = {"train": path}
    files = {
        split: [f for f in sorted(folder.glob("*/*")) if f.suffix.lower() in IMAGE_SUFFIXES]
        for split, folder in splits.items()
    }
    names = sorted({f.parent.name for found in files.values() for f in found}, key=_natural)
    return {split: FolderReader(found, names) for split, found in files.items() if found}


def _natural(name: str) -> tuple[int, int, str]:
    """Folders `0` … `10` count as numbers, others sort as text."""
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)
