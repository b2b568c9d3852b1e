"""One run at a time in a folder: a lock, and who holds it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from sheetconv.errors import OutputError
from sheetconv.train.folder import HOLDER, LOCK, claim


@contextmanager
def claimed(folder: Path, *, resume: bool, force: bool) -> Iterator[None]:
    """Make `folder` ready for a run (see `claim`) and keep others out of it until the run is over.

    Raises `OutputError` where another run uses it, saying which. The lock goes with the process that holds it,
    however that ends.
    """
    is_new = not folder.exists()
    if folder.exists() and not folder.is_dir():
        claim(folder, resume=resume, force=force)  # says so
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(str(folder / LOCK), timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise OutputError(
            f"{folder} is in use by another run ({_holder(folder)}); give another --out"
        ) from None
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error
    try:
        claim(folder, resume=resume, force=force)
        about = f"process {os.getpid()} on {platform.node()}, since {time.strftime('%Y-%m-%d %H:%M')}"
        with suppress(OSError):
            (folder / HOLDER).write_text(about, encoding="utf-8")
        yield
    finally:
        for name in (HOLDER, LOCK):
            (folder / name).unlink(missing_ok=True)
        lock.release()
        if is_new:
            with suppress(OSError):  # something is in it
                folder.rmdir()


def _holder(folder: Path) -> str:
    try:
        return (folder / HOLDER).read_text(encoding="utf-8", errors="replace")[:200] or "it is just starting"
    except OSError:
        return "it is just starting"
