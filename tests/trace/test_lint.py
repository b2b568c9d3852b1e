"""Lint: every mistake planted in hand-made networks is found, and nothing else; our own workbooks have none."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import xlsxwriter
from click.testing import CliRunner
from count_findings import missed_and_false
from hand_made import MISTAKES, STYLES
from hand_made import build as hand_made

from sheetconv.cli import main
from sheetconv.errors import LimitError
from sheetconv.formulas.source import Source
from sheetconv.inspect.lint import Finding, check_names, lint

LESSON = ("wide", "label", "denominator", "stray")


def findings(path: Path) -> list[Finding]:
    with Source(path) as source:
        return lint(source)


@pytest.mark.parametrize("template", ["conv-example", "mlp", "simple-cnn", "autoencoder", "lenet5", "lesson"])
def test_our_own_workbooks_have_none(template: str, own_workbook: Callable[[str], Path]) -> None:
    assert findings(own_workbook(template)) == []


@pytest.mark.parametrize("style", STYLES)
def test_hand_made_networks(style: str, tmp_path: Path) -> None:
    """Without mistakes nothing; with the lesson's mistakes each of them, and nothing else."""
    clean = hand_made(tmp_path / "clean.xlsx", STYLES[style])
    random = [("volatile", "Dropout!B4:M15")] if STYLES[style].dropout else []  # 144 cells, one finding
    assert [(f.rule, str(f.area)) for f in findings(clean.path)] == random
    planted = tuple(m for m in LESSON if m != "stray" or not STYLES[style].trained)
    made = hand_made(tmp_path / "wrong.xlsx", STYLES[style], planted)
    assert set(made.planted) == set(planted)
    assert missed_and_false(made, findings(made.path)) == ([], [])


@pytest.mark.parametrize("mistake", sorted(set(MISTAKES) - set(LESSON)))
@pytest.mark.parametrize("style", ["star-down", "terms"])
def test_single_mistakes(style: str, mistake: str, tmp_path: Path) -> None:
    made = hand_made(tmp_path / "wrong.xlsx", STYLES[style], (mistake,))
    assert missed_and_false(made, findings(made.path)) == ([], [])


@pytest.mark.libreoffice
def test_saved_by_libreoffice(tmp_path: Path) -> None:
    from sheetconv.engines.libreoffice import LibreOffice

    made = hand_made(tmp_path / "wrong.xlsx", STYLES["sumproduct"], LESSON)
    LibreOffice().save_recalculated(made.path, made.path)
    assert missed_and_false(made, findings(made.path)) == ([], [])


@pytest.mark.parametrize(
    ("cell", "value", "rule", "where"),
    [
        ("B4", 5, "differs", "S!B4"),
        ("B4", "=A4*3+$Z$1", "differs", "S!B4"),
        ("A4", "7", "text-number", "S!A4"),
        ("E9", "=RAND()", "volatile", "S!E9"),
        ("E9", "=SUM(A1:A11)/11", "denominator", "S!E9"),
        ("E9", "=SUM(A1:A10)/COUNT(A1:A9)", "denominator", "S!E9"),
        ("E9", "=SUM(A1:A14)", "reads-blank", "S!E9"),
        ("E9", "=SUM(H1:H4)", "empty-area", "S!E9"),
        ("E9", "=SUM(T!A1:B4)", "empty-area", "S!E9"),
        ("E9", "=Missing!A1+1", "errors", "S!E9"),
        ("E9", "=nothing*2", "errors", "S!E9"),
    ],
)
def test_single_faults(tmp_path: Path, cell: str, value: object, rule: str, where: str) -> None:
    work = openpyxl.Workbook()
    sheet = work.active
    sheet.title = "S"
    work.create_sheet("T")
    sheet["Z1"] = 2
    for row in range(1, 11):
        sheet[f"A{row}"] = row * 1.5
        sheet[f"B{row}"] = f"=A{row}*$Z$1"
    work.save(tmp_path / "none.xlsx")
    assert findings(tmp_path / "none.xlsx") == []
    sheet[cell] = value
    work.save(tmp_path / "one.xlsx")
    assert (rule, where) in [(f.rule, str(f.area)) for f in findings(tmp_path / "one.xlsx")]


