"""How much room a text takes, without a display: widths of Arial's characters, greedy line breaks."""

from __future__ import annotations

import math
from collections.abc import Iterator

_NARROW, _THIN, _WIDE = set("ijl|'!.,:;I ()[]ftr/-"), set("ijl|'"), set("mwMW@%—")

_LINE = 1.15  # Arial's ascent and descent in ems, .905 and .212, with a little air


def _width(character: str) -> float:
    """Width in ems (a little more than Arial's own, so that estimates err on the safe side)."""
    if character in _THIN:
        return 0.24
    if character in _NARROW:
        return 0.29
    if character in _WIDE:
        return 0.88
    return 0.69 if character.isupper() else 0.55


def width(text: str, points: float) -> float:
    """Pixels that one line of text takes."""
    return sum(map(_width, text)) * points * 4 / 3


def tall(points: float) -> float:
    """Pixels that one line of text takes from the top of its ascenders to the foot of its descenders."""
    return points * 4 / 3 * _LINE


def largest(pixels: float) -> float:
    """The largest size in points whose line fits into this height; the inverse of `tall`."""
    return pixels * 3 / 4 / _LINE


def lines(text: str, points: float, pixels: float) -> int:
    """Lines that a text breaks into within this width."""
    return sum(1 for paragraph in text.split("\n") for _ in _broken(paragraph, points, pixels))


def _broken(paragraph: str, points: float, pixels: float) -> Iterator[str]:
    line = ""
    for word in paragraph.split(" "):
        longer = f"{line} {word}" if line else word
        if line and width(longer, points) > pixels:
            yield line
            line = word
        else:
            line = longer
    yield line


def rows(text: str, points: float, pixels: float, row: float) -> int:
    """Rows of `row` pixels that a text block takes, with a little air."""
    height = lines(text, points, pixels) * points * 4 / 3 * 1.2 + points * 0.7
    return math.ceil(height / row)
