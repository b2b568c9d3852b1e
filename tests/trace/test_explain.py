"""The terms of a cell add up to its number, computed here by hand."""

from pathlib import Path

import pytest
import xlsxwriter
from click.testing import CliRunner

from sheetconv.cli import main
from sheetconv.errors import UsageError
from sheetconv.trace.explain import explain
from sheetconv.trace.source import Source


@pytest.mark.parametrize(
    "form", ["SUMPRODUCT(A1:B2,$D$1:$E$2)", "SUM(A1:B2*$D$1:$E$2)", "SUMPRODUCT(A1:B2*D1:E2)"]
)
def test_terms_and_shares(tmp_path: Path, form: str) -> None:
    work = xlsxwriter.Workbook(tmp_path / "b.xlsx")
    sheet = work.add_worksheet("S")
    for row in range(2):
        sheet.write_row(row, 0, [row + 1, row + 2])
        sheet.write_row(row, 3, [10, -1])
    sheet.write_formula("G1", f"=MAX(0,{form}+SUM(A1:A2*D1:D2))", None, 55)
    work.close()
    with Source(tmp_path / "b.xlsx") as source:
        found = explain(source, ("S", 0, 6))
        with pytest.raises(UsageError):
            explain(source, ("S", 0, 0))
    assert [t.product for t in found.groups[0][2]] == [10, -2, 20, -3]
    assert [t.product for t in found.groups[1][2]] == [10, 20]
    assert [round(share, 6) for _, share in found.shares()] == [round(35 / 65, 6), round(30 / 65, 6)]
    outcome = CliRunner().invoke(main, ["explain", str(tmp_path / "b.xlsx"), "G1"])
    assert "2 (S!A2) × 10 (S!D2) = 20" in outcome.output
