"""Convolution: the smallest picture of it, seen as windows, as equations and as one matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sheetconv.graph.expr import Aggregate, Expr, Number, Select, call
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.pages.base import Page
from sheetconv.pages.checks import array, number
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check

PIXELS, WEIGHTS, OUTPUTS = "ABCDEFGHJ", "αβγδ", "PQRS"
_FILLS = ("#FFC9C9", "#A5D8FF", "#B2F2BB", "#D0BFFF")
_OUT = "#DCEBF5"
_IMAGE, _KERNEL, _BIAS, _OUTPUT, _PICK = 0, 5, 9, 12, 17  # columns of the first row of blocks
_EQUATIONS, _MATRIX = 5, 11  # their first rows


def pixels_of(output: int) -> list[int]:
    """Numbers (from 0) of the four pixels under window P, Q, R or S (0 … 3), in the order of the weights."""
    row, column = divmod(output, 2)
    return [(row + dy) * 3 + column + dx for dy in range(2) for dx in range(2)]


class Convolution(Page):
    """A 3×3 image, a 2×2 kernel, four outputs, and the same as a matrix with zeros and tied weights."""

    kind: ClassVar[str] = "convolution"
    unit: ClassVar[int] = 38
    columns = 24
    keys: ClassVar[Mapping[str, Check]] = {
        "image": array(3, 3),
        "kernel": array(2, 2),
        "bias": number(),
    }

    def build(self) -> None:
        """Image, kernel, bias, the four outputs; the matrix, the flattened image and their product."""
        top = TOP + 1
        self.image = self.stored("image", [[self.options["image"]]], kind="input")
        self.kernel = self.stored("kernel", [[self.options["kernel"]]])
        self.bias = self.stored("bias", [self.options["bias"]])
        self.out = self.apply(
            "output", "aten.conv2d.default", self.image, self.kernel, self.bias, [1, 1], [0, 0], [1, 1], 1
        )
        self.put(self.image, top, LEFT + _IMAGE, STAY, STAY, DOWN, ACROSS)
        self.put(self.kernel, top, LEFT + _KERNEL, STAY, STAY, DOWN, ACROSS)
        self.put(self.bias, top, LEFT + _BIAS, DOWN)
        self.put(self.out, top, LEFT + _OUTPUT, STAY, STAY, DOWN, ACROSS)
        row = TOP + _MATRIX
        self.vector = self.made(
            "flattened image",
            (1, 9),
            self._flattened,
            Operation("aten.reshape.default", (self.image, [1, 9])),
        )
        self.matrix = self.made("matrix", (4, 9), self._tied, self._matrix())
        self.product = self.made("matrix product", (4, 1), self._product, Operation("aten.add.Tensor", (
            Operation("aten.matmul.default", (self.matrix, Operation("aten.t.default", (self.vector,)))), self.bias)))  # fmt: skip
        self.put(self.vector, row + 1, LEFT + 1, DOWN, ACROSS)
        self.put(self.matrix, row + 2, LEFT + 1, DOWN, ACROSS)
        self.put(self.product, row + 2, LEFT + 12, DOWN, ACROSS)
        self.check = self.note("check", (1,), lambda t: call("MAX", *(
            call("ABS", self.out.at(0, 0, i // 2, i % 2) - self.product.at(i, 0)) for i in range(4))))  # fmt: skip
        self.put(self.check, row + 2, LEFT + 16, DOWN)

    def _flattened(self, t: Tensor) -> Expr:
        j = t.axes[1]
        return self.image.at(0, 0, j // 3, j % 3)

    def _tied(self, t: Tensor) -> Expr:
        output, pixel = t.axes
        dy, dx = pixel // 3 - output // 2, pixel % 3 - output % 2
        inside = (dy >= 0) & (dy < 2) & (dx >= 0) & (dx < 2)
        return Select(inside, self.kernel.at(0, 0, dy, dx), Number(0))

    def _matrix(self) -> Operation:
        """Each row is the kernel, padded to the image's size where its window lies, and flattened."""
        rows = []
        for i in range(2):
            for j in range(2):
                padded = Operation("aten.pad.default", (self.kernel, [j, 1 - j, i, 1 - i], "constant", 0.0))
                rows.append(Operation("aten.reshape.default", (padded, [1, 9])))
        return Operation("aten.cat.default", (rows, 0))

    def _product(self, t: Tensor) -> Expr:
        j = Var("j", 9)
        row = Aggregate("SUMPRODUCT", (self.matrix.at(t.axes[0], j), self.vector.at(0, j)), (j,))
        return row + self.bias.at(0)

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """The blocks with their letters, the equations, the matrix, and what the chosen window lights up."""
        self.pick = (TOP + 1, LEFT + _PICK)
        for column, key in ((_IMAGE, "image"), (_KERNEL, "kernel"), (_BIAS, "bias"), (_OUTPUT, "output")):
            canvas.title(TOP, LEFT + column, self.label(key))
        canvas.title(TOP, LEFT + _PICK, self.label("window"))
        canvas.letters_choice(*self.pick, OUTPUTS)
        self._blocks(canvas)
        self._equations(canvas, TOP + _EQUATIONS, LEFT)
        self._matrix_block(canvas, TOP + _MATRIX, LEFT)

    def _blocks(self, canvas: Canvas) -> None:
        size = 11
        canvas.tensor(
            self.image, "", size=size, properties=lambda n, c, y, x: {"num_format": _named(PIXELS[3 * y + x])}
        )
        canvas.tensor(self.kernel, "", size=size, properties=lambda o, c, y, x: _weight(2 * y + x))
        canvas.tensor(self.bias, "", size=size, properties={"num_format": _named("b")})
        canvas.tensor(self.out, "", size=size, properties=lambda n, c, y, x: {
            "num_format": _named(OUTPUTS[2 * y + x]), "bg_color": _OUT, "bold": True})  # fmt: skip
        for pixel in range(9):
            windows = "".join(OUTPUTS[o] for o in range(4) if pixel in pixels_of(o))
            row, column = (
                canvas.place(self.image).row + pixel // 3,
                canvas.place(self.image).column + pixel % 3,
            )
            self._light(canvas, row, column, windows)
        for output in range(4):
            place = canvas.place(self.out)
            self._light(canvas, place.row + output // 2, place.column + output % 2, OUTPUTS[output])

    def _light(self, canvas: Canvas, row: int, column: int, windows: str) -> None:
        """Light one cell up while one of some windows is chosen."""
        canvas.highlight((row, column, row, column), f'ISNUMBER(FIND({canvas.at(*self.pick)},"{windows}"))')

    def _equations(self, canvas: Canvas, top: int, left: int) -> None:
        canvas.title(top, left, self.label("equations"), "")
        formulas = canvas.printer.formulas(self.out)
        for output, letter in enumerate(OUTPUTS):
            row = top + 1 + output
            centre: dict[str, Any] = {"align": "center"}
            canvas.text(row, left, letter, 11, bold=True, **centre)
            canvas.text(row, left + 1, "=", 11, **centre)
            for weight, pixel in enumerate(pixels_of(output)):
                column = left + 2 + 2 * weight
                canvas.text(
                    row, column, f"{WEIGHTS[weight]}·{PIXELS[pixel]}", 11, bg_color=_FILLS[weight], **centre
                )
                canvas.text(row, column + 1, "+", 11, **centre)
            canvas.text(row, left + 10, "b", 11, **centre)
            canvas.text(
                row, left + 12, f"={formulas[output]}", 10, font_color="#52606D", font_name="Courier New"
            )
            self._row_light(canvas, (row, left, row, left + 10), row, left)

    def _row_light(self, canvas: Canvas, box: tuple[int, int, int, int], row: int, column: int) -> None:
        """Light a row up while the letter at its left is chosen."""
        letter = canvas.at(row, column, row=False)
        canvas.highlight(
            box, f"{letter}={canvas.at(*self.pick)}", bold=True, border=1, border_color="#E8590C"
        )

    def _matrix_block(self, canvas: Canvas, top: int, left: int) -> None:
        canvas.title(top, left, self.label("matrix"))
        canvas.text(top, left + 12, self.label("product"), 11, bold=True)
        canvas.text(top, left + 16, self.label("check"), 11, bold=True)
        canvas.tensor(self.vector, size=11, properties=lambda n, j: {"num_format": _named(PIXELS[j])})
        canvas.tensor(self.matrix, size=11, properties=_entry)
        canvas.tensor(self.product, size=11, properties=lambda i, j: {
            "num_format": _named(OUTPUTS[i]), "bg_color": _OUT, "bold": True})  # fmt: skip
        canvas.tensor(self.check, form="0.0E+00;-0.0E+00;0", size=11, span=2)
        for output, letter in enumerate(OUTPUTS):
            row = top + 2 + output
            canvas.text(row, left, letter, 11, bold=True, align="center")
            canvas.text(row, left + 11, "+ b =", 10, align="center")
            self._row_light(canvas, (row, left, row, left + 12), row, left)
        for pixel in range(9):
            windows = "".join(OUTPUTS[o] for o in range(4) if pixel in pixels_of(o))
            self._light(canvas, top + 1, left + 1 + pixel, windows)


def _named(letter: str) -> str:
    """A number format that shows a letter before the number."""
    return f'"{letter}  "General'


def _weight(number: int) -> dict[str, Any]:
    return {"num_format": _named(WEIGHTS[number]), "bg_color": _FILLS[number]}


def _entry(output: int, pixel: int) -> dict[str, Any]:
    used = pixels_of(output)
    return _weight(used.index(pixel)) if pixel in used else {"num_format": "0", "font_color": "#B8C2CC"}
