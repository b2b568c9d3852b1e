"""A page that learns: a tiny network on small pictures of strokes, its training unrolled step by step.

Symbols: N pictures of S×S, C kernels of 3×3, maps of M×M (M = S − 2), two classes; `p` parameters before a step,
`d` gradients of the loss of the step's batch, `v` the momentum buffer of `torch.optim.SGD`. The network: convolution,
ReLU, mean of each map, dense layer, softmax; the loss is the cross-entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sheetconv.graph.expr import Aggregate, Binary, Expr, FloatArray, Number, Select, call
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.pages.base import Page
from sheetconv.pages.checks import array, number, paragraph, tables, whole, wholes
from sheetconv.pages.updates import op
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import ACROSS, DOWN, STAY
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check

SIZE, MAP = 5, 3  # pixels of a picture, of a map
PITCH, ROW = 7, 8  # columns from picture to picture; pictures in a row
BLOCK, HEAD = 11, 14  # rows from one row of pictures to the next; rows above them
BAND = 25  # rows of a step's band below the printed part
ASIDE = 22  # columns of parameters at the left of a band
CHART = (31, 14)  # first column, rows
GROUP = 20
SECOND = 16  # column of the chosen step's parameters
MUTED = "#52606D"
PARAMETERS = ("kernels", "kernel bias", "weights", "bias")


def stroke(value: Any) -> dict[str, Any]:
    """A stroke: {name, line, from, to}; `name` is across or down, the others are 0 to 4."""
    if set(value) != {"name", "line", "from", "to"} or value["name"] not in ("across", "down"):
        raise ValueError("must hold tables {name = across or down, line, from, to}")
    wholes(3, 0, SIZE - 1)([value[k] for k in ("line", "from", "to")])
    return value


def pictures(strokes: list[dict[str, Any]]) -> tuple[FloatArray, FloatArray]:
    """Strokes as pictures (N, 1, S, S) of 0 and 1, and their classes one-hot (N, 2): across, down."""
    images, classes = np.zeros((len(strokes), 1, SIZE, SIZE)), np.zeros((len(strokes), 2))
    for n, s in enumerate(strokes):
        part = slice(s["from"], s["to"] + 1)
        at = (s["line"], part) if s["name"] == "across" else (part, s["line"])
        images[(n, 0, *at)] = 1
        classes[n, int(s["name"] == "down")] = 1
    return images, classes


@dataclass
class Pass:
    """One pass of all pictures through the network: maps (N, C, M, M), means (N, C), probabilities (N, 2), losses (N,)."""

    maps: Tensor
    means: Tensor
    logits: Tensor
    probabilities: Tensor
    losses: Tensor
    loss: Tensor


def _each(tensors: list[Tensor], t: Tensor) -> Expr:
    """In cell i the only number of tensor i."""
    found: Expr = tensors[-1].at(0)
    for i, tensor in enumerate(tensors[:-1]):
        found = Select(t.axes[0] - i, found, tensor.at(0))
    return found


def _nth(number: Expr, choices: list[Expr]) -> Expr:
    """Choice `number`, counted from 0. LibreOffice's CHOOSE takes 30 arguments, so longer lists are chosen in two steps."""
    groups = [choices[i : i + GROUP] for i in range(0, len(choices), GROUP)]
    chosen = [call("CHOOSE", call("MOD", number, GROUP) + 1, *group) for group in groups]
    return call("CHOOSE", call("INT", number / GROUP) + 1, *chosen)


