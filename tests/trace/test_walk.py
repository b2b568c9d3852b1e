"""Regions, walks and cycles against the plainest reading of the same thing: sets of cells, on random workbooks."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from read_books import read_conftest

from sheetconv.cli import main
from sheetconv.formulas import box_sets as region
from sheetconv.formulas import cycles, walk
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.precedents import dependents, trace
from sheetconv.formulas.source import Source

SIZE = 9
Cell = tuple[int, int]


def random_boxes(pick: np.random.Generator, count: int) -> np.ndarray:
    ends = pick.integers(0, 14, (count, 2, 2))
    return np.concatenate([ends.min(1), ends.max(1)], 1).astype(np.int64)


def painted(boxes: np.ndarray) -> np.ndarray:
    found = np.zeros((14, 14), int)
    for r0, c0, r1, c1 in boxes.tolist():
        found[r0 : r1 + 1, c0 : c1 + 1] += 1
    return found


@pytest.mark.parametrize("at_once", [4, 40, 2_000_000])
def test_difference_of_random_boxes(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region, "_AT_ONCE", at_once)
    pick = np.random.default_rng(at_once)
    for _ in range(150):
        some, taken = (random_boxes(pick, n) for n in pick.integers(0, 12, 2))
        expected = (painted(some) > 0) & (painted(taken) == 0)
        np.testing.assert_array_equal(painted(region.difference(some, taken)), expected)
        rows, columns = np.nonzero(expected)
        np.testing.assert_array_equal(painted(region.from_keys(rows << 14 | columns)), expected)


def random_book(path: Path, pick: random.Random) -> dict[Cell, set[Cell]]:
    """Numbers, blank cells and formulas of random ranges; returns what each formula reads."""
    cells: dict[str, object] = {}
    reads: dict[Cell, set[Cell]] = {}
    backwards = pick.random() < 0.5  # half of the books have no cycles
    for row in range(SIZE):
        for column in range(SIZE):
            name = f"{chr(65 + column)}{row + 1}"
            kind = pick.random()
            if kind < 0.5:
                terms, reads[row, column] = [], set()
                for _ in range(pick.randint(1, 3)):
                    r0, c0 = pick.randrange(row + 1 if backwards else SIZE), pick.randrange(SIZE)
                    r1 = min(r0 + pick.randint(0, 2), row - 1 if backwards else SIZE - 1)
                    c1 = min(c0 + pick.randint(0, 2), SIZE - 1)
                    if r1 < r0:
                        continue
                    terms.append(f"SUM({chr(65 + c0)}{r0 + 1}:{chr(65 + c1)}{r1 + 1})")
                    reads[row, column] |= {(r, c) for r in range(r0, r1 + 1) for c in range(c0, c1 + 1)}
                cells[name] = "=" + ("+".join(terms) or "1")
            elif kind < 0.8:
                cells[name] = 1.5
    read_conftest.write_book(path, {"S": cells or {"A1": 1}})
    return reads


def levels_of(start: Cell, step: dict[Cell, set[Cell]]) -> list[set[Cell]]:
    found, seen, frontier = [], set(), {start}
    while frontier := set().union(*(step.get(c, set()) for c in frontier)) - seen:
        seen |= frontier
        found.append(frontier)
    return found


def cells_of(areas: list[Area]) -> list[Cell]:
    return sorted((r, c) for _, r0, c0, r1, c1 in areas for r in range(r0, r1 + 1) for c in range(c0, c1 + 1))


@pytest.mark.parametrize("narrow", [0, 64])
def test_random_books(narrow: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of walking (narrow levels cell by cell, wide ones in bulk), both directions, and cycles."""
    monkeypatch.setattr(walk, "NARROW_FORMULAS", narrow)
    pick, cyclic = random.Random(narrow), 0
    for number in range(25):
        reads = random_book(path := tmp_path / f"{number}.xlsx", pick)
        read_by: dict[Cell, set[Cell]] = {}
        for cell, others in reads.items():
            for other in others:
                read_by.setdefault(other, set()).add(cell)
        with Source(path) as source:
            for row, column in pick.sample(sorted(reads), min(4, len(reads))):
                start = Area("S", row, column, row, column)
                for found, step in ((trace(source, start), reads), (dependents(source, start), read_by)):
                    expected = levels_of((row, column), step)
                    assert [cells_of(v.areas) for v in found.levels] == [sorted(v) for v in expected]
                    met = {(row, column)}.union(*expected) & reads.keys()
                    loops = [c for c in met if c in set().union(*levels_of(c, reads))]
                    assert cells_of(found.cycles) == sorted(loops)
                    cyclic += bool(loops)
                blank = [c for v in trace(source, start).levels for c in cells_of(v.blank)]
                assert all(c not in reads and source.cells("S").value(*c) is None for c in blank)
    assert cyclic > 20


def test_tarjan_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without peeling and without orders the answer is the same."""
    pick = random.Random(5)
    for number in range(15):
        reads = random_book(path := tmp_path / f"{number}.xlsx", pick)
        with Source(path) as source:
            grid = source.grid(0)
            usual = cycles.on_cycles(source, {0: grid.formulas})
            with monkeypatch.context() as changed:
                changed.setattr(cycles, "_TABLE", 0)
                assert cycles.on_cycles(source, {0: grid.formulas}) == usual
        assert cells_of(usual) == sorted(c for c in reads if c in set().union(*levels_of(c, reads)))


BOOK = str(Path(__file__).with_name("books") / "xlsxwriter.xlsx")


def test_json_form() -> None:
    found = json.loads(CliRunner().invoke(main, ["trace", BOOK, "Third!G4", "--json"]).stdout)
    assert list(found) == ["schema", "start", "direction", "cells", "blank", "levels", "circular", "notes"]
    assert found["circular"] == ["Third!G1:G3"]
    assert found["levels"][0]["areas"] == [
        {"area": "Third!G3", "cells": 1, "role": "formula", "layer": "", "tensor": "", "where": "=G1"}
    ]
    assert found["cells"] == sum(level["cells"] for level in found["levels"]) == 4


def test_dot_is_a_graph() -> None:
    lines = CliRunner().invoke(main, ["trace", BOOK, "'It''s here'!R22", "--dot"]).stdout.splitlines()
    assert (lines[0], lines[-1]) == ("digraph precedents {", "}")
    nodes = [line.split()[0] for line in lines if "label=" in line]
    edges = [line.strip(" ;").split(" -> ") for line in lines if "->" in line]
    assert edges == [["n1", "n0"]]
    assert {end for edge in edges for end in edge} <= set(nodes)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["Thrid!G4"], "did you mean 'Third'?"),
        (["Third!ZZZZ1"], "not a cell address"),
        (["Third!A1"], "no formula"),
        (["Third!Z99"], "is blank"),
        (["hello"], "names no sheet"),
        (["Third!hello"], "not a cell address"),
        (["Third!G4", "--to", "Nowhere!A1"], "no sheet 'Nowhere'"),
        (["Third!G4", "--levels", "0"], "--levels"),
    ],
)
def test_mistakes_are_told_in_one_line(given: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["trace", BOOK, *given])
    assert result.exit_code == 2
    assert said in result.stderr
    assert not result.stdout
