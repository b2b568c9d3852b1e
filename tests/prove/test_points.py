"""Other numbers in every typed cell: what holds at one point only is found out."""

import re
from pathlib import Path

import numpy as np
import pytest

from sheetconv.engines import get
from sheetconv.graph.branches import forks, taken
from sheetconv.graph.expr import Aggregate, call
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Tensor
from sheetconv.prove.points import how_many
from sheetconv.prove.verify import Report, verify
from sheetconv.xlsx.cells import numbers
from tests.prove.books import addresses, altered, cells, forged, part_of

SHEET = "Network"


def leg(report: Report, name: str) -> str:
    return next(found.detail for found in report.legs if found.name == name)


def test_points_branches_and_choices_are_counted(example: Path) -> None:
    report = verify(example, device="cpu", probes=3)
    assert report.agrees, report.verdict()
    seen, total = (
        int(n.replace(",", ""))
        for n in re.findall(r"seen: ([\d,]+) of ([\d,]+)", leg(report, "At other points"))[0]
    )
    assert 0.7 * total < seen < total
    assert "choices: 10 of 10" in leg(report, "At other points")
    assert "at 3 other points" in report.verdict()
    share = np.floor(1000 * seen / total) / 10
    assert f"; {share}% of branches seen, no rule gives the others of softmax.exp (" in report.verdict()


def test_branches_that_no_point_took_and_no_rule_gives_are_in_the_verdict() -> None:
    report = Report("book.xlsx", "ironcalc", branches=3000, unseen={"a": 1, "b": 2}, unruled={"b": 2})
    assert "; 99.9% of branches seen, no rule gives the others of b (2); " in report.verdict()
    assert "branches" not in Report("book.xlsx", "ironcalc", branches=3000).verdict()


def test_books_of_many_small_tensors_are_computed_at_fewer_points() -> None:
    assert how_many(3000, 2000, None) < how_many(3000, 20, None) == 16
    assert how_many(3000, 2000, 9) == 9


def test_a_formula_of_manifest_and_file_that_is_not_the_operator(example: Path, tmp_path: Path) -> None:
    """Forged together they agree with each other, and with torch wherever no ReLU is dead; not elsewhere."""

    def forge(data: dict[str, list[dict[str, object]]]) -> None:
        relu = next(t for t in data["tensors"] if t["name"] == "relu2")
        call_ = relu["formula"]
        assert isinstance(call_, list)
        relu["formula"] = call_[2]["t"][1]  # what MAX(0, ·) takes

    relus = set(addresses(example, "relu2"))
    change = cells(lambda a, f, v: (f.removeprefix("MAX(0,").removesuffix(")"), v) if a in relus else None)
    bad = forged(example, tmp_path / "bad.xlsx", forge, **{part_of(example, SHEET): change})
    report = verify(bad, device="cpu", probes=2)
    assert next(found for found in report.legs if found.name == "By structure").holds
    assert "relu2" in leg(report, "At other points")
    assert not report.agrees


def test_a_shortened_list_of_choices_is_named(example: Path, tmp_path: Path) -> None:
    bad = altered(
        example,
        tmp_path / "bad.xlsx",
        {part_of(example, SHEET): lambda t: t.replace('"1,2,3,4,5,6,7,8,9,10"', '"1,2,3,4,5,6,7,8,9"', 1)},
    )
    assert "allows list 1, 2, 3, 4, 5, 6, 7, 8, 9;" in verify(bad, device="cpu", probes=1).verdict()


@pytest.mark.parametrize("engine", ["ironcalc", "formualizer"])
def test_engines_compute_at_several_points(engine: str, example: Path) -> None:
    bias = addresses(example, "conv1.bias")[0]
    from sheetconv.xlsx.a1 import parse_cell

    place, wanted = parse_cell(bias), parse_cell(addresses(example, "conv1")[400])
    area = (*wanted, *wanted)
    points = [{}, {SHEET: {place: 2.5}}, {SHEET: {place: -1.25}}]
    found = get(engine).evaluate_at(example, [(SHEET, area)], points)  # type: ignore[arg-type]
    first, second, third = (float(numbers(blocks[0])[0, 0]) for blocks in found)
    assert np.allclose([second - first, third - first], [2.5, -1.25]), "the bias was 0"


def test_branches_of_a_maximum_over_a_window() -> None:
    x = Tensor("x", (3,))
    out, k = Tensor("y", (2,)), Var("k", 2)
    expr = Aggregate("MAX", (x.at(out.axes[0] + k),), (k,))
    ((took, possible),) = taken(forks(expr), out.axes, {x: np.array([1.0, 3.0, 3.0])})
    assert took.tolist() == [[False, True], [False, False]], "a tie takes no branch"
    assert possible.all()


def test_branches_of_a_relu() -> None:
    x = Tensor("x", (3,))
    out = Tensor("y", (3,))
    expr = call("MAX", 0, x.at(out.axes[0]))
    ((took, _),) = taken(forks(expr), out.axes, {x: np.array([1.0, -3.0, 0.0])})
    assert took.tolist() == [[False, True], [True, False], [False, False]]
