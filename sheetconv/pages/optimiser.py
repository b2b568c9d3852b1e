"""One optimiser, unrolled: a step in each row, on a small regression and in a valley of two slopes.

The numbers of a row are tensors of their own, so that each row's formulas read the row above, and each is
proven against torch's operators. Symbols: `w` a problem's two parameters (2,), `g` their gradient (2,).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sheetconv.graph.expr import Expr, FloatArray, Number, Select, call
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.pages import checks
from sheetconv.pages.base import Page
from sheetconv.pages.checks import array, one_of, rows, whole
from sheetconv.pages.updates import UPDATES, Scalar, Step, op
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import DOWN
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.settings import Check

_SPAN = 2  # columns of the grid that one number takes
_HEAD = 14  # rows of settings and charts above the table
_CHART = 13  # columns of a chart
_SIZE = 13  # points of a number, in the sheet itself: eight characters fit a cell of two columns
MUTED, HEAD = "#52606D", "#14344F"
SETTINGS = ("rate", "momentum", "beta1", "beta2", "epsilon", "decay")
# torch's OneCycleLR: the rate begins at a 25th, ends at a 10,000th of that, momentum goes from .95 to .85 and back
# (here from the yellow cell to 0.85 / 0.95 of it); the peak stands after 30% of the steps.
ONE_CYCLE_START, ONE_CYCLE_END, ONE_CYCLE_MOMENTUM, ONE_CYCLE_PEAK = 1 / 25, 1e-4, 0.85 / 0.95, 0.3


def schedule(name: str, steps: int) -> dict[str, FloatArray]:
    """Of each step (steps,): its progress through a half cosine (0 … 1), and the shares of the rate and of the
    momentum between which that cosine leads. Source: `torch.optim.lr_scheduler` (CosineAnnealingLR with T_max =
    steps, OneCycleLR with its defaults)."""
    t, one = np.arange(steps, dtype=np.float64), np.ones(steps)
    if name == "cosine":
        return {"progress": t / steps, "rate from": one, "rate to": 0 * one}
    peak = ONE_CYCLE_PEAK * steps - 1
    rising = t <= peak
    last = ONE_CYCLE_START * ONE_CYCLE_END
    return {
        "progress": np.where(rising, t / peak, (t - peak) / (steps - 1 - peak)),
        "rate from": np.where(rising, ONE_CYCLE_START, 1.0),
        "rate to": np.where(rising, 1.0, last),
        "momentum from": np.where(rising, 1.0, ONE_CYCLE_MOMENTUM),
        "momentum to": np.where(rising, ONE_CYCLE_MOMENTUM, 1.0),
    }


@dataclass
class Descent:
    """One problem: its name, where its table begins, and its columns of tensors, one a row."""

    name: str
    column: int
    keys: list[str] = field(default_factory=list)
    cells: dict[str, list[Tensor]] = field(default_factory=dict)

    def width(self) -> int:
        """Columns of the grid that the table takes."""
        return sum(self.cells[key][0].size for key in self.keys) * _SPAN


class Optimiser(Page):
    """An optimiser's steps in rows, with its settings in yellow cells, and charts of loss and path."""

    kind: ClassVar[str] = "optimiser"
    unit: ClassVar[int] = 34
    keys: ClassVar[Mapping[str, Check]] = {
        "update": one_of(*UPDATES),
        "schedule": one_of("constant", "cosine", "one-cycle"),
        "steps": whole(4, 60),
        "data": rows(2, 60),
        "start": array(2),
        "slopes": array(2),
        "valley_start": array(2),
        "rate": checks.number(0, 10),
        "momentum": checks.number(0, 1),
        "beta1": checks.number(0, 1),
        "beta2": checks.number(0, 1),
        "epsilon": checks.number(1e-12, 1),
        "decay": checks.number(0, 10),
    }

    def build(self) -> None:
        """The settings, the rate of every step, then both problems row by row."""
        self.left, self.top, self.table = LEFT, TOP, TOP + _HEAD + 3
        self.update = UPDATES[self.options["update"]]
        self.settings_cells = {
            s: self.stored(s, [self.options[s]], kind="input") for s in SETTINGS if s in self.update.settings
        }
        self.slopes = self.stored("slopes", self.options["slopes"], kind="input")
        for line, tensor in enumerate(self.settings_cells.values()):
            self.put(tensor, TOP + 2 + line, LEFT + 8, (0, 1))
        self.put(self.slopes, TOP + 2 + len(self.settings_cells), LEFT + 8, (0, _SPAN))
        self.column = LEFT + _SPAN
        self.schedules = self._schedules()
        self.problems = [self._regression(), self._valley()]
        self.columns = max(self.column - LEFT, 14 + 2 * _CHART + 2)

    # --- the rate of each step -------------------------------------------------------------------------

    def _schedules(self) -> dict[str, Tensor]:
        """Columns (steps,) of a schedule: shares typed, rates and momenta by formula."""
        if self.options["schedule"] == "constant":
            return {}
        shares = schedule(self.options["schedule"], self.options["steps"])
        found: dict[str, Tensor] = {"progress": self.stored("progress", shares["progress"], kind="input")}
        for key in ("rate", "momentum"):
            if f"{key} from" in shares and key in self.settings_cells:
                between = [self.stored(f"{key} {end}", shares[f"{key} {end}"], kind="input") for end in ("from", "to")]  # fmt: skip
                found |= {f"{key} {end}": t for end, t in zip(("from", "to"), between, strict=True)}
                found[f"{key} now"] = self._cosine(key, found["progress"], *between)
        for tensor in found.values():
            self.put(tensor, self.table, self.column, DOWN)
            self.column += _SPAN
        return found

    def _cosine(self, key: str, progress: Tensor, start: Tensor, end: Tensor) -> Tensor:
        top = self.settings_cells[key]

        def formula(t: Tensor) -> Expr:
            a, b, p = (x.at(*t.axes) for x in (start, end, progress))
            return top.at(0) * (b + (a - b) * (1 + call("COS", Number(math.pi) * p)) / 2)

        wave = op("div.Scalar", op("add.Scalar", op("cos.default", op("mul.Scalar", progress, math.pi)), 1.0), 2.0)  # fmt: skip
        share = op("add.Tensor", end, op("mul.Tensor", op("sub.Tensor", start, end), wave))
        return self.made(f"{key} now", progress.shape, formula, op("mul.Tensor", share, top))

    def _settings(self, step: int) -> dict[str, Scalar]:
        """The settings that hold at a step: the yellow cells, or this step's cell of a schedule."""
        found = {key: Scalar(tensor) for key, tensor in self.settings_cells.items()}
        return found | {
            key: Scalar(self.schedules[f"{key} now"], step) for key in found if f"{key} now" in self.schedules
        }

    # --- the problems ----------------------------------------------------------------------------------

    def _regression(self) -> Descent:
        """y = a·x + b, one sample a step: loss (a·x + b − y)², w = (a, b)."""
        steps, data = self.options["steps"], self.options["data"]
        samples = np.array([data[t % len(data)] for t in range(steps)])
        problem = Descent("regression", self.column)
        for key, numbers in (("x", samples[:, 0]), ("y", samples[:, 1])):
            column = self.stored(key, numbers, kind="input")
            self.put(column, self.table, self.column, DOWN)
            problem.cells[key] = [column]
            problem.keys.append(key)
            self.column += _SPAN
        x, y = (problem.cells[key][0] for key in ("x", "y"))
        return self._descend(problem, self.options["start"], lambda row, w: self._squares(row, w, x, y))

    def _squares(self, row: StepRow, w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        a, b, xt, yt = Scalar(w, 0), Scalar(w, 1), Scalar(x, row.number), Scalar(y, row.number)
        line = op("add.Tensor", op("mul.Tensor", a.value, xt.value), b.value)
        error = row.made(
            "error", 1, lambda t: a.cell * xt.cell + b.cell - yt.cell, op("sub.Tensor", line, yt.value)
        )
        row.made("loss", 1, lambda t: error.at(0) * error.at(0), op("mul.Tensor", error, error))
        twice = op("mul.Scalar", error, 2.0)
        return row.made(
            "g",
            2,
            lambda t: Select(t.axes[0], 2 * error.at(0), 2 * error.at(0) * xt.cell),
            op("cat.default", [op("mul.Tensor", twice, xt.value), twice], 0),
        )

    def _valley(self) -> Descent:
        """(k₁·w₁² + k₂·w₂²) / 2 with two very different slopes k."""
        return self._descend(Descent("valley", self.column), self.options["valley_start"], self._bowl)

    def _bowl(self, row: StepRow, w: Tensor) -> Tensor:
        k = self.slopes
        parts = op("div.Scalar", op("mul.Tensor", k, op("mul.Tensor", w, w)), 2.0)
        one, two = ((k.at(i) * w.at(i) * w.at(i)) for i in (0, 1))
        row.made("loss", 1, lambda t: (one + two) / 2, op("sum.dim_IntList", parts, [0], True))
        return row.made("g", 2, lambda t: k.at(*t.axes) * w.at(*t.axes), op("mul.Tensor", k, w))

    def _descend(
        self, problem: Descent, start: FloatArray, gradient: Callable[[StepRow, Tensor], Tensor]
    ) -> Descent:
        """Every step of a problem; the row after the last shows where it ends."""
        w = self.stored(f"{problem.name} start", start, kind="input")
        memory = {
            key: self.stored(f"{problem.name} {key} start", [0.0, 0.0], kind="input")
            for key in self.update.memory
        }
        before: dict[str, Tensor] = {"w": w, **memory}
        for key, tensor in before.items():
            problem.cells[key] = [tensor]
        for number in range(self.options["steps"]):
            row = StepRow(self, problem, number)
            g = gradient(row, before["w"])
            step = Step(number, self._settings(number), row.update)
            self.update.step(step, before["w"], g, before)
            before = {key: problem.cells[key][-1] for key in before}
        self._place(problem)
        return problem

    def _place(self, problem: Descent) -> None:
        """w, then what is computed from it in the row, then the memory after the step."""
        order = [
            "w",
            *(k for k in problem.cells if k not in ("x", "y", "w", *self.update.memory)),
            *self.update.memory,
        ]
        for key in order:
            tensors = problem.cells[key]
            for line, tensor in enumerate(tensors):
                self.put(tensor, self.table + line, self.column, (0, _SPAN))
            problem.keys.append(key)
            self.column += tensors[0].size * _SPAN
        self.column += 1

    # --- what stands around it -------------------------------------------------------------------------

    def draw(self, canvas: Canvas) -> None:
        """Settings and charts above, one row a step below."""
        self._draw_settings(canvas)
        self._draw_table(canvas)
        for number, problem in enumerate(self.problems):
            self._draw_charts(canvas, problem, number)

    def _draw_settings(self, canvas: Canvas) -> None:
        canvas.title(self.top, self.left, self.label("settings"))
        for line, (key, tensor) in enumerate(self.settings_cells.items()):
            canvas.text(self.top + 2 + line, self.left, self.label(key), 11)
            canvas.decimal(tensor, 0, 10, span=3)
        canvas.text(self.top + 2 + len(self.settings_cells), self.left, self.label("slopes"), 11)
        canvas.decimal(self.slopes, 0, 1000, span=_SPAN)

    def _draw_table(self, canvas: Canvas) -> None:
        head: dict[str, Any] = {"bold": True, "font_color": "#FFFFFF", "bg_color": HEAD, "align": "center"}
        canvas.text(
            self.table - 1,
            self.left,
            self.label("step"),
            10 * canvas.zoom,
            (1, _SPAN),
            valign="vcenter",
            **head,
        )
        look = canvas.style(10 * canvas.zoom, align="center", valign="vcenter", font_color=MUTED)
        for number in range(self.options["steps"] + 1):
            row = self.table + number
            canvas.sheet.merge_range(row, self.left, row, self.left + _SPAN - 1, "", look)
            canvas.sheet.write_number(row, self.left, number, look)
        for key, tensor in self.schedules.items():
            self._heading(canvas, tensor, self.label(key.replace(" ", "_")), head)
            canvas.tensor(tensor, form="0.000", size=_SIZE, span=_SPAN)
        for problem in self.problems:
            canvas.title(self.table - 3, problem.column, self.label(problem.name))
            for key in problem.keys:
                self._heading(canvas, problem.cells[key][0], self.label(f"{problem.name}_{key}"), head)
                for tensor in problem.cells[key]:
                    canvas.tensor(tensor, form="0.000", size=_SIZE, span=_SPAN)

    def _heading(self, canvas: Canvas, tensor: Tensor, text: str, head: Mapping[str, Any]) -> None:
        """A column's name; two names with a stroke between them where a tensor takes two columns."""
        column = canvas.place(tensor).column
        for part, name in enumerate(text.split(" | ")):
            canvas.text(
                self.table - 1,
                column + part * _SPAN,
                name,
                10 * canvas.zoom,
                (1, _SPAN),
                valign="vcenter",
                **dict(head),
            )

    def _column(self, canvas: Canvas, tensors: list[Tensor], element: int = 0) -> tuple[int, int, int, int]:
        column = canvas.place(tensors[0]).column + element * _SPAN
        return (self.table, column, self.table + len(tensors) - 1, column)

    def _draw_charts(self, canvas: Canvas, problem: Descent, number: int) -> None:
        at = self.left + 14 + number * (_CHART + 1)
        steps = (self.table, self.left, self.table + self.options["steps"] - 1, self.left)
        losses = self._column(canvas, problem.cells["loss"])
        if problem.name == "regression":
            title = self.label("regression_chart")
            canvas.lines(title, steps, [(title, losses)], (self.top, at), (_CHART, _HEAD - 1), "0.0")
            return
        title = self.label("valley_chart")
        path = [self._column(canvas, problem.cells["w"], e) for e in (0, 1)]
        canvas.path(title, path[0], path[1], (self.top, at), (_CHART, _HEAD - 1))


@dataclass(frozen=True)
class StepRow:
    """One row of a problem's table: it makes tensors and appends them to the columns."""

    page: Optimiser
    problem: Descent
    number: int

    def made(self, key: str, size: int, formula: Callable[[Tensor], Expr], operation: Operation) -> Tensor:
        """A tensor (size,) of this row."""
        name = f"{self.problem.name} {key} {self.number + 1}"
        tensor = self.page.made(name, (size,), formula, operation)
        self.problem.cells.setdefault(key, []).append(tensor)
        return tensor

    def update(self, key: str, formula: Callable[[Tensor], Expr], operation: Operation) -> Tensor:
        """Two numbers that the optimiser computes."""
        return self.made(key, 2, formula, operation)
