"""A two-layer network as a teacher builds it by hand, without and with planted mistakes."""

from pathlib import Path

import numpy as np
import pytest
import xlsxwriter
from click.testing import CliRunner
from xlsxwriter.utility import xl_range, xl_range_abs

from sheetconv.cli import main
from sheetconv.trace.lint import lint
from sheetconv.trace.source import Source

EDGES = ([[1, 1, 1], [0, 0, 0], [-1, -1, -1]], [[1, 0, -1], [1, 0, -1], [1, 0, -1]])


def hand_made(path: Path, *, mistakes: bool) -> Path:
    """28×28 pixels, conv 26×26 twice, conv 24×24 (one column too wide), pool in every second cell, dense."""
    rng = np.random.default_rng(3)
    work = xlsxwriter.Workbook(path)
    sheet = work.add_worksheet("conv")
    for at in np.ndindex(28, 28):
        sheet.write_number(1 + at[0], at[1], rng.random())
    sheet.write_string(0, 0, "image 28x28")
    for k in range(2):
        for at in np.ndindex(3, 3):
            stray = mistakes and k == 0 and at == (1, 1)
            sheet.write_number(1 + 5 * k + at[0], 70 + at[1], 0.5 if stray else EDGES[k][at[0]][at[1]])
        top = 1 + 30 * k
        sheet.write_string(top - 1, 35, "conv1 24x24" if mistakes and k else "conv1 26x26")
        for r, c in np.ndindex(26, 26):
            kernel = xl_range_abs(1 + 5 * k, 70, 3 + 5 * k, 72)
            text = f"=MAX(0,SUM({xl_range(1 + r, c, 3 + r, c + 2)}*{kernel}))"
            sheet.write_array_formula(top + r, 35 + c, top + r, 35 + c, "{" + text + "}", None, 1.0)
    for k in range(2):
        for at in np.ndindex(3, 3):
            sheet.write_number(70 + 5 * k + at[0], 70 + at[1], rng.standard_normal())
    sheet.write_string(69, 0, "conv2 24x24" if not mistakes else "conv2 24x25")
    for r, c in np.ndindex(24, 25 if mistakes else 24):
        sums = "+".join(
            f"SUM({xl_range(1 + 30 * k + r, 35 + c, 3 + 30 * k + r, 37 + c)}*"
            f"{xl_range_abs(70 + 5 * k, 70, 72 + 5 * k, 72)})"
            for k in range(2)
        )
        sheet.write_array_formula(70 + r, c, 70 + r, c, f"{{=MAX(0,{sums})}}", None, 1.0)
    sheet.write_string(99, 0, "maxpool 12x12")
    for r, c in np.ndindex(12, 12):
        area = xl_range(70 + 2 * r, 2 * c, 71 + 2 * r, 2 * c + 1)
        sheet.write_formula(100 + 2 * r, 2 * c, f"=MAX({area})", None, 1.0)
    sheet.write_formula(130, 0, f"=SUM(A101:X124)/{576 if mistakes else 144}", None, 1.0)
    work.close()
    return path


def test_a_clean_sheet_has_no_findings(tmp_path: Path) -> None:
    with Source(hand_made(tmp_path / "clean.xlsx", mistakes=False)) as source:
        assert lint(source) == []


def test_every_planted_mistake_is_found(tmp_path: Path) -> None:
    path = hand_made(tmp_path / "wrong.xlsx", mistakes=True)
    with Source(path) as source:
        rules = [finding.rule for finding in lint(source)]
    for rule in ("reads-blank", "wrong-size", "denominator", "stray-value"):
        assert rule in rules
    assert len(rules) <= 6
    outcome = CliRunner().invoke(main, ["lint", str(path), "--json"])
    assert outcome.exit_code == 1


@pytest.mark.parametrize(
    ("cell", "value", "rule"),
    [
        ("B2", 5, "differs"),
        ("B2", "=A2*3+$Z$1", "differs"),
        ("A2", "7", "text-number"),
        ("E9", "=RAND()", "volatile"),
    ],
)
def test_single_faults(tmp_path: Path, cell: str, value: object, rule: str) -> None:
    import openpyxl

    work = openpyxl.Workbook()
    sheet = work.active
    sheet["Z1"] = 2
    for row in range(1, 5):
        sheet[f"A{row}"] = row
        sheet[f"B{row}"] = f"=A{row}*$Z$1"
    sheet[cell] = value
    work.save(tmp_path / "one.xlsx")
    with Source(tmp_path / "one.xlsx") as source:
        assert rule in [finding.rule for finding in lint(source)]
