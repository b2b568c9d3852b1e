"""Checks of the values that a template gives to a page; each returns the value or raises ValueError."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sheetconv.graph.expr import FloatArray

LARGEST = 1e6


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"must hold numbers, not {value!r:.40}")
    if abs(value) > LARGEST:
        raise ValueError(f"holds {value!r:.40}; numbers may be at most {LARGEST:,.0f}")
    return float(value)


def number(low: float = -LARGEST, high: float = LARGEST) -> Callable[[Any], float]:
    """A number from `low` to `high`."""

    def check(value: Any) -> float:
        found = _number(value)
        if not low <= found <= high:
            raise ValueError(f"must be {low:g} to {high:g}, not {value!r:.40}")
        return found

    return check


def whole(low: int, high: int) -> Callable[[Any], int]:
    """A whole number from `low` to `high`."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number, {low} to {high}, not {value!r:.40}")
        return value

    return check


def one_of(*choices: str) -> Callable[[Any], str]:
    """One of some words."""

    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value!r:.40}")
        return str(value)

    return check


def array(*shape: int) -> Callable[[Any], FloatArray]:
    """Numbers in nested lists of this shape."""
    sizes = "×".join(map(str, shape))

    def check(value: Any) -> FloatArray:
        def nested(item: Any, rest: Sequence[int]) -> Any:
            if not rest:
                return _number(item)
            if not isinstance(item, list) or len(item) != rest[0]:
                raise ValueError(f"must be {sizes} numbers (lists of {rest[-1]})")
            return [nested(i, rest[1:]) for i in item]

        return np.array(nested(value, shape))

    return check


def rows(width: int, most: int) -> Callable[[Any], FloatArray]:
    """1 to `most` rows of `width` numbers."""

    def check(value: Any) -> FloatArray:
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            raise ValueError(f"must be 1 to {most} rows of {width} numbers")
        return array(len(value), width)(value)

    return check


def texts(least: int, most: int) -> Callable[[Any], list[str]]:
    """`least` to `most` short texts."""

    def check(value: Any) -> list[str]:
        if (
            not isinstance(value, list)
            or not least <= len(value) <= most
            or not all(isinstance(v, str) and len(v) <= 60 for v in value)
        ):
            raise ValueError(f"must be {least} to {most} texts of at most 60 characters")
        return value

    return check
