"""Time and memory of reading, stripping and recalculating a sheet of 200,000 formulas (400 × 500).

Run: python tests/benchmarks/read_speed.py. Each line is the median of three; memory is Python's peak.
"""

import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import openpyxl
import xlsxwriter

from sheetconv import engines
from sheetconv.xlsx.cells import Book
from sheetconv.xlsx.package import check_package
from sheetconv.xlsx.strip import without_cached_values

ROWS, COLUMNS = 400, 500


def build(path: Path) -> None:
    """A convolution over a blank image: every cell a SUMPRODUCT of nine by nine."""
    book = xlsxwriter.Workbook(path, {"constant_memory": True})
    sheet = book.add_worksheet("S")
    for i in range(ROWS):
        for j in range(COLUMNS):
            window = f"AAA{i + 1}:AAC{i + 3}"
            sheet.write_formula(i, j, f"=MAX(0,SUMPRODUCT({window},$AAD$1:$AAF$3)+$AAH$4)", None, 0.1 * i + j)
    book.close()


def read(path: Path) -> None:
    """Formulas and values of the whole sheet as arrays."""
    with Book(path) as book:
        cells = book.cells("S")
        cells.formulas(0, 0, ROWS - 1, COLUMNS - 1)
        cells.values(0, 0, ROWS - 1, COLUMNS - 1)


def read_with_openpyxl(path: Path) -> None:
    """The same with openpyxl, which gives formulas and values in two passes."""
    for data_only in (False, True):
        book = openpyxl.load_workbook(path, data_only=data_only, read_only=True)
        for row in book["S"].iter_rows(values_only=True):
            assert row


def timed(label: str, work: Callable[[], object], memory: bool = False) -> None:
    """Print the median of three runs, and the peak of a fourth."""
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    line = f"{label:24}{statistics.median(seconds):7.2f} s"
    if memory:
        tracemalloc.start()
        work()
        line += f"{tracemalloc.get_traced_memory()[1] / 2**20:9.1f} MiB"
        tracemalloc.stop()
    print(line, flush=True)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "book.xlsx"), Path(folder, "out.xlsx")
        build(path)
        timed("check_package", lambda: check_package(path), memory=True)
        timed("Book.cells and blocks", lambda: read(path), memory=True)
        timed("openpyxl, two passes", lambda: read_with_openpyxl(path))
        timed("without_cached_values", lambda: without_cached_values(path, out), memory=True)
        area = (0, 0, ROWS - 1, COLUMNS - 1)
        for engine in engines.available():
            timed(engine.name, lambda engine=engine: engine.evaluate(path, [("S", area)]))


if __name__ == "__main__":
    main()
