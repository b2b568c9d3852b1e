"""Cells of a workbook read in bulk: formulas and cached values, at full double precision.

One pass of expat over a sheet's XML gives both. openpyxl gives either, takes longer for both together, and
does not expand shared formulas (``tests/benchmarks/read_speed.py`` has the figures).
"""

import os
import re
from array import array
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.parsers import expat

import numpy as np

from sheetconv.errors import WorkbookError
from sheetconv.read.a1 import Range, cell_name, parse_range
from sheetconv.read.package import LIMITS, Limits, Package, new_parser, xml_error
from sheetconv.read.scan import Positions

_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_WORKSHEET = "worksheet"


class CellError(str):
    """An error value of a cell, such as ``#DIV/0!``: text, but of its own type."""

    __slots__ = ()


Value = float | str | bool | CellError | None
"""What a cell holds: a number (always float), text, a truth value, an error, or None for a blank cell."""


def numbers(values: np.ndarray) -> np.ndarray:
    """Turn an object array of `Value` into float64 of the same shape; NaN where no number stands."""
    flat = np.fromiter((v if type(v) is float else np.nan for v in values.flat), np.float64, values.size)
    return flat.reshape(values.shape)


class SheetCells:
    """All cells of one sheet as they stand in the file. Rows and columns count from zero.

    Attributes:
        sheet: the sheet's name.
        arrays: area of each array formula, by its first cell: {(row, column): (r0, c0, r1, c1)}.
    """

    def __init__(self, sheet: str):
        self.sheet = sheet
        self.arrays: dict[tuple[int, int], Range] = {}
        self._rows, self._columns, self._numbers = array("i"), array("i"), array("d")
        self._others: dict[int, Value] = {}  # index of a cell → what is not a number
        self._formulas: dict[int, str | int] = {}  # index of a cell → text, or the number of a shared one
        self._shared: dict[int, Callable[[int, int], str]] = {}

    def __len__(self) -> int:
        """How many cells the file lists (blank cells with a style count)."""
        return len(self._rows)

    @property
    def formula_count(self) -> int:
        """How many cells carry a formula of their own (an array formula counts once)."""
        return len(self._formulas)

    @property
    def extent(self) -> Range | None:
        """Smallest range that holds every listed cell; None for an empty sheet."""
        if not self._rows:
            return None
        columns = self._column_view
        return self._rows[0], int(columns.min()), self._rows[-1], int(columns.max())

    def values(self, row0: int, column0: int, row1: int, column1: int) -> np.ndarray:
        """Cached values as an object array of `Value`, shape (row1-row0+1, column1-column0+1).

        A formula cell without a cached value is None, like a blank cell.
        """
        block = np.full((row1 - row0 + 1, column1 - column0 + 1), None, object)
        for index in self._inside(row0, column0, row1, column1):
            at = self._rows[index] - row0, self._columns[index] - column0
            number = self._numbers[index]
            block[at] = number if number == number else self._others.get(index)
        return block

    def numbers(self, row0: int, column0: int, row1: int, column1: int) -> np.ndarray:
        """Cached values as float64, shape as in `values`; NaN where no number stands."""
        block = np.full((row1 - row0 + 1, column1 - column0 + 1), np.nan)
        inside = self._inside(row0, column0, row1, column1)
        block[self._row_view[inside] - row0, self._column_view[inside] - column0] = self._number_view[inside]
        return block

    def formulas(self, row0: int, column0: int, row1: int, column1: int) -> np.ndarray:
        """Formula texts as an object array of ``"=…"`` or None, shape as in `values`.

        Shared formulas are expanded for each cell. Every cell of an array formula's area has the text of the
        area (without braces; `arrays` tells the area).
        """
        block = np.full((row1 - row0 + 1, column1 - column0 + 1), None, object)
        for index in self._inside(row0, column0, row1, column1):
            row, column = self._rows[index], self._columns[index]
            block[row - row0, column - column0] = self._formula(index, row, column)
        for (row, column), (r0, c0, r1, c1) in self.arrays.items():
            if r0 <= row1 and r1 >= row0 and c0 <= column1 and c1 >= column0:
                covered = (
                    slice(max(r0 - row0, 0), r1 - row0 + 1),
                    slice(max(c0 - column0, 0), c1 - column0 + 1),
                )
                block[covered] = self.formula(row, column)
        return block

    def value(self, row: int, column: int) -> Value:
        """Cached value of one cell."""
        found: Value = self.values(row, column, row, column)[0, 0]
        return found

    def formula(self, row: int, column: int) -> str | None:
        """Formula that stands in one cell, ``"=…"``, or None (use `formulas` for members of an array)."""
        for index in self._inside(row, column, row, column):
            return self._formula(index, row, column)
        return None

    def formula_cells(self) -> Iterator[tuple[int, int, str]]:
        """Yield (row, column, formula) of every cell with a formula, row by row."""
        for index in self._formulas:
            row, column = self._rows[index], self._columns[index]
            text = self._formula(index, row, column)
            if text is not None:
                yield row, column, text

    @cached_property
    def _row_view(self) -> np.ndarray:
        return np.frombuffer(self._rows, np.intc) if self._rows else np.empty(0, np.intc)

    @cached_property
    def _column_view(self) -> np.ndarray:
        return np.frombuffer(self._columns, np.intc) if self._columns else np.empty(0, np.intc)

    @cached_property
    def _number_view(self) -> np.ndarray:
        return np.frombuffer(self._numbers, np.float64) if self._numbers else np.empty(0)

    def _inside(self, row0: int, column0: int, row1: int, column1: int) -> np.ndarray:
        """Indices of the listed cells of a range; cells are in row order, so this is a binary search."""
        first, last = np.searchsorted(self._row_view, [row0, row1 + 1])
        columns = self._column_view[first:last]
        return first + np.flatnonzero((columns >= column0) & (columns <= column1))

    def _formula(self, index: int, row: int, column: int) -> str | None:
        formula = self._formulas.get(int(index))
        if not isinstance(formula, int):
            return formula
        if formula not in self._shared:
            raise WorkbookError(
                f"'{self.sheet}'!{cell_name(row, column)} refers to a shared formula that is missing"
            )
        return self._shared[formula](row, column)


