"""Edges: the digit, a window that moves over it, four kernels, and the map of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sheetconv.graph.tensor import Operation
from sheetconv.pages.base import Page
from sheetconv.pages.checks import kernels, positions
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check

_PANEL = 32  # first column beside the digit
_KERNELS, _SUM, _BATCH = 9, 17, 26  # rows of the panel's blocks
_MAPS = 33  # row of the first maps
_MAP = 26


class Edges(Page):
    """Top, left and diagonal edges of the digit, with the lesson's two windows as presets."""

    kind: ClassVar[str] = "edges"
    unit: ClassVar[int] = 24
    columns = 56
    keys: ClassVar[Mapping[str, Check]] = {"kernels": kernels(4, 3), "positions": positions(3, 28 - 3)}

    def build(self) -> None:
        """Digit and kernels, the chosen window and its products, four maps, the shapes of a whole batch."""
        self.left, self.top, self.side = LEFT, TOP, LEFT + _PANEL
        self.image = self.digit()
        self.put(self.image, TOP + 2, LEFT + 1, STAY, STAY, DOWN, ACROSS)
        self.kernels = self.stored("kernels", [[k["weights"]] for k in self.options["kernels"]])
        self.put(self.kernels, TOP + _KERNELS + 3, self.side, (0, 6), STAY, DOWN, ACROSS)
        self.maps = self.apply(
            "maps", "aten.conv2d.default", self.image, self.kernels, None, [1, 1], [0, 0], [1, 1], 1
        )
        self._place_maps()
        self._window()
        self._batch()

    def _place_maps(self) -> None:
        from sheetconv.sheet.layout import Place

        number = np.arange(4)
        step, zero = np.arange(_MAP), np.zeros(_MAP, dtype=np.int64)
        rows = [zero[:1], number // 2 * (_MAP + 4), step, zero]
        columns = [zero[:1], number % 2 * (_MAP + 2), zero, step]
        self.draft.places[self.maps] = Place(
            self.name, self.maps, rows, columns, (0, 0, 0, 0), self.top + _MAPS + 2, self.left + 1, (2, 3)
        )

    def _window(self) -> None:
        from sheetconv.pages.pieces import nth, nth_map, window

        top, side = self.top, self.side
        listed = self.options["positions"]
        self.pick = self.stored("position", [1], kind="input")
        self.rows = self.stored("rows", [p["row"] for p in listed], kind="input")
        self.ends = self.stored("columns", [p["column"] for p in listed], kind="input")
        self.row = nth(self, "row", self.pick, self.rows)
        self.column = nth(self, "column", self.pick, self.ends)
        self.which = self.stored("kernel number", [1], kind="input")
        self.put(self.pick, top + 1, side + 6, DOWN)
        self.put(self.rows, top + 4, side + 11, DOWN)
        self.put(self.ends, top + 4, side + 15, DOWN)
        self.put(self.row, top + 1, side + 11, DOWN)
        self.put(self.column, top + 1, side + 15, DOWN)
        self.put(self.which, top + _KERNELS + 1, side + 6, DOWN)
        self.pixels = window(self, "window", self.image, self.row, self.column, 3, 3)
        self.kernel = nth_map(self, "chosen kernel", self.which, self.kernels)
        self.products = self.apply("products", "aten.mul.Tensor", self.pixels, self.kernel)
        self.total = self.apply("sum", "aten.sum.dim_IntList", self.products, [1, 2, 3], False)
        self.smaller = self.made(
            "sum with pixels/256", (1,), lambda t: self.total.at(0) * 255 / 256,
            Operation("aten.div.Tensor", (Operation("aten.mul.Tensor", (self.total, 255)), 256)),
        )  # fmt: skip
        row = top + _SUM + 2
        for tensor, column in ((self.pixels, 0), (self.kernel, 5), (self.products, 10)):
            self.put(tensor, row, side + column, STAY, STAY, DOWN, ACROSS)
        self.put(self.total, row + 1, side + 15, DOWN)
        self.put(self.smaller, row + 4, side + 15, DOWN)

    def _batch(self) -> None:
        self.batch = self.stored("batch", [16, 1, 28, 28], kind="input")
        self.shape = self.note("shape of the maps", (4,), self._shape)
        row = self.top + _BATCH + 1
        self.put(self.batch, row, self.side + 10, (0, 3))
        self.put(self.shape, row + 2, self.side + 10, (0, 3))

    def _shape(self, t: Any) -> Any:
        """Images, kernels, and what is left of height and width."""
        from sheetconv.graph.expr import Number, Select

        axis = t.axes[0]
        left = self.batch.at(axis) - 3 + 1
        return Select(
            axis < 1, self.batch.at(0), Select(axis < 2, Number(len(self.options["kernels"])), left)
        )

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """Digit, panel and maps, with the window and the cell that it gives lit up in all of them."""
        canvas.title(self.top, self.left + 1, self.label("digit"))
        canvas.axis(self.top + 1, self.left + 1, 28)
        canvas.axis(self.top + 2, self.left, 28, down=True)
        self._light(canvas, canvas.place(self.image).box(), 3)
        canvas.tensor(self.image, "pixels", canvas.PIXEL, size=8)
        self._choices(canvas)
        self._kernels(canvas)
        self._sum(canvas)
        self._shapes(canvas)
        self._maps(canvas)

    def _light(self, canvas: Canvas, box: tuple[int, int, int, int], size: int) -> None:
        from sheetconv.pages.pieces import inside

        start = (canvas.address(self.row, 0), canvas.address(self.column, 0))
        canvas.ring(
            box, inside(canvas, box[:2], (box[1] - 1, box[0] - 1), start, (size, size)), pixels=size == 3
        )

    def _choices(self, canvas: Canvas) -> None:
        top, side = self.top, self.side
        canvas.title(top, side, self.label("window"))
        canvas.text(top + 1, side, self.label("position"))
        canvas.choice(self.pick, range(1, len(self.options["positions"]) + 1))
        for key, tensor, column in (("row", self.row, 11), ("column", self.column, 15)):
            canvas.text(top, side + column, self.label(key), 10, font_color="#52606D")
            canvas.tensor(tensor, form="0", size=12, span=2, properties={"bold": True})
        for number, position in enumerate(self.options["positions"]):
            canvas.text(top + 4 + number, side, f"{number + 1}  {position['name']}")
            row = top + 4 + number
            canvas.highlight((row, side, row, side + 9), f"{canvas.address(self.pick, 0)}={number + 1}")
        for tensor in (self.rows, self.ends):
            canvas.tensor(tensor, form="0", size=11)
            canvas.limit(tensor, 0, 28 - 3)

    def _kernels(self, canvas: Canvas) -> None:
        top, side = self.top + _KERNELS, self.side
        canvas.title(top, side, self.label("kernels"))
        canvas.text(top + 1, side, self.label("kernel"))
        canvas.choice(self.which, range(1, 5))
        for number, kernel in enumerate(self.options["kernels"]):
            column = side + 6 * number
            canvas.text(top + 2, column, f"{number + 1}  {kernel['name']}", 10)
            canvas.highlight(
                (top + 2, column, top + 2, column + 4), f"{canvas.address(self.which, 0)}={number + 1}"
            )
        canvas.tensor(self.kernels, "signed", "General", size=9)

    def _sum(self, canvas: Canvas) -> None:
        top, side = self.top + _SUM, self.side
        canvas.title(top, side, self.label("sum"))
        for key, column in (("pixels", 0), ("weights", 5), ("products", 10), ("total", 15)):
            canvas.text(top + 1, side + column, self.label(key), 10, font_color="#52606D")
        canvas.tensor(self.pixels, "pixels", canvas.PIXEL, size=8)
        canvas.tensor(self.kernel, "signed", "General", size=9)
        canvas.tensor(self.products, "signed", canvas.WEIGHT, size=8)
        for column, sign in ((3, "×"), (8, "="), (13, "Σ")):
            canvas.text(top + 3, side + column, sign, 14, align="center")
        canvas.tensor(self.total, form="0.00", size=canvas.pt(13), span=3, properties={"bold": True})
        canvas.tensor(self.smaller, form="0.00", size=canvas.pt(11), span=3)
        canvas.text(top + 5, side, self.label("scale"), 10, (3, 14), font_color="#52606D")

    def _shapes(self, canvas: Canvas) -> None:
        top, side = self.top + _BATCH, self.side
        canvas.title(top, side, self.label("batch"))
        for number, key in enumerate(("images", "stack", "result")):
            canvas.text(top + 1 + number, side, self.label(key), 10)
        canvas.tensor(self.batch, form="0", size=10, span=1)
        centre = canvas.style(10, align="center", valign="vcenter")
        for axis, size in enumerate(self.kernels.shape):
            canvas.sheet.write_number(top + 2, side + 10 + 3 * axis, size, centre)
        canvas.tensor(self.shape, form="0", size=10, properties={"bold": True})

    def _maps(self, canvas: Canvas) -> None:
        for index, (row, column, last_row, last_column) in canvas.place(self.maps).planes():
            kernel = self.options["kernels"][index[-1]]
            canvas.text(
                row - 2, column, f"{index[-1] + 1}  {kernel['name']}", 12, bold=True, font_color="#14344F"
            )
            canvas.axis(row - 1, column, _MAP)
            canvas.axis(row, column - 1, _MAP, down=True)
            self._light(canvas, (row, column, last_row, last_column), 1)
        canvas.tensor(self.maps, "signed", canvas.TENTH, size=7)
