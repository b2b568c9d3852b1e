"""Results as tables in HTML, for a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sheetconv.inspect.recover.prove import RecoveryReport as Recovered
    from sheetconv.prove.verify import Report


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """An HTML table; all text is escaped, numbers stand at the right.

    >>> table(["a"], [[1], ["<b>"]])
    '<table><tr><th>a</th></tr><tr><td style="text-align:right">1</td></tr><tr><td>&lt;b&gt;</td></tr></table>'
    """
    top = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    lines = ["".join(f"<th>{html.escape(name)}</th>" for name in head)]
    lines += ["".join(_cell(value) for value in row) for row in rows]
    return f"<table>{top}{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)):
        text = f"{value:,}" if isinstance(value, int) else f"{value:.1e}"
        return f'<td style="text-align:right">{text}</td>'
    return f"<td>{html.escape(str(value))}</td>"


def of_report(report: Report) -> str:
    """The proof of a workbook: a row for each tensor, then one for each leg; the verdict above."""
    kept = {c.tensor: c.relative for c in report.cached}
    rows = [
        [c.tensor, c.cells, c.absolute, c.relative, kept.get(c.tensor, "none"), c.worst]
        for c in report.computed
    ]
    head = ["tensor", "cells", "absolute error", "relative error", "of cached values", "worst cell"]
    legs = [[leg.name, "holds" if leg.holds else "FAILS", leg.detail] for leg in report.legs]
    proof = table(["part of the proof", "", ""], legs) if legs else ""
    return table(head, rows, report.verdict()) + proof


def of_recovered(report: Recovered) -> str:
    """A network read back out of a workbook: a row for each layer."""
    rows = [[layer.name, len(layer.places), float(layer.error), layer.code] for layer in report.layers]
    word = "all equal" if report.agrees else "not all equal"
    return table(["layer", "cells", "error", "code"], rows, f"{report.cells:,} cells compared, {word}")
