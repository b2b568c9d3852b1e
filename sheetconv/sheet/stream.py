"""Worksheets whose tensors are written in bulk, row by row, straight into the zip.

XlsxWriter writes styles, names, charts, texts and everything else into a small workbook in memory, where each
sheet has a mark in the place of its rows; `save` copies that workbook part by part and puts the rows in. Cells
of tensors are *blocks*: what a block's cells hold is printed only when their rows are due, for many cells at
once (see `sheetconv.sheet.text`), and forgotten when they are written.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from sheetconv.graph.index import IntArray
from sheetconv.sheet.style import OPTIONS
from sheetconv.sheet.text import Bytes, Piece, columns_text, matrix, numbers_text, rows_text

MARK = "<!--rows-->"
BATCH = 40_000  # cells printed at once
LEVEL = 6

Run = tuple[int, int, int, bytes]
"""Row, first and last column, and the XML of some cells of a block in one row."""


@dataclass
class WrittenBlock:
    """Cells of one kind: `rows` and `columns` (n,), a style for each or one for all, and what the cells hold.

    `values` (n,) or None for blank cells, printed with that many `digits`; `formulas` gives the formulas of some
    cells (by their numbers) as a piece of text for XML, or is None for typed numbers.
    """

    rows: IntArray
    columns: IntArray
    style: int
    values: np.ndarray | None = None
    digits: int = 17
    formulas: Callable[[IntArray], Bytes] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        order = np.lexsort((self.columns, self.rows))
        self.order = None if (np.diff(order) == 1).all() else order
        if self.order is not None:
            self.rows, self.columns = self.rows[order], self.columns[order]
        self.first, self.last = int(self.rows[0]), int(self.rows[-1])
        self.density = len(self.rows) / (self.last - self.first + 1)

    def runs(self, row: int, end: int) -> Iterator[Run]:
        """The cells of rows `row` to before `end`, a row at a time."""
        a, b = np.searchsorted(self.rows, (row, end)).tolist()
        for start in range(a, b, BATCH):
            yield from self._printed(start, min(b, start + BATCH))

    def _printed(self, a: int, b: int) -> Iterator[Run]:
        rows, columns = self.rows[a:b], self.columns[a:b]
        cells = matrix(self._pieces(a, b, rows, columns), b - a)
        width, flat = cells.shape[1], cells.tobytes()
        cuts = np.flatnonzero(np.diff(rows)) + 1
        starts, ends = [0, *cuts.tolist()], [*cuts.tolist(), b - a]
        numbers, firsts, lasts = (
            rows[starts].tolist(),
            columns[starts].tolist(),
            columns[np.array(ends) - 1].tolist(),
        )
        for i, j, row, first, last in zip(starts, ends, numbers, firsts, lasts, strict=True):
            if last - first == j - i - 1:
                yield row, first, last, flat[i * width : j * width].translate(None, b"\0")
            else:  # with room for other cells in between
                gaps = (np.flatnonzero(np.diff(columns[i:j]) > 1) + i + 1).tolist()
                for p, q in zip([i, *gaps], [*gaps, j], strict=True):
                    part = flat[p * width : q * width].translate(None, b"\0")
                    yield row, int(columns[p]), int(columns[q - 1]), part

    def _pieces(self, a: int, b: int, rows: IntArray, columns: IntArray) -> list[Piece]:
        head = [b'<c r="', columns_text(columns), rows_text(rows), f'" s="{self.style}"'.encode()]
        if self.values is None:
            return [*head, b"/>"]
        numbers = np.arange(a, b) if self.order is None else self.order[a:b]
        value = numbers_text(self.values[numbers], self.digits)
        if self.formulas is None:
            return [*head, b"><v>", value, b"</v></c>"]
        return [*head, b"><f>", self.formulas(numbers), b"</f><v>", value, b"</v></c>"]


class BulkSheet(Worksheet):
    """A worksheet of XlsxWriter that also has blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.fh: Any = None
        self.blocks: list[WrittenBlock] = []
        self._own: dict[int, tuple[str, list[Run]]] = {}
        self._plain = ["", ""]

    def add_block(self, block: WrittenBlock) -> None:
        """Cells to be written when the workbook is saved."""
        self.blocks.append(block)
        for row, column in ((block.first, int(block.columns.min())), (block.last, int(block.columns.max()))):
            self._check_dimensions(row, column)

    def add_blanks(self, rows: IntArray, columns: IntArray, style: Any) -> None:
        """Cells with a style and nothing in them (padding margins)."""
        if len(rows):
            self.add_block(WrittenBlock(rows, columns, style._get_xf_index()))

    def merge_around(self, box: tuple[int, int, int, int], style: Any) -> None:
        """Merge a rectangle; its first cell stays free for one of a block."""
        row, column, last_row, last_column = box
        if (row, column) != (last_row, last_column):
            self.merge_range(row, column, last_row, last_column, "", style)
            del self.table[row][column]

    def _write_rows(self) -> None:
        """Leave a mark; XlsxWriter's own cells are printed now, before it writes the styles that they use."""
        file: Any = self.fh
        self.fh = io.StringIO()
        self._plain = self._tag(0, None).split('"1"', 1)
        rows = {*self.row_info, *(r for r, cells in self.table.items() if cells)}
        self._own = {row: (self._tag(row, self.row_info.get(row)), self._cells(row)) for row in rows}
        self.fh = file
        self.fh.write(MARK)

    def _tag(self, row: int, info: Any) -> str:
        self._write_row(row, None, info)
        return _taken(self.fh)

    def _cells(self, row: int) -> list[Run]:
        """XlsxWriter's own cells of a row; an empty run at its beginning stands for the row itself."""
        runs: list[Run] = [(row, -1, -1, b"")]
        for column, item in self.table.get(row, {}).items():
            self._write_cell(row, column, item)
            runs.append((row, column, column, _taken(self.fh).encode()))
        return runs

    def row_parts(self) -> Iterator[bytes]:
        """The rows as XML, some at a time; once XlsxWriter has written the rest."""
        others = sorted(self._own, reverse=True)
        waiting = sorted(self.blocks, key=lambda b: b.first, reverse=True)
        active: list[WrittenBlock] = []
        row = 0
        while waiting or active or others:
            starts = [waiting[-1].first] if waiting else []
            row = row if active else min([*starts, *others[-1:]])
            end = self._end(row, active, waiting)
            while waiting and waiting[-1].first < end:
                active.append(waiting.pop())
            runs = [run for block in active for run in block.runs(row, end)]
            while others and others[-1] < end:
                runs += self._own[others.pop()][1]
            yield b"".join(self._joined(sorted(runs, key=_place)))
            active = [block for block in active if block.last >= end]
            row = end

    def _end(self, row: int, active: Sequence[WrittenBlock], waiting: Sequence[WrittenBlock]) -> int:
        """How far to print at once: about a batch of cells, counted as if each block were evenly dense."""
        dense = sum(block.density for block in active)
        end = row + max(1, int(BATCH / max(1.0, dense)))
        for block in reversed(waiting):
            if block.first >= end:
                break
            dense += block.density
            end = max(block.first, row + int(BATCH / max(1.0, dense)), row + 1)
        return end

    def _joined(self, runs: Sequence[Run]) -> Iterator[bytes]:
        now = -1
        for row, _, _, xml in runs:
            if row != now:
                if now >= 0:
                    yield b"</row>"
                own = self._own.get(row)
                yield (own[0] if own else f'{self._plain[0]}"{row + 1}"{self._plain[1]}').encode()
                now = row
            yield xml
        if now >= 0:
            yield b"</row>"


