"""What a careful reviewer finds in a network sheet that someone built by hand.

Each check is a module of `sheetconv.inspect.lint.checks`: its docstring says what it looks for, and its
function ``check(sheet)`` yields findings for one sheet. A new check is a new file there.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator

from sheetconv.formulas.cell_range import Area, rectangles
from sheetconv.formulas.precedents import cells
from sheetconv.formulas.source import Source
from sheetconv.inspect.lint import checks
from sheetconv.inspect.lint.sheet import Finding, Sheet, Workbook

_MOST_JOINED = 200_000

__all__ = ["Finding", "check_names", "lint"]


def check_names() -> list[str]:
    """Names of all checks; `Finding.rule` is one of them."""
    return [name.replace("_", "-") for name in _modules()]


def lint(source: Source) -> list[Finding]:
    """Findings of all checks on all sheets, in sheet order, then by cell.

    Raises `LimitError` for formulas that are longer or deeper than spreadsheet programs take.
    """
    workbook = Workbook(source)
    found: list[Finding] = []
    for sheet in workbook:
        here = _joined({f for check in _checks() for f in check(sheet)})
        found += sorted(here, key=lambda f: (f.area[1:], f.rule, f.message))
    return found


def _joined(found: set[Finding]) -> list[Finding]:
    """Findings that say the same of neighbouring cells as one."""
    groups: dict[tuple[str, str, str], list[Area]] = {}
    for finding in found:
        groups.setdefault((finding.rule, finding.message, finding.expected), []).append(finding.area)
    result = []
    for (rule, message, expected), areas in groups.items():
        small = len(areas) > 1 and sum(a.size for a in areas) <= _MOST_JOINED
        for area in rectangles(cells(areas)) if small else areas:
            result.append(Finding(area, rule, message, expected))
    return result


def _modules() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(checks.__path__) if not m.name.startswith("_"))


def _checks() -> Iterator[Callable[[Sheet], Iterator[Finding]]]:
    for name in _modules():
        check: Callable[[Sheet], Iterator[Finding]] = importlib.import_module(
            f"{checks.__name__}.{name}"
        ).check
        yield check
