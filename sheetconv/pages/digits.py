"""Digits: the images that the workbook can show, every pixel editable, and the cell that chooses one of them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sheetconv.graph.index import IntArray
from sheetconv.graph.tensor import Tensor
from sheetconv.pages.base import Page
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import Draft, Maker
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.layout import Place

ACROSS = 5


class DigitsPage(Page):
    """A sheet of images, five in a row, with their captions; left out where there is one image only."""

    kind: ClassVar[str] = "digits"
    unit: ClassVar[int] = 20
    columns = ACROSS * 30

    @classmethod
    def wanted(cls, draft: Draft) -> bool:
        """Whether there is something to choose from."""
        return len(draft.picked.images) > 1

    def build(self) -> None:
        """Place the stack of images that the page with the choice made."""
        stack = self.draft.images
        if stack is None:
            return
        rows, columns = mosaic(stack.shape, ACROSS)
        self.columns = ACROSS * (stack.shape[-1] + 2)
        self.draft.places[stack] = Place(self.name, stack, rows, columns, (0, 0, 0, 0), TOP + 2, LEFT, (2, 3))

    def draw(self, canvas: Canvas) -> None:
        """Every image under its number and caption."""
        stack = self.draft.images
        if stack is None:
            return
        canvas.tensor(stack, "pixels", canvas.PIXEL, size=7)
        for index, (row, column, _, _) in canvas.place(stack).planes():
            if index[-1] == 0:
                text = f"{index[0] + 1}  {self.draft.picked.captions[index[0]]}"
                canvas.heighten(row - 2, 11)
                canvas.text(row - 2, column, text, 11, bold=True)


def offer_images(maker: Maker) -> Tensor | None:
    """Let a cell choose among the workbook's images; returns its tensor, to be placed, for the page that asks first.

    Nothing where the workbook has no page of images.
    """
    draft = maker.draft
    if draft.choice is not None or not any(page.kind == DigitsPage.kind for page in draft.pages):
        return None
    draft.choice = maker.stored("choice", np.ones(1), kind="input")
    draft.images = maker.stored("images", draft.stack(), kind="input", signed=False)
    return draft.choice


def mosaic(shape: tuple[int, ...], across: int) -> tuple[list[IntArray], list[IntArray]]:
    """Where images (K, C, H, W) stand, `across` of them side by side: each axis's part of the row and column."""
    count, channels, height, width = shape
    number, channel, still = np.arange(count), np.arange(channels), np.zeros_like
    rows = [
        number // across * (channels * (height + 1) + 3),
        channel * (height + 1),
        np.arange(height),
        still(np.arange(width)),
    ]
    columns = [
        number % across * (width + 2),
        still(channel),
        still(np.arange(height)),
        np.arange(width),
    ]
    return rows, columns
