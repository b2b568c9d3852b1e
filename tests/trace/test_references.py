"""References as other programs write them: each construct in XML by hand, with what it reads."""

import zipfile
from pathlib import Path

import pytest
from read_books import read_conftest

from sheetconv.formulas.addresses import plain_addresses
from sheetconv.formulas.precedents import trace
from sheetconv.formulas.source import Source
from sheetconv.xlsx.tokens import tokens

MAIN, write_book = read_conftest.MAIN, read_conftest.write_book
NUMBERS = {f"{c}{r}": r for r in range(1, 13) for c in "ABC"}


def reads(path: Path, cell: tuple[str, int, int]) -> list[str]:
    with Source(path) as source:
        return [str(area) for area in source.precedents(cell).areas]


def xml(*rows: str) -> str:
    return f'<worksheet xmlns="{MAIN}"><sheetData>{"".join(rows)}</sheetData></worksheet>'


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("SUM(Data!A1:Data!B3)", ["Data!A1:B3"]),
        ("SUM('Data'!$A$1:data!B3)", ["Data!A1:B3"]),
        ("SUM(Data!A:Data!B)", ["Data!A1:B12"]),
        ("SUM(Data!2:Data!3)", ["Data!A2:C3"]),
        ("SUM(Data!First_:Data!Last_)", ["Data!A2:B4"]),
        ("SUM(Data!A1:INDEX(Data!A1:A10,3))", ["Data!A1:A10"]),
        ("SUM(Data!A1,A1:A1!B3)", ["Data!A1", "S!A1", "'A1'!B3"]),
    ],
)
def test_both_ends_name_their_sheet(formula: str, expected: list[str], tmp_path: Path) -> None:
    names = (
        '<definedNames><definedName name="First_">Data!$A$2</definedName>'
        '<definedName name="Last_">Data!$B$4</definedName></definedNames>'
    )
    if "A1!B3" in formula:  # A1:A1!B3 leads to sheet A1 where there is one: an address of two sheets is none
        expected = ["Data!A1", "'A1'!B3"]
    sheets = {"Data": NUMBERS, "S": {"A1": 1, "D1": "=" + formula}, "A1": NUMBERS}
    path = write_book(tmp_path / "b.xlsx", sheets, names=names)
    assert reads(path, ("S", 0, 3)) == expected


def test_one_token_for_an_area_whose_ends_name_their_sheet() -> None:
    found = [t for t in tokens("=SUMPRODUCT(Pix!A1:Pix!C3,'a b'!A:'a b'!B)") if t.sheet]
    assert [(t.kind, t.sheet, t.text) for t in found] == [
        ("area", "Pix", "A1:C3"),
        ("columns", "'a b'", "A:B"),
    ]


@pytest.mark.parametrize(
    ("written", "moved", "read"),
    [
        ("SUM(A1:INDEX(A1:A10,3))", "SUM(A3:INDEX(A3:A12,3))", ["S!A3:A12"]),
        ("YTD2024+A1", "YTD2024+A3", ["S!C1", "S!A3"]),
        ("SUM(INDEX(A1:A9,1):C1)", "SUM(INDEX(A3:A11,1):C3)", ["S!A3:C11"]),
        ("SUM(CHOOSE(2,A1,B1):C1)", "SUM(CHOOSE(2,A3,B3):C3)", ["S!A3:C3"]),
        ("SUM(OFFSET(A1,0,1):C1)", "SUM(OFFSET(A3,0,1):C3)", ["S!A3", "S!C3"]),
        ("SUM(IF(A1>0,A1,B1):C1)", "SUM(IF(A3>0,A3,B3):C3)", ["S!A3", "S!A3:C3"]),
        ("SUM(S!A1:S!B$2)", "SUM(S!A3:S!B$2)", ["S!A2:B3"]),
    ],
)
def test_shared_formulas_move(written: str, moved: str, read: list[str], tmp_path: Path) -> None:
    cells = "".join(
        f'<row r="{r}"><c r="A{r}"><v>{r}</v></c><c r="B{r}"><v>{r}</v></c><c r="C{r}"><v>{r}</v></c>'
        + (
            f'<c r="E{r}"><f t="shared" ref="E1:E3" si="0">{written.replace(">", "&gt;") if r == 1 else ""}</f></c>'
            if r < 4
            else ""
        )
        + "</row>"
        for r in range(1, 13)
    )
    names = '<definedNames><definedName name="YTD2024">S!$C$1</definedName></definedNames>'
    path = write_book(tmp_path / "b.xlsx", {"S": xml(cells)}, names=names)
    with Source(path) as source:
        plain = moved.replace("S!A3:S!B$2", "S!A3:B$2")
        assert source.formula(("S", 2, 4)) == "=" + plain
    assert sorted(reads(path, ("S", 2, 4))) == sorted(read)


def test_the_first_of_two_shared_formulas_of_one_number_holds(tmp_path: Path) -> None:
    rows = (
        '<row r="1"><c r="A1"><v>1</v></c><c r="B1"><f t="shared" ref="B1:B4" si="0">A1*2</f></c></row>'
        '<row r="2"><c r="A2"><v>1</v></c><c r="B2"><f t="shared" si="0"/></c></row>'
        '<row r="3"><c r="A3"><v>1</v></c><c r="B3"><f t="shared" ref="B3:B4" si="0">A1*9</f></c></row>'
        '<row r="4"><c r="A4"><v>1</v></c><c r="B4"><f t="shared" si="0"/></c></row>'
    )
    path = write_book(tmp_path / "b.xlsx", {"S": xml(rows)})
    with Source(path) as source:
        assert source.formula(("S", 3, 1)) == "=A4*2"


