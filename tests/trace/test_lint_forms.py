"""Lint on right sheets of other kinds, which have no fault, and on faults that hand-made networks do not have."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from test_recover_forms import ordered, write_book

from sheetconv.formulas.source import Source
from sheetconv.inspect.lint import Finding, lint


def findings(cells: Mapping[str, object], folder: Path) -> list[Finding]:
    path = write_book(folder / "b.xlsx", {"S": ordered(cells)})
    with Source(path) as source:
        return [f for f in lint(source) if f.rule != "errors"]


ROWS = range(2, 12)
RIGHT: dict[str, dict[str, object]] = {
    "training table": {"A1": 0.5, "B1": 0.1, "C2": "=A1"}
    | {f"C{r}": f"=D{r - 1}" for r in range(3, 12)}
    | {f"D{r}": f"=C{r}-$B$1*2*C{r}" for r in ROWS},
    "price by shares": {"B1": 3, "B2": 4, "B3": 5, "D1": 123, "E1": "=SUM(B1:B3)/D1"},
    "compared texts": {f"A{r}": "cat" for r in ROWS}
    | {f"B{r}": "dog" for r in ROWS}
    | {f"C{r}": f"=IF(A{r}=B{r},1,0)" for r in ROWS},
    "copied headings": {"A1": "x", "B1": "y", "D1": "=A1", "E1": "=B1"},
    "answers asked for": {f"A{r}": r for r in (2, 3, 5, 6)}
    | {f"B{r}": f'=IF(ISBLANK(A{r}),"",A{r}*2)' for r in range(2, 8)},
    "years above": {f"{c}1": 2000 + k for k, c in enumerate("ABCDE")}
    | {f"{c}{r}": r * 1.37 + k for r in ROWS for k, c in enumerate("ABCDE")}
    | {"G2": "=AVERAGE(A2:E11)"},
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_sheets_have_no_findings(name: str, tmp_path: Path) -> None:
    assert findings(RIGHT[name], tmp_path) == []


def test_the_broken_cell_at_the_end_of_a_column(tmp_path: Path) -> None:
    cells: dict[str, object] = {f"{c}{r}": r + ord(c) * 0.1 for r in range(1, 8) for c in "ABCD"}
    cells |= {f"F{r}": f"=A{r}*B{r}+C{r}*D{r}" for r in range(1, 6)} | {"F6": "=A5*B6+C6*D6"}
    cells |= {f"G{r}": f"=F{r}*2" for r in range(1, 7)}
    assert [(str(f.area), f.rule) for f in findings(cells, tmp_path)] == [("S!F6", "differs")]


def test_a_sum_that_needs_an_array(tmp_path: Path) -> None:
    cells: dict[str, object] = {f"A{r}": r * 0.3 for r in range(1, 5)}
    cells |= {f"B{r}": f"=EXP(A{r})/SUM(EXP($A$1:$A$4))" for r in range(1, 5)}
    assert [(str(f.area), f.rule) for f in findings(cells, tmp_path)] == [("S!B1:B4", "not-array")]
    cells |= {f"B{r}": f"=EXP(A{r})/SUMPRODUCT(EXP($A$1:$A$4))" for r in range(1, 5)}
    assert findings(cells, tmp_path) == []