class Book:
    """A workbook opened for reading, within bounds (see `sheetconv.read.package`). Use as a context manager.

    Attributes:
        path: the file.
        package: the open `Package`, for parts that are no sheets.
        sheet_names: worksheets in tab order (chart sheets left out).
        defined_names: {name: formula text without "="}, those of the whole workbook.
        local_names: {(sheet, name): text}, names that hold on one sheet only.

    Raises `WorkbookError` for a file that cannot be read safely.
    """

    def __init__(self, path: str | os.PathLike[str], limits: Limits = LIMITS):
        self.path = Path(path)
        self.package = Package(path, limits)
        try:
            self._parts, self.defined_names, self.local_names = _read_workbook(self.package)
        except BaseException:
            self.close()
            raise
        self.sheet_names = list(self._parts)
        self._cells: dict[str, SheetCells] = {}

    def cells(self, sheet: str) -> SheetCells:
        """Read a sheet (once; kept). Raises `WorkbookError` for an unknown sheet or a damaged one."""
        if sheet not in self._cells:
            self._cells[sheet] = _SheetReader(
                self.package, sheet, self.sheet_part(sheet), self._strings
            ).read()
        return self._cells[sheet]

    def sheet_part(self, sheet: str) -> str:
        """Name of the part that holds a sheet, such as ``xl/worksheets/sheet1.xml``."""
        if sheet not in self._parts:
            known = ", ".join(repr(name) for name in self.sheet_names[:20])
            raise WorkbookError(f"{self.path} has no sheet {sheet!r}; it has {known}")
        return self._parts[sheet]

    @cached_property
    def _strings(self) -> list[str]:
        return _read_strings(self.package)

    def close(self) -> None:
        """Close the file; cells already read stay usable."""
        self.package.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read_workbook(package: Package) -> tuple[dict[str, str], dict[str, str], dict[tuple[str, str], str]]:
    relations = package.relations(package.workbook_part)
    elements = package.elements(package.workbook_part, depth=2)
    names_in_order: list[str] = []
    parts: dict[str, str] = {}
    for name, identity in package.sheets():
        kind, part = relations.get(identity, ("", ""))
        names_in_order.append(name)
        if kind == _WORKSHEET:
            if part not in package:
                raise WorkbookError(f"{package.path}: the sheet {name!r} is missing from the file ({part})")
            parts[name] = part
    everywhere, local = {}, {}
    for element in (e for e in elements if e.name == "definedName"):
        name, sheet = element.attributes.get("name", ""), element.attributes.get("localSheetId")
        if sheet is None:
            everywhere[name] = element.text
        elif sheet.isdecimal() and int(sheet) < len(names_in_order):
            local[names_in_order[int(sheet)], name] = element.text
    return parts, everywhere, local


def _unescape(text: str) -> str:
    """Decode the ``_x000D_`` escapes of characters that XML cannot hold."""
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)), text) if "_x" in text else text


def _run(package: Package, part: str, parser: expat.XMLParserType, where: Callable[[], str]) -> None:
    try:
        for chunk in package.chunks(part):
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise xml_error(error, where()) from error


