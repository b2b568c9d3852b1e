"""Conformity of a workbook: what makes Excel repair or reject a file, each with part, cell, what and why."""

from sheetconv.inspect.check.finding import Breach
from sheetconv.inspect.check.package import check

__all__ = ["Breach", "check"]
