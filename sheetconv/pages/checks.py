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


def switch(value: Any) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r:.40}")
    return value


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


def tables(
    check: Callable[[dict[str, Any]], dict[str, Any]], least: int, most: int
) -> Callable[[Any], list[dict[str, Any]]]:
    """`least` to `most` inline tables, each checked."""

    def checked(value: Any) -> list[dict[str, Any]]:
        if (
            not isinstance(value, list)
            or not least <= len(value) <= most
            or not all(isinstance(v, dict) for v in value)
        ):
            count = f"{least}" if least == most else f"{least} to {most}"
            raise ValueError(f"must be a list of {count} tables in braces")
        return [check(v) for v in value]

    return checked


def _named(value: dict[str, Any], **keys: Callable[[Any], Any]) -> dict[str, Any]:
    if set(value) != {"name", *keys}:
        raise ValueError(f"holds {{{', '.join(map(str, value))}}}; each table needs name, {', '.join(keys)}")
    if not isinstance(value["name"], str) or len(value["name"]) > 60:
        raise ValueError("needs a name of at most 60 characters in each table")
    found: dict[str, Any] = {"name": value["name"]}
    for key, check in keys.items():
        try:
            found[key] = check(value[key])
        except ValueError as error:
            raise ValueError(f"holds a table whose {key} {error}") from error
    return found


def kernels(count: int, size: int) -> Callable[[Any], list[dict[str, Any]]]:
    """`count` kernels of size×size, each with a name."""
    return tables(lambda v: _named(v, weights=array(size, size)), count, count)


def positions(count: int, last: int) -> Callable[[Any], list[dict[str, Any]]]:
    """`count` positions of a window, each with a name, row and column (0 … `last`)."""
    return tables(lambda v: _named(v, row=whole(0, last), column=whole(0, last)), count, count)


def weights(net: str) -> Callable[[Any], dict[str, Any]]:
    """The name of weights that come with sheetconv for one of its networks; gives the network's state."""

    def check(value: Any) -> dict[str, Any]:
        from sheetconv.errors import SheetconvError
        from sheetconv.models import load_model, shipped

        if not isinstance(value, str):
            raise ValueError(f"must be the name of weights, not {value!r:.40}")
        try:
            return load_model(net, shipped(value))[0].state_dict()
        except SheetconvError as error:
            raise ValueError(f"names no weights of {net}: {error}") from error

    return check


def wholes(count: int, low: int, high: int) -> Callable[[Any], list[int]]:
    """`count` whole numbers from `low` to `high`."""
    one = whole(low, high)

    def check(value: Any) -> list[int]:
        if not isinstance(value, list) or len(value) != count:
            raise ValueError(f"must be a list of {count} whole numbers")
        return [one(v) for v in value]

    return check


def paragraph(value: Any) -> str:
    """A text of some length, which may be empty."""
    if not isinstance(value, str) or len(value) > 2000:
        raise ValueError("must be a text of at most 2,000 characters")
    return value


def networks(*models: str) -> Callable[[Any], list[dict[str, Any]]]:
    """1 to 3 networks: each a name, a model, its shipped weights or "", a unit [layer, channel, row, column], a text.

    `weights` becomes the network's state, None for random weights.
    """

    def check(value: dict[str, Any]) -> dict[str, Any]:
        found = _named(value, model=one_of(*models), weights=paragraph, unit=array(4), text=paragraph)
        found["weights"] = weights(found["model"])(found["weights"]) if found["weights"] else None
        return found

    return tables(check, 1, 3)


def answers(least: int, most: int) -> Callable[[Any], list[dict[str, Any]]]:
    """`least` to `most` batches, each with a name and as many predictions as targets (2 to 8 class numbers)."""

    def classes(value: Any) -> list[int]:
        if not isinstance(value, list) or not 2 <= len(value) <= 8:
            raise ValueError("must be a list of 2 to 8 class numbers")
        return [whole(0, 999)(v) for v in value]

    def check(value: dict[str, Any]) -> dict[str, Any]:
        found = _named(value, predictions=classes, targets=classes)
        if len(found["predictions"]) != len(found["targets"]):
            raise ValueError("holds a batch with more predictions than targets, or fewer")
        return found

    return tables(check, least, most)


def dataset(value: Any) -> str:
    """The name of a dataset, a hub id or a path; "" for none."""
    if not isinstance(value, str) or len(value) > 500:
        raise ValueError("must be the name or the path of a dataset")
    return value
