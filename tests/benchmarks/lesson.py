"""The lesson's workbook: time to build it, its size, and how long LibreOffice takes to open it.

    python tests/benchmarks/lesson.py [DATASET]

Each build is a process of its own without the proof (median of three). Opening is measured inside LibreOffice, by
the UNO call that loads the file (median of five, after one that warms it up), as it would be for a user: with the
values in the file, and once more with everything recalculated. Prints a Markdown table.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sheetconv.child import Workplace
from sheetconv.engines import libreoffice

BUILD = """
import sys, time
from pathlib import Path
from sheetconv.building import Request, build
start = time.perf_counter()
build(Request(Path(sys.argv[1]), dataset=sys.argv[2], verify=False, force=True))
print(time.perf_counter() - start)
"""
OPEN = """
import json, sys, time
from pathlib import Path
job = json.loads(Path(sys.argv[1]).read_text())
sys.path.insert(0, job["engines"])
import _uno_worker as worker
desktop = worker.connect(job["pipe"])
loads, sums = [], []
for _ in range(6):
    start = time.perf_counter()
    document = worker.load(desktop, Path(job["book"]))
    middle = time.perf_counter()
    document.calculateAll()
    loads.append(middle - start)
    sums.append(time.perf_counter() - middle)
    document.close(True)
Path(sys.argv[2]).write_text(json.dumps([loads[1:], sums[1:]]))
desktop.terminate()
"""


def opening(book: Path) -> tuple[float, float]:
    """Seconds to load the file and seconds to recalculate it, medians."""
    python = libreoffice.find_uno_python()
    assert python is not None, "LibreOffice with a Python that has uno is needed"
    engines = str(Path(libreoffice.__file__).parent)
    with Workplace() as place:
        script = place.folder / "open.py"
        script.write_text(OPEN, encoding="utf-8")
        job = {"book": str(book.resolve()), "engines": engines, "recalculate": False}
        found: Any = libreoffice.ENGINE.serve([*python, str(script)], job, place)
    loads, sums = found
    return statistics.median(loads), statistics.median(sums)


def main(dataset: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lesson.xlsx"
        times = [
            float(subprocess.run([sys.executable, "-c", BUILD, str(out), dataset], capture_output=True, text=True,
                                 check=True).stdout)
            for _ in range(3)
        ]  # fmt: skip
        load, recalculate = opening(out)
        print(
            "| workbook | build s | file KiB | LibreOffice loads s | recalculates s |\n|---|---|---|---|---|"
        )
        print(
            f"| lesson | {statistics.median(times):.2f} | {out.stat().st_size / 1024:.0f} | {load:.2f} | {recalculate:.2f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "builtin")
