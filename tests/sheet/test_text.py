"""Numbers in bulk read back as what they were; as few digits as the float32 needs; addresses at the sheet's borders."""

import numpy as np
import pytest

from sheetconv.errors import LimitError
from sheetconv.sheet.text import area_text, chosen, columns_text, numbers_text, rows_text, shortest, strings


def read(values: np.ndarray, digits: int = 17) -> np.ndarray:
    return np.array([float(t) for t in strings([numbers_text(values, digits)], len(values))])


def wide(count: int) -> np.ndarray:
    """Numbers of all sizes and signs, with the awkward ones."""
    random = np.random.default_rng(0)
    found = random.standard_normal(count) * 10.0 ** random.integers(-40, 30, count)
    found[:8] = [0.0, -0.0, 1.0, -1000.0, 1e-5, 5e-324, 1.7e308, 1 / 3]
    return found


def test_typed_numbers_read_back_as_the_same_double() -> None:
    values = np.concatenate([wide(5000), np.arange(256) / 255, np.arange(-50, 50) / 10, 2.0 ** np.arange(60)])
    assert np.array_equal(read(values), values)


def test_float32_takes_no_more_digits_than_its_shortest_text_and_comes_back() -> None:
    with np.errstate(over="ignore"):
        single = wide(5000).astype(np.float32)
    single = single[np.isfinite(single)]
    found = shortest(single.astype(np.float64))
    assert np.array_equal(found.astype(np.float32), single)
    assert np.array_equal(read(found), found)
    usual = (abs(single) > 1e-12) & (abs(single) < 1e5)
    needed = [np.format_float_scientific(v, trim="-").split("e")[0] for v in single[usual]]
    taken = [np.format_float_scientific(v, trim="-").split("e")[0] for v in found[usual]]
    assert all(len(a) <= len(b) for a, b in zip(taken, needed, strict=True))


def test_what_is_no_float32_stays_as_it_is() -> None:
    values = np.array([0.1, 1 / 3, 2.0])
    assert np.array_equal(shortest(values), values)


def test_twelve_digits_prove_a_billionth() -> None:
    values = np.random.default_rng(1).standard_normal(2000)
    assert abs(read(values, 12) - values).max() <= 1e-11
    assert abs(read(values, 12) - values).max() > 0


def test_addresses_up_to_the_last_cell() -> None:
    rows, columns = np.array([0, 9, 1_048_575]), np.array([0, 26, 16_383])
    assert strings(area_text(rows, columns, rows, columns), 3) == ["A1", "AA10", "XFD1048576"]
    found = strings(area_text(rows, columns, rows + np.array([0, 1, 0]), columns, absolute=True), 3)
    assert found == ["$A$1", "$AA$10:$AA$11", "$XFD$1048576"]
    with pytest.raises(LimitError, match="1048577"):
        rows_text(rows + 1)
    with pytest.raises(LimitError, match="16385"):
        columns_text(columns + 1)


def test_texts_of_different_lengths_stand_in_one_piece() -> None:
    parts = [(np.array([2, 0]), [b"long ", numbers_text(np.array([1.5, 2.0]))]), (np.array([1]), [b"x"])]
    assert strings([chosen(parts, 3)], 3) == ["long 2", "x", "long 1.5"]
