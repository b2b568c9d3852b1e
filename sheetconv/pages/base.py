"""What all kinds of pages have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import Draft
from sheetconv.sheet.frame import Frame
from sheetconv.sheet.settings import Check


class Page(Frame):
    """One sheet of the workbook.

    A kind of page is a subclass in a module of its own: `kind` is its name in templates, `keys` the settings
    that only it has, `unit` the size of its cells in pixels, `columns` how many of them its content takes.
    `build` adds tensors and places them; when all pages are built, `draw` writes what stands around them.
    """

    keys: ClassVar[Mapping[str, Check]] = {}
    late: ClassVar[bool] = False
    """Whether it is built after the others, since it reads what they make."""

    @classmethod
    def wanted(cls, draft: Draft) -> bool:
        """Whether a workbook of these images has the page at all."""
        return True

    def build(self) -> None:
        """Add the page's tensors to the graph and give them places."""

    def draw(self, canvas: Canvas) -> None:
        """Draw the page; heading, text and questions are there already."""
