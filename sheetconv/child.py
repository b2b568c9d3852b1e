"""The one place where other programs are started: by path, in a folder of their own, ended with us.

A `Workplace` is a private temporary folder with a guard, a small process that starts the programs, keeps
their time limit, and kills them and removes the folder when this process ends, however it ends. Nothing in
the folder from which sheetconv was called is ever run: programs start in the private folder, Python with
``-I`` (no PYTHONPATH, no ``sitecustomize`` of the user's, nothing imported from the working folder).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sheetconv.errors import EngineError, OutputError

_GUARD = Path(__file__).with_name("_guard.py")


def environment() -> dict[str, str]:
    """Our environment without what steers a Python, and without the working folder in PATH."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    steps = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return kept | {"PATH": os.pathsep.join(step for step in steps if os.path.isabs(step))}


def which(name: str) -> str | None:
    """Path of a program in PATH, never one in the working folder; None without one."""
    found = shutil.which(name, path=environment()["PATH"])
    return found if found and os.path.isabs(found) else None


def python(script: Path) -> list[str]:
    """The command that runs a script by path in this Python, isolated."""
    return [sys.executable, "-I", str(script)]


def module_paths() -> list[str]:
    """Where our own modules come from, for an isolated Python to append; the working folder is left out."""
    here, root = os.path.realpath(os.curdir), str(Path(__file__).parents[1])
    found = [root, *(p for p in sys.path if os.path.isabs(p))]
    return [p for p in dict.fromkeys(found) if p == root or os.path.realpath(p) != here]


def works(command: Sequence[str], seconds: float = 60) -> bool:
    """Whether a short program ends with code 0; it runs in the root folder."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command, capture_output=True, timeout=seconds, cwd=os.path.abspath(os.sep), env=environment()
        )
        return done.returncode == 0
    return False


class Workplace:
    """A private folder, and programs in it; use as a context manager, after which neither is left.

    Attributes:
        folder: the folder.
    """

    def __init__(self) -> None:
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="sheetconv-")).resolve()
        except OSError as error:
            raise OutputError(
                f"no temporary folder can be made in {tempfile.gettempdir()}: {error.strerror}"
            ) from error
        try:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self.folder.parent,
                env=environment(),
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise EngineError(f"Python cannot be started again: {error.strerror or error}") from error

    def run(
        self,
        command: Sequence[str],
        seconds: float,
        name: str,
        *,
        beside: Sequence[str] | None = None,
        sweep: str = "",
        more: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """Run a program; return its exit code (negative: it crashed) and the end of its messages.

        `beside` runs beside it and ends with it; `sweep` is a pattern of files to remove afterwards; `more` is
        added to the environment. Raises `EngineError` when it takes longer than `seconds` or cannot be started.
        """
        job = {"command": list(command), "beside": list(beside or ()), "seconds": seconds, "sweep": sweep}
        answer = self._ask(job | {"environment": environment() | dict(more or {})})
        if "error" in answer:
            raise EngineError(f"{name} cannot be started: {answer['error']}")
        if answer["code"] is None:
            raise EngineError(f"{name} took longer than {seconds:g} s and was stopped")
        return answer["code"], answer["message"]

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        with suppress(OSError):
            self._guard.stdin.write(json.dumps(job).encode() + b"\n")
            self._guard.stdin.flush()
            if line := self._guard.stdout.readline():
                found: dict[str, Any] = json.loads(line)
                return found
        return {"error": "the process that guards it was ended from outside"}

    def close(self) -> None:
        """End what runs and remove the folder."""
        with suppress(subprocess.TimeoutExpired, OSError):
            self._guard.communicate(timeout=30)  # closes its input: it ends what it started, and itself
        if self._guard.poll() is None:
            self._guard.kill()
            self._guard.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