def _read_strings(package: Package) -> list[str]:
    part = next(
        (part for kind, part in package.relations(package.workbook_part).values() if kind == "sharedStrings"),
        None,
    )
    if part is None or part not in package:
        return []
    strings: list[str] = []
    pieces: list[str] = []
    path: list[str] = []

    def start(tag: str, _: dict[str, str]) -> None:
        path.append(tag.rpartition(":")[2])
        if path[-1] == "si":
            pieces.clear()

    def end(_: str) -> None:
        if path.pop() == "si":
            strings.append(_unescape("".join(pieces)))

    def characters(text: str) -> None:
        if path[-1] == "t" and "rPh" not in path:  # rPh: how to pronounce it, not part of the text
            pieces.append(text)

    where = f"{package.path}: {part}"
    parser = new_parser(where)
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    _run(package, part, parser, lambda: where)
    return strings


class _SheetReader:
    """Handlers for one sheet's XML; the current cell is in the attributes."""

    def __init__(self, package: Package, sheet: str, part: str, strings: list[str]):
        self.package, self.part, self.strings = package, part, strings
        self.cells = SheetCells(sheet)
        self.positions = Positions(f"{package.path}: sheet {sheet!r}")
        self.local: dict[str, str] = {}  # tag → local name; a sheet has few tags
        self.kind, self.value, self.formula = "n", "", ""
        self.text: list[str] = []
        self.formula_attributes: dict[str, str] | None = None
        self.in_data = self.in_cell = self.phonetic = False

    def read(self) -> SheetCells:
        """Parse the part."""
        parser = new_parser(f"{self.package.path}: {self.part}")
        parser.StartElementHandler, parser.EndElementHandler = self.start, self.end
        parser.CharacterDataHandler = self.text.append
        _run(self.package, self.part, parser, lambda: f"{self.package.path}: {self.part}")
        return self.cells

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = self.local.get(tag) or self.local.setdefault(tag, tag.rpartition(":")[2])
        self.text.clear()
        if not self.in_data:
            self.in_data = name == "sheetData"
        elif name == "c":
            self.positions.cell(attributes.get("r"))
            self.kind = attributes.get("t", "n")
            self.value = ""
            self.formula_attributes = None
            self.in_cell = True
        elif name == "row":
            self.positions.row(attributes.get("r"))
        elif not self.in_cell:
            return
        elif name == "f":
            self.formula_attributes = attributes
        elif name == "rPh":
            self.phonetic = True

    def end(self, tag: str) -> None:
        name = self.local[tag]
        if not self.in_cell:
            self.text.clear()
            self.in_data = self.in_data and name != "sheetData"
        elif name == "v":
            self.value = "".join(self.text)
        elif name == "f":
            self.formula = "".join(self.text)
        elif name == "t":
            self.value += "" if self.phonetic else "".join(self.text)
            self.text.clear()
        elif name == "rPh":
            self.phonetic = False
        elif name == "c":
            self.in_cell = False
            self.finish()

    def finish(self) -> None:
        cells, row, column = self.cells, self.positions.at_row, self.positions.at_column
        index = len(cells._rows)
        cells._rows.append(row)
        cells._columns.append(column)
        number = np.nan
        if self.value or self.kind in ("str", "inlineStr"):
            if self.kind == "n":
                number = self.number()
            else:
                cells._others[index] = self.other()
        cells._numbers.append(number)
        if self.formula_attributes is not None:
            self.add_formula(index, row, column, self.formula_attributes)

    def number(self) -> float:
        try:
            number = float(self.value)
        except ValueError:
            number = np.nan
        if not np.isfinite(number) or "_" in self.value:
            raise self.fault(f"holds {self.value[:40]!r}, which is not a number")
        return number

    def other(self) -> Value:
        if self.kind == "s":
            text = self.value.strip()
            if not (text.isascii() and text.isdecimal() and int(text) < len(self.strings)):
                raise self.fault(f"points to a shared text {text[:40]!r} that the file does not have")
            return self.strings[int(text)]
        if self.kind == "b":
            return self.value.strip() in ("1", "true")
        return CellError(self.value) if self.kind == "e" else _unescape(self.value)

    def add_formula(self, index: int, row: int, column: int, attributes: dict[str, str]) -> None:
        kind, text = attributes.get("t", "normal"), _unescape(self.formula)
        if kind == "shared" and attributes.get("si", "").isdecimal():
            shared = int(attributes["si"])
            if text:
                from sheetconv.read.shared import expander  # loads openpyxl, for such workbooks only

                self.cells._shared[shared] = expander("=" + text, row, column)
            self.cells._formulas[index] = shared
        elif text:
            self.cells._formulas[index] = "=" + text
        if kind == "array" and text:
            self.cells.arrays[row, column] = parse_range(attributes.get("ref", cell_name(row, column)))

    def fault(self, what: str) -> WorkbookError:
        return WorkbookError(f"{self.positions.where()} {what}; the file is damaged")
