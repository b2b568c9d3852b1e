"""The process that a library engine runs in: ``python -m sheetconv.prove.engines._worker NAME JOB RESULT``."""

import importlib
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_STACKS = (1 << 29, 1 << 26, 0)
"""Bytes, the first that the machine grants: engines follow long chains of cells (an unrolled optimiser) by
recursion."""


def main(name: str, job: str, result: str) -> int:
    """Read the job file, let the engine work, write the result file; the exit code says how it went."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            engine = importlib.import_module(f"sheetconv.prove.engines.{name}").ENGINE
            found = engine.work(json.loads(Path(job).read_text(encoding="utf-8")))
            Path(result).write_text(json.dumps(found), encoding="utf-8")
        except BaseException as error:  # a panic in Rust is no Exception
            failed.append(error)

    _in_thread(work)
    if failed:
        line = " ".join(str(failed[0]).split()) or type(failed[0]).__name__
        print(line, file=sys.stderr)
    return bool(failed)


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
    sys.exit(main(*sys.argv[1:4]))
