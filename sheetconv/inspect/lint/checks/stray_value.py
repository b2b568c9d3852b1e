"""A stray value in a kernel: the one weight that breaks what all the others keep.

Trained kernels keep nothing, so only patterns count that chance does not make: all values but one from a few
whole numbers; all rows (or columns) constant but for one cell; two or more mirror symmetries at once that a
single other value would restore; one weight very many times larger than all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sheetconv.formulas.cell_range import Area
from sheetconv.inspect.lint.sheet import Finding, FindingKind, Sheet, bounds, meeting

_LARGEST = 11
_OUTLIER = 30.0
_PLAIN = 4.0  # kernels drawn by hand have small whole numbers (Sobel's reach 2, Gauss's 4)


class _Stray(NamedTuple):
    """Position in the kernel, the value that was expected (None: no single one), and why."""

    at: tuple[int, int]
    expected: float | None
    why: str


def check(sheet: Sheet) -> Iterator[Finding]:
    """One finding for each kernel."""
    for area in _kernels(sheet):
        values = sheet.source.cells(sheet.name).numbers(*area[1:])
        stray = _find(values) if not np.isnan(values).any() else None
        if stray:
            i, j = stray.at
            wanted = "" if stray.expected is None else f"{stray.expected:g}: "
            yield Finding(
                sheet.cell((area.row0 + i, area.column0 + j)),
                "stray-value",
                f"{values[i, j]:g} breaks the pattern of the kernel {area}",
                f"{wanted}{stray.why}",
            )


def _kernels(sheet: Sheet) -> list[Area]:
    """Small areas of typed numbers that maps read with a fixed reference; else small patches on their own."""
    read = {
        area
        for area in sheet.book.fixed_areas.get(sheet.name, ())
        if _small(area) and bool(np.isin(sheet.mask(area), (FindingKind.NUMBER, FindingKind.ZERO)).all())
    }
    areas = list(sheet.book.slots_into[sheet.name])
    where = bounds(areas)
    alone = [
        patch.area
        for patch in sheet.patches
        if _small(patch.area)
        and len(patch.cells) == patch.area.size
        and all(area.size == 1 for area in meeting(areas, where, patch.area))
    ]
    found = sorted([*read, *alone])
    return [area for area in found if not _block_diagonal(sheet.mask(area))]


def _block_diagonal(mask: np.ndarray) -> bool:
    """Whether half of a matrix and more is zero by design: every row and column has a number all the same."""
    filled = mask != FindingKind.ZERO
    full = filled.any(0).all() and filled.any(1).all()
    return bool(full and min(mask.shape) >= 4 and 2 * filled.sum() <= mask.size)


def _small(area: Area) -> bool:
    rows, columns = area.row1 - area.row0 + 1, area.column1 - area.column0 + 1
    return min(rows, columns) >= 2 and max(rows, columns) <= _LARGEST and area.size >= 9


def _find(values: np.ndarray) -> _Stray | None:
    for rule in (_lines, _mirrors, _few_values, _outlier):
        stray = rule(values)
        if stray:
            return stray
    return None


def _lines(values: np.ndarray) -> _Stray | None:
    """All rows constant but for one cell, or all columns."""
    for lines, name in ((values, "row"), (values.T, "column")):
        odd = [i for i, line in enumerate(lines) if len(set(line)) > 1]
        if len(odd) != 1 or len(lines) < 3:
            continue
        common, count = Counter(lines[odd[0]].tolist()).most_common(1)[0]
        if count == len(lines[odd[0]]) - 1 >= 2:
            j = next(j for j, v in enumerate(lines[odd[0]]) if v != common)
            alone = all(v == common for i, line in enumerate(lines) if i != odd[0] for v in line)
            if alone and (common == 0 or len(_symmetries(values)) > 1):
                continue  # one weight among equal ones: a kernel that picks or stresses a pixel
            at = (odd[0], j) if name == "row" else (j, odd[0])
            return _Stray(at, common, f"each {name} of the kernel has one value but for this cell")
    return None


def _symmetries(values: np.ndarray) -> set[str]:
    """Names of the mirror and turning symmetries of a kernel, with or without a change of sign."""
    images = {"left-right": values[:, ::-1], "up-down": values[::-1], "half-turn": values[::-1, ::-1]}
    if values.shape[0] == values.shape[1]:
        images |= {"diagonal": values.T, "other diagonal": values[::-1, ::-1].T}
    same = {name for name, image in images.items() if np.array_equal(values, image)}
    return same | {"−" + name for name, image in images.items() if np.array_equal(values, -image)}


def _mirrors(values: np.ndarray) -> _Stray | None:
    """One other value would give the kernel two symmetries more, and three or more in all."""
    if len(set(values.ravel())) > values.size // 2 + 1:
        return None
    have, found = _symmetries(values), []
    candidates = {*values.ravel().tolist(), *(-values).ravel().tolist(), 0.0}
    middle = tuple(n // 2 if n % 2 else -1 for n in values.shape)
    for at in np.ndindex(values.shape):
        if have and at == middle:
            continue  # which may well stand out
        for value in sorted(candidates - {values[at]}):
            tried = values.copy()
            tried[at] = value
            gained = _symmetries(tried)
            if (
                len(gained) >= max(len(have) + 2, 3)
                and np.any(tried)
                and have <= gained
                and not np.all(tried == tried.flat[0])
            ):
                found.append((len(gained), _in_pattern(tried), at, value))
    if not found:
        return None
    best = max(found)
    if sum(f[:2] == best[:2] for f in found) > 1:
        return None
    return _Stray(best[2], float(best[3]), "it would make the kernel symmetric, as its other values are")


def _in_pattern(values: np.ndarray) -> int:
    """How few different sizes of values a kernel has, as a score."""
    return -len(set(np.abs(values).ravel().tolist()))


def _few_values(values: np.ndarray) -> _Stray | None:
    """All values but one are small whole numbers, several of them repeated."""
    if len(_symmetries(values)) > 1:
        return None  # the odd one stands where it should, in the centre
    whole = (values == np.round(values)) & (np.abs(values) <= _PLAIN)
    if (~whole).sum() == 1 and len(set(np.abs(values[whole]).tolist())) <= 3 and np.any(values[whole]):
        at = np.argwhere(~whole)[0]
        position = int(at[0]), int(at[1])
        nearest = float(np.round(values[position]))
        usual = set(values[whole].tolist()) | {-v for v in values[whole].tolist()}
        return _Stray(
            position,
            nearest if nearest in usual else None,
            "all other weights of the kernel are small whole numbers",
        )
    sizes = Counter(np.abs(values).ravel().tolist())
    rare = [v for v, n in sizes.items() if n == 1]
    common = [v for v, n in sizes.items() if n > 1]
    if (
        len(rare) == 1
        and rare[0] != round(rare[0])
        and len(common) in (1, 2)
        and values.size - 1 == sum(sizes[v] for v in common)
    ):
        i, j = (int(k) for k in np.argwhere(np.abs(values) == rare[0])[0])
        if not _symmetries(values) and values.size >= 9:
            return _Stray((i, j), None, "every other weight occurs several times")
    return None


def _outlier(values: np.ndarray) -> _Stray | None:
    """One weight is very many times larger than all others."""
    sizes = np.sort(np.abs(values).ravel())
    if sizes[-2] > 0 and np.median(sizes) > 0 and sizes[-1] > _OUTLIER * sizes[-2]:
        at = np.unravel_index(int(np.abs(values).argmax()), values.shape)
        why = f"the other weights are at most {sizes[-2]:g} in size"
        return _Stray((int(at[0]), int(at[1])), None, why)
    return None
