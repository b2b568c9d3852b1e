"""What a sheet is drawn by: its settings and texts, the size of its cells, and where its content begins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from sheetconv.sheet.draft import Draft, Maker
from sheetconv.sheet.settings import PageSettings

TOP, LEFT = 3, 3
"""Row and column of a sheet's content: below the band and the links, right of the text column."""
TEXT = 300  # pixels on the screen for the text column
ROOM = 1440 - 45 - 20 - 36  # of a laptop's window less row numbers, scroll bar and the side bar's tabs
WIDER = 1.06  # LibreOffice measures columns by Arial's own digit, 7.41 pixels at 10 points; the file counts 7
SCREEN = int(ROOM / WIDER)  # pixels of cells, as the file counts them, that a window shows


class Frame(Maker):
    """One sheet's settings and measures: `unit` is the size of its cells in pixels, `columns` what its content takes."""

    unit: ClassVar[int] = 28
    smallest: ClassVar[float] = 0.45
    columns: int = 30

    def __init__(self, draft: Draft, settings: PageSettings) -> None:
        super().__init__(draft, settings)
        self.tall: dict[int, float] = {}
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
        picked = self.draft.picked
        return {
            "title": self.draft.title,
            "note": self.draft.note,
            "source": picked.source,
            "image": picked.captions[0],
        }

    @property
    def zoom(self) -> float:
        """The zoom at which the content fits the screen, not under `smallest`."""
        content = max(1, self.columns * self.unit)
        return int(min(1.0, max(self.smallest, (SCREEN - TEXT - 40) / content)) * 100) / 100


def fill(text: str, values: Mapping[str, Any]) -> str:
    """The text with {word} replaced; words that are not known stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda m: str(values.get(m[1], m[0])), text)
