"""Time to read a workbook of 9,416 formulas and trace its last cell, and what a chain of a million cells takes.

Run: python tests/benchmarks/trace_speed.py [length of the chain, default 1000000; 0 for none]
Medians of five fresh runs; CPU time beside wall time, since a busy machine stretches the latter.
"""

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import xlsxwriter
from xlsxwriter.utility import xl_range, xl_range_abs

from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.precedents import Trace, dependents, trace
from sheetconv.formulas.source import Source


def build(path: Path) -> None:
    work = xlsxwriter.Workbook(path)
    sheet = work.add_worksheet("S")
    for row in range(60):
        sheet.write_row(row, 0, [row * c % 7 for c in range(60)])
    for top, below, size in ((0, 70, 58), (70, 140, 56)):
        kernel = xl_range_abs(top, 65, top + 2, 67)
        for row in range(3):
            sheet.write_row(top + row, 65, [1, 0, -1])
        for r in range(size):
            for c in range(size):
                window = xl_range(top + r, c, top + r + 2, c + 2)
                sheet.write_formula(below + r, c, f"=MAX(0,SUMPRODUCT({window},{kernel}))", None, 1.0)
    for r in range(54):
        for c in range(54):
            sheet.write_formula(200 + r, c, f"=MAX({xl_range(140 + r, c, 141 + r, c + 1)})", None, 1.0)
    sheet.write_formula(300, 0, "=SUM(A201:BB254)", None, 1.0)
    work.close()


def chain(path: Path, length: int) -> None:
    """A2 = A1 + 1, and so on down."""
    work = xlsxwriter.Workbook(path, {"constant_memory": True})
    sheet = work.add_worksheet("S")
    sheet.write(0, 0, 1)
    for row in range(1, length):
        sheet.write_formula(row, 0, f"=A{row}+1", None, row + 1)
    work.close()


def timed(path: Path, cell: Area, back: bool = False) -> tuple[float, float, Trace]:
    """Wall and CPU seconds of reading and tracing."""
    wall, cpu = time.perf_counter(), time.process_time()
    with Source(path) as source:
        found = (dependents if back else trace)(source, cell)
    return time.perf_counter() - wall, time.process_time() - cpu, found


if __name__ == "__main__":
    length = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.xlsx"
        build(path)
        for back, cell in ((False, Area("S", 300, 0, 300, 0)), (True, Area("S", 30, 30, 30, 30))):
            runs = [timed(path, cell, back) for _ in range(5)]
            wall, cpu = (statistics.median(r[i] for r in runs) for i in (0, 1))
            print(
                f"{'dependents' if back else 'precedents'}: {runs[0][2].cells:,} cells, {wall:.2f} s, CPU {cpu:.2f} s"
            )
        if length:
            chain(path, length)
            wall, cpu, found = timed(path, Area("S", length - 1, 0, length - 1, 0))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"chain: {len(found.levels):,} levels, {wall:.0f} s, CPU {cpu:.0f} s, peak {peak:,.0f} MiB")
