"""The process that starts programs for sheetconv and ends them with it; standard library only.

``python -I -S _guard.py FOLDER``: jobs come on standard input, a JSON object a line, and are answered on
standard output, one line each. When the input ends (its parent is done, or was killed) every program still
running is killed with its children and FOLDER is removed. A job: ``command`` (list), ``seconds`` (its limit),
``environment``, and where wanted ``beside`` (a program that runs beside it and is given a moment to end by
itself) and ``sweep`` (a pattern of files to remove afterwards). The answer: ``code`` (null: over time),
``message`` (the end of what it wrote to standard error), or ``error`` where it could not be started.
"""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

TAIL = 8192
GRACE = 20
"""Seconds for the program beside to end by itself, once the other has ended well."""

Process = subprocess.Popen[bytes]


class Guard:
    """Runs jobs in one folder; `end` stops whatever runs."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.running: list[Process] = []
        self.sweep = ""
        self.lock = threading.Lock()
        self.over = False

    def do(self, job: dict[str, Any]) -> None:
        """Do one job and print its answer."""
        try:
            answer = self._run(job)
        except OSError as error:
            answer = {"error": error.strerror or str(error)}
        finally:
            self.end()
        with suppress(OSError):
            print(json.dumps(answer), flush=True)

    def _run(self, job: dict[str, Any]) -> dict[str, Any]:
        self.sweep = job.get("sweep") or ""
        beside = self._start(job["beside"], job, subprocess.DEVNULL) if job.get("beside") else None
        child = self._start(job["command"], job, subprocess.PIPE)
        tail = Tail(child)
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = child.wait(job["seconds"])
        if beside is not None and code == 0:
            with suppress(subprocess.TimeoutExpired):
                beside.wait(GRACE)
        kill(child)
        return {"code": code, "message": tail.text()}

    def _start(self, command: list[str], job: dict[str, Any], messages: int) -> Process:
        with self.lock:
            if self.over:
                raise OSError("the guard has ended")
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=messages,
                cwd=self.folder,
                env=job["environment"],
                start_new_session=True,
            )
            self.running.append(process)
        return process

    def end(self, *, over: bool = False) -> None:
        """Kill what runs, with its children; with `over` nothing can be started any more."""
        with self.lock:
            self.over = self.over or over
            while self.running:
                kill(self.running.pop())
        for left in glob.glob(self.sweep) if self.sweep else []:
            with suppress(OSError):
                os.unlink(left)


class Tail:
    """The last bytes of what a program writes to standard error, however much that is."""

    def __init__(self, process: Process) -> None:
        self.stream, self.last = process.stderr, b""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self.stream is not None
        while piece := os.read(self.stream.fileno(), 1 << 16):
            self.last = (self.last + piece)[-TAIL:]

    def text(self) -> str:
        """Wait for the end of the stream, for a moment at most."""
        self.thread.join(5)
        return self.last.decode("utf-8", "replace")


def kill(process: Process) -> None:
    """End a program that leads a group, and the group."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def remove(folder: str) -> None:
    """Remove the folder; a program that was just killed may still be letting go of it."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


def main(folder: str) -> None:
    """Serve until the input ends."""
    for name in ("SIGTERM", "SIGHUP", "SIGINT"):  # a handler, not SIG_IGN: programs would inherit that
        if number := getattr(signal, name, None):
            signal.signal(number, lambda *_: None)
    guard = Guard(folder)
    for line in sys.stdin:
        threading.Thread(target=guard.do, args=(json.loads(line),), daemon=True).start()
    guard.end(over=True)
    remove(folder)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
