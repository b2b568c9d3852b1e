"""Dropout: a random mask on the pooled maps, what it zeroes, what rescaling restores, and what the outputs make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sheetconv.graph.expr import Aggregate, Binary, Call, Expr, as_expr, call
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.compare import holds
from sheetconv.pages.base import Page
from sheetconv.pages.checks import number, weights, whole
from sheetconv.pages.dense import Dense, pooled_maps
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.layout import Place
from sheetconv.sheet.settings import Check

DRAWS = 5
_CLASSES, _SIDE, _CELLS = 10, 12, 288
_TILES, _OUTPUT, _TABLE = 9, 40, 58  # first rows of the tiles, of the outputs, of the table of random numbers
_STEP = 14  # columns from one tile to the next
_PICK, _FACTS, _FACT = 15, 29, 43  # columns of the choices, of the counts' texts, of the counts
_COLUMNS = (4, 9, 15, 21)  # of the outputs: logits without and with dropout, probabilities likewise
MUTED = "#52606D"


class Dropout(Page):
    """x · mask / (1 − p) in training, x in evaluation; the mask from a table of fixed random numbers or from RAND()."""

    kind: ClassVar[str] = "dropout"
    unit: ClassVar[int] = 24
    columns = 56
    keys: ClassVar[Mapping[str, Check]] = {
        "weights": weights("conv-example"),
        "p": number(0, 0.9),
        "seed": whole(0, 10**6),
    }

    def build(self) -> None:
        """Choices, random numbers, mask, result; counts and sums; outputs without and with dropout."""
        self.left, self.top = LEFT, TOP
        state = self.options["weights"]
        self._choices()
        self.maps = pooled_maps(self, state)
        self._mask()
        self._counts()
        self._outputs(state)

    def _choices(self) -> None:
        values = {"p": self.options["p"], "draw": 1, "source": 0, "training": 1}
        self.choice = {key: self.stored(key, [float(value)], kind="input") for key, value in values.items()}
        for line, tensor in enumerate(self.choice.values()):
            self.put(tensor, self.top + 2 + line, self.left + _PICK, DOWN)

    def _mask(self) -> None:
        """The uniform numbers in use, the mask, and dropout's result."""
        choice, shape = self.choice, self.maps.shape
        random = np.random.default_rng(self.options["seed"]).random((DRAWS, *shape[1:])).round(4)
        self.draws = self.stored("fixed random numbers", random, kind="input", signed=False)
        self.uniform = self.made(
            "random numbers", shape, self._drawn,
            Operation("drawn", (choice["source"], choice["draw"], self.draws)), kind="input", signed=False,
        )  # fmt: skip
        p = choice["p"].at(0)
        self.mask = self.made(
            "mask", shape, lambda t: holds(">=", self.uniform.at(*t.axes), p),
            Operation("aten.ge.Tensor", (self.uniform, choice["p"])), signed=False,
        )  # fmt: skip
        keep = Operation("aten.rsub.Scalar", (choice["p"], 1))
        kept = Operation("aten.mul.Tensor", (self.maps, self.mask))
        scaled = Operation("aten.div.Tensor", (kept, keep))
        training = Operation("aten.eq.Scalar", (choice["training"], 1))
        self.out = self.made(
            "dropout", shape, self._dropped, Operation("aten.where.self", (training, scaled, self.maps)),
            signed=False,
        )  # fmt: skip
        tiles = (self.maps, self.uniform, self.mask, self.out)
        for i, tensor in enumerate(tiles):
            self.put(
                tensor, self.top + _TILES + 3, self.left + 1 + i * _STEP, STAY, (_SIDE + 2, 0), DOWN, ACROSS
            )
        n, c, y, x = np.arange(DRAWS), np.arange(2), np.arange(_SIDE), np.arange(_SIDE)
        self.draft.places[self.draws] = Place(
            self.name, self.draws, [0 * n, c * (_SIDE + 1), y, 0 * x], [n * _STEP, 0 * c, 0 * y, x],
            row=self.top + _TABLE + 3, column=self.left + 1, plane_axes=(2, 3),
        )  # fmt: skip

    def _drawn(self, t: Tensor) -> Expr:
        _, c, y, x = t.axes
        fixed = call("CHOOSE", self.choice["draw"].at(0), *(self.draws.at(k, c, y, x) for k in range(DRAWS)))
        return call("IF", Binary("=", self.choice["source"].at(0), as_expr(1)), Call("RAND", ()), fixed)

    def _dropped(self, t: Tensor) -> Expr:
        x, p = self.maps.at(*t.axes), self.choice["p"].at(0)
        training = Binary("=", self.choice["training"].at(0), as_expr(1))
        return call("IF", training, x * self.mask.at(*t.axes) / (1 - p), x)

    def _counts(self) -> None:
        """Zeros against p·n; the sums before, with zeros only, and after rescaling."""
        total = Operation("aten.sum.dim_IntList", (self.mask, [1, 2, 3], False))
        over = self._over()
        whole_mask = Aggregate("SUM", (self.mask.at(0, *over),), over)
        self.zeros = self.made(
            "zeros", (1,), lambda t: _CELLS - whole_mask, Operation("aten.rsub.Scalar", (total, _CELLS))
        )
        self.expected = self.note("expected zeros", (1,), lambda t: self.choice["p"].at(0) * _CELLS)
        self.before = self.apply("sum before", "aten.sum.dim_IntList", self.maps, [1, 2, 3], False)
        masked = Operation("aten.mul.Tensor", (self.maps, self.mask))
        self.bare = self.made(
            "sum with zeros, not rescaled", (1,),
            lambda t: Aggregate("SUMPRODUCT", (self.maps.at(0, *over), self.mask.at(0, *over)), over),
            Operation("aten.sum.dim_IntList", (masked, [1, 2, 3], False)),
        )  # fmt: skip
        self.after = self.apply("sum after", "aten.sum.dim_IntList", self.out, [1, 2, 3], False)
        self.facts = {"zeros": self.zeros, "expected": self.expected, "before": self.before, "bare": self.bare,
                      "after": self.after}  # fmt: skip
        for line, tensor in enumerate(self.facts.values()):
            self.put(tensor, self.top + 2 + line, self.left + _FACT, DOWN)

    def _over(self) -> tuple[Var, ...]:
        return tuple(Var(v.name, v.size) for v in self.maps.axes[1:])

    def _outputs(self, state: Mapping[str, Any]) -> None:
        """The ten logits and probabilities from the maps as they are, and from what dropout leaves."""
        self._dense(state)
        row = self.top + _OUTPUT + 3
        self.results: list[Tensor] = []
        self.probabilities: list[Tensor] = []
        for name, maps in (("without", self.maps), ("with", self.out)):
            flat = Operation("aten.flatten.using_ints", (maps, 1, -1))
            matrix = Operation("aten.flatten.using_ints", (self.weight, 1, -1))
            logits = self.made(
                f"logits {name} dropout", (1, _CLASSES), self._logit(maps),
                Operation("aten.linear.default", (flat, matrix, self.bias)),
            )  # fmt: skip
            self.results.append(logits)
        for name, logits in zip(("without", "with"), tuple(self.results), strict=True):
            found = self.apply(f"probabilities {name} dropout", "aten.softmax.int", logits, 1, None)
            self.probabilities.append(found)
            steps = [t for t in self.draft.graph.tensors if t.name.startswith(f"{found.name}.")]
            for step in steps:
                # the exponentials stand beyond the chart, with those of the page before
                self.put(step, row, self.left + 58 + (name == "with"), STAY, DOWN)
        for column, tensor in zip(_COLUMNS, (*self.results, *self.probabilities), strict=True):
            self.put(tensor, row, self.left + column, STAY, DOWN)

    def _dense(self, state: Mapping[str, Any]) -> None:
        """The weights of the dense layer's page where it is there, else a copy below what prints."""
        for page in self.draft.pages:
            if isinstance(page, Dense) and page.name in self.draft.built:
                self.weight, self.bias, self.own = page.weight, page.bias, False
                return
        self.own = True
        shape = (_CLASSES, 2, _SIDE, _SIDE)
        self.weight = self.stored("weight", state["dense.weight"].double().numpy().reshape(shape))
        self.bias = self.stored("bias", state["dense.bias"].double().numpy())
        n, c, y = np.arange(_CLASSES), np.arange(2), np.arange(_SIDE)
        row = self.top + _TABLE + 34
        self.draft.places[self.weight] = Place(
            self.name, self.weight, [n // 4 * 28, c * (_SIDE + 1), y, 0 * y], [n % 4 * _STEP, 0 * c, 0 * y, y],
            row=row, column=self.left + 1, plane_axes=(2, 3),
        )  # fmt: skip
        self.put(self.bias, row, self.left + 57, DOWN)

    def _logit(self, maps: Tensor) -> Any:
        def formula(t: Tensor) -> Expr:
            over = self._over()
            reads = (maps.at(0, *over), self.weight.at(t.axes[1], *over))
            return Aggregate("SUMPRODUCT", reads, over) + self.bias.at(t.axes[1])

        return formula

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """Choices and counts, four tiles, outputs with a chart; the fixed numbers below what prints."""
        self._draw_choices(canvas)
        self._draw_facts(canvas)
        self._draw_tiles(canvas)
        self._draw_outputs(canvas)
        canvas.print_to_here()
        self._draw_table(canvas)

    def _draw_choices(self, canvas: Canvas) -> None:
        top, left = self.top, self.left
        canvas.title(top, left, self.label("choose"))
        for line, key in enumerate(self.choice):
            canvas.text(top + 2 + line, left, self.label(key), 11)
        canvas.decimal(self.choice["p"], 0, 0.9, span=3)
        for key, allowed in (("draw", range(1, DRAWS + 1)), ("source", range(2)), ("training", range(2))):
            canvas.choice(self.choice[key], allowed, span=3)
        canvas.text(top + 6, left, self.label("rand"), 9, (2, _FACTS - 2), font_color=MUTED)

    def _draw_facts(self, canvas: Canvas) -> None:
        top, column = self.top, self.left + _FACTS
        canvas.title(top, column, self.label("counts"))
        for line, (key, tensor) in enumerate(self.facts.items()):
            canvas.text(top + 2 + line, column, self.label(key, n=_CELLS), 11)
            form = "0" if key == "zeros" else "0.0"
            canvas.tensor(
                tensor, form=form, size=canvas.pt(11), span=4, properties={"bold": key in ("zeros", "after")}
            )

    def _draw_tiles(self, canvas: Canvas) -> None:
        top = self.top + _TILES
        tiles = {"maps": self.maps, "uniform": self.uniform, "mask": self.mask, "out": self.out}
        for i, (key, tensor) in enumerate(tiles.items()):
            canvas.title(top, self.left + 1 + i * _STEP, self.label(key), self.label(f"{key}_detail"))
            scale = {"maps": "activation", "uniform": "", "mask": "", "out": "activation"}[key]
            form = {"uniform": canvas.PIXEL, "mask": "0"}.get(key, canvas.MAP)
            canvas.tensor(tensor, scale, form, size=8)
        for tensor in (self.uniform, self.mask):
            for _, box in canvas.place(tensor).planes():
                row, column = box[:2]
                self._shade(canvas, box, row, column, tensor)

    def _shade(
        self, canvas: Canvas, box: tuple[int, int, int, int], row: int, column: int, tensor: Tensor
    ) -> None:
        """Grey out what is dropped."""
        own = canvas.at(row, column, row=False, column=False)
        dropped = f"{own}<{canvas.address(self.choice['p'], 0)}" if tensor is self.uniform else f"{own}=0"
        canvas.highlight(box, dropped, bg_color="#495057", font_color="#FFFFFF")

    def _draw_outputs(self, canvas: Canvas) -> None:
        top, left = self.top + _OUTPUT, self.left
        canvas.title(top, left, self.label("outputs"))
        heads = ("logit_without", "logit_with", "chance_without", "chance_with")
        canvas.text(top + 1, left, self.label("class"), 9, (2, 4), font_color=MUTED, valign="bottom")
        for column, key in zip(_COLUMNS, heads, strict=True):
            canvas.text(top + 1, left + column, self.label(key), 9, (2, 5), font_color=MUTED, valign="bottom")
        bold = canvas.style(10, bold=True, align="center", valign="vcenter")
        for number_ in range(_CLASSES):
            canvas.sheet.write_number(top + 3 + number_, left, number_, bold)
        for tensor in self.results:
            canvas.tensor(tensor, form="0.00", size=canvas.pt(10), span=4)
        for tensor in self.probabilities:
            canvas.tensor(tensor, form="0.0%", size=canvas.pt(10), span=4)
        canvas.widen(60)
        for step in (t for t in self.draft.places if t.name.startswith(f"{self.name}.probabilities") and
                     t not in self.probabilities):  # fmt: skip
            canvas.tensor(step, form="0.00", size=7)
        series = [(self.label(key), canvas.place(t).box()) for key, t in
                  zip(("without", "with"), self.probabilities, strict=True)]  # fmt: skip
        classes = (top + 3, left, top + 12, left)
        canvas.bars(self.label("chart"), classes, series, (top, left + 27), (29, 15))

    def _draw_table(self, canvas: Canvas) -> None:
        top = self.top + _TABLE
        canvas.title(top, self.left + 1, self.label("fixed"))
        canvas.widen(DRAWS * _STEP + 2)
        for k in range(DRAWS):
            canvas.text(
                top + 2, self.left + 1 + k * _STEP, self.label("draw_number", number=k + 1), 10, bold=True
            )
        canvas.tensor(self.draws, "", canvas.PIXEL, size=7)
        if self.own:
            canvas.title(top + 31, self.left + 1, self.label("weights"))
            canvas.tensor(self.weight, "signed", canvas.WEIGHT, size=7)
            canvas.tensor(self.bias, "", "0.0", size=7)
