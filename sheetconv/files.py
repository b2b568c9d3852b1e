"""Files, safely: reading only what is a file and within bounds, writing to a temporary name, then into place."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sheetconv.errors import DataError, OutputError, SheetconvError


def check_source(path: Path, most: int | None = None, error: type[SheetconvError] = DataError) -> None:
    """Raise `error` where `path` is no regular file (a folder, pipe or device never ends) or above `most` bytes."""
    try:
        about = path.stat()
    except (OSError, ValueError) as reason:
        raise error(f"cannot read {path}: {getattr(reason, 'strerror', None) or reason}") from reason
    if stat.S_ISDIR(about.st_mode):
        raise error(f"{path} is a folder; give a file")
    if not stat.S_ISREG(about.st_mode):
        raise error(f"{path} is no regular file (a pipe or a device); give a file")
    if most is not None and about.st_size > most:
        raise error(f"{path} is larger than {most:,} bytes; give a smaller file")


def check_target(path: Path, *, force: bool = False, suffix: str = "") -> None:
    """Raise `OutputError` when `path` cannot become an output file (call before any long work).

    With `suffix` its name must end so: a program that opens it goes by that.
    """
    folder = path.parent
    if suffix and path.suffix.lower() != suffix:
        raise OutputError(f"{path}: the file's name must end with {suffix}")
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give a file name")
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist; create it or choose another output")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the folder {folder} is not writable; choose another output")
    if path.exists() and not force:
        raise OutputError(f"{path} exists already; pass --force to overwrite it")


@contextmanager
def replacing(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success move it there, on any failure leave nothing.

    Raises `OutputError` when the target is not writable, exists without `force`, or the disk is full.
    """
    check_target(path, force=force)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    except Exception as error:
        if (
            type(error).__name__ != "SafetensorError"
        ):  # its library tells of a full disk by an error of its own
            raise
        raise OutputError(f"cannot write {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
