"""Metrics: means over batches of different sizes, weighted; the accuracy of two batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sheetconv.graph.expr import Aggregate, Expr
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.pages.base import Page
from sheetconv.pages.checks import answers, rows
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import DOWN
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check

_MEAN = 0  # first row of the first block
_VALUE, _SIZE, _PRODUCT = 6, 11, 16  # columns of the first block
_FIRST, _ITEM, _SHARE = 6, 2, 23  # columns of the second block: first item, step, the batch's accuracy
_WIDE = 4
MUTED = "#52606D"


class MetricsPage(Page):
    """The weighted mean of a metric over batches, and the lesson's accuracy of 0.45."""

    kind: ClassVar[str] = "metrics"
    unit: ClassVar[int] = 32
    columns = 29
    keys: ClassVar[Mapping[str, Check]] = {"batches": rows(2, 8), "answers": answers(2, 3)}

    def build(self) -> None:
        """Products, sums and means of the batches; hits, accuracies and their means."""
        self.left, self.top = LEFT, TOP
        self._means()
        self.accuracy = self.top + _MEAN + len(self.options["batches"]) + 10
        self._accuracies()

    def _means(self) -> None:
        batches = self.options["batches"]
        top, left, count = self.top + _MEAN + 3, self.left, len(batches)
        self.values = self.stored("values", batches[:, 0], kind="input")
        self.sizes = self.stored("sizes", batches[:, 1], kind="input")
        self.products = self.apply("value times size", "aten.mul.Tensor", self.values, self.sizes)
        self.sum = self.apply("sum of products", "aten.sum.dim_IntList", self.products, [0], True)
        self.count = self.apply("sum of sizes", "aten.sum.dim_IntList", self.sizes, [0], True)
        self.mean = self.apply("weighted mean", "aten.div.Tensor", self.sum, self.count)
        self.plain = self.apply("plain mean", "aten.mean.dim", self.values, [0], True)
        for tensor, column in ((self.values, _VALUE), (self.sizes, _SIZE), (self.products, _PRODUCT)):
            self.put(tensor, top, left + column, DOWN)
        self.put(self.count, top + count, left + _SIZE, DOWN)
        self.put(self.sum, top + count, left + _PRODUCT, DOWN)
        self.put(self.mean, top + count + 2, left + _PRODUCT, DOWN)
        self.put(self.plain, top + count + 3, left + _PRODUCT, DOWN)

    def _accuracies(self) -> None:
        top, left = self.accuracy, self.left
        self.batches: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for number, answer in enumerate(self.options["answers"], start=1):
            guesses = self.stored(f"predictions {number}", answer["predictions"], kind="input")
            targets = self.stored(f"targets {number}", answer["targets"], kind="input")
            hits = self.apply(f"hits {number}", "aten.eq.Tensor", guesses, targets)
            share = self.apply(f"accuracy {number}", "aten.mean.dim", hits, [0], True)
            row = top + 2 + (number - 1) * 5
            for line, tensor in enumerate((guesses, targets, hits)):
                self.put(tensor, row + 1 + line, left + _FIRST, (0, _ITEM))
            self.put(share, row + 3, left + _SHARE, DOWN)
            self.batches.append((guesses, targets, hits, share))
        sizes = [float(b[0].size) for b in self.batches]
        self.weights = [
            self.stored("weights of one", [1.0] * len(sizes), kind="input"),
            self.stored("weights by size", sizes, kind="input"),
        ]
        self.results = [
            self._weighted(f"accuracy, {name}", weights)
            for name, weights in zip(("each batch once", "by size"), self.weights, strict=True)
        ]
        row = top + 2 + len(self.batches) * 5
        for line, (weights, result) in enumerate(zip(self.weights, self.results, strict=True)):
            self.put(weights, row + 1 + line, left + _VALUE + 5, (0, 3))
            self.put(result, row + 1 + line, left + _SHARE, DOWN)
        self.end = row

    def _weighted(self, name: str, weights: Tensor) -> Tensor:
        """The mean of the batches' accuracies, weighted."""
        shares = [b[3] for b in self.batches]

        def formula(t: Tensor) -> Expr:
            k = Var("k", weights.size)
            total: Expr = shares[0].at(0) * weights.at(0)
            for i, share in enumerate(shares[1:], start=1):
                total = total + share.at(0) * weights.at(i)
            return total / Aggregate("SUM", (weights.at(k),), (k,))

        products = Operation("aten.mul.Tensor", (Operation("aten.cat.default", (shares, 0)), weights))
        sums = [Operation("aten.sum.dim_IntList", (part, [0], True)) for part in (products, weights)]
        return self.made(name, (1,), formula, Operation("aten.div.Tensor", tuple(sums)))

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """Two blocks of tables."""
        self._draw_means(canvas)
        self._draw_accuracies(canvas)

    def _draw_means(self, canvas: Canvas) -> None:
        top, left, count = self.top + _MEAN, self.left, self.values.size
        canvas.title(top, left, self.label("mean"))
        head: dict[str, Any] = {
            "bold": True,
            "font_color": "#FFFFFF",
            "bg_color": "#14344F",
            "align": "center",
        }
        canvas.text(top + 2, left, self.label("batch"), 10, (1, _VALUE - 1), valign="vcenter", **head)
        for key, column in (("value", _VALUE), ("size", _SIZE), ("product", _PRODUCT)):
            canvas.text(top + 2, left + column, self.label(key), 10, (1, _WIDE), valign="vcenter", **head)
        for i in range(count):
            style = canvas.style(11, align="center", valign="vcenter")
            canvas.sheet.merge_range(top + 3 + i, left, top + 3 + i, left + _VALUE - 2, "", style)
            canvas.sheet.write_number(top + 3 + i, left, i + 1, style)
        for tensor in (self.values, self.sizes, self.products):
            self._numbers(canvas, tensor, _WIDE)
        row = top + 3 + count
        canvas.text(row, left, self.label("sums"), 11, bold=True)
        for tensor in (self.sum, self.count):
            self._numbers(canvas, tensor, _WIDE, bold=True)
        for line, (key, tensor) in enumerate((("weighted", self.mean), ("plain", self.plain))):
            canvas.text(row + 2 + line, left, self.label(key), 11, bold=not line)
            look: dict[str, Any] = {"bold": True, "bg_color": "#DCEBF5"} if not line else {}
            self._numbers(canvas, tensor, _WIDE, "0.0000", **look)

    def _numbers(self, canvas: Canvas, tensor: Tensor, span: int, form: str = "0.####", **look: Any) -> None:
        canvas.tensor(tensor, form="General" if form == "0.####" else form, size=canvas.pt(11), span=span,
                      properties=look)  # fmt: skip

    def _draw_accuracies(self, canvas: Canvas) -> None:
        top, left = self.accuracy, self.left
        canvas.title(top, left, self.label("accuracy"))
        for number, (guesses, targets, hits, share) in enumerate(self.batches, start=1):
            row = top + 2 + (number - 1) * 5
            name = self.options["answers"][number - 1]["name"]
            canvas.text(row, left, self.label("batch_number", name=name, n=hits.size), 11, bold=True)
            canvas.text(row, left + _SHARE, self.label("share"), 10, font_color=MUTED)
            for line, (key, tensor) in enumerate(
                (("prediction", guesses), ("target", targets), ("hit", hits))
            ):
                canvas.text(row + 1 + line, left, self.label(key), 11)
                self._numbers(canvas, tensor, _ITEM)
            box = canvas.place(hits).box()
            first = canvas.at(box[0], box[1], row=False, column=False)
            right = (box[0], box[1], box[2], box[3] + _ITEM - 1)
            canvas.highlight(right, f"N({first})=1", bg_color="#D3F9D8", bold=True)
            self._numbers(canvas, share, _WIDE, "0.0000", bold=True)
        canvas.text(self.end, left, self.label("together"), 11, bold=True)
        canvas.text(self.end, left + _VALUE + 5, self.label("weights"), 10, font_color=MUTED)
        for line, (key, weights, result) in enumerate(
            zip(("once", "by_size"), self.weights, self.results, strict=True)
        ):
            canvas.text(self.end + 1 + line, left, self.label(key), 11)
            self._numbers(canvas, weights, 3)
            self._numbers(canvas, result, _WIDE, "0.0000", bold=True, bg_color="#DCEBF5")
