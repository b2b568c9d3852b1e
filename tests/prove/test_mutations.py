"""A sample of the mutation benchmark: a few hundred faults of all kinds, none passes."""

import random
from pathlib import Path

from tests.benchmarks.mutations import FORMULAS, SINGLE, formula_mutants, read, single_mutants


def test_no_fault_of_a_formula_passes(example: Path, tmp_path: Path) -> None:
    score = formula_mutants(read(example), tmp_path, 400, random.Random(1))
    assert score.survived == {}
    assert score.planted.total() >= 400
    assert len(score.planted) >= 22
    assert set(score.equivalent) <= {"$ lost", "operands swapped"}, score.table()


def test_no_other_fault_passes(example: Path, tmp_path: Path) -> None:
    score = single_mutants(read(example), tmp_path, random.Random(2))
    assert score.survived == {}
    assert len(score.planted) >= len(SINGLE) - 1
    assert len(FORMULAS) + len(SINGLE) >= 35
