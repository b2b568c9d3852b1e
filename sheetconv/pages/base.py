"""What all pages have in common: settings, texts, tensors with places, and a canvas to draw on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sheetconv.sheet.draft import Draft, Maker
from sheetconv.template import Check, PageSettings

if TYPE_CHECKING:
    from sheetconv.sheet.canvas import Canvas


class Page(Maker):
    """One sheet of the workbook.

    A kind of page is a subclass in a module of its own: `kind` is its name in templates, `keys` the settings
    that only it has, `unit` the size of its cells in pixels, `columns` how many of them its content takes.
    `build` adds tensors and places them; when all pages are built, `draw` writes what stands around them.
    """

    kind: ClassVar[str] = ""
    keys: ClassVar[Mapping[str, Check]] = {}
    unit: ClassVar[int] = 28
    columns: int = 30

    def __init__(self, draft: Draft, settings: PageSettings) -> None:
        super().__init__(draft, settings)
        self.tall: dict[int, int] = {}
        """Rows that are taller than the others, in pixels of the screen; `build` may fill it."""
        self.breaks: list[int] = []
        """Rows with which a new sheet of paper begins; without any the page prints on one."""
        self.options: dict[str, Any] = settings.options

    def label(self, key: str, **values: Any) -> str:
        """A text of this page, with each {word} replaced by the value of that name."""
        return fill(self.settings.labels[key], values)

    def shared(self, key: str, **values: Any) -> str:
        """A text that all pages share."""
        return fill(self.draft.texts[key], values)

    def words(self) -> dict[str, Any]:
        """Values for the {words} in the page's own text and questions."""
        return {}

    def build(self) -> None:
        """Add the page's tensors to the graph and give them places."""

    def draw(self, canvas: Canvas) -> None:
        """Draw the page; heading, text and questions are there already."""


def fill(text: str, values: Mapping[str, Any]) -> str:
    """The text with {word} replaced; words that are not known stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda m: str(values.get(m[1], m[0])), text)