class Learning(Page):
    """A network learns while one watches: unrolled steps of gradient descent, a selector of steps, a chart."""

    kind: ClassVar[str] = "learning"
    unit: ClassVar[int] = 28
    columns = ROW * PITCH
    keys: ClassVar[Mapping[str, Check]] = {
        "steps": whole(2, 60),
        "strokes": tables(stroke, 4, 16),
        "kernel": array(MAP, MAP),
        "weights": array(2),
        "rate": number(0, 100),
        "momentum": number(0, 1),
        "batch": whole(1, 16),
        "note": paragraph,
    }

    def words(self) -> dict[str, Any]:
        """The last step."""
        return {"last": self.steps}

    def build(self) -> None:
        """The pictures and settings, every step, and the network with the parameters of the chosen step."""
        images, classes = pictures(self.options["strokes"])
        self.count, self.steps = len(images), self.options["steps"]
        self.pixels = self.stored("pictures", images, kind="input", signed=False)
        self.classes = self.stored("classes", classes, kind="input")
        self.numbers = self.stored("numbers", np.arange(self.count), kind="input")
        self.settings_cells = {
            key: self.stored(key, [self.options[key]], kind="input") for key in ("rate", "momentum", "batch")
        }
        self.step = self.stored("step", [self.steps], kind="input")
        self.below = TOP + HEAD + -(-self.count // ROW) * BLOCK + 2
        self._put_settings()
        self.history = [self._start()]
        self.passes: list[Pass] = []
        self.ways: dict[int, list[Tensor]] = {}
        buffers: dict[str, Tensor] | None = None
        for number_ in range(self.steps):
            buffers = self._train(number_, buffers)
        self.passes.append(self._forward(self.steps, self.history[-1]))
        self._put_pass(self.passes[-1], self.steps)
        runs = [run.loss for run in self.passes]
        self.curve = self.made(
            "losses of all steps", (len(runs),), lambda t: _each(runs, t), op("cat.default", runs, 0)
        )
        self._show()

    # --- parameters ------------------------------------------------------------------------------------

    def _start(self) -> dict[str, Tensor]:
        values = {
            "kernels": self.options["kernel"][None, None],
            "kernel bias": [0.0],
            "weights": self.options["weights"][:, None],
            "bias": [0.0, 0.0],
        }
        found = {key: self.stored(f"{key} 0", value) for key, value in values.items()}
        self._put_top(found, 0)
        return found

    def _forward(self, name: int | str, p: Mapping[str, Tensor]) -> Pass:
        """The network on all pictures with the parameters `p`."""
        n, channels = self.count, p["kernels"].shape[0]
        x, ky, kx = self.pixels, Var("ky", MAP), Var("kx", MAP)

        def convolved(t: Tensor) -> Expr:
            i, c, y, z = t.axes
            window = Aggregate(
                "SUMPRODUCT", (x.at(i, 0, y + ky, z + kx), p["kernels"].at(c, 0, ky, kx)), (ky, kx)
            )
            return call("MAX", 0, window + p["kernel bias"].at(c))

        conv = op("conv2d.default", x, p["kernels"], p["kernel bias"], [1, 1], [0, 0], [1, 1], 1)
        maps = self.made(f"maps {name}", (n, channels, MAP, MAP), convolved, op("relu.default", conv), signed=False)  # fmt: skip
        means = self.made(
            f"means {name}",
            (n, channels),
            lambda t: Aggregate("AVERAGE", (maps.at(*t.axes, ky, kx),), (ky, kx)),
            op("mean.dim", maps, [2, 3]),
        )
        c = Var("c", channels)

        def dense(t: Tensor) -> Expr:
            i, o = t.axes
            products: Expr = means.at(i, 0) * p["weights"].at(o, 0)
            for k in range(1, c.size):
                products = products + means.at(i, k) * p["weights"].at(o, k)
            return products + p["bias"].at(o)

        logits = self.made(f"logits {name}", (n, 2), dense, op("linear.default", means, p["weights"], p["bias"]))  # fmt: skip
        probabilities = self.made(f"probabilities {name}", (n, 2), self._softmax(logits), op("softmax.int", logits, 1, None))  # fmt: skip
        k = Var("k", 2)
        picked = op("sum.dim_IntList", op("mul.Tensor", probabilities, self.classes), [1])
        losses = self.made(
            f"losses {name}",
            (n,),
            lambda t: -call("LN", Aggregate("SUMPRODUCT", (probabilities.at(*t.axes, k), self.classes.at(*t.axes, k)), (k,))),
            op("neg.default", op("log.default", picked)),
        )  # fmt: skip
        i = Var("i", n)
        loss = self.made(f"loss {name}", (1,), lambda t: Aggregate("AVERAGE", (losses.at(i),), (i,)), op("mean.dim", losses, [0], True))  # fmt: skip
        return Pass(maps, means, logits, probabilities, losses, loss)

    def _softmax(self, logits: Tensor) -> Callable[[Tensor], Expr]:
        def formula(t: Tensor) -> Expr:
            i, o = t.axes
            zero, one = logits.at(i, 0), logits.at(i, 1)
            top = call("MAX", zero, one)
            return call("EXP", logits.at(i, o) - top) / (call("EXP", zero - top) + call("EXP", one - top))

        return formula

    # --- one step --------------------------------------------------------------------------------------

    def _train(self, step: int, before: dict[str, Tensor] | None) -> dict[str, Tensor]:
        """Forward, backward, update; places the step's band and returns the momentum buffers."""
        p = self.history[-1]
        run = self._forward(step, p)
        self.passes.append(run)
        share, d = self._backward(step, p, run)
        rate, momentum = self.settings_cells["rate"], self.settings_cells["momentum"]
        buffers: dict[str, Tensor] = {}
        after: dict[str, Tensor] = {}
        for key in PARAMETERS:
            old = before[key] if before else None
            buffers[key] = self._buffer(f"{key} buffer {step}", old, d[key], momentum) if old else d[key]
            after[key] = self._moved(f"{key} {step + 1}", p[key], buffers[key], rate)
        self.history.append(after)
        self._put_pass(run, step)
        self._put_step(step, share, d, buffers if before else {})
        self.ways[step] = [*share, *d.values(), *(buffers.values() if before else ())]
        return buffers

    def _buffer(self, name: str, old: Tensor, new: Tensor, momentum: Tensor) -> Tensor:
        return self.made(
            name,
            new.shape,
            lambda t: momentum.at(0) * old.at(*t.axes) + new.at(*t.axes),
            op("add.Tensor", op("mul.Tensor", old, momentum), new),
        )

    def _moved(self, name: str, now: Tensor, by: Tensor, rate: Tensor) -> Tensor:
        return self.made(
            name,
            now.shape,
            lambda t: now.at(*t.axes) - rate.at(0) * by.at(*t.axes),
            op("sub.Tensor", now, op("mul.Tensor", by, rate)),
        )

    def _backward(
        self, step: int, p: Mapping[str, Tensor], run: Pass
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Each picture's share in the batch and the gradients on the way down, and the parameters' gradients."""
        n, batch = self.count, self.settings_cells["batch"]
        turn = op("remainder.Scalar", op("sub.Tensor", self.numbers, op("mul.Scalar", batch, float(step))), float(n))  # fmt: skip
        share = self.made(
            f"share {step}",
            (n,),
            lambda t: call("IF", Binary("<", call("MOD", self.numbers.at(*t.axes) - step * batch.at(0), n), batch.at(0)), 1 / batch.at(0), 0),
            op("div.Tensor", op("lt.Tensor", turn, batch), batch),
        )  # fmt: skip
        error = self.made(
            f"d logits {step}",
            (n, 2),
            lambda t: (run.probabilities.at(*t.axes) - self.classes.at(*t.axes)) * share.at(t.axes[0]),
            op("mul.Tensor", op("sub.Tensor", run.probabilities, self.classes), op("reshape.default", share, [n, 1])),
        )  # fmt: skip
        weights = p["weights"]
        spread = self.made(
            f"d means {step}",
            run.means.shape,
            lambda t: (error.at(t.axes[0], 0) * weights.at(0, t.axes[1]) + error.at(t.axes[0], 1) * weights.at(1, t.axes[1])) / (MAP * MAP),
            op("div.Scalar", op("matmul.default", error, weights), float(MAP * MAP)),
        )  # fmt: skip
        alive = op("gt.Scalar", run.maps, 0.0)
        down = self.made(
            f"d maps {step}",
            run.maps.shape,
            lambda t: call("IF", Binary(">", run.maps.at(*t.axes), Number(0)), spread.at(*t.axes[:2]), 0),
            op("mul.Tensor", op("reshape.default", spread, [*run.means.shape, 1, 1]), alive),
        )
        return [share, error, spread, down], self._gradients(step, run, error, down)

    def _gradients(self, step: int, run: Pass, error: Tensor, down: Tensor) -> dict[str, Tensor]:
        """A kernel's gradient is the correlation of the pictures with the gradient of the maps above them."""
        n, channels = self.count, run.means.shape[1]
        i, y, x = Var("i", n), Var("y", MAP), Var("x", MAP)

        def correlated(t: Tensor) -> Expr:
            c, _, ky, kx = t.axes
            return Aggregate(
                "SUMPRODUCT", (self.pixels.at(i, 0, y + ky, x + kx), down.at(i, c, y, x)), (i, y, x)
            )

        swapped = op("permute.default", down, [1, 0, 2, 3])
        stacked = op("reshape.default", self.pixels, [1, n, SIZE, SIZE])
        conv = op("conv2d.default", stacked, swapped, None, [1, 1], [0, 0], [1, 1], 1)
        made: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Expr], Operation]] = {
            "kernels": ((channels, 1, MAP, MAP), correlated, op("reshape.default", conv, [channels, 1, MAP, MAP])),
            "kernel bias": (
                (channels,),
                lambda t: Aggregate("SUM", (down.at(i, t.axes[0], y, x),), (i, y, x)),
                op("sum.dim_IntList", down, [0, 2, 3]),
            ),
            "weights": (
                (2, channels),
                lambda t: Aggregate("SUMPRODUCT", (error.at(i, t.axes[0]), run.means.at(i, t.axes[1])), (i,)),
                op("matmul.default", op("t.default", error), run.means),
            ),
            "bias": ((2,), lambda t: Aggregate("SUM", (error.at(i, t.axes[0]),), (i,)), op("sum.dim_IntList", error, [0])),
        }  # fmt: skip
        return {key: self.made(f"d {key} {step}", *made[key]) for key in PARAMETERS}

    # --- the network at the chosen step ----------------------------------------------------------------

    def _show(self) -> None:
        """Parameters of the chosen step, and the network with them."""
        self.chosen = {key: self._choose(key) for key in PARAMETERS}
        self.shown = self._forward("shown", self.chosen)
        self._put_top(self.chosen, SECOND)
        self._pictures(self.pixels, 0, 0, STAY, DOWN, ACROSS)
        self._pictures(self.classes, 0, 5, DOWN)
        self._pictures(self.numbers, 3, 5)
        self._pictures(self.shown.maps, 6, 0, (0, MAP), DOWN, ACROSS)
        self._pictures(self.shown.means, 6, 4, DOWN)
        self._pictures(self.shown.logits, 7, 4, DOWN)
        self._pictures(self.shown.probabilities, 6, 5, DOWN)
        self._pictures(self.shown.losses, 8, 5)
        self.put(self.shown.loss, TOP + 1, LEFT + SECOND + 9, ACROSS)

    def _choose(self, key: str) -> Tensor:
        stack = [p[key] for p in self.history]
        shape = stack[0].shape
        rows = op("reshape.default", op("cat.default", stack, 0), [len(stack), *shape])
        # `choose` gives its number with a batch axis in front, which a reshape takes off again
        picked = Operation("choose", (op("add.Scalar", self.step, 1.0), rows))
        return self.made(
            f"{key} shown",
            shape,
            lambda t: _nth(self.step.at(0), [s.at(*t.axes) for s in stack]),
            op("reshape.default", picked, list(shape)),
        )

    # --- places ----------------------------------------------------------------------------------------

    def _put_settings(self) -> None:
        self.tall |= {TOP + 1 + line: 24 for line in range(4)}
        for line, tensor in enumerate((self.step, *self.settings_cells.values())):
            self.put(tensor, TOP + 1 + line, LEFT + 8, ACROSS)

    def _put_top(self, p: Mapping[str, Tensor], column: int) -> None:
        row, left = TOP + 8, LEFT + column
        self.tall |= {row + line: 34 for line in range(MAP)}
        self.put(p["kernels"], row, left, DOWN, STAY, DOWN, (0, 2))
        self.put(p["kernel bias"], row, left + 6, DOWN)
        self.put(p["weights"], row, left + 9, DOWN, ACROSS)
        self.put(p["bias"], row, left + 12, DOWN)

    def _pictures(self, tensor: Tensor, row: int, column: int, *steps: tuple[int, int]) -> None:
        """Cells at each picture: pictures stand in rows of `ROW`, the further axes step as given."""
        from sheetconv.sheet.layout import Place

        n = np.arange(tensor.shape[0])
        rows, columns = [n // ROW * BLOCK], [n % ROW * PITCH]
        for size, (down, across) in zip(tensor.shape[1:], steps, strict=True):
            rows.append(np.arange(size) * down)
            columns.append(np.arange(size) * across)
        plane = tuple(a + 1 for a, s in enumerate(steps) if s in (DOWN, ACROSS))
        self.draft.places[tensor] = Place(
            self.name, tensor, rows, columns, (0, 0, 0, 0), TOP + HEAD + row, LEFT + column, plane
        )

    def _band(self, step: int) -> tuple[int, int]:
        return self.below + 2 + step * BAND, LEFT

    def _put_parameters(self, tensors: Mapping[str, Tensor], step: int, column: int) -> None:
        row, left = self._band(step)
        self.put(tensors["kernels"], row + 2, left + column, (4, 0), STAY, DOWN, ACROSS)
        self.put(tensors["kernel bias"], row + 2, left + column + 4, (4, 0))
        self.put(tensors["weights"], row + 8, left + column, DOWN, ACROSS)
        self.put(tensors["bias"], row + 8, left + column + 4, DOWN)

    def _put_pass(self, run: Pass, step: int) -> None:
        row, left = self._band(step)
        left += ASIDE
        if step:
            self._put_parameters(self.history[step], step, 0)
        self.put(run.maps, row + 2, left, (0, 4), (0, MAP), DOWN, ACROSS)
        self.put(run.means, row + 6, left, (0, 4), DOWN)
        self.put(run.logits, row + 8, left, (0, 4), DOWN)
        self.put(run.probabilities, row + 11, left, (0, 4), DOWN)
        self.put(run.losses, row + 14, left, (0, 4))
        self.put(run.loss, row + 14, LEFT + 4, ACROSS)

    def _put_step(
        self, step: int, way: list[Tensor], d: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> None:
        row, left = self._band(step)
        left += ASIDE
        share, error, spread, down = way
        self.put(share, row + 15, left, (0, 4))
        self.put(error, row + 16, left, (0, 4), DOWN)
        self.put(spread, row + 18, left, (0, 4), DOWN)
        self.put(down, row + 20, left, (0, 4), (0, MAP), DOWN, ACROSS)
        self._put_parameters(d, step, 6)
        if buffers:
            self._put_parameters(buffers, step, 12)

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """Settings, parameters and chart; the pictures; below what prints, the bands of the steps."""
        self._draw_settings(canvas)
        for p, column, key in ((self.history[0], 0, "start"), (self.chosen, SECOND, "now")):
            canvas.text(TOP + 6, LEFT + column, self.label(key), 11, bold=True)
            for name, aside in (("kernel", 0), ("bias", 6), ("weights", 9), ("bias", 12)):
                canvas.text(TOP + 7, LEFT + column + aside, self.label(name), 9, font_color=MUTED)
            self._draw_top(canvas, p, yellow=key == "start")
        canvas.text(TOP + 1, LEFT + SECOND, self.label("loss"), 11)
        canvas.tensor(self.shown.loss, form="0.000", size=canvas.pt(11), span=4, properties={"bold": True})
        self._draw_pictures(canvas)
        canvas.print_to_here()
        canvas.widen(ASIDE + 4 * self.count)
        self._draw_chart(canvas)
        canvas.title(self.below, LEFT, self.label("steps", count=self.steps), self.options["note"])
        for step in range(self.steps + 1):
            self._draw_band(canvas, step)

    def _draw_settings(self, canvas: Canvas) -> None:
        canvas.text(TOP, LEFT, self.label("settings"), 12, bold=True)
        for line, key in enumerate(("step", "rate", "momentum", "batch")):
            canvas.text(TOP + 1 + line, LEFT, self.label(key), 11)
        canvas.choice(self.step, range(self.steps + 1), span=3)
        canvas.decimal(self.settings_cells["rate"], 0, 100, span=3)
        canvas.decimal(self.settings_cells["momentum"], 0, 1, span=3)
        canvas.choice(self.settings_cells["batch"], (1, self.count), span=3)

    def _draw_top(self, canvas: Canvas, p: Mapping[str, Tensor], *, yellow: bool) -> None:
        look = {"bg_color": "#FFE99A"} if yellow else {}
        canvas.tensor(
            p["kernels"],
            "" if yellow else "signed",
            "[>=0.005]0.00;[<=-0.005]-#.00;0",
            canvas.pt(9.5),
            2,
            look,
        )
        canvas.tensor(p["kernel bias"], "", "0.0", canvas.pt(10), 2, look)
        for key in ("weights", "bias"):
            canvas.tensor(p[key], "", "0.0", canvas.pt(10), 2, look)

    def _draw_parameters(self, canvas: Canvas, p: Mapping[str, Tensor]) -> None:
        for key in PARAMETERS:
            canvas.tensor(p[key], "signed" if key == "kernels" else "", form="0.0", size=8)

    def _draw_chart(self, canvas: Canvas) -> None:
        """The losses as a chart; it reads a column beside the bands, with the steps' numbers."""
        column, row = LEFT + ASIDE + 4 * self.count + 2, self.below + 2
        last = row + self.steps
        for step in range(self.steps + 1):
            canvas.sheet.write_number(row + step, column, step, canvas.style(9, font_color=MUTED))
        self.put(self.curve, row, column + 1, DOWN)
        canvas.tensor(self.curve, form="0.00", size=7)
        title, boxes = self.label("chart"), [(row, c, last, c) for c in (column, column + 1)]
        size = (ROW * PITCH - CHART[0], CHART[1])
        canvas.lines(title, boxes[0], [(title, boxes[1])], (TOP, LEFT + CHART[0]), size, "0.0")

    def _draw_pictures(self, canvas: Canvas) -> None:
        canvas.text(TOP + HEAD - 2, LEFT, self.label("pictures"), 11)
        canvas.tensor(self.pixels, "pixels", form=";;", size=8)
        for tensor in (self.classes, self.numbers):
            canvas.tensor(tensor, form="0", size=9)
        canvas.tensor(self.shown.maps, "activation", form=canvas.MAP, size=8)
        for tensor in (self.shown.means, self.shown.logits, self.shown.losses):
            canvas.tensor(tensor, form="0.0", size=8)
        canvas.tensor(
            self.shown.probabilities, "probability", form=canvas.PIXEL, size=8, properties={"bold": True}
        )

    def _draw_band(self, canvas: Canvas, step: int) -> None:
        row, left = self._band(step)
        canvas.text(row, left, self.label("band", number=step), 11, bold=True)
        run = self.passes[step]
        if step:
            self._draw_parameters(canvas, self.history[step])
        canvas.text(row + 14, left, self.label("mean_loss"), 9)
        for tensor in (
            run.maps,
            run.means,
            run.logits,
            run.probabilities,
            run.losses,
            run.loss,
            *self.ways.get(step, ()),
        ):
            canvas.tensor(tensor, form="0.00", size=7)
        names = (
            "maps",
            "means",
            "logits",
            "probabilities",
            "losses",
            "share",
            "d_logits",
            "d_means",
            "d_maps",
        )
        for key, line in zip(names, (2, 6, 8, 11, 14, 15, 16, 18, 20), strict=True):
            if line < 15 or step < self.steps:
                canvas.text(row + line, left + ASIDE - 5, self.label(key), 9, font_color=MUTED)
