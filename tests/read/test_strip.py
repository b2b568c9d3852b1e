"""The copy without cached values: nothing that an engine could repeat instead of computing."""

import re
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import xlsxwriter

from sheetconv.engines import get
from sheetconv.errors import OutputError, WorkbookError
from sheetconv.xlsx.cells import Book
from sheetconv.xlsx.strip import POISON, without_cached_values

SHEET = "xl/worksheets/sheet1.xml"
CELLS = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<x:worksheet xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main" a='t="str"'>
<!-- <c r="Z9"><f>1</f><v>999</v></c> --><x:sheetData>
<x:row r="1" spans='1:9'><x:c r="A1" s="0"><x:v>0.5</x:v></x:c><x:c
 t="str" s='0' r="B1"><x:f>IF(A1&lt;1,"&amp;","b")</x:f><x:v>999</x:v></x:c
><x:c r="C1" t="b"><x:f>A1&gt;0</x:f><x:v>0</x:v></x:c><x:c r="D1" t="e"><x:f>A1</x:f><x:v>#N/A</x:v></x:c>
<x:c r="E1"><x:v>999</x:v><x:f>A1+1</x:f></x:c><x:c r="F1"><x:f>A1+2</x:f></x:c><x:c r="G1" t="inlineStr">
<x:is><x:t>&lt;999&gt;</x:t></x:is></x:c><x:c r="H1"><x:f><![CDATA[A1<1]]></x:f><x:v>999</x:v></x:c></x:row>
<x:row r="2"><x:c r="A2"><x:f t="shared" ref="A2:B2" si="0">A1*2</x:f><x:v>999</x:v></x:c><x:c r="B2"><x:f
 t="shared" si="0"/><x:v>999</x:v></x:c><x:c r="D2"><x:f t="array" ref="D2:E3">A1:B2*2</x:f>
