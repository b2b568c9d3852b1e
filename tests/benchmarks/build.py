"""Building workbooks: cells per second, peak memory, file sizes, and how fast the command line starts.

    python tests/benchmarks/build.py

Each build is a process of its own on random input (median of three); prints a Markdown table.
"""

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ONE = """
import sys, time, resource
from pathlib import Path
import numpy as np
from sheetconv.models import load_model
from sheetconv.data.pick import Picked
from sheetconv.data.image import random_input
from sheetconv.compile.capture import capture
from sheetconv.pages.workbook import write_network
name, out = sys.argv[1], Path(sys.argv[2])
module, shape = load_model(name)
picked = Picked(random_input(shape)[None], [None], ["random"], "random", "a benchmark")
start = time.perf_counter()
graph = capture(module, (1, *shape))
middle = time.perf_counter()
manifest = write_network(out, graph, picked, name)
end = time.perf_counter()
cells = sum(t.size for t in manifest.graph if t in manifest.places)
print(cells, middle - start, end - middle, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def run(code: list[str]) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *code], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout


def main() -> None:
    versions = ", ".join(f"{n} {version(n)}" for n in ("torch", "xlsxwriter", "numpy"))
    print(f"Python {platform.python_version()}, {versions}, {platform.machine()}\n")
    print("| network | cells | capture s | write s | cells/s written | peak MiB | file KiB |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("conv-example", "simple-cnn", "autoencoder", "lenet5"):
            out = Path(folder) / f"{name}.xlsx"
            rows = [[float(v) for v in run(["-c", ONE, name, str(out)])[1].split()] for _ in range(3)]
            cells, capture, write, peak = (statistics.median(r[i] for r in rows) for i in range(4))
            size = out.stat().st_size / 1024
            print(
                f"| {name} | {cells:,.0f} | {capture:.2f} | {write:.2f} | {cells / write:,.0f} | {peak:.0f} | {size:.0f} |"
            )
    print("\n| start | median of 7, s |\n|---|---|")
    for title, code in (
        ("python -c pass", ["-c", "pass"]),
        ("import sheetconv", ["-c", "import sheetconv"]),
        (
            "sheetconv --help",
            ["-c", "import sys; sys.argv = ['sheetconv', '--help']; import sheetconv.cli as c; c.main()"],
        ),
    ):
        print(f"| {title} | {statistics.median(run(code)[0] for _ in range(7)):.3f} |")


if __name__ == "__main__":
    main()
