"""Worksheets that take prepared cells in bulk.

XlsxWriter writes styles, names, charts and everything else; its per-cell path parses each formula with many
regular expressions and prints numbers with 16 digits, which loses the last bit of four doubles in ten. Cells
of tensors therefore come as finished XML, with the shortest text that reads back as the same double.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape

from xlsxwriter.worksheet import Worksheet

from sheetconv.xlsx.address import column_letters


class BulkSheet(Worksheet):
    """A worksheet of XlsxWriter with a second store of cells, merged in row by row while writing."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: dict[int, list[tuple[int, str]]] = defaultdict(list)

    def add_numbers(
        self, rows: Iterable[int], columns: Iterable[int], values: Iterable[float], style: Any
    ) -> None:
        """Constants, exact to the last bit."""
        s = style._get_xf_index()
        for row, column, value in zip(rows, columns, values, strict=True):
            xml = f'<c r="{column_letters(column)}{row + 1}" s="{s}"><v>{value!r}</v></c>'
            self.prepared[row].append((column, xml))

    def add_formulas(
        self,
        rows: Iterable[int],
        columns: Iterable[int],
        formulas: Iterable[str],
        values: Iterable[float],
        style: Any,
    ) -> None:
        """Formulas (without equals sign) with the value that a viewer shows until it recalculates."""
        s = style._get_xf_index()
        for row, column, formula, value in zip(rows, columns, formulas, values, strict=True):
            xml = f'<c r="{column_letters(column)}{row + 1}" s="{s}"><f>{escape(formula)}</f><v>{value!r}</v></c>'
            self.prepared[row].append((column, xml))

    def add_blanks(self, rows: Iterable[int], columns: Iterable[int], style: Any) -> None:
        """Cells with a style and nothing in them (padding margins)."""
        s = style._get_xf_index()
        for row, column in zip(rows, columns, strict=True):
            self.prepared[row].append((column, f'<c r="{column_letters(column)}{row + 1}" s="{s}"/>'))

    def merge_around(self, box: tuple[int, int, int, int], style: Any) -> None:
        """Merge a rectangle; its first cell stays free for a prepared one."""
        row, column, last_row, last_column = box
        if (row, column) != (last_row, last_column):
            self.merge_range(row, column, last_row, last_column, "", style)
            del self.table[row][column]

    def close_cells(self) -> None:
        """Tell XlsxWriter how far the prepared cells reach (call when all are added)."""
        for row, cells in self.prepared.items():
            columns = [c for c, _ in cells]
            self._check_dimensions(row, min(columns))
            self._check_dimensions(row, max(columns))

    def _write_rows(self) -> None:
        wanted = {*self.prepared, *self.row_info, *(r for r, cells in self.table.items() if cells)}
        for row in sorted(wanted):
            self._write_row(row, None, self.row_info.get(row))
            own = self.table.get(row, {})
            for column, xml in sorted([*self.prepared.get(row, []), *((c, None) for c in own)], key=_column):
                if xml is None:
                    self._write_cell(row, column, own[column])
                else:
                    self.fh.write(xml)
            self._xml_end_tag("row")


def _column(item: tuple[int, str | None]) -> int:
    return item[0]
