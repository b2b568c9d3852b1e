"""What a sheet is drawn by: its settings and texts, the size of its cells, and where its content begins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from sheetconv.sheet.draft import Draft, Maker
from sheetconv.sheet.settings import PageSettings

TOP, LEFT = 3, 3
"""Row and column of a sheet's content: below the band and the links, right of the text column."""


class Frame(Maker):
    """One sheet's settings and measures: `unit` is the size of its cells in pixels, `columns` what its content takes."""

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


def fill(text: str, values: Mapping[str, Any]) -> str:
    """The text with {word} replaced; words that are not known stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda m: str(values.get(m[1], m[0])), text)