<x:v>999</x:v></x:c><x:c r="E2"><x:v>999</x:v></x:c><x:c r="F2"><x:v>7</x:v></x:c></x:row>
<x:row r="3"><x:c r="C3"><x:v>7</x:v></x:c><x:c r="D3"><x:v>999</x:v></x:c><x:c r="E3" t="str">
<x:v>999</x:v></x:c></x:row><x:row r="4"><x:c r="D4"><x:v>7</x:v></x:c></x:row></x:sheetData>
<x:pageMargins left="1"/></x:worksheet>
"""


@pytest.mark.parametrize("poison", [None, POISON])
def test_every_form_of_a_formula_cell(make_book, tmp_path: Path, poison: float | None) -> None:
    source = make_book(tmp_path / "in.xlsx", {"S": CELLS})
    out = tmp_path / "out.xlsx"
    without_cached_values(source, out, poison=poison)
    with Book(source) as book:
        before = book.cells("S")
    with Book(out) as book:
        after = book.cells("S")
        text = book.package.read(SHEET).decode()
    assert (after.formulas(0, 0, 3, 8) == before.formulas(0, 0, 3, 8)).all()
    assert after.arrays == before.arrays
    assert after.formula_count == before.formula_count == 9
    area = before.formulas(0, 0, 3, 8) != np.array(None)
    own = {(row, column) for row, column, _ in before.formula_cells()}
    values = after.values(0, 0, 3, 8)
    for row, column in np.ndindex(values.shape):
        if (row, column) in own:
            assert values[row, column] == poison
        elif area[row, column]:
            assert values[row, column] is None
        else:
            assert values[row, column] == before.value(row, column)
    outside = re.sub(r"<!--.*?-->", "", text)
    assert "999" not in outside.replace("&lt;999&gt;", "")
    assert text.startswith(CELLS[: CELLS.index("<x:c")])
    assert text.endswith(CELLS[CELLS.index('<x:row r="4"') :])


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_chunks_of_any_size_give_the_same(
    make_book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    source = make_book(tmp_path / "in.xlsx", {"S": CELLS})
    without_cached_values(source, tmp_path / "whole.xlsx")
    monkeypatch.setattr("sheetconv.xlsx.package.CHUNK", size)
    monkeypatch.setattr("sheetconv.xlsx.package.Package._check_prolog", lambda *_: None)
    without_cached_values(source, tmp_path / "pieces.xlsx")
    parts = [zipfile.ZipFile(tmp_path / name).read(SHEET) for name in ("whole.xlsx", "pieces.xlsx")]
    assert parts[0] == parts[1]


@pytest.mark.parametrize(
    ("calc", "expected"),
    [
        ("", '</sheets><calcPr fullCalcOnLoad="1"/>'),
        ('<calcPr calcId="1" iterate="1"/>', '<calcPr calcId="1" iterate="1" fullCalcOnLoad="1"/>'),
        ('<calcPr calcId="1" fullCalcOnLoad="0"></calcPr>', '<calcPr calcId="1" fullCalcOnLoad="1"/>'),
    ],
)
def test_full_calculation_is_asked_for(make_book, tmp_path: Path, calc: str, expected: str) -> None:
    source = make_book(tmp_path / "in.xlsx", {"S": {"A1": 1.0}}, calc=calc)
    without_cached_values(source, tmp_path / "out.xlsx")
    assert expected in zipfile.ZipFile(tmp_path / "out.xlsx").read("xl/workbook.xml").decode()


def test_calculation_chain_is_left_out(tmp_path: Path) -> None:
    source, chained, out = tmp_path / "in.xlsx", tmp_path / "chained.xlsx", tmp_path / "out.xlsx"
    book = xlsxwriter.Workbook(str(source))
    book.add_worksheet().write_formula("A1", "=1+1", None, 999)
    book.close()
    override = b'<Override PartName="/xl/calcChain.xml" ContentType="x"/></Types>'
    relation = (
        b'<Relationship Id="rIdC" Target="calcChain.xml" '
        b'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/calcChain"/></Relationships>'
    )
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(chained, "w") as new:
        for name in old.namelist():
            data = old.read(name).replace(b"</Types>", override)
            new.writestr(
                name,
                data.replace(b"</Relationships>", relation) if name.endswith("workbook.xml.rels") else data,
            )
        new.writestr("xl/calcChain.xml", "<calcChain/>")
    without_cached_values(chained, out)
    with zipfile.ZipFile(out) as file, zipfile.ZipFile(source) as old:
        assert not any(b"calcChain" in file.read(name) for name in file.namelist())
        assert file.namelist() == old.namelist()
        same = [n for n in old.namelist() if n not in (SHEET, "xl/workbook.xml")]
        assert all(file.read(n) == old.read(n) for n in same)
    assert openpyxl.load_workbook(out)["Sheet1"]["A1"].value == "=1+1"


@pytest.mark.parametrize(
    ("old", "new", "pattern"),
    [
        ('encoding="UTF-8"', 'encoding="ISO-8859-1"', "not in UTF-8"),
        ('ref="D2:E3"', 'ref="C1:E3"', "starts elsewhere"),
        ('ref="D2:E3"', 'ref="D2:E"', "not a cell address"),
        ("<x:f>A1+2</x:f>", "<x:f>A1+2</x:f><x:f>A1</x:f>", "two formulas"),
        ('<x:c r="D4">', '<x:c r="D3">', "D4|D3|out of order"),
        ('<x:row r="4"><x:c r="D4">', '<x:row r="2"><x:c r="A2">', "out of order"),
        ("</x:worksheet>", "", "not well-formed"),
    ],
)
def test_refuses_what_it_cannot_strip(make_book, tmp_path: Path, old: str, new: str, pattern: str) -> None:
    source = make_book(tmp_path / "in.xlsx", {"S": CELLS.replace(old, new, 1)})
    with pytest.raises(WorkbookError, match=pattern) as caught:
        without_cached_values(source, tmp_path / "out.xlsx")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.xlsx"]


def test_output_folder_missing(make_book, tmp_path: Path) -> None:
    source = make_book(tmp_path / "in.xlsx", {"S": {"A1": 1.0}})
    with pytest.raises(OutputError, match="does not exist"):
        without_cached_values(source, tmp_path / "no" / "out.xlsx")


def test_other_numbers_in_typed_cells(make_book, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Only typed cells take another number: not formulas, not what stands on another sheet."""
    sheet = {"A1": 1.0, "B1": 2.0, "C1": "=A1+B1", "A2": "text", "B2": 5.0}
    path = make_book(tmp_path / "b.xlsx", {"S": sheet, "T": {"A1": 7.0}})
    typed = {"S": {(0, 0): 0.1, (0, 2): 9.0, (1, 0): 3.0}}
    found = get("ironcalc").evaluate(path, [("S", (0, 0, 1, 2)), ("T", (0, 0, 0, 0))], typed)
    assert found[0].tolist() == [[0.1, 2.0, 2.1], [3.0, 5.0, None]]
    assert found[1].tolist() == [[7.0]]
