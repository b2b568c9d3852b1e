"""Time to read a workbook of 9,416 formulas and trace its last cell; median of five fresh runs.

Run: python tests/benchmarks/trace_speed.py
"""

import statistics
import tempfile
import time
from pathlib import Path

import xlsxwriter
from xlsxwriter.utility import xl_range, xl_range_abs

from sheetconv.trace.area import Area
from sheetconv.trace.precedents import trace
from sheetconv.trace.source import Source


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


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.xlsx"
        build(path)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            with Source(path) as source:
                found = trace(source, Area("S", 300, 0, 300, 0))
            times.append(time.perf_counter() - start)
    print(f"{sum(v.cells for v in found.levels):,} precedents, median {statistics.median(times):.2f} s")
