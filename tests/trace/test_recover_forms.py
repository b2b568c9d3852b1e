"""Recover: forms that people write, each a small sheet; the module is held against the sheet at other numbers too."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from openpyxl.worksheet.formula import ArrayFormula
from read_books import read_conftest

from sheetconv.formulas.cell_range import rectangles
from sheetconv.inspect.recover import RecoveryReport, recover
from sheetconv.xlsx.address import column_letters

write_book = read_conftest.write_book


def ordered(cells: Mapping[str, object]) -> dict[str, object]:
    def place(address: str) -> tuple[int, int, str]:
        match = re.fullmatch(r"([A-Z]+)(\d+)", address)
        assert match is not None
        return int(match[2]), len(match[1]), match[1]

    return dict(sorted(cells.items(), key=lambda item: place(item[0])))


def table(corner: str, rows: int, columns: int, seed: int = 1) -> dict[str, object]:
    """Typed numbers in a rectangle."""
    match = re.fullmatch(r"([A-Z])(\d+)", corner)
    assert match is not None
    values = np.random.default_rng(seed).normal(size=(rows, columns)).round(3)
    first, row = ord(match[1]) - 65, int(match[2])
    return {
        f"{column_letters(first + j)}{row + i}": float(values[i, j])
        for i in range(rows)
        for j in range(columns)
    }


def read(
    cells: Mapping[str, object], folder: Path, *, recognised: bool = True, names: str = ""
) -> tuple[RecoveryReport, str]:
    """The report and the module's text; everything recognised, equal here and at three other points."""
    book = write_book(folder / "book.xlsx", {"S": ordered(cells)}, names=names)
    report = recover(book, folder / "model.py", force=True)
    assert report.agrees, report.differences
    assert report.points == 3
    if recognised:
        assert not report.unread, report.unread
    return report, (folder / "model.py").read_text()


def test_layers_side_by_side_are_layers(tmp_path: Path) -> None:
    cells = table("A1", 3, 1)
    for r in (1, 2, 3):
        cells |= {
            f"C{r}": f"=A{r}*2",
            f"D{r}": f"=MAX(0,C{r})",
            f"E{r}": f"=D{r}*3+1",
            f"F{r}": f"=MAX(0,E{r})",
        }
    report, _ = read(cells, tmp_path)
    assert [layer.code for layer in report.layers] == [
        "x * 2.0",
        "F.relu(pointwise1)",
        "relu1 * 3.0 + 1.0",
        "F.relu(pointwise2)",
    ]


def written_out(own: str, column: int, row: int) -> str:
    return "=" + "+".join(f"{own}{i + 1}*{'LMN'[i]}{row + column}" for i in range(3))


def test_dense_layers_of_written_out_products(tmp_path: Path) -> None:
    cells = table("A1", 3, 1) | table("L1", 3, 3) | table("L6", 3, 3, 2)
    for j in range(3):
        cells |= {f"C{j + 1}": written_out("A", j, 1), f"D{j + 1}": f"=MAX(0,C{j + 1})"}
        cells[f"E{j + 1}"] = written_out("D", j, 6)
    report, text = read(cells, tmp_path)
    assert text.count("nn.Linear(3, 3, bias=False)") == 2
    assert report.depends == {"dense2": ["x"]}


def test_a_softmax_in_four_columns(tmp_path: Path) -> None:
    cells: dict[str, object] = {f"B{r}": r * 0.3 for r in range(5, 9)}
    cells |= {f"D{r}": f"=EXP(B{r})" for r in range(5, 9)} | {"D10": "=SUM(D5:D8)"}
    cells |= {f"F{r}": f"=D{r}/$D$10" for r in range(5, 9)} | {"F10": "=SUM(F5:F8)"}
    read(cells, tmp_path)


@pytest.mark.parametrize("order", ["SUMPRODUCT({w},{x})", "SUMPRODUCT({x},{w})", "SUM({w}*{x})"])
def test_what_is_typed_is_the_weight(order: str, tmp_path: Path) -> None:
    """Pooled cells stand in every second row and column; the typed factor beside them is the weight."""
    cells = table("A1", 8, 8)
    for r in (1, 3, 5, 7):
        for c in "ACEG":
            cells[f"{column_letters(ord(c) - 65 + 9)}{r}"] = f"=MAX({c}{r}:{chr(ord(c) + 1)}{r + 1})"
    for k, row in enumerate((21, 31)):
        for i in range(0, 8, 2):
            for j in range(0, 8, 2):
                cells[f"{column_letters(9 + j)}{row + i}"] = round(0.1 * i - 0.2 * j + k + 0.05, 3)
        weights = f"$J${row}:$P${row + 6}"
        cells[f"A{row}"] = "=" + order.format(w=weights, x="$J$1:$P$7")
    report, text = read(cells, tmp_path, recognised=False)
    assert "nn.Linear(16, 2, bias=False)" in text
    assert report.layers[0].code == "F.max_pool2d(x, 2)"
    assert "pool1.flatten(1)" in report.layers[1].code
    assert list(report.depends.values()) == [["x"]]


