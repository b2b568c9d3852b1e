"""Epochs: the weights after every epoch of a run, and the cell that chooses which of them the network shows.

Each parameter of the network page then reads INDEX(its column of epochs, the chosen epoch): kernels, maps and
prediction follow. One row is one epoch, the weights of one output side by side; each epoch costs as many typed
cells as the network has parameters.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sheetconv.errors import LimitError
from sheetconv.graph.expr import Entry
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Graph, Operation, Tensor
from sheetconv.pages.base import Page
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import Draft, Maker
from sheetconv.sheet.frame import LEFT, TOP
from sheetconv.sheet.layout import Place
from sheetconv.xlsx.address import MAX_COLUMNS


class Epochs(Page):
    """The stacks of weights; left out where a run kept those of its end only."""

    kind: ClassVar[str] = "epochs"
    unit: ClassVar[int] = 26
    columns = 40

    @classmethod
    def wanted(cls, draft: Draft) -> bool:
        """Whether the run kept the weights of its epochs."""
        return draft.run is not None and len(draft.run.epochs) > 1

    def build(self) -> None:
        """Place the stacks that the page of the network made, one below the other."""
        self.stacks = [t for t in self.draft.graph if t.name.startswith("epochs.") and t.kind == "input"]
        self.titles: list[int] = []
        row = TOP + 2
        for stack in self.stacks:
            place, row_after = stacked(stack, self.name, row)
            self.draft.places[stack] = place
            self.titles.append(row - 1)
            row = row_after + 2

    def draw(self, canvas: Canvas) -> None:
        """Every stack under its name."""
        for stack, row in zip(self.stacks, self.titles, strict=True):
            canvas.text(row, LEFT, stack.name.removeprefix("epochs."), 11, bold=True)
            canvas.tensor(stack, "signed", "0.0", size=7)
        canvas.grow(self.titles[-1])


def stacked(stack: Tensor, sheet: str, row: int) -> tuple[Place, int]:
    """Cells of a stack (E, O, …): a row for each epoch, a block of rows for each output; and the row after it."""
    epochs, *rest = stack.shape
    inner = int(np.prod(rest[1:])) if len(rest) > 1 else 1
    rows = [
        np.arange(size) * step
        for size, step in zip(stack.shape, (1, epochs + 1, *[0] * len(rest)), strict=False)
    ]
    columns = [np.zeros(size, dtype=np.int64) for size in stack.shape]
    if len(rest) == 1:
        rows[1], columns[1] = np.zeros(rest[0], dtype=np.int64), np.arange(rest[0])
    step = inner
    for axis, size in enumerate(rest[1:], start=2):
        step //= size
        columns[axis] = np.arange(size) * step
    width = max(inner, rest[0] if len(rest) == 1 else 0)
    if LEFT + width > MAX_COLUMNS:
        raise LimitError(
            f"{stack.name}: an output has {inner:,} weights; a sheet has {MAX_COLUMNS:,} columns for them"
        )
    place = Place(sheet, stack, rows, columns, (0, 0, 0, 0), row, LEFT, (0, len(stack.shape) - 1))
    return place, place.box()[2] + 1


def choose_epochs(maker: Maker, graph: Graph) -> Tensor | None:
    """Let every parameter of a network read the weights of the chosen epoch; returns the cell that chooses, to be placed."""
    draft = maker.draft
    if draft.run is None or len(draft.run.epochs) < 2:
        return None
    states = draft.run.states()
    epoch = maker.stored("epoch", [len(states)], kind="input")
    epoch.name = "epoch"
    for tensor in graph:
        if tensor.kind != "parameter" or tensor.name not in states[0]:
            continue
        values = np.stack([state[tensor.name].reshape(tensor.shape) for state in states])
        stack = maker.stored("stack", values, kind="input")
        stack.name = f"epochs.{tensor.name}"
        k = Var("k", len(states))
        tensor.expr = Entry(stack.at(k, *tensor.axes), (k,), (epoch.at(0),))
        chosen = Operation("nth", (epoch, stack))
        shape = list(tensor.state_shape)
        same = tensor.shape == tensor.state_shape
        tensor.operation = chosen if same else Operation("aten.reshape.default", (chosen, shape))
        tensor.values = None
    return epoch


def loss_of_epoch(canvas: Canvas, epoch: Tensor) -> tuple[str, float] | None:
    """The formula of the validation loss of the chosen epoch, from the history on the run's page, and its value."""
    run = canvas.draft.run
    history = next((t for t in canvas.draft.graph if t.kind == "input" and t.name.endswith(".history")), None)
    if history is None or "valid_loss" not in run.figures or len(run.history) < int(canvas.values[epoch][0]):
        return None
    column = run.figures.index("valid_loss")
    first, last = canvas.address(history, 0, column), canvas.address(history, len(run.history) - 1, column)
    number = canvas.address(epoch, 0)
    value = float(run.history[int(canvas.values[epoch][0]) - 1, column])
    return f"INDEX({first}:{last.rpartition('!')[2]},{number},1)", value
