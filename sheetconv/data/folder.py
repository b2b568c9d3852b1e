"""Find the files of one split in a folder (or a single file): the hub's forms and IDX."""

import re
from pathlib import Path

from sheetconv.data.readers import IMAGE_SUFFIXES, DatasetReader, FolderReader, IdxReader, TableReader
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


def open_path(path: Path, split: str) -> DatasetReader:
    """The reader of `split` at `path`: parquet, Arrow, a folder per class, or IDX files.

    Raises `DataError` where nothing is there, the split is missing (naming those present), or shards lack.
    """
    begins = ""
    if not path.exists() and starts_files(path):
        path, begins = path.parent, path.name
    if not path.exists():
        raise DataError(f"there is no dataset at {path}; check the path")
    try:
        found = splits_at(path, begins)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if not found:
        raise DataError(
            f"{path} holds no dataset: neither parquet or Arrow files, nor a folder per class, nor IDX files"
        )
    if split not in found:
        raise DataError(f"{path} has no split {split!r}; it has: {', '.join(sorted(found))}")
    return found[split]


def starts_files(path: Path) -> bool:
    """Whether `path` is how the names of IDX files begin: `emnist/emnist-digits` among EMNIST's many."""
    return path.parent.is_dir() and any(_IDX.match(file.name) for file in path.parent.glob(f"{path.name}*"))


def splits_at(path: Path, begins: str = "") -> dict[str, DatasetReader]:
    """All splits at `path`, unopened; of IDX files only those whose names begin with `begins`.

    Raises `DataError` where there are two data sets, or shards lack.
    """
    if path.is_file():
        match = _IDX.match(path.name)
        if path.suffix in (".parquet", ".arrow"):
            return {_split_of(Path(path.name)): TableReader([path])}
        if match:
            return {_split_of(Path(path.name)): _idx(path)}
        return {}
    tables: dict[str, list[Path]] = {}
    for file in sorted([*path.rglob("*.parquet"), *path.rglob("*.arrow")]):
        if not file.name.startswith(("cache-", ".")):
            tables.setdefault(_split_of(file.relative_to(path)), []).append(file)
    if tables:
        for files in tables.values():
            _one_of(path, {_set_of(file.relative_to(path)): file for file in files})
        return {split: TableReader(_complete(files)) for split, files in tables.items()}
    images = [file for file in _idx_files(path) if file.name.startswith(begins)]
    if images:
        for split in {_split_of(Path(f.name)) for f in images}:
            same = [f for f in images if _split_of(Path(f.name)) == split]
            _one_of(path, {f.name.removesuffix(".gz"): f for f in same})
        return {_split_of(Path(f.name)): _idx(f) for f in images}
    return _class_folders(path)


def _idx_files(path: Path) -> list[Path]:
    """Image files in IDX form; some archives unpack each into a folder of its name."""
    found = [f for f in sorted(path.iterdir()) if _IDX.match(f.name) and not f.name.startswith(".")]
    inner = [f / f.name if f.is_dir() else f for f in found]
    return [f for f in inner if f.is_file()]


def _one_of(path: Path, sets: dict[str, Path]) -> None:
    if len(sets) > 1:
        names = ", ".join(str(file.relative_to(path)) for file in sets.values())
        raise DataError(
            f"{path} holds {len(sets)} data sets; name the folder, the file or how its name begins: {names}"
        )


def _set_of(relative: Path) -> str:
    """What a table's path says besides its split and part: tables of one data set say the same."""

    def rest(part: str) -> str:
        words = [word for word in re.split(r"[^a-z0-9]+", part.lower()) if word]
        cut = next((i for i, word in enumerate(words) if word in _SPLITS), None)
        return "-".join(words[:cut]) if cut is not None else ""

    folders = [
        part for part in relative.parts[:-1] if not set(re.split(r"[^a-z0-9]+", part.lower())) & set(_SPLITS)
    ]
    return "/".join([*folders, rest(relative.name)])


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
        for file in (images.parent / other, images.parent.parent / other / other):
            if file.is_file():
                return IdxReader([images, file])
    raise DataError(f"{images} has no labels beside it; expected {name}")


def _class_folders(path: Path) -> dict[str, DatasetReader]:
    folders = [f for f in sorted(path.iterdir()) if f.is_dir() and not f.name.startswith(".")]
    splits: dict[str, Path] = {}
    for folder in (f for f in folders if f.name.lower() in _SPLITS):
        split = _ALIASES.get(folder.name.lower(), folder.name.lower())
        if split in splits:
            raise DataError(
                f"{path} holds {splits[split].name} and {folder.name}, both {split}; keep one of them"
            )
        splits[split] = folder
    if not splits:
        splits = {"train": path}
    files = {
        split: [f for f in sorted(folder.glob("*/*")) if _is_image(f)] for split, folder in splits.items()
    }
    names = sorted({f.parent.name for found in files.values() for f in found}, key=_natural)
    return {split: FolderReader(found, names) for split, found in files.items() if found}


def _is_image(file: Path) -> bool:
    """By its suffix; hidden files such as `._7.png` are a Mac's notes about files, not images."""
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")


def _natural(name: str) -> tuple[int, int, str]:
    """Folders `0` … `10` count as numbers, others sort as text."""
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)
