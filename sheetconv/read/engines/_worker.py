"""The process that a library engine runs in: ``python -m sheetconv.read.engines._worker NAME JOB RESULT``."""

import importlib
import json
import sys
import threading
from pathlib import Path

_STACK = 1 << 29
"""Bytes: engines follow long chains of cells (an unrolled optimiser) by recursion."""


def main(name: str, job: str, result: str) -> int:
    """Read the job file, let the engine work, write the result file; the exit code says how it went."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            engine = importlib.import_module(f"sheetconv.read.engines.{name}").ENGINE
            found = engine.work(json.loads(Path(job).read_text(encoding="utf-8")))
            Path(result).write_text(json.dumps(found), encoding="utf-8")
        except BaseException as error:  # a panic in Rust is no Exception
            failed.append(error)

    threading.stack_size(_STACK)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        line = " ".join(str(failed[0]).split()) or type(failed[0]).__name__
        print(line, file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
