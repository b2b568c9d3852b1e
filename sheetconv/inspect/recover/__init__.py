"""A network read back out of a workbook's formulas, as a torch module, and proven cell by cell.

    maps of formulas → normal forms → layers, level by level → a module's text → run, and compared

Nothing of the workbook is ever run as code: formulas become sums of products of cells (`values`), layers are
written from what these sums are, and words of the workbook enter the module only as single plain names and in
comments stripped of every sign.
"""

from __future__ import annotations

from sheetconv.inspect.recover.prove import Difference, RecoveryReport, recover

__all__ = ["Difference", "RecoveryReport", "recover"]