def _place(run: Run) -> tuple[int, int]:
    return run[0], run[1]


def _taken(out: io.StringIO) -> str:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text


def open_book() -> tuple[Any, io.BytesIO]:
    """A workbook of XlsxWriter in memory, and the file that it will be in; for `save`."""
    shell = io.BytesIO()
    return xlsxwriter.Workbook(shell, {**OPTIONS, "in_memory": True}), shell


def save(book: Any, shell: io.BytesIO, path: Path) -> None:
    """Close `book` and write it to `path` with the rows of its bulk sheets."""
    book.close()
    sheets = {f"xl/worksheets/sheet{sheet.index + 1}.xml": sheet for sheet in book.worksheets()}
    with (
        zipfile.ZipFile(shell) as parts,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as out,
    ):
        for info in parts.infolist():
            data = parts.read(info)
            sheet = sheets.get(info.filename)
            if not isinstance(sheet, BulkSheet) or MARK.encode() not in data:
                out.writestr(info, data, zipfile.ZIP_DEFLATED, LEVEL)
                continue
            entry = zipfile.ZipInfo(info.filename, info.date_time)
            entry.compress_type = zipfile.ZIP_DEFLATED
            head, tail = data.split(MARK.encode())
            with out.open(entry, "w", force_zip64=True) as part:
                part.write(head)
                for piece in sheet.row_parts():
                    part.write(piece)
                part.write(tail)
