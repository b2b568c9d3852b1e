"""A small, always equal part of the fuzzer's cases (the whole: ``python tests/hostile/fuzz.py 10000``)."""

from fuzz import fuzz


def test_readers_bear_damaged_files() -> None:
    ends, faults = fuzz(200, seed=7)
    assert not faults, "\n".join(faults)
    assert sum(ends.values()) == 200
    assert {end.split(": ")[1] for end in ends} == {"read", "refused"}
