"""Digits: the images that the workbook can show, every pixel editable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sheetconv.pages.base import Page
from sheetconv.sheet.digits import ACROSS, mosaic
from sheetconv.sheet.layout import Place

if TYPE_CHECKING:
    from sheetconv.sheet.canvas import Canvas


class Digits(Page):
    """A sheet of images, five in a row, with their captions."""

    kind: ClassVar[str] = "digits"
    unit: ClassVar[int] = 20
    columns = ACROSS * 30

    def words(self) -> dict[str, Any]:
        """Where the images come from."""
        return {"source": self.draft.picked.source}

    def build(self) -> None:
        """Place the stack of images that the first page made."""
        from sheetconv.sheet.canvas import LEFT, TOP

        stack = self.draft.images
        if stack is None:
            return
        rows, columns = mosaic(stack.shape, ACROSS)
        self.draft.places[stack] = Place(self.name, stack, rows, columns, (0, 0, 0, 0), TOP + 2, LEFT, (2, 3))

    def draw(self, canvas: Canvas) -> None:
        """Every image under its number and caption; the list of captions that other pages look up."""
        stack = self.draft.images
        if stack is None:
            return
        canvas.tensor(stack, "pixels", canvas.PIXEL, size=7)
        for index, (row, column, _, _) in canvas.place(stack).planes():
            canvas.text(
                row - 2, column, f"{index[0] + 1}  {self.draft.picked.captions[index[0]]}", 11, bold=True
            )
