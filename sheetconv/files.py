"""Writing files safely: to a temporary name beside the target, then moved into place."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sheetconv.errors import OutputError


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
    finally:
        temporary.unlink(missing_ok=True)