@pytest.mark.parametrize(("switch", "found"), [(0, []), (1, [("volatile", "S!C1")])])
def test_a_volatile_branch_counts_only_while_it_is_switched_on(
    tmp_path: Path, switch: int, found: list[tuple[str, str]]
) -> None:
    work = openpyxl.Workbook()
    sheet = work.active
    sheet.title = "S"
    sheet["A1"], sheet["B1"], sheet["C1"] = switch, 0.25, "=IF(A1=1,RAND(),B1)"
    work.save(tmp_path / "switch.xlsx")
    assert [(f.rule, str(f.area)) for f in findings(tmp_path / "switch.xlsx")] == found


def test_error_values_are_reported_at_their_origin(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "error.xlsx") as work:
        sheet = work.add_worksheet("S")
        sheet.write_number(0, 0, 0)
        sheet.write_formula(0, 1, "=1/A1", None, "#DIV/0!")
        sheet.write_formula(0, 2, "=B1*2", None, "#DIV/0!")
    (found,) = findings(tmp_path / "error.xlsx")
    assert (found.rule, str(found.area)) == ("errors", "S!B1")
    assert "1 cell passes it on" in found.message


def test_a_strided_map_written_out_term_by_term(tmp_path: Path) -> None:
    """3×3 windows in steps of 2, each product typed: one column too many is one finding, at that column."""
    rng = np.random.default_rng(2)
    with xlsxwriter.Workbook(tmp_path / "s.xlsx") as work:
        sheet = work.add_worksheet("S")
        for at in np.ndindex(9, 9):
            sheet.write_number(*at, rng.random())
        for at in np.ndindex(3, 3):
            sheet.write_number(at[0], 12 + at[1], rng.normal())
        for i, j in np.ndindex(4, 5):
            pairs = [
                f"{xlsxwriter.utility.xl_rowcol_to_cell(2 * i + a, 2 * j + b)}*"
                f"{xlsxwriter.utility.xl_rowcol_to_cell(a, 12 + b, True, True)}"
                for a, b in np.ndindex(3, 3)
            ]
            sheet.write_formula(i, 20 + j, "=" + "+".join(pairs))
    (found,) = findings(tmp_path / "s.xlsx")
    assert (found.rule, str(found.area)) == ("too-large", "S!Y1:Y4")
    assert found.expected.startswith("4×4")


