"""Contents: what is inside, how to trace, the digit and the cell that chooses it."""

from __future__ import annotations

from typing import Any, ClassVar

from sheetconv.pages.base import Page
from sheetconv.pages.digits import offer_images
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.xlsx.address import quoted

_NAME, _DIGIT = 11, 33  # columns of a page's name; column of the digit, counted from the first of the content


class Contents(Page):
    """The first sheet, with links to all others."""

    kind: ClassVar[str] = "contents"
    unit: ClassVar[int] = 20
    columns = 62

    def words(self) -> dict[str, Any]:
        """The digit's source."""
        return {**super().words(), "pages": len(self.draft.pages)}

    def build(self) -> None:
        """The digit, chosen among the images where the workbook has a page of them."""
        draft = self.draft
        if offer_images(self) is not None:
            assert draft.choice is not None
            self.put(draft.choice, TOP + 2, LEFT + _DIGIT, ACROSS)
        self.shown = self.digit()
        self.put(self.shown, TOP + 6, LEFT + _DIGIT, STAY, STAY, DOWN, ACROSS)

    def draw(self, canvas: Canvas) -> None:
        """The list of pages, the digit, how to trace."""
        row = self._list(canvas, TOP, LEFT)
        row = max(row + 1, TOP + 6)
        canvas.title(row, LEFT, self.label("trace"))
        row += 2
        for program in ("excel", "libreoffice", "google"):
            canvas.text(row, LEFT, self.label(f"{program}_name"), 10, (3, _NAME), bold=True)
            canvas.text(row, LEFT + _NAME, self.label(program), 9, (3, _DIGIT - _NAME - 2))
            row += 3
        canvas.title(TOP, LEFT + _DIGIT, self.label("digit"))
        if self.draft.choice is not None:
            count = len(self.draft.picked.captions)
            canvas.choice(self.draft.choice, range(1, count + 1), span=3)
            for r in (TOP + 2, TOP + 3):
                canvas.sheet.set_row_pixels(r, canvas.px(24))
            canvas.captions(TOP + 2, LEFT + _DIGIT + 4, self.draft.choice)
        else:
            canvas.text(TOP + 2, LEFT + _DIGIT, self.draft.picked.captions[0])
        canvas.text(TOP + 4, LEFT + _DIGIT, self.label("edit"), 10, font_color="#52606D")
        canvas.tensor(self.shown, "pixels", canvas.PIXEL, size=7)

    def _list(self, canvas: Canvas, row: int, column: int) -> int:
        canvas.title(row, column, self.label("inside"))
        row += 2
        for number, page in enumerate(self.draft.pages[1:], start=2):
            link = canvas.style(11, bold=True, font_color="#0563C1", underline=1, valign="vcenter")
            canvas.sheet.merge_range(row, column, row + 1, column + _NAME - 1, "", link)
            canvas.sheet.write_url(
                row, column, f"internal:{quoted(page.name)}!A1", link, f"{number}  {page.name}"
            )
            canvas.text(
                row, column + _NAME, page.settings.summary, 9, (2, _DIGIT - _NAME - 2), valign="vcenter"
            )
            row += 2
        return row
