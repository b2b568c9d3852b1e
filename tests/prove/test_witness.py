"""Engines are witnesses, and witnesses err: what each says of a few formulas, and who is heard before a verdict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xlsxwriter

from sheetconv.engines import get
from sheetconv.engines.ironcalc import IronCalc
from sheetconv.prove.verify import verify
from sheetconv.xlsx.cells import CellError, numbers

# formula over A1:A3 = 1, 2, 3 → the right value, and the engines that get another
CASES = {
    "SUMPRODUCT(EXP(A1:A3))": (float(np.exp([1, 2, 3]).sum()), {"ironcalc", "formualizer"}),
    "SUMPRODUCT(A1:A3,A1:A3)": (14.0, set()),
    "INDEX(A1:C1,1,2)": (5.0, set()),
    "MAX(0,A1:A3)": (3.0, set()),
    "IF(A1+1E-15=A1,1,0)": (0.0, {"ironcalc", "libreoffice"}),
    "SIGN(-A1)*GAMMADIST(A1^2,0.5,1,TRUE)": (-0.8427007929497148, set()),
    "EXP(710)": (CellError, set()),
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "cases.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("S")
        for row in range(3):
            sheet.write_number(row, 0, row + 1)
        sheet.write_number(0, 1, 5)
        for row, formula in enumerate(CASES):
            sheet.write_formula(row, 4, f"={formula}", None, 0)
    return path


@pytest.mark.parametrize(
    "engine", ["ironcalc", "formualizer", pytest.param("libreoffice", marks=pytest.mark.libreoffice)]
)
def test_what_engines_are_known_to_get_wrong(engine: str, cases: Path) -> None:
    (found,) = get(engine).evaluate(cases, [("S", (0, 4, len(CASES) - 1, 4))])
    for value, (formula, (right, erring)) in zip(found[:, 0], CASES.items(), strict=True):
        agrees = isinstance(value, CellError) if right is CellError else np.isclose(numbers(np.array([value], object))[0], right, rtol=1e-12)  # fmt: skip
        assert bool(agrees) == (engine not in erring), (formula, value)


class Liar(IronCalc):
    """An engine that errs in one cell."""

    def evaluate_at(self, book: Path, ranges: Sequence[Any], points: Sequence[Any]) -> list[list[np.ndarray]]:
        found = super().evaluate_at(book, ranges, points)
        for blocks in found:
            number = next(
                i for i, block in enumerate(blocks) if block.size > 1000 and block[-1, -1] is not None
            )
            blocks[number][-1, -1] = 99.0
        return found


def test_an_engine_that_errs_is_named_and_the_file_is_not_accused(
    example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sheetconv.prove.verify.get", lambda name: Liar())
    report = verify(example, device="cpu", probes=1)
    assert report.verdict().startswith("ENGINES DISAGREE: ")
    assert "formualizer has what torch computes" in report.verdict()
    assert not report.agrees
