"""Reading cells in bulk: the same as openpyxl reads, formulas and values in one pass."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.formula.translate import Translator

from sheetconv.errors import LimitError, WorkbookError
from sheetconv.xlsx.a1 import cell_name, column_letters, column_number, parse_cell, parse_range, sheet_cell
from sheetconv.xlsx.cells import Book, CellError, numbers
from sheetconv.xlsx.shared import expander

CELLS = """<?xml version="1.0" encoding="UTF-8"?>
<x:worksheet xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><x:sheetData>
<x:row r="1"><x:c r="A1"><x:v>0.1000000000000000055</x:v></x:c><x:c r="B1" t="b"><x:v>1</x:v></x:c>
<x:c r="C1" t="e"><x:f>1/0</x:f><x:v>#DIV/0!</x:v></x:c>
<x:c r="D1" t="str"><x:f>"a"&amp;"b"</x:f><x:v>ab</x:v></x:c>
<x:c r="E1" t="inlineStr"><x:is><x:r><x:t>rich </x:t></x:r><x:r><x:t>text</x:t></x:r>
<x:rPh sb="0" eb="1"><x:t>no</x:t>
</x:rPh></x:is></x:c><x:c r="F1" t="inlineStr"><x:is> <x:t>a_x000D_b</x:t> </x:is></x:c></x:row>
<x:row><x:c><x:f t="shared" ref="A2:C3" si="0">A1*$A$1+SUM(A$1:B1)</x:f><x:v>1</x:v></x:c>
<x:c><x:f t="shared" si="0"/><x:v>2</x:v></x:c><x:c r="C2"><x:f t="shared" si="0"/></x:c></x:row>
<x:row r="3"><x:c r="A3"><x:f t="shared" si="0"/><x:v>-4.9e-324</x:v></x:c>
<x:c r="B3"><x:f t="array" ref="B3:C4">A1:B2*2</x:f><x:v>1</x:v></x:c><x:c r="C3"><x:v>2</x:v></x:c></x:row>
<x:row r="4"><x:c r="B4"><x:v>3</x:v></x:c><x:c r="C4" s="1"/></x:row></x:sheetData></x:worksheet>"""


NAMES = (
    "<definedNames><definedName name=\"all\">'It''s'!$A$1:$C$4</definedName>"
    "<definedName name=\"here\" localSheetId=\"0\">'It''s'!$A$1</definedName></definedNames>"
)


@pytest.fixture(scope="module")
def handmade(make_book, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sheet with every kind of cell, prefixed tags, rows and cells without addresses."""
    return make_book(tmp_path_factory.mktemp("books") / "handmade.xlsx", {"It's": CELLS}, names=NAMES)


def test_every_kind_of_cell(handmade: Path) -> None:
    with Book(handmade) as book:
        assert book.sheet_names == ["It's"]
        assert book.defined_names == {"all": "'It''s'!$A$1:$C$4"}
        assert book.local_names == {("It's", "here"): "'It''s'!$A$1"}
        cells = book.cells("It's")
    assert cells.values(0, 0, 0, 6).tolist() == [[0.1, True, "#DIV/0!", "ab", "rich text", "a\rb", None]]
    assert isinstance(cells.value(0, 2), CellError)
    assert not isinstance(cells.value(0, 3), CellError)
    assert cells.values(2, 0, 3, 2).tolist() == [[-4.9e-324, 1.0, 2.0], [None, 3.0, None]]
    assert cells.extent == (0, 0, 3, 5)
    assert np.array_equal(
        numbers(cells.values(0, 0, 1, 2)), [[0.1, np.nan, np.nan], [1, 2, np.nan]], equal_nan=True
    )
    assert np.array_equal(cells.numbers(0, 0, 3, 6), numbers(cells.values(0, 0, 3, 6)), equal_nan=True)


