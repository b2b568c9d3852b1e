"""The process that a library engine runs in: ``python -I _worker.py NAME JOB RESULT``.

It is started by path and isolated, so that no file beside the workbook is taken for a module; ``paths`` in the
job says where sheetconv and its libraries lie.
"""

import ctypes
import importlib
import json
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_STACKS = (1 << 29, 1 << 26, 0)
"""Bytes, the first that the machine grants: engines follow long chains of cells (an unrolled optimiser) by
recursion."""


def main(name: str, job: str, result: str) -> int:
    """Read the job file, let the engine work, write the result file; the exit code says how it went."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            asked = json.loads(Path(job).read_text(encoding="utf-8"))
            sys.path += [path for path in asked["paths"] if path not in sys.path]
            found = importlib.import_module(f"sheetconv.engines.{name}").ENGINE.work(asked)
            Path(result).write_text(json.dumps(found), encoding="utf-8")
        except BaseException as error:  # a panic in Rust is no Exception
            failed.append(error)

    _in_thread(work)
    if failed:
        line = " ".join(str(failed[0]).split()) or type(failed[0]).__name__
        print(line, file=sys.stderr)
    return bool(failed)


def end_with_parent() -> None:
    """Ask the kernel to end this process with the guard that started it (Linux; elsewhere the guard does it)."""
    set_death_signal = 1
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)


def _in_thread(work: Callable[[], None]) -> None:
    for size in _STACKS:
        threading.stack_size(size)
        thread = threading.Thread(target=work)
        try:
            thread.start()
        except RuntimeError:  # no such stack here
            continue
        thread.join()
        return
    work()


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(*sys.argv[1:4]))
