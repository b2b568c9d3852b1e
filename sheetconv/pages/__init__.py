"""The pages of a workbook: one module for each kind, found by its name in a template."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sheetconv.pages.base import Page


@cache
def kinds() -> dict[str, type[Page]]:
    """Every kind of page by its name; a new module in this package adds its own."""
    from sheetconv.pages.base import Page

    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {page.kind: page for page in _below(Page) if page.kind}


def _below(base: type[Page]) -> list[type[Page]]:
    direct = base.__subclasses__()
    return [*direct, *(deeper for page in direct for deeper in _below(page))]
