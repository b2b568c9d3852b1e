"""The lesson's workbook under test: its tensors by name, its conditional formats as formulas to be evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from openpyxl import load_workbook
from openpyxl.formula.translate import Translator

from sheetconv.graph.expr import FloatArray
from sheetconv.sheet.layout import Place
from sheetconv.sheet.manifest import read_manifest
from sheetconv.xlsx.a1 import parse_range
from sheetconv.xlsx.address import area, cell
from sheetconv.xlsx.cells import Book, SheetCells, numbers

TESTED_PAGES = "Contents,Convolution,Edges,im2col,Padding and stride,Two layers,Dense and softmax,simple CNN,Names,Digits"


SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"


@dataclass
class LessonBook:
    """A built workbook with the places of its tensors and the values in its cells."""

    path: Path
    places: dict[str, Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with Book(self.path) as book:
            self.manifest = read_manifest(book, self.path)
            self.places = {t.name: p for t, p in self.manifest.places.items()}
            self.sheets = book.sheet_names
            self._cells = {name: book.cells(name) for name in book.sheet_names}

    def cells(self, sheet: str) -> SheetCells:
        """The cells of a sheet."""
        return self._cells[sheet]

    @cached_property
    def open(self) -> Any:
        """The workbook as openpyxl reads it, for links, validations and conditional formats."""
        return load_workbook(self.path)

    def values(self, name: str) -> FloatArray:
        """The numbers in a tensor's cells, in its shape."""
        place = self.places[name]
        r0, c0, _, _ = place.box()
        rows, columns = self.at(name)
        return numbers(self._cells[place.sheet].values(*place.box()))[rows - r0, columns - c0]

    def at(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of a tensor's cells, in its shape."""
        rows, columns = np.broadcast_arrays(*self.places[name].cells())
        return rows, columns

    def edit(self, name: str, value: float, index: tuple[int, ...] = (0,)) -> list[Any]:
        """An edit of one element, for `audit`."""
        rows, columns = self.at(name)
        return [self.places[name].sheet, int(rows[index]), int(columns[index]), value]

    def read(self, name: str) -> list[list[str]]:
        """Formulas whose results are the tensor's values, in C order."""
        rows, columns = self.at(name)
        where = zip(rows.reshape(-1).tolist(), columns.reshape(-1).tolist(), strict=True)
        return [[self.places[name].sheet, f"={cell(r, c)}"] for r, c in where]

    def lit(self, name: str) -> list[list[str]]:
        """Formulas that are 1 where a condition of a conditional format holds, for each cell in C order."""
        rows, columns = self.at(name)
        return self.lit_cells(
            self.places[name].sheet,
            list(zip(rows.reshape(-1).tolist(), columns.reshape(-1).tolist(), strict=True)),
        )

    def lit_cells(self, sheet: str, cells: list[tuple[int, int]]) -> list[list[str]]:
        """The same for any cells of a sheet."""
        found = []
        for row, column in cells:
            tests = [
                Translator(f"={formula}", origin).translate_formula(cell(row, column))[1:]
                for origin, box, formula in self._conditions(sheet)
                if box[0] <= row <= box[2] and box[1] <= column <= box[3]
            ]
            joined = ";".join(f"({t.replace(',', ';')})" for t in tests)
            found.append([sheet, f"=IF(OR({joined});1;0)" if tests else "=0"])
        return found

    def _conditions(self, sheet: str) -> list[tuple[str, tuple[int, int, int, int], str]]:
        if not hasattr(self, "_read"):
            self._read: dict[str, list[tuple[str, tuple[int, int, int, int], str]]] = {}
        if sheet not in self._read:
            made = []
            for covered in self.open[sheet].conditional_formatting:
                for part in str(covered.sqref).split():
                    box = parse_range(part)
                    made += [
                        (cell(box[0], box[1]), box, rule.formula[0])
                        for rule in covered.rules
                        if rule.type == "expression"
                    ]
            self._read[sheet] = made
        return self._read[sheet]

    def chosen_by(self, sheet: str, first: str) -> tuple[int, int]:
        """The cell whose drop-down list starts with a word."""
        for rule in self.open[sheet].data_validations.dataValidation:
            if rule.type == "list" and str(rule.formula1).strip('"').split(",")[0] == first:
                r0, c0, _, _ = parse_range(str(rule.sqref).split()[0])
                return r0, c0
        raise AssertionError(f"no drop-down on {sheet} starts with {first}")


def address(name: str, box: tuple[int, int, int, int]) -> str:
    """For messages."""
    return f"{name}!{area(*box)}"
