"""Padding and stride: two small convolutions with their windows, and a calculator of sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sheetconv.graph.expr import Expr, call
from sheetconv.graph.tensor import Tensor
from sheetconv.pages.base import Page
from sheetconv.pages.checks import array, rows, whole
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check

_INPUT, _KERNEL, _OUTPUT = 1, 13, 20  # columns of an example's blocks
_SIZES = 30  # first column of the calculator
_SECOND = 17  # row of the second example
_WIDTH = 2  # columns of each number in the calculator


@dataclass
class _Example:
    """One convolution on the page: its tensors, and the window that is shown."""

    key: str
    row: int
    padding: int
    stride: int
    image: Tensor
    kernel: Tensor
    out: Tensor
    at: tuple[Tensor, Tensor]


class Padding(Page):
    """Zeros around the image, and windows that jump."""

    kind: ClassVar[str] = "padding"
    unit: ClassVar[int] = 28
    columns = 48
    keys: ClassVar[Mapping[str, Check]] = {
        "image": array(5, 5),
        "padded_kernel": array(4, 4),
        "strided_kernel": array(3, 3),
        "sizes": rows(5, 12),
        "row": whole(0, 2),
        "column": whole(0, 2),
    }

    def build(self) -> None:
        """Both examples and the sizes."""
        self.examples = [
            self._example("padded", TOP, padding=2, stride=1),
            self._example("strided", TOP + _SECOND, padding=1, stride=2),
        ]
        sizes = self.options["sizes"]
        self.sizes = self.stored("sizes", sizes, kind="input")
        self.put(self.sizes, TOP + 4, LEFT + _SIZES, DOWN, (0, _WIDTH))
        self.result = self.note("output size", (len(sizes),), self._size)
        self.put(self.result, TOP + 4, LEFT + _SIZES + 5 * _WIDTH + 1, DOWN)
        self.same = self.note("same padding", (len(sizes),), self._same)
        self.put(self.same, TOP + 4, LEFT + _SIZES + 6 * _WIDTH + 2, DOWN)

    def _example(self, key: str, row: int, padding: int, stride: int) -> _Example:
        image = self.stored(f"{key} image", [[self.options["image"]]], kind="input")
        kernel = self.stored(f"{key} kernel", [[self.options[f"{key}_kernel"]]])
        out = self.apply(
            f"{key} output",
            "aten.conv2d.default",
            image,
            kernel,
            None,
            [stride] * 2,
            [padding] * 2,
            [1, 1],
            1,
        )
        first = row + 4
        self.put(
            image, first + padding, LEFT + _INPUT + padding, STAY, STAY, DOWN, ACROSS, margin=(padding,) * 4
        )
        self.put(kernel, first + padding, LEFT + _KERNEL, STAY, STAY, DOWN, ACROSS)
        self.put(out, first + padding, LEFT + _OUTPUT + 1, STAY, STAY, DOWN, ACROSS)
        picks = []
        for axis, column in (("row", 4), ("column", 10)):
            pick = self.stored(f"{key} {axis}", [self.options[axis]], kind="input")
            self.put(pick, row + 1, LEFT + column, DOWN)
            picks.append(pick)
        return _Example(key, row, padding, stride, image, kernel, out, (picks[0], picks[1]))

    def _size(self, t: Tensor) -> Expr:
        """⌊(n + 2p − d·(k − 1) − 1) / s⌋ + 1."""
        n, k, p, s, d = (self.sizes.at(t.axes[0], i) for i in range(5))
        return call("INT", (n + 2 * p - d * (k - 1) - 1) / s) + 1

    def _same(self, t: Tensor) -> Expr:
        """The padding that keeps the size at stride 1: d·(k − 1) / 2, whole for odd kernels."""
        k, d = self.sizes.at(t.axes[0], 1), self.sizes.at(t.axes[0], 4)
        return d * (k - 1) / 2

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """Both examples with their windows lit up, then the calculator."""
        for example in self.examples:
            self._draw_example(canvas, example)
        self._draw_sizes(canvas)

    def _draw_example(self, canvas: Canvas, example: _Example) -> None:
        from sheetconv.pages.pieces import inside

        row, pad = example.row, example.padding
        canvas.title(row, LEFT + _INPUT, self.label(example.key))
        size = example.out.shape[-1]
        for key, pick, column in zip(("row", "column"), example.at, (_INPUT, 6), strict=True):
            canvas.text(row + 1, LEFT + column, self.label(key))
            canvas.choice(pick, range(size))
        first = row + 4
        for key, column in (("image", _INPUT), ("kernel", _KERNEL), ("output", _OUTPUT + 1)):
            canvas.text(row + 2, LEFT + column, self.label(key), 10, font_color="#52606D")
        whole_side = 5 + 2 * pad
        canvas.axis(first - 1, LEFT + _INPUT, whole_side, start=-pad)
        canvas.axis(first, LEFT + _INPUT - 1, whole_side, down=True, start=-pad)
        canvas.axis(first + pad - 1, LEFT + _OUTPUT + 1, size)
        canvas.axis(first + pad, LEFT + _OUTPUT, size, down=True)
        start = [f"{canvas.address(pick, 0)}*{example.stride}-{pad}" for pick in example.at]
        box = (first, LEFT + _INPUT, first + whole_side - 1, LEFT + _INPUT + whole_side - 1)
        side = example.kernel.shape[-1]
        canvas.highlight(box, inside(canvas, box[:2], (box[1] - 1, box[0] - 1), start, (side, side)))
        canvas.tensor(example.image, form="General", size=10)
        canvas.tensor(example.kernel, form="General", size=10, properties={"bg_color": "#E7F0F8"})
        box = canvas.place(example.out).box()
        picked = [canvas.address(pick, 0) for pick in example.at]
        canvas.highlight(box, inside(canvas, box[:2], (box[1] - 1, box[0] - 1), picked, (1, 1)))
        canvas.tensor(example.out, form="General", size=10, properties={"bg_color": "#DCEBF5", "bold": True})

    def _draw_sizes(self, canvas: Canvas) -> None:
        left = LEFT + _SIZES
        canvas.title(TOP, left, self.label("calculator"), self.label("formula"))
        for number, key in enumerate(("size", "kernel_size", "padding_size", "stride_size", "dilation_size")):
            canvas.text(TOP + 3, left + _WIDTH * number, self.label(key), 9, font_color="#52606D")
        canvas.text(TOP + 3, left + 5 * _WIDTH + 1, self.label("result"), 9, bold=True)
        canvas.text(TOP + 3, left + 6 * _WIDTH + 2, self.label("same"), 9, bold=True)
        canvas.tensor(self.sizes, form="0", size=10)
        canvas.limit(self.sizes, 0, 4096)
        canvas.tensor(self.result, form="0", size=10, properties={"bold": True, "bg_color": "#DCEBF5"})
        canvas.tensor(self.same, form="0.#", size=10)
        last = TOP + 5 + len(self.options["sizes"])
        canvas.text(last, left, self.label("note"), 10, (6, 16))