def test_a_fault_that_shows_only_at_other_numbers(tmp_path: Path) -> None:
    """A dead unit whose formula is another: equal now, and not elsewhere."""
    cells = table("A1", 6, 1) | {f"A{r}": -1.0 * r for r in (2, 3)}
    cells |= {f"C{r}": f"=MAX(0,A{r})" for r in range(1, 7)} | {"C3": "=MAX(0,2*A3)"}
    book = write_book(tmp_path / "book.xlsx", {"S": ordered(cells)})
    report = recover(book, tmp_path / "model.py")
    assert [str(d.area) for d in report.differences] == ["S!C3"]


@pytest.mark.libreoffice
def test_a_second_engine_is_asked_before_a_sheet_is_blamed(tmp_path: Path) -> None:
    cells: dict[str, object] = {f"A{r}": r * 0.2 for r in range(1, 5)}
    cells |= {f"B{r}": f"=EXP(A{r})/SUMPRODUCT(EXP($A$1:$A$4))" for r in range(1, 5)}
    report, _ = read(cells, tmp_path)
    assert report.engine in ("ironcalc", "libreoffice")
    assert report.layers[0].code == "F.softmax(x.flatten(1), 1)"


@pytest.mark.parametrize("formula", ["A{r}/SQRT(3)", "A{r}*EXP(-1)", "A{r}*2^0.5", "A{r}+LN(2)*ABS(-3)"])
def test_functions_of_constants(formula: str, tmp_path: Path) -> None:
    read(table("A1", 4, 1) | {f"C{r}": "=" + formula.format(r=r) for r in range(1, 5)}, tmp_path)


def test_steps_over_time_are_unrolled(tmp_path: Path) -> None:
    cells = table("A1", 5, 1) | {"D1": 0.5, "D2": -0.3, "D3": 0.1, "B1": "=TANH(A1*$D$1+$D$3)"}
    cells |= {f"B{r}": f"=TANH(A{r}*$D$1+B{r - 1}*$D$2+$D$3)" for r in range(2, 6)}
    report, _ = read(cells, tmp_path)
    assert len(report.layers) == 5


@pytest.mark.parametrize(
    "formula",
    [
        "_xlfn.LET(_xlpm.x,A{r}*2,MAX(0,_xlpm.x)+_xlpm.x)",
        "_xlfn.LAMBDA(_xlpm.x,_xlpm.x^2)(A{r})",
        "IF(AND(A{r}>-0.5,A{r}<0.5),10*A{r},0.1*A{r})",
        "INDEX($A$1:$A$4,ROW())*2",
        "EXP(A{r})/SUMPRODUCT(EXP(A{r}),1)",
    ],
)
def test_other_forms(formula: str, tmp_path: Path) -> None:
    read(table("A1", 4, 1) | {f"C{r}": "=" + formula.format(r=r) for r in range(1, 5)}, tmp_path)


@pytest.mark.parametrize("count", [3, 8])
def test_normalisation_without_parameters(tmp_path: Path, count: int) -> None:
    inside = f"$A$1:$A${count}"
    cells = table("A1", count, 1)
    cells |= {f"C{r}": f"=(A{r}-AVERAGE({inside}))/_xlfn.STDEV.P({inside})" for r in range(1, count + 1)}
    report, _ = read(cells, tmp_path)
    assert sum(place.size for layer in report.layers for place in rectangles(layer.places)) == count


@pytest.mark.parametrize("part", [(1, 3), (3, 6), (1, 6)])
def test_exponentials_in_cells_over_the_sum_of_a_part(tmp_path: Path, part: tuple[int, int]) -> None:
    first, last = part
    cells = table("A1", 6, 1) | {f"B{r}": f"=EXP(A{r})" for r in range(1, 7)}
    cells |= {f"D{r}": f"=B{r}/SUM($B${first}:$B${last})" for r in range(first, last + 1)}
    report, _ = read(cells, tmp_path)
    assert [layer.code.split("(")[0] for layer in report.layers] == ["torch.exp", "F.softmax"]


def test_no_softmax_over_other_cells_than_its_own(tmp_path: Path) -> None:
    cells = table("A1", 6, 1) | {f"B{r}": f"=EXP(A{r})" for r in range(1, 7)}
    cells |= {f"D{r}": f"=B{r}/SUM($B$2:$B$4)" for r in range(1, 4)}
    _, text = read(cells, tmp_path)
    assert "softmax" not in text


def test_a_typed_row_of_ones_as_bias_is_read(tmp_path: Path) -> None:
    """``MMULT(W, X)``: W has the bias as its last column, X a row of ones below the numbers."""
    path = tmp_path / "book.xlsx"
    workbook = openpyxl.Workbook()
    sheet = workbook.worksheets[0]
    for address, value in (table("A1", 3, 4) | table("F1", 3, 2, 2) | {"L4": 1, "M4": 1}).items():
        sheet[address] = value
    for r in (1, 2, 3):
        sheet[f"L{r}"], sheet[f"M{r}"] = f"=TANH(F{r})", f"=TANH(G{r})"
    sheet["O1"] = ArrayFormula("O1:P3", "=MMULT(A1:D3,L1:M4)")
    workbook.save(path)
    report = recover(path, tmp_path / "model.py")
    assert report.agrees, report.differences
    assert not report.unread
    assert [layer.name for layer in report.layers] == ["tanh1", "matmul1"]
