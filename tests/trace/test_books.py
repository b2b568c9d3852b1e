"""The kept workbooks that other programs wrote: precedents as stated by hand and as other programs find them."""

import re
import sys
from pathlib import Path

import formualizer
import pytest
from openpyxl.formula import Tokenizer

sys.path.insert(0, str(Path(__file__).parent))

from constructs import COLUMN, CONSTRUCTS, FIRST_ROW, HERE, MODERN, Construct

from sheetconv.child import Workplace
from sheetconv.engines import libreoffice
from sheetconv.errors import SheetconvError
from sheetconv.formulas.cell_range import Area, parse_area
from sheetconv.formulas.precedents import trace
from sheetconv.formulas.source import Source

BOOKS = Path(__file__).with_name("books")
ROWS = {name: row for row, name in enumerate(CONSTRUCTS | MODERN, FIRST_ROW)}
LOST = {"libreoffice.xlsx": {"local name"}}  # LibreOffice drops a local name whose sheet needs quotes
Cells = set[tuple[str, int, int]]


def stated(construct: Construct, row: int, sheets: list[str]) -> list[Area]:
    texts = re.findall(r"'[^']+'!\S+|\S+", construct.reads.replace("{row}", str(row + 1)))
    areas = [parse_area(t if "!" in t else "'It''s here'!" + t, sheets) for t in texts]
    return sorted(areas)


@pytest.mark.parametrize("book", ["xlsxwriter.xlsx", "openpyxl.xlsx", "libreoffice.xlsx"])
def test_direct_precedents_as_stated(book: str) -> None:
    wrong = []
    with Source(BOOKS / book) as source:
        for name, construct in (CONSTRUCTS | MODERN).items():
            row = ROWS[name]
            found = source.precedents((HERE, row, COLUMN))
            noted = any(construct.note in n for n in found.notes) if construct.note else not found.notes
            if sorted(found.areas) != stated(construct, row, source.sheets) or not noted:
                wrong.append((name, *map(str, found.areas), *found.notes))
    assert not wrong