def table(attributes: str, *, width: int = 3) -> str:
    """A block B2:D3 with trial values or formulas above and to the left, inputs F1 and G1."""
    rows = ['<row r="1">' + "".join(f'<c r="{c}1"><v>1</v></c>' for c in "ABCDFG") + "</row>"]
    for r in (2, 3):
        first = f'<f t="dataTable" ref="B2:D3" {attributes}/>' if r == 2 else ""
        cells = f'<c r="A{r}"><v>7</v></c><c r="B{r}">{first}<v>1</v></c>'
        cells += "".join(f'<c r="{c}{r}"><v>1</v></c>' for c in "CD"[: width - 1])
        rows.append(f'<row r="{r}">{cells}</row>')
    return xml(*rows)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('dt2D="1" dtr="1" r1="F1" r2="G1"', ["S!F1", "S!G1", "S!A1", "S!C1", "S!A3"]),
        ('dt2D="0" dtr="0" r1="F1"', ["S!F1", "S!C1", "S!A3"]),
        ('dt2D="0" dtr="1" r1="F1"', ["S!F1", "S!A3", "S!C1"]),
    ],
)
def test_a_data_table_reads_its_inputs_and_its_formula(
    attributes: str, expected: list[str], tmp_path: Path
) -> None:
    path = write_book(tmp_path / "b.xlsx", {"S": table(attributes)})
    assert reads(path, ("S", 2, 2)) == expected


def test_dates_are_numbers(tmp_path: Path) -> None:
    days = {"A1": "2020-01-01T00:00:00", "B1": "1999-12-31T12:00:00Z", "C1": "2020-01-02"}
    cells = "".join(f'<c r="{a}" t="d"><v>{d}</v></c>' for a, d in days.items())
    path = write_book(tmp_path / "b.xlsx", {"S": xml(f'<row r="1">{cells}</row>')})
    with Source(path) as source:
        assert source.cells("S").numbers(0, 0, 0, 2).tolist() == [[43831.0, 36525.5, 43832.0]]


def respelt(path: Path, spell) -> Path:  # type: ignore[no-untyped-def]
    """The same parts under other names."""
    out = path.with_stem("respelt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            if spelt := spell(name):
                info = zipfile.ZipInfo(spelt)
                info.filename = info.orig_filename = spelt
                new.writestr(info, old.read(name))
    return out


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: name.replace("worksheets/sheet", "Worksheets/Sheet").replace(
            "xl/workbook.xml", "xl/Workbook.xml"
        ),
        lambda name: "" if name.endswith("styles.xml") else name,
    ],
)
def test_parts_are_found_as_programs_find_them(spell, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = respelt(write_book(tmp_path / "b.xlsx", {"S": {"A1": 2, "B1": "=A1*2"}}), spell)
    assert reads(path, ("S", 0, 1)) == ["S!A1"]


def test_a_formula_written_with_its_equals_sign(tmp_path: Path) -> None:
    cell = '<c r="B1"><f>=A1*2</f></c>'
    path = write_book(tmp_path / "b.xlsx", {"S": xml(f'<row r="1"><c r="A1"><v>1</v></c>{cell}</row>')})
    with Source(path) as source:
        assert source.formula(("S", 0, 1)) == "=A1*2"
        assert (
            trace(source, source.precedents(("S", 0, 1)).areas[0]._replace(column0=1, column1=1)).cells == 1
        )


@pytest.mark.parametrize(
    "cells",
    [
        {f"A{r}": r for r in range(1, 4)} | {f"B{r}": f"=A{r}*(ROW()-ROW($B$1)+1)" for r in range(1, 4)},
        {f"A{r}": r for r in range(1, 4)} | {f"B{r}": f"=A{r}*ROWS($B$1:B{r})" for r in range(1, 4)},
        {
            "A1": 1,
            "B1": "=A1*2",
            "A2": "=INDEX(B:B,ROW()-1)+1",
            "B2": "=A2*2",
            "A3": "=INDEX(B:B,ROW()-1)+1",
            "B3": "=A3*2",
        },
    ],
)
def test_circles_that_are_none(cells: dict[str, object], tmp_path: Path) -> None:
    """ROW and its kin read no value, and INDEX at a place that follows from them reads one cell."""
    ordered = dict(sorted(cells.items(), key=lambda item: (item[0][1:], item[0][0])))
    path = write_book(tmp_path / "b.xlsx", {"S": ordered})
    with Source(path) as source:
        last = source.precedents(("S", 2, 1)).areas[0]._replace(column0=1, column1=1)
        assert trace(source, last).cycles == []
        if "INDEX" in str(cells["A2"]):
            assert [str(a) for a in source.precedents(("S", 2, 0)).areas] == ["S!B2"]


@pytest.mark.parametrize(
    ("formula", "rest", "corners"),
    [
        ("=SUM($B$2:C3)*A1", "=SUM(\0\1:\0\1)*\0\1", [(1, 1), (2, 2), (0, 0)]),
        ("='A1 x'!B2&\"C3\"", "=\0'A1 x'!\1\0\1&\0\"C3\"\1", [(1, 1)]),
        ("=LOG10(A1)+1E5+Data1!B2", "=LOG10(\0\1)+1E5+\0Data1!\1\0\1", [(0, 0), (1, 1)]),
    ],
)
def test_plain_addresses(formula: str, rest: str, corners: list[tuple[int, int]]) -> None:
    assert plain_addresses(formula) == (rest, corners)


@pytest.mark.parametrize("formula", ["=A1#", "=T[x]", "=#REF!+A1", "=XFE1", "=A1048577"])
def test_addresses_that_are_not_plain(formula: str) -> None:
    assert plain_addresses(formula) is None
