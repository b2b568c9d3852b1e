"""im2col: the windows unfolded into the columns of a matrix, so that one matrix product is the convolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sheetconv.graph.expr import Aggregate, Expr, Number, call
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.pages.base import Page
from sheetconv.pages.checks import array, whole
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check

_PANEL = 31  # first column beside the digit
_PART, _COUNTS = 6, 22  # rows of the panel's blocks
_MAPS, _MATRIX = 33, 65  # first rows of the maps and of the whole matrix
_MAP, _TAPS = 26, 9


class Im2col(Page):
    """The 9×676 matrix of all windows, the flattened kernel, their product, and the direct map beside it."""

    kind: ClassVar[str] = "im2col"
    unit: ClassVar[int] = 24
    columns = 59
    keys: ClassVar[Mapping[str, Check]] = {
        "kernel": array(3, 3),
        "row": whole(0, _MAP - 1),
        "column": whole(0, _MAP - 1),
    }

    def build(self) -> None:
        """Digit, kernel, matrix, product, both maps and their difference, the readable part, the counts."""
        self.left, self.top, self.side = LEFT, TOP, LEFT + _PANEL
        self.image = self.digit()
        self.kernel = self.stored("kernel", [[self.options["kernel"]]])
        self.flat = self.apply("flattened kernel", "aten.reshape.default", self.kernel, [1, _TAPS])
        self.matrix = self.apply(
            "unfolded", "aten.im2col.default", self.image, [3, 3], [1, 1], [0, 0], [1, 1]
        )
        self._place_matrix()
        self.product = self.apply("product", "aten.matmul.default", self.flat, self.matrix)
        self.put(self.product, TOP + _MATRIX + 13, LEFT + 3, STAY, STAY, ACROSS)
        self._maps()
        self._part()
        self._counts()

    def _place_matrix(self) -> None:
        row = self.top + _MATRIX + 3
        self.put(self.image, self.top + 2, self.left + 1, STAY, STAY, DOWN, ACROSS)
        self.put(self.kernel, self.top + 2, self.side + 19, STAY, STAY, DOWN, ACROSS)
        self.put(self.flat, row, self.left + 1, STAY, DOWN)
        self.put(self.matrix, row, self.left + 3, STAY, DOWN, ACROSS)

    def _maps(self) -> None:
        top, left = self.top + _MAPS + 2, self.left + 1
        self.folded = self.apply("reshaped", "aten.reshape.default", self.product, [1, 1, _MAP, _MAP])
        self.put(self.folded, top, left, STAY, STAY, DOWN, ACROSS)
        self.direct = self.apply(
            "direct", "aten.conv2d.default", self.image, self.kernel, None, [1, 1], [0, 0], [1, 1], 1
        )
        self.put(self.direct, top, left + _MAP + 3, STAY, STAY, DOWN, ACROSS)
        self.difference = self.note("largest difference", (1,), self._largest)
        self.put(self.difference, self.top + _COUNTS + 6, self.side + 18, DOWN)

    def _largest(self, t: Tensor) -> Expr:
        """The largest of all absolute differences, row by row so that no array formula is needed."""
        rows = self.note("difference in each row", (_MAP,), self._rows)
        self.put(rows, self.top + _MAPS + 2, self.left + 2 * _MAP + 5, DOWN)
        self.per_row = rows
        k = Var("k", _MAP)
        return Aggregate("MAX", (rows.at(k),), (k,))

    def _rows(self, t: Tensor) -> Expr:
        y = t.axes[0]
        terms = (call("ABS", self.folded.at(0, 0, y, x) - self.direct.at(0, 0, y, x)) for x in range(_MAP))
        return call("MAX", *terms)

    def _part(self) -> None:
        """The columns of one output row, chosen by a cell: a part that fits the screen."""
        from sheetconv.pages.pieces import window

        self.row = self.stored("row", [self.options["row"]], kind="input")
        self.column = self.stored("column", [self.options["column"]], kind="input")
        first = Operation("aten.mul.Tensor", (self.row, float(_MAP)))
        self.start = self.made("first column", (1,), lambda t: self.row.at(0) * _MAP, first)
        self.part = window(self, "part", self.matrix, 0, self.start, _TAPS, _MAP)
        self.sums = window(self, "part of the product", self.product, 0, self.start, 1, _MAP)
        self.number = self.made("number of the column", (1,), lambda t: self.start.at(0) + self.column.at(0),
                                Operation("aten.add.Tensor", (self.start, self.column)))  # fmt: skip
        top, side = self.top, self.side
        self.put(self.row, top + 2, side + 4, DOWN)
        self.put(self.column, top + 2, side + 11, DOWN)
        self.put(self.number, top + 4, side + 11, DOWN)
        self.put(self.start, top + _PART + 1, side + 11, DOWN)
        self.put(self.part, top + _PART + 4, side, STAY, STAY, DOWN, ACROSS)
        self.put(self.sums, top + _PART + 14, side, STAY, STAY, DOWN, ACROSS)

    def _counts(self) -> None:
        """Multiplications of each way, and of the matrix with zeros that a dense layer would need."""
        windows, pixels = _MAP * _MAP, 28 * 28
        ways = {"loop": (windows, _TAPS), "unfold": (1, _TAPS, windows), "dense": (windows, pixels)}
        self.counts = {key: self._product(key, factors) for key, factors in ways.items()}
        for number, note in enumerate(self.counts.values()):
            self.put(note, self.top + _COUNTS + 2 + number, self.side + 18, DOWN)

    def _product(self, key: str, factors: tuple[int, ...]) -> Tensor:
        product: Expr = Number(factors[0])
        for factor in factors[1:]:
            product = product * factor
        return self.note(f"multiplications, {key}", (1,), lambda t: product)

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """Digit, panel, maps, and the matrix that goes on to the right."""
        from sheetconv.pages.pieces import inside

        canvas.title(self.top, self.left + 1, self.label("digit"))
        canvas.axis(self.top + 1, self.left + 1, 28)
        canvas.axis(self.top + 2, self.left, 28, down=True)
        box = canvas.place(self.image).box()
        start = (canvas.address(self.row, 0), canvas.address(self.column, 0))
        canvas.ring(box, inside(canvas, box[:2], (box[1] - 1, box[0] - 1), start, (3, 3)), pixels=True)
        canvas.tensor(self.image, "pixels", canvas.PIXEL, size=8)
        self._panel(canvas)
        self._draw_part(canvas)
        self._draw_counts(canvas)
        self._draw_maps(canvas, start)
        self._draw_matrix(canvas)

    def _panel(self, canvas: Canvas) -> None:
        top, side = self.top, self.side
        canvas.title(top, side, self.label("output"))
        for key, column in (("row", 0), ("column", 7)):
            canvas.text(top + 2, side + column, self.label(key))
        canvas.choice(self.row, range(_MAP))
        canvas.choice(self.column, range(_MAP))
        canvas.text(top + 4, side, self.label("number"))
        canvas.tensor(self.number, form="0", size=12, span=2, properties={"bold": True})
        canvas.title(top, side + 19, self.label("kernel"))
        canvas.tensor(self.kernel, "signed", "General", size=9)

    def _draw_part(self, canvas: Canvas) -> None:
        top, side = self.top + _PART, self.side
        canvas.title(top, side, self.label("part"))
        canvas.text(top + 1, side, self.label("first"), 10, font_color="#52606D")
        canvas.tensor(self.start, form="0", size=10, span=2)
        canvas.axis(top + 3, side, _MAP)
        column = canvas.at(top + 3, side, column=False)
        canvas.ring(
            (top + 4, side, top + 14, side + _MAP - 1),
            f"{column}={canvas.address(self.column, 0)}",
            pixels=True,
        )
        canvas.tensor(self.part, "pixels", canvas.PIXEL, size=8)
        canvas.tensor(self.sums, "signed", canvas.TENTH, size=8)
        canvas.text(top + 13, side, self.label("sums"), 10, font_color="#52606D")

    def _draw_counts(self, canvas: Canvas) -> None:
        top, side = self.top + _COUNTS, self.side
        canvas.title(top, side, self.label("counts"))
        for number, (key, note) in enumerate(self.counts.items()):
            canvas.text(top + 2 + number, side, self.label(key), 10)
            canvas.tensor(note, form="#,##0", size=canvas.pt(11), span=4, properties={"align": "right"})
        canvas.text(top + 6, side, self.label("check"), 11, bold=True)
        canvas.tensor(
            self.difference, form="0.0E+00;-0.0E+00;0", size=canvas.pt(11), span=4, properties={"bold": True}
        )

    def _draw_maps(self, canvas: Canvas, start: tuple[str, str]) -> None:
        from sheetconv.pages.pieces import inside

        for key, tensor in (("reshaped", self.folded), ("direct", self.direct)):
            row, column, last_row, last_column = canvas.place(tensor).box()
            canvas.title(row - 2, column, self.label(key))
            canvas.axis(row - 1, column, _MAP)
            canvas.axis(row, column - 1, _MAP, down=True)
            canvas.ring(
                (row, column, last_row, last_column),
                inside(canvas, (row, column), (column - 1, row - 1), start, (1, 1)),
            )
            canvas.tensor(tensor, "signed", canvas.TENTH, size=7)
        place = canvas.place(self.per_row)
        canvas.text(place.row - 1, place.column, self.label("row_difference"), 8, font_color="#52606D")
        canvas.tensor(self.per_row, form="0.0E+00;-0.0E+00;0", size=7)

    def _draw_matrix(self, canvas: Canvas) -> None:
        top, left = self.top + _MATRIX, self.left
        canvas.title(top, left + 3, self.label("matrix"))
        canvas.text(top + 1, left + 3, self.label("goes_on"), 10, font_color="#52606D")
        canvas.widen(_MAP * _MAP + 4)
        canvas.axis(top + 2, left + 3, _MAP * _MAP)
        column = canvas.at(top + 2, left + 3, column=False)
        canvas.ring(
            (top + 3, left + 3, top + 13, left + 2 + _MAP * _MAP),
            f"{column}={canvas.address(self.number, 0)}",
            pixels=True,
        )
        canvas.tensor(self.flat, "signed", "General", size=9)
        canvas.text(top + 7, left + 2, "×", 12, align="center")
        canvas.tensor(self.matrix, "pixels", canvas.PIXEL, size=8)
        canvas.text(top + 13, left + 1, self.label("product"), 10, font_color="#52606D")
        canvas.tensor(self.product, "signed", canvas.TENTH, size=8)

    def words(self) -> dict[str, Any]:
        """Sizes of the matrix."""
        return {"taps": _TAPS, "windows": _MAP * _MAP}