KERNELS = {
    "edge": [[1, 1, 1], [0, 0, 0], [-1, -1.1, -1]],
    "ternary": [[1, 1, 1], [0, 1, 0], [-1, -1, -1]],
    "sobel": [[1, 0, -1], [2, 0, -2], [1, 0, 1]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 1]],
    "gauss": [[1, 2, 1], [2, 4, 2], [1, 3, 1]],
}
GOOD_KERNELS = [
    [[0, -1, 1], [-1, 1, 0], [1, 0, 0]],
    [[1, -1, 0], [0, 1, -1], [0, 0, 1]],
    [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    [[1, 2, 1], [2, 4, 2], [1, 2, 1]],
    [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
    [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    [[0.1, 0.1, 0.1], [0.1, 0.2, 0.1], [0.1, 0.1, 0.1]],
]


def kernels(path: Path, values: list[np.ndarray]) -> Path:
    """An image, and one 6×6 map for each kernel that reads it."""
    rng = np.random.default_rng(0)
    with xlsxwriter.Workbook(path) as work:
        sheet = work.add_worksheet("S")
        for at in np.ndindex(8, 8):
            sheet.write_number(*at, rng.random())
        for index, kernel in enumerate(values):
            top = 20 * index
            for at in np.ndindex(*kernel.shape):
                sheet.write_number(top + at[0], 12 + at[1], kernel[at])
            for i, j in np.ndindex(9 - len(kernel), 9 - len(kernel)):
                window = xlsxwriter.utility.xl_range(i, j, i + len(kernel) - 1, j + len(kernel) - 1)
                weights = xlsxwriter.utility.xl_range_abs(top, 12, top + len(kernel) - 1, 11 + len(kernel))
                sheet.write_formula(top + i, 20 + j, f"=SUMPRODUCT({window},{weights})")
    return path


@pytest.mark.parametrize("name", KERNELS)
def test_stray_kernel_values(name: str, tmp_path: Path) -> None:
    found = findings(kernels(tmp_path / "k.xlsx", [np.array(KERNELS[name], float)]))
    assert [f.rule for f in found] == ["stray-value"]


def test_good_and_trained_kernels_are_left_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    good = [np.array(k, float) for k in GOOD_KERNELS]
    trained = [np.round(rng.normal(0, 0.4, (n, n)), d) for n in (3, 5) for d in (1, 2, 8) for _ in range(20)]
    assert findings(kernels(tmp_path / "k.xlsx", [*good, *trained])) == []


def test_json_exit_codes_and_annotated_copy(tmp_path: Path) -> None:
    made = hand_made(tmp_path / "wrong.xlsx", STYLES["other-sheet"], ("constant", "label"))
    copy = tmp_path / "marked.xlsx"
    outcome = CliRunner().invoke(main, ["lint", str(made.path), "--json", "--annotate", str(copy)])
    assert outcome.exit_code == 1
    rows = json.loads(outcome.stdout)
    assert {row["rule"] for row in rows} == {"differs", "wrong-size"}
    assert {row["rule"] for row in rows} <= set(check_names())
    work = openpyxl.load_workbook(copy)
    listed = {work["Findings"].cell(r, 1).value for r in range(4, work["Findings"].max_row + 1)}
    assert listed == {row["cells"] for row in rows}
    area = made.planted["constant"]
    cell = work[area.sheet].cell(area.row0 + 1, area.column0 + 1)
    looks = [f for f in work[area.sheet].conditional_formatting if cell.coordinate in f.sqref]
    assert looks[-1].rules[-1].dxf.fill.bgColor.rgb == "FFFFD966"
    assert "typed over" in cell.comment.text
    with Source(made.path) as before, Source(copy) as after:
        assert before.formulas("Net") == after.formulas("Net")
    again = CliRunner().invoke(main, ["lint", str(made.path), "--annotate", str(copy)])
    assert again.exit_code == 1
    assert "--force" in again.stderr
    clean = hand_made(tmp_path / "clean.xlsx", STYLES["other-sheet"])
    assert CliRunner().invoke(main, ["lint", str(clean.path)]).exit_code == 0


def test_formulas_beyond_all_bounds_are_one_line(tmp_path: Path) -> None:
    for name, text in {
        "deep": "=" + "(" * 150 + "A1" + ")" * 150,
        "long": "=" + "+".join(["A1"] * 5000),
    }.items():
        with xlsxwriter.Workbook(tmp_path / f"{name}.xlsx") as work:
            work.add_worksheet("S").write_formula(0, 1, text)
        with pytest.raises(LimitError, match="S!B1"):
            findings(tmp_path / f"{name}.xlsx")
    with xlsxwriter.Workbook(tmp_path / "most.xlsx") as work:
        sheet = work.add_worksheet("S")
        sheet.write_number(0, 0, 1)
        sheet.write_formula(0, 1, "=" + "ABS(" * 64 + "A1" + ")" * 64)
        sheet.write_formula(1, 1, "=" + "*".join(["A1"] * 2500))
    assert findings(tmp_path / "most.xlsx") == []
