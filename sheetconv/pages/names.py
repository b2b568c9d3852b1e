"""Names: one tensor in two memory orders, and the arithmetic from four indices to a place in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sheetconv.graph.expr import Expr
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.pages.base import Page
from sheetconv.pages.checks import wholes
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check

_AXES = "nchw"
_FILLS = ("#FFE3E3", "#D3F9D8", "#D0EBFF", "#FFF3BF")
_ORDERS = {"nchw": (0, 1, 2, 3), "nhwc": (0, 2, 3, 1)}


class NamesPage(Page):
    """Channels first and channels last."""

    kind: ClassVar[str] = "names"
    unit: ClassVar[int] = 30
    columns = 32
    keys: ClassVar[Mapping[str, Check]] = {"shape": wholes(4, 1, 3), "element": wholes(4, 0, 2)}

    def build(self) -> None:
        """The tensor, the chosen indices, both lines of memory, both offsets, the element found by them."""
        self.left, self.top = LEFT, TOP
        self.columns = max(26, int(np.prod(self.options["shape"])) + 2)
        self.shape = n, c, h, w = tuple(self.options["shape"])
        values = np.arange(n * c * h * w, dtype=np.float64).reshape(self.shape)
        self.tensor = self.stored("tensor", values, kind="input")
        self.put(self.tensor, TOP + 3, LEFT + 1, (h + 2, 0), (0, w + 1), DOWN, ACROSS)
        self.below = TOP + 3 + n * (h + 2)
        self.picks = []
        for axis, (name, size) in enumerate(zip(_AXES, self.shape, strict=True)):
            chosen = min(self.options["element"][axis], size - 1)
            pick = self.stored(name, [chosen], kind="input")
            self.put(pick, self.below + 2, LEFT + 3 + 5 * axis, DOWN)
            self.picks.append(pick)
        self.lines: dict[str, Tensor] = {}
        self.offsets: dict[str, Tensor] = {}
        self.found: dict[str, Tensor] = {}
        for number, (name, order) in enumerate(_ORDERS.items()):
            self._order(name, order, number)

    def _order(self, name: str, order: tuple[int, ...], number: int) -> None:
        from sheetconv.pages.pieces import entry

        count = int(np.prod(self.shape))
        moved = Operation("aten.permute.default", (self.tensor, list(order)))
        flat = Operation("aten.reshape.default", (moved, [count]))
        line = self.made(f"memory {name}", (count,), lambda t: self.tensor.at(*self._element(t, order)), flat)
        row = self.below + 9 + 4 * number
        self._put_line(line, row)
        offset = self.made(
            f"offset {name}", (1,), lambda t: self._offset(order), self._offset_operation(order)
        )
        self.put(offset, self.below + 4 + number, self.left + 11, DOWN)
        element = self.made(
            f"element {name}", (1,), lambda t: entry(line, offset.at(0) + 1),
            Operation("choose", (Operation("aten.add.Tensor", (offset, 1.0)), line)),
        )  # fmt: skip
        self.put(element, self.below + 4 + number, self.left + 18, DOWN)
        self.lines[name], self.offsets[name], self.found[name] = line, offset, element

    def _put_line(self, line: Tensor, row: int) -> None:
        self.put(line, row + 1, self.left + 1, ACROSS)

    def _element(self, t: Tensor, order: tuple[int, ...]) -> list[Any]:
        """The indices n, c, h, w of place number i of a line."""
        rest: Any = t.axes[0]
        found: list[Any] = [0] * 4
        for axis in reversed(order):
            found[axis] = rest % self.shape[axis]
            rest = rest // self.shape[axis]
        return found

    def _offset(self, order: tuple[int, ...]) -> Expr:
        """The indices in the line's order, each multiplied by the sizes of the axes after it."""
        total: Expr = self.picks[order[0]].at(0)
        for axis in order[1:]:
            total = total * self.shape[axis] + self.picks[axis].at(0)
        return total

    def _offset_operation(self, order: tuple[int, ...]) -> Operation:
        """The same by torch: a dot product of indices with strides."""
        sizes = [self.shape[axis] for axis in order]
        strides = [float(np.prod(sizes[i + 1 :])) for i in range(4)]
        parts = [
            Operation("aten.mul.Tensor", (self.picks[axis], stride))
            for axis, stride in zip(order, strides, strict=True)
        ]
        stacked = Operation("aten.cat.default", (parts, 0))
        return Operation("aten.sum.dim_IntList", (stacked, [0], True))

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """The planes, the chosen element, its offsets, and both lines with it lit up."""
        canvas.title(self.top, self.left + 1, self.label("tensor", shape="×".join(map(str, self.shape))))
        self._planes(canvas)
        below, left = self.below, self.left
        canvas.title(below, left + 1, self.label("element"))
        for axis, (name, pick) in enumerate(zip(_AXES, self.picks, strict=True)):
            canvas.text(below + 2, left + 1 + 5 * axis, self.label(name))
            canvas.choice(pick, range(self.shape[axis]))
        for number, name in enumerate(_ORDERS):
            canvas.text(below + 4 + number, left + 1, self.label(name))
            canvas.tensor(self.offsets[name], form="0", size=12, span=2, properties={"bold": True})
            canvas.text(below + 4 + number, left + 14, self.label("value"))
            canvas.tensor(self.found[name], form="0", size=12, span=2, properties={"bold": True})
            self._line(canvas, name, below + 9 + 4 * number)

    def _fill(self, channel: int) -> dict[str, str]:
        return {"bg_color": _FILLS[channel % len(_FILLS)]}

    def _planes(self, canvas: Canvas) -> None:
        for index, (row, column, last_row, last_column) in canvas.place(self.tensor).planes():
            if index[1] == 0:
                canvas.text(row - 1, column, self.label("image", number=index[0]), 10, bold=True)
            else:
                canvas.text(row - 1, column, self.label("channel", number=index[1]), 9, font_color="#52606D")
            self._light_plane(canvas, index, (row, column, last_row, last_column))
        canvas.tensor(self.tensor, form="0", size=10, properties=lambda n, c, h, w: self._fill(c))

    def _light_plane(self, canvas: Canvas, index: tuple[int, ...], box: tuple[int, int, int, int]) -> None:
        row, column, last_row, last_column = box
        for h in range(last_row - row + 1):
            for w in range(last_column - column + 1):
                here = (*index, h, w)
                tests = ",".join(f"{canvas.address(p, 0)}={i}" for p, i in zip(self.picks, here, strict=True))
                cell = (row + h, column + w, row + h, column + w)
                canvas.highlight(cell, f"AND({tests})")

    def _line(self, canvas: Canvas, name: str, row: int) -> None:
        line = self.lines[name]
        canvas.title(row - 1, self.left + 1, self.label(f"line_{name}"))
        _, c0, last_row, c1 = canvas.place(line).box()
        canvas.axis(row, c0, c1 - c0 + 1)
        number = canvas.at(row, c0, column=False)
        canvas.highlight((last_row, c0, last_row, c1), f"{number}={canvas.address(self.offsets[name], 0)}")
        order = _ORDERS[name]

        def fill(i: int) -> dict[str, str]:
            return self._fill(_indices(i, self.shape, order)[1])

        canvas.tensor(line, form="0", size=10, properties=fill)


def _indices(place: int, shape: tuple[int, ...], order: tuple[int, ...]) -> list[int]:
    """The indices n, c, h, w of a place in memory."""
    found = [0] * 4
    for axis in reversed(order):
        place, found[axis] = divmod(place, shape[axis])
    return found
