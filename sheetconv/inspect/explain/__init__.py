"""A number taken apart: its terms, the share of each input channel, and the strongest paths from pixels to it."""

from sheetconv.inspect.explain.cell import Explainer
from sheetconv.inspect.explain.result import Explanation
from sheetconv.inspect.explain.terms import Factor, Term

__all__ = ["Explainer", "Explanation", "Factor", "Term"]
