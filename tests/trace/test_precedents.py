"""Precedents of hand-made workbooks, stated by hand for each construct."""

from pathlib import Path

import openpyxl
import pytest
import xlsxwriter
from click.testing import CliRunner
from openpyxl.workbook.defined_name import DefinedName

from sheetconv.cli import main
from sheetconv.errors import UsageError, WorkbookError
from sheetconv.formulas.cell_range import Area, parse_area, rectangles
from sheetconv.formulas.precedents import dependents, trace
from sheetconv.formulas.source import Source
from sheetconv.xlsx.tokens import relative_form


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "constructs.xlsx"
    work = xlsxwriter.Workbook(path)
    first, second = work.add_worksheet("Data"), work.add_worksheet("It's here")
    third = work.add_worksheet("Third")
    for row in range(6):
        for column in range(4):
            for sheet in (first, second, third):
                sheet.write_number(row, column, row * 4 + column)
    first.add_table("H1:J4", {"name": "Pix", "columns": [{"header": h} for h in ("x", "y y", "z")]})
    work.define_name("Kernel", "='It''s here'!$A$1:$B$2")
    work.define_name("Alias", "=Kernel")
    work.define_name("Loop", "=Loop+1")
    work.define_name("Third!Mine", "=Third!$D$4")
    formulas = {
        "cross": "=SUM('It''s here'!A1:B2)",
        "name": "=SUM(Kernel)",
        "alias": "=SUM(alias)",
        "column": "=SUM(B:C)",
        "rows": "=SUM($2:3)",
        "three": "=SUM('Data:Third'!A1)",
        "table": "=SUM(Pix[y y])",
        "meet": "=SUM(A1:C3 B2:D4)",
        "union": "=SUM((A1,C3))",
        "index": "=INDEX(A1:B6,2,1)",
        "span": "=SUM(A1:INDEX(B1:B6,3))",
        "string": '=IF(A1="B2:C3",D4,1)',
        "indirect": '=INDIRECT("R1C1",FALSE)+A2',
        "self": "=Loop+A3",
        "external": "=[1]Sheet1!A1+A4",
    }
    for number, text in enumerate(formulas.values()):
        second.write_formula(20 + number, 6, text, None, 0)
    second.write_array_formula("K1:L2", "{=A1:B2*2}", None, 0)
    second.write_dynamic_array_formula("N1:N3", "=A1:A3*2", None, 0)
    second.write_formula("P1", "=SUM(_xlfn.ANCHORARRAY(N1))", None, 0)
    third.write_formula("F1", "=Mine", None, 0)
    third.write_formula("G1", "=G2+A1", None, 0)
    third.write_formula("G2", "=G3", None, 0)
    third.write_formula("G3", "=G1", None, 0)
    third.write_formula("G4", "=G3", None, 0)
    third.write_formula("I1", "=SUM(D5:E6)", None, 0)
    work.close()
    return path


HERE = "It's here"
CASES = [
    [Area(HERE, 0, 0, 1, 1)],
    [Area(HERE, 0, 0, 1, 1)],
    [Area(HERE, 0, 0, 1, 1)],
    [Area(HERE, 0, 1, 34, 2)],
    [Area(HERE, 1, 0, 2, 15)],
    [Area("Data", 0, 0, 0, 0), Area(HERE, 0, 0, 0, 0), Area("Third", 0, 0, 0, 0)],
    [Area("Data", 1, 8, 3, 8)],
    [Area(HERE, 1, 1, 2, 2)],
    [Area(HERE, 0, 0, 0, 0), Area(HERE, 2, 2, 2, 2)],
    [Area(HERE, 0, 0, 5, 1)],
    [Area(HERE, 0, 0, 5, 1)],
    [Area(HERE, 0, 0, 0, 0), Area(HERE, 3, 3, 3, 3)],
    [Area(HERE, 1, 0, 1, 0)],
    [Area(HERE, 2, 0, 2, 0)],
    [Area(HERE, 3, 0, 3, 0)],
]
NOTES = {12: "untraceable", 13: "refers to itself", 14: "another workbook"}


