"""Pages of the lesson to test: built, their cells by name, and what lights up in them.

What conditional formats do in a real spreadsheet program is read from the colours in the HTML that LibreOffice
saves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from pages.lesson_book import SHARED, LessonBook

from sheetconv.building import Request, build
from sheetconv.engines.libreoffice import LibreOffice
from sheetconv.sheet.layout import Place
from sheetconv.sheet.manifest import read_manifest
from sheetconv.xlsx.cells import Book, numbers

Setting = dict[tuple[str, int, int], float | str]


@dataclass
class Built:
    """A page of the lesson in a workbook of its own (after the first page), its tensors' cells by name."""

    path: Path
    places: dict[str, Place]

    def set(self, **cells: float) -> Setting:
        """A step for `LibreOffice.drive`: single cells by name, with spaces as underscores."""
        chosen = [(self.places[name.replace("_", " ")], value) for name, value in cells.items()]
        return {(p.sheet, p.row, p.column): float(value) for p, value in chosen}

    def drive(
        self, steps: list[Setting], names: list[str], html: Path | None = None
    ) -> list[list[np.ndarray]]:
        """Set cells step by step in LibreOffice; the values of some tensors after each, in their shapes."""
        places = [self.places[name] for name in names]
        boxes = np.array([p.box() for p in places]).reshape(-1, 4)
        # one range around all of them: each range that is asked for costs a call into the other program
        around = (
            [(places[0].sheet, (*map(int, boxes.min(0)[:2]), *map(int, boxes.max(0)[2:])))] if names else []
        )
        found = LibreOffice().drive(self.path, steps, around, html)
        return [[shaped(p, blocks[0], around[0][1]) for p in places] for blocks in found]

    def colours(self, html: Path, name: str) -> np.ndarray:
        """The backgrounds of a tensor's cells, such as ``#FFE3C2`` or "", in its shape."""
        known = colours(html, 1)
        rows, columns = np.broadcast_arrays(*self.places[name].cells())
        flat = [known[int(r), int(c)] for r, c in zip(rows.ravel(), columns.ravel(), strict=True)]
        return np.array(flat, dtype=object).reshape(rows.shape)


@pytest.fixture(scope="session")
def lesson_page(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Built]:
    """Build one page of the lesson by its name."""

    def make(name: str) -> Built:
        path = tmp_path_factory.mktemp("page") / "book.xlsx"
        build(Request(path, template="lesson", pages=name, verify=False, dataset="builtin"))
        with Book(path) as opened:
            manifest = read_manifest(opened, path)
        return Built(path, {t.name.removeprefix(f"{name}."): p for t, p in manifest.places.items()})

    return make


def shaped(place: Place, block: np.ndarray, area: tuple[int, ...]) -> np.ndarray:
    """A tensor's values from a block of cells that begins at (area[0], area[1])."""
    rows, columns = np.broadcast_arrays(*place.cells())
    return numbers(block[rows - area[0], columns - area[1]])


class _Tables(HTMLParser):
    """The background of every cell of every table, with merged cells filled in."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[dict[tuple[int, int], str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "table":
            self.tables.append({})
            self.row = -1
        elif tag == "tr" and self.tables:
            self.row, self.column = self.row + 1, 0
        elif tag == "td" and self.tables:
            colours = self.tables[-1]
            while (self.row, self.column) in colours:
                self.column += 1
            for r in range(int(given.get("rowspan", 1))):
                for c in range(int(given.get("colspan", 1))):
                    colours[self.row + r, self.column + c] = given.get("bgcolor", "")


@cache
def colours(html: Path, sheet: int) -> dict[tuple[int, int], str]:
    """The background, such as ``#FFE3C2`` or "", of each cell of the sheet of that number (from 0)."""
    found = _Tables()
    found.feed(html.read_text(encoding="utf-8"))
    return found.tables[sheet]


@pytest.fixture(scope="session")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> LessonBook:
    """The whole lesson, on its own digit where MNIST is there."""
    path = tmp_path_factory.mktemp("lesson") / "lesson.xlsx"
    build(Request(path, dataset=str(SHARED) if SHARED.is_dir() else "builtin", verify=False))
    return LessonBook(path)
