"""Cells of a workbook read in bulk: formulas and cached values, at full double precision.

One pass of expat over a sheet's XML gives both. openpyxl gives either, takes longer for both together, and
does not expand shared formulas (``tests/benchmarks/read_speed.py`` has the figures).
"""

import os
import re
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.parsers import expat

import numpy as np

from sheetconv.errors import WorkbookError
from sheetconv.xlsx.a1 import cell_name, parse_range
from sheetconv.xlsx.data_table import DataTable
from sheetconv.xlsx.package import LIMITS, Limits, Package
from sheetconv.xlsx.scan import Positions
from sheetconv.xlsx.sheet_cells import CellError, SheetCells, Value, numbers
from sheetconv.xlsx.xml_parts import Namespaces, new_parser, xml_error

__all__ = ["Book", "CellError", "SheetCells", "Value", "numbers"]

_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_WORKSHEET = "worksheet"
_DAY_0 = datetime(1899, 12, 30)


class Book:
    """A workbook opened for reading, within bounds (see `sheetconv.xlsx.package`). Use as a context manager.

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
        self.names = Namespaces(f"{package.path}: sheet {sheet!r}")
        self.seen: set[str] = set()  # of the current cell: what may stand in it once
        self.kind, self.value, self.formula = "n", "", ""
        self.text: list[str] = []
        self.formula_attributes: dict[str, str] | None = None
        self.in_data = self.in_cell = self.phonetic = False
        self.data_tables: list[DataTable] = []
        self.depth = 0  # of the elements around the data
        self.data = 0  # how often there are data
        self.aside = 0  # depth within an extension list, which holds what a program may pass over

    def read(self) -> SheetCells:
        """Parse the part."""
        parser = new_parser(f"{self.package.path}: {self.part}")
        parser.StartElementHandler, parser.EndElementHandler = self.start, self.end
        parser.CharacterDataHandler = self.text.append
        _run(self.package, self.part, parser, lambda: f"{self.package.path}: {self.part}")
        for number, table in enumerate(self.data_tables, 1):
            self.cells.fill(-number, *table.written(), table.area)
        return self.cells

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = self.names(tag, attributes)
        self.text.clear()
        if not self.in_data:
            self.depth += 1
            if name == "sheetData":
                self.enter_data()
            elif name == "dataValidation":
                self.cells.validations.append(dict(attributes))
            elif name == "mergeCell" and "ref" in attributes:
                self.cells.merged.append(parse_range(attributes["ref"]))
        elif self.aside or name == "extLst":
            self.aside += 1
        elif not name:
            raise self.fault(f"holds {tag!r}, which programs read differently;", "refused")
        elif name == "c":
            self.positions.cell(attributes.get("r"))
            self.kind = attributes.get("t", "n")
            self.value = ""
            self.formula_attributes = None
            self.seen.clear()
            self.in_cell = True
        elif name == "row":
            self.positions.row(attributes.get("r"))
        elif not self.in_cell:
            return
        elif name in ("f", "v", "is"):
            self.once("f" if name == "f" else "v")
            if name == "f":
                self.formula_attributes = attributes
        elif name == "rPh":
            self.phonetic = True

    def end(self, tag: str) -> None:
        name = self.names.local[tag]
        if self.aside:
            self.aside -= 1
        elif not self.in_cell:
            if name in ("formula1", "formula2") and not self.in_data and self.cells.validations:
                self.cells.validations[-1][name] = "".join(self.text)
            self.text.clear()
            self.in_data = self.in_data and name != "sheetData"
            self.depth -= not self.in_data
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

    def enter_data(self) -> None:
        """Enter the cells, which stand once and directly in the sheet."""
        self.in_data, self.data = True, self.data + 1
        if self.data > 1 or self.depth != 2:
            raise self.fault("stands in data given twice or in a choice; programs differ there,", "refused")

    def once(self, name: str) -> None:
        """Note one of the cell's parts; raises `WorkbookError` where it is given twice."""
        if name in self.seen:
            raise self.fault(f"has <{name}> twice, which programs read differently;", "refused")
        self.seen.add(name)

    def finish(self) -> None:
        cells, row, column = self.cells, self.positions.at_row, self.positions.at_column
        index = len(cells._rows)
        cells._rows.append(row)
        cells._columns.append(column)
        number = np.nan
        if self.value or self.kind in ("str", "inlineStr"):
            if self.kind == "n":
                number = self.number()
            elif self.kind == "d":
                number = self.date()
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

    def date(self) -> float:
        """A day as spreadsheets count it (1 is 1 January 1900, and 1900 counts as a leap year)."""
        try:
            moment = datetime.fromisoformat(self.value.strip()).replace(tzinfo=None)
        except ValueError as error:
            raise self.fault(f"holds {self.value[:40]!r}, which is not a date") from error
        return (moment - _DAY_0).total_seconds() / 86_400

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
        kind, text = attributes.get("t", "normal"), _unescape(self.formula).removeprefix("=")
        if kind == "shared" and attributes.get("si", "").isdecimal():
            shared = int(attributes["si"])
            if text:
                self.cells._masters.setdefault(
                    shared, ("=" + text, row, column)
                )  # given twice: the first holds
            self.cells._formulas[index] = shared
        elif kind == "dataTable":
            self.data_tables.append(DataTable.read(attributes, cell_name(row, column)))
        elif text:
            self.cells._formulas[index] = "=" + text
        if kind == "array" and text:
            self.cells.arrays[row, column] = parse_range(attributes.get("ref", cell_name(row, column)))

    def fault(self, what: str, outcome: str = "; the file is damaged") -> WorkbookError:
        return WorkbookError(f"{self.positions.where()} {what}{'' if outcome[0] == ';' else ' '}{outcome}")
