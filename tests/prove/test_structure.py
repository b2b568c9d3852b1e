"""Every formula is the one that belongs in its cell, whatever the numbers are."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sheetconv.formulas.normal import Normal
from sheetconv.formulas.source import Source
from sheetconv.prove.verify import Report, verify
from sheetconv.sheet.manifest import read_manifest
from sheetconv.xlsx.address import cell
from tests.prove.books import addresses, altered, cells, part_of, values

SHEET = "Network"
Change = Callable[[str, str, str], tuple[str, str] | None]


def changed(example: Path, tmp_path: Path, change: Change) -> Report:
    return verify(
        altered(example, tmp_path / "bad.xlsx", {part_of(example, SHEET): cells(change)}), device="cpu"
    )


def by_structure(report: Report) -> bool:
    return next(leg for leg in report.legs if leg.name == "By structure").holds


def test_a_right_book_holds_by_structure(example: Path) -> None:
    report = verify(example, device="cpu")
    assert report.agrees, report.verdict()
    assert by_structure(report)


def black(example: Path) -> list[str]:
    """Cells of conv1 whose value is 0: their windows are black."""
    found = values(example, SHEET, addresses(example, "conv1"))
    return [a for a, v in found.items() if v == 0]


def test_a_window_moved_within_the_black_border(example: Path, tmp_path: Path) -> None:
    first, *_, last = black(example)[:40]
    report = changed(
        example,
        tmp_path,
        lambda a, f, v: (re.sub(r"\b[A-Z]+\d+:[A-Z]+\d+", "B7:D9", f, count=1), v) if a == last else None,
    )
    assert not report.agrees
    assert not by_structure(report)
    assert last in report.verdict()
    assert first != last


@pytest.mark.parametrize("kind", ["0*x", "0", "x"])
def test_relus_that_are_none_for_another_digit(kind: str, example: Path, tmp_path: Path) -> None:
    found = values(example, SHEET, addresses(example, "relu1"))

    def change(a: str, f: str, v: str) -> tuple[str, str] | None:
        if a not in found or (found[a] > 0) != (kind == "x"):
            return None
        inner = f.removeprefix("MAX(0,").removesuffix(")")
        return {"0*x": f"0*{inner}", "0": "0", "x": inner}[kind], v

    report = changed(example, tmp_path, change)
    assert not report.agrees
    assert all(c.agrees for c in report.computed), "the numbers at this point are right"


def test_a_product_with_other_cells_that_happens_to_be_right(example: Path, tmp_path: Path) -> None:
    gone = set(black(example))
    report = changed(
        example,
        tmp_path,
        lambda a, f, v: ("SUMPRODUCT($B$7:$D$9,$AF$35:$AH$37)*1000", v) if a in gone else None,
    )
    assert not report.agrees


FAULTS = {
    "row further": lambda f: re.sub(r"(\d+)(?=,|\))", lambda m: str(int(m[1]) + 1), f, count=1),
    "SUM": lambda f: f.replace("SUMPRODUCT", "SUM", 1),
    "sign": lambda f: f"-{f}",
    "wrapped": lambda f: f"IF($F$2=1,{f},99)",
    "machine": lambda f: f'{f}+IF(INFO("system")="pcdos",5,0)',
    "later": lambda f: f"{f}+IF(NOW()&gt;80000,1,0)",
    "seldom": lambda f: f"{f}+IF(RAND()&lt;1E-9,1,0)",
    "newer": lambda f: f"{f}+IFERROR(XLOOKUP(1,1,9),0)",
    "part in a million": lambda f: f"{f}*1.000001",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_cells_whose_value_is_0(fault: str, example: Path, tmp_path: Path) -> None:
    address = black(example)[17]
    report = changed(example, tmp_path, lambda a, f, v: (FAULTS[fault](f), v) if a == address else None)
    assert not report.agrees
    assert address in report.verdict()
    names = {"machine": "INFO", "later": "NOW", "seldom": "RAND", "newer": "XLOOKUP"}
    assert names.get(fault, "") in str(report.legs)


@pytest.mark.parametrize("kind", ["constant", "least"])
def test_the_predicted_digit_replaced(kind: str, example: Path, tmp_path: Path) -> None:
    """The predicted class stands beside the tensors, wherever the pages have it."""
    with Source(example) as source:
        texts = read_manifest(source.book, example).texts
    sheet, row, column, _ = next(t for t in texts if "MATCH(MAX(" in t[3])
    at = cell(row, column)

    def change(a: str, f: str, v: str) -> tuple[str, str] | None:
        return (("", v) if kind == "constant" else (f.replace("MAX", "MIN"), v)) if a == at else None

    bad = altered(example, tmp_path / "bad.xlsx", {part_of(example, sheet): cells(change)})
    report = verify(bad, device="cpu")
    assert not report.agrees
    assert f"{at} of a text" in report.verdict()


SAME = [
    ("A1+B2", "B2+A1"),
    ("A1-B2", "-B2+A1"),
    ("SUM(A1:B2,C3)", "_xlfn.SUM(C3,$A$1:$B$2)"),
    ("'Read me'!A1*2", "2*'Read me'!$A$1"),
    ("MAX(0,A1)", "max( 0 , A1 )"),
    ("A1-(B1+C1)", "A1-B1-C1"),
    ("A1/(B1*2)", "A1*0.5/B1"),
    ("A1>B1", "B1<A1"),
    ("(A1+B1)*1", "+A1+B1"),
    ("--A1", "A1"),
]
OTHER = [
    ("A1+B2", "A1-B2"),
    ("A1-B1-C1", "A1-(B1-C1)"),
    ("MAX(0,A1)", "MAX(A1)"),
    ("SUM(A1:B2)", "SUM(A1:B3)"),
    ("A1/B1", "B1/A1"),
    ("A1^2", "2^A1"),
    ("SUM(A1)", "SUM('Read me'!A1)"),
    ("A1>B1", "A1>=B1"),
    ("A1*1.000001", "A1"),
    ("A1+A1", "A1"),
    ("INDEX(A1:C1,2)", "INDEX(A1:C1,1,2)"),
    ("0*A1", "A1"),
]


@pytest.mark.parametrize(("left", "right", "same"), [(*p, True) for p in SAME] + [(*p, False) for p in OTHER])
def test_normal_forms(left: str, right: str, same: bool, example: Path) -> None:
    with Source(example) as source:
        normal = Normal(source)
        a, b = (normal.form((SHEET, 5, 5), f) for f in (left, right))
    assert a is not None
    assert (a == b) is same


@pytest.mark.parametrize(
    "formula", ["A1:B2 B1:C3", "@A1:A3", "SUM((A1,B2))", "[1]Sheet!A1", "LET(x,A1,x)+", "A1#"]
)
def test_what_has_no_normal_form(formula: str, example: Path) -> None:
    with Source(example) as source:
        assert Normal(source).form((SHEET, 5, 5), formula) is None


@pytest.mark.libreoffice
def test_a_book_edited_and_saved_by_libreoffice_holds_by_structure(example: Path, tmp_path: Path) -> None:
    from sheetconv.engines.libreoffice import LibreOffice
    from sheetconv.xlsx.a1 import parse_cell

    kernel = parse_cell(addresses(example, "conv1.weight")[3])
    saved = tmp_path / "saved.xlsx"
    LibreOffice().save_recalculated(example, saved, {(SHEET, *kernel): 0.375, (SHEET, 1, 5): 4})
    report = verify(saved, device="cpu")
    assert report.agrees, report.verdict()
    assert by_structure(report)