def test_formulas_shared_and_array(handmade: Path) -> None:
    with Book(handmade) as book:
        cells = book.cells("It's")
    assert cells.formulas(0, 2, 0, 3).tolist() == [["=1/0", '="a"&"b"']]
    expected = ["=A1*$A$1+SUM(A$1:B1)", "=B1*$A$1+SUM(B$1:C1)", "=C1*$A$1+SUM(C$1:D1)"]
    assert cells.formulas(1, 0, 1, 2).tolist() == [expected]
    assert cells.formula(2, 0) == "=A2*$A$1+SUM(A$1:B2)"
    assert cells.arrays == {(2, 1): (2, 1, 3, 2)}
    assert cells.formulas(2, 1, 4, 3).tolist() == [
        ["=A1:B2*2", "=A1:B2*2", None],
        ["=A1:B2*2", "=A1:B2*2", None],
        [None, None, None],
    ]
    assert cells.formulas(3, 2, 3, 2).tolist() == [["=A1:B2*2"]]
    found = list(cells.formula_cells())
    assert len(found) == cells.formula_count == 7
    assert found[0] == (0, 2, "=1/0")


def test_as_openpyxl_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    path = tmp_path / "book.xlsx"
    book = openpyxl.Workbook()
    sheet = book.active
    for row in range(1, 40):
        for column in range(1, 30):
            kind = rng.integers(5)
            value = [float(rng.integers(-999, 999)) / 8, f"t{row}", bool(column % 2), f"=A{row}+1", None][
                kind
            ]
            sheet.cell(row, column, value)
    book.save(path)
    with Book(path) as ours:
        cells = ours.cells("Sheet")
    for row in sheet.iter_rows():
        for cell in row:
            at = cell.row - 1, cell.column - 1
            assert (cells.formula(*at) or cells.value(*at)) == cell.value, cell.coordinate


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_numbers_are_bit_identical(make_book, tmp_path: Path, values: list[float]) -> None:
    path = make_book(tmp_path / "book.xlsx", {"S": {f"A{i}": v for i, v in enumerate(values, 1)}})
    with Book(path) as book:
        found = book.cells("S").numbers(0, 0, len(values) - 1, 0)[:, 0]
    assert [struct.pack("d", v) for v in found] == [struct.pack("d", v) for v in values]


@pytest.mark.parametrize(
    "formula",
    [
        "=A1+$B$2*C$3-$D4",
        "=SUM('My A1 sheet'!A1:B2,Net!$A1:B$2)",
        '=IF(A1="B2",LOG10(A1),"it""s A1")',
        "=SUM(A:C)+SUM($A:C)+SUM(3:5)+SUM($3:5)",
        "=SUMPRODUCT(A1:C3,$AD$11:$AF$13)+act1_weights",
        "=MAX(0,SUMPRODUCT(A2:C4,$AD$11:$AF$13)+$AH$1)^2%",
        "={1,2;3,4}*A1",
    ],
)
def test_shared_formulas_move_as_in_openpyxl(formula: str) -> None:
    at = expander(formula, 4, 3)
    for row, column in [(4, 3), (5, 3), (4, 4), (40, 300)]:
        moved = Translator(formula, origin="D5").translate_formula(cell_name(row, column))
        assert at(row, column) == moved


def test_a_shared_formula_that_is_nowhere(tmp_path: Path, handmade: Path) -> None:
    path = tmp_path / "orphan.xlsx"
    with zipfile.ZipFile(handmade) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'ref="A2:C3" si="0"', b'ref="A2:C3" si="9"'))
    with Book(path) as book, pytest.raises(WorkbookError, match="'It''s'!B2 refers to a shared formula"):
        book.cells("It's").formulas(1, 1, 1, 1)


@pytest.mark.parametrize(
    ("text", "at"), [("A1", (0, 0)), ("Z1", (0, 25)), ("AA10", (9, 26)), ("$XFD$1048576", (1048575, 16383))]
)
def test_addresses(text: str, at: tuple[int, int]) -> None:
    assert parse_cell(text) == at
    assert cell_name(*at) == text.replace("$", "")


def test_addresses_round_trip_and_refuse() -> None:
    assert all(column_number(column_letters(n)) == n for n in range(16384))
    assert parse_range("B3:A1") == (0, 0, 2, 1)
    assert sheet_cell("It's", 0, 1) == "'It''s'!B1"
    for bad in ["", "A", "1", "A0", "XFE1", "A1048577", "AAAA1", "A1:", "Ä1", "A1B"]:
        with pytest.raises(WorkbookError):
            parse_cell(bad)
    with pytest.raises(LimitError, match="beyond"):
        column_letters(16384)