class Office:
    """LibreOffice's answers, for all books in one go: it takes seconds to start."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.jobs: list[tuple[Path, list[tuple[str, int, int, bool]]]] = []

    def ask(self) -> list[list[list[list[int]]]]:
        python = libreoffice.find_uno_python()
        if python is None:
            pytest.skip("no Python with LibreOffice's uno module")
        worker = Path(__file__).with_name("office_precedents.py")
        with Workplace() as place:
            job = {"books": [(str(path.resolve()), cells) for path, cells in self.jobs]}
            return libreoffice.ENGINE.serve([*python, str(worker)], job, place)


def formula_cells(path: Path) -> list[tuple[str, int, int]]:
    with Source(path) as source:
        return [(sheet, *at) for sheet in source.sheets for at in source.formulas(sheet)]


def positions(boxes: list[tuple[int, int, int, int]]) -> set[tuple[int, int]]:
    return {(r, c) for r0, c0, r1, c1 in boxes for r in range(r0, r1 + 1) for c in range(c0, c1 + 1)}


SINGLE_SHEET = ["network.xlsx", "libreoffice-network.xlsx"]
ALL = ["xlsxwriter.xlsx", "openpyxl.xlsx", "libreoffice.xlsx", *SINGLE_SHEET]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[tuple[str, int, int], list]]]:
    """What LibreOffice says each formula of each book reads directly, and for the last of "network" at all."""
    asked = Office(tmp_path_factory.mktemp("office"))
    for book in ALL:
        asked.jobs.append((BOOKS / book, [(*cell, False) for cell in formula_cells(BOOKS / book)]))
    last = [("Net", 24, 30, True), ("Net", 20, 15, True)]
    asked.jobs += [(BOOKS / book, last) for book in SINGLE_SHEET]
    answers = asked.ask()
    cells = [[cell[:3] for cell in job] for _, job in asked.jobs]
    names = [*ALL, *("all of " + book for book in SINGLE_SHEET)]
    return {n: list(zip(c, a, strict=True)) for n, c, a in zip(names, cells, answers, strict=True)}


@pytest.mark.libreoffice
@pytest.mark.parametrize("book", ALL)
def test_direct_precedents_as_in_libreoffice(book: str, office: dict) -> None:
    constructs = CONSTRUCTS | MODERN
    names = {(HERE, row, COLUMN): name for name, row in ROWS.items()} if book not in SINGLE_SHEET else {}
    compared = 0
    with Source(BOOKS / book) as source:
        for cell, boxes in office[book]:
            if (
                cell[0] == "Data" or source.anchor(cell) != cell
            ):  # totals, which it cannot read; array members
                continue
            kind = constructs[names[cell]].office if cell in names else ""
            mine = positions([a[1:] for a in source.precedents(cell).areas]) | {cell[1:]}
            theirs = positions([(r0, c0, min(r1, 99), min(c1, 99)) for r0, c0, r1, c1 in boxes])
            assert {"": mine == theirs, "more": mine < theirs, "less": mine > theirs}.get(kind, True), (
                names.get(cell, cell),
                boxes,
            )
            compared += kind == ""
    assert compared > 50


@pytest.mark.libreoffice
@pytest.mark.parametrize("book", SINGLE_SHEET)
def test_all_levels_as_in_libreoffice(book: str, office: dict) -> None:
    """Its transitive answer, and its direct answers composed level by level."""
    with Source(BOOKS / book) as source:
        for cell, boxes in office["all of " + book]:
            found = trace(source, Area(*cell, *cell[1:]))
            assert positions([a[1:] for a in found.areas]) | {cell[1:]} == positions(boxes)
        reads = {cell[1:]: positions(boxes) - {cell[1:]} for cell, boxes in office[book]}
        for cell in [c[1:] for c, _ in office[book] if source.anchor(c) != c]:
            reads[cell] = reads[
                source.anchor(("Net", *cell))[1:]
            ]  # it says that a member reads the first cell
        found = trace(source, Area("Net", 24, 30, 24, 30))
    frontier, seen = {(24, 30)}, set()
    for level in found.levels:
        frontier = set().union(*(reads[c] for c in frontier if c in reads)) - seen
        seen |= frontier
        assert positions([a[1:] for a in level.areas]) == frontier
    assert len(found.levels) == 4


@pytest.mark.parametrize("book", ["xlsxwriter.xlsx", *SINGLE_SHEET])
def test_direct_precedents_as_openpyxl_reads_them(book: str) -> None:
    """A second reader of references: openpyxl's tokenizer, for formulas of plain addresses."""
    compared = 0
    with Source(BOOKS / book) as source:
        for cell in formula_cells(BOOKS / book):
            ranges = [
                t.value
                for t in Tokenizer(source.formula(cell) or "").items
                if t.subtype == t.RANGE and t.type == t.OPERAND
            ]
            try:
                theirs = {
                    parse_area(
                        t.replace("$", "") if "!" in t else f"'{cell[0].replace(chr(39), chr(39) * 2)}'!{t}",
                        source.sheets,
                    )
                    for t in ranges
                }
            except SheetconvError:
                continue  # names, tables, whole columns
            tokens = {t.value for t in Tokenizer(source.formula(cell) or "").items}
            if (
                " " in tokens
                or any((":" in t and "(" in t) or t == ":" for t in tokens)
                or "_xlfn.ANCHORARRAY(" in tokens
            ):
                continue
            assert set(source.precedents(cell).areas) == theirs, cell
            compared += 1
    assert compared > 20


def formualizer_reads(book: formualizer.Workbook, cell: Area) -> list[str] | None:
    """Areas that formualizer's graph has for a cell; None where it meets what it cannot resolve."""
    found = []
    for precedent in book.precedents(str(cell), max_links=4096).to_dict()["precedents"]:
        reference = precedent["reference"]
        reference = reference["resolution"] or reference if reference["kind"] == "Name" else reference
        if reference["kind"] not in ("Cell", "Range"):
            return None
        found.append(reference["address"] or reference["resolved"] or "")
    return found if all(found) else None


@pytest.mark.parametrize("book", ["xlsxwriter.xlsx", "network.xlsx"])
def test_direct_precedents_as_in_formualizer(book: str) -> None:
    """A third reader, an engine that keeps a graph of dependencies (it has none of computed ranges)."""
    names = {(HERE, row, COLUMN): name for name, row in ROWS.items()} if book == "xlsxwriter.xlsx" else {}
    constructs = CONSTRUCTS | MODERN
    other, compared = formualizer.load_workbook(str(BOOKS / book)), 0
    with Source(BOOKS / book) as source:
        for cell in formula_cells(BOOKS / book):
            construct = constructs[names[cell]] if cell in names else Construct("", "")
            if names.get(cell) == "colon of a name":  # it keeps both ends
                continue
            try:
                theirs = formualizer_reads(other, Area(*cell, *cell[1:]))
            except formualizer.InspectionError:  # a formula that it cannot parse (an intersection)
                continue
            if theirs is None or construct.office or construct.note or source.anchor(cell) != cell:
                continue
            assert {parse_area(t, source.sheets) for t in theirs} == set(source.precedents(cell).areas), cell
            compared += 1
    assert compared > 20