@pytest.mark.parametrize("number", range(len(CASES)))
def test_direct_precedents(book: Path, number: int) -> None:
    with Source(book) as source:
        found = source.precedents((HERE, 20 + number, 6))
    assert list(found.areas) == CASES[number]
    assert [NOTES[number] in note for note in found.notes] == ([True] if number in NOTES else [])


def test_arrays_and_spills(book: Path) -> None:
    with Source(book) as source:
        assert source.precedents((HERE, 1, 11)).areas == (Area(HERE, 0, 0, 1, 1),)
        assert trace(source, Area(HERE, 0, 15, 0, 15)).levels[0].areas == [Area(HERE, 0, 13, 2, 13)]
        assert source.precedents(("Third", 0, 5)).areas == (Area("Third", 3, 3, 3, 3),)


def test_cycle_is_shown_and_blanks_are_named(book: Path) -> None:
    with Source(book) as source:
        found = trace(source, Area("Third", 3, 6, 3, 6))
        assert found.cycles == [Area("Third", 0, 6, 2, 6)]
        blank = trace(source, Area("Third", 0, 8, 0, 8)).levels[0].blank
        assert blank == [Area("Third", 4, 4, 5, 4)]


def test_dependents_are_the_reverse(book: Path) -> None:
    with Source(book) as source:
        cell = Area("Third", 0, 0, 0, 0)
        found = {a for level in dependents(source, cell).levels for a in level.areas}
    assert Area("Third", 0, 6, 0, 6) in found
    assert Area(HERE, 25, 6, 25, 6) in found


def test_names_of_openpyxl_with_relative_references(tmp_path: Path) -> None:
    work = openpyxl.Workbook()
    sheet = work.active
    sheet.title = "S"
    sheet["C3"] = "=Left"
    work.defined_names["Left"] = DefinedName("Left", attr_text="S!XFD1")
    work.save(tmp_path / "names.xlsx")
    with Source(tmp_path / "names.xlsx") as source:
        assert source.precedents(("S", 2, 2)).areas == (Area("S", 2, 1, 2, 1),)


def test_long_chain_needs_no_recursion(tmp_path: Path) -> None:
    work = xlsxwriter.Workbook(tmp_path / "chain.xlsx")
    sheet = work.add_worksheet("S")
    sheet.write(0, 0, 1)
    for row in range(1, 5000):
        sheet.write_formula(row, 0, f"=A{row}+1", None, 0)
    work.close()
    with Source(tmp_path / "chain.xlsx") as source:
        found = trace(source, Area("S", 4999, 0, 4999, 0))
    assert len(found.levels) == 4999
    assert found.areas == [Area("S", 0, 0, 4998, 0)]


def test_relative_form_is_equal_where_filled() -> None:
    assert relative_form("=SUM(A1:C3*$F$1)", 9, 0) == relative_form("=SUM(B2:D4*$F$1)", 10, 1)
    assert relative_form("=SUM(A1:C3)", 9, 0) != relative_form("=SUM(A1:C4)", 9, 0)


def test_rectangles_are_disjoint_and_complete() -> None:
    cells = {("S", r, c) for r in range(5) for c in range(7) if (r * c) % 3}
    areas = rectangles(cells)
    assert sum(a.size for a in areas) == len(cells)
    assert {("S", r, c) for _, a, b, x, y in areas for r in range(a, x + 1) for c in range(b, y + 1)} == cells


def test_addresses_say_what_is_wrong() -> None:
    assert parse_area("'a b'!B2:A1", ["A b"]) == Area("A b", 0, 0, 1, 1)
    for text in ("A1", "x!A1", "s!ZZZZ1"):
        with pytest.raises(UsageError):
            parse_area(text, ["S", "T"])


def test_command(book: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    picture = tmp_path / "t.png"
    for form in ("--json", "--csv", "--dot", "--dependents"):
        assert run(main, ["trace", str(book), "Third!G4", form]).exit_code == 0
    text = run(main, ["trace", str(book), "Third!G4", "--png", str(picture)]).output
    assert "circular: Third!G1:G3" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_truncated_file_is_one_line(book: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.xlsx").write_bytes(book.read_bytes()[:2000])
    with pytest.raises(WorkbookError), Source(tmp_path / "cut.xlsx"):
        pass
