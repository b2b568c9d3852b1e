"""Datasets of the Hugging Face hub: from its local caches, else over the network if that answers at once."""

import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

from sheetconv.data.folder import splits_at
from sheetconv.data.readers import DatasetReader, TableReader
from sheetconv.errors import DataError

PROBE_SECONDS = 1.5


def open_hub(name: str, split: str) -> DatasetReader:
    """The reader of a split of the hub's dataset `owner/name`.

    Raises `DataError`, in less than 3 seconds, where it is neither cached nor can be fetched.
    """
    cached = cached_splits(name)
    if split in cached:
        return cached[split]
    reason = unreachable()
    if reason:
        have = f" (cached are only: {', '.join(sorted(cached))})" if cached else ""
        raise DataError(
            f"dataset {name}, split {split!r}, is not in the hub's cache{have} and {reason};"
            " go online once, give a folder, or use --dataset builtin"
        )
    return _fetch(name, split)


def cached_splits(name: str) -> dict[str, DatasetReader]:
    """What the hub's own caches hold of a dataset: parquet snapshots first, then prepared Arrow files."""
    home = Path(os.environ.get("HF_HOME") or _xdg() / "huggingface").expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    prepared = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets").expanduser()
    snapshots = hub / f"datasets--{name.replace('/', '--')}" / "snapshots"
    folders = sorted(snapshots.glob("*"), key=_age)
    folders += sorted((prepared / name.replace("/", "___")).glob("*/*/*"), key=_age)
    found: dict[str, DatasetReader] = {}
    for folder in folders:
        if folder.is_dir() and not folder.name.endswith(".incomplete"):
            try:
                for split, reader in splits_at(folder).items():
                    found.setdefault(split, reader)
            except (DataError, OSError):  # an incomplete download: fetch it again
                continue
    return found


def unreachable() -> str:
    """Why the hub cannot be asked, in a few words; empty when it answers within `PROBE_SECONDS`."""
    if any(os.environ.get(v, "").upper() in ("1", "ON", "YES", "TRUE") for v in _OFFLINE):
        return "HF_HUB_OFFLINE forbids to fetch it"
    answer: list[str] = []
    probe = threading.Thread(target=lambda: answer.append(_probe()), daemon=True)
    probe.start()
    probe.join(PROBE_SECONDS + 0.5)  # name resolution has no time-out of its own
    return answer[0] if answer else f"the hub did not answer within {PROBE_SECONDS} s"


_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")


def _probe() -> str:
    """Ask the hub for its headers; any HTTP answer will do."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        request = urllib.request.Request(endpoint, method="HEAD")
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, ValueError):
        return "the hub cannot be reached"
    return ""


def _fetch(name: str, split: str) -> DatasetReader:
    import datasets

    try:
        found = datasets.load_dataset(name, split=split)
    except Exception as error:
        line = str(error).strip().partition("\n")[0]
        raise DataError(f"the hub's dataset {name}, split {split!r}, cannot be loaded: {line}") from error
    return TableReader([Path(file["filename"]) for file in found.cache_files])


def _xdg() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _age(folder: Path) -> float:
    return -folder.stat().st_mtime
