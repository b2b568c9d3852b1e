"""A number taken apart: its terms, the share of each input channel, and the strongest paths from pixels to it."""

from sheetconv.trace.explain.cell import Explainer
from sheetconv.trace.explain.result import Explanation
from sheetconv.trace.explain.terms import Factor, Term

__all__ = ["Explainer", "Explanation", "Factor", "Term"]
