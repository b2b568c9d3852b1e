"""A workbook of pages while it is made: one graph over all pages, and a place for every tensor.

Three kinds of tensors have formulas. *Activations* mirror torch operators and are proven against them; so are
*inputs* that copy or choose other numbers and may be typed over. *Notes* are sizes, counts and differences that
mirror no operator: their formulas come from expressions too, but they are no part of the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sheetconv.data.pick import Picked
from sheetconv.errors import ModelError
from sheetconv.graph.expr import Call, Expr, FloatArray, call
from sheetconv.graph.expr import evaluate as evaluate_expr
from sheetconv.graph.tensor import Graph, Operation, Tensor, look_through
from sheetconv.sheet.layout import Place
from sheetconv.sheet.settings import PageSettings
from sheetconv.sheet.text import shortest

if TYPE_CHECKING:
    from torch import nn


Step = tuple[int, int]
CACHED_DIGITS = 12  # what proves a billionth with room
_CHOICES = 30
STAY, DOWN, ACROSS = (0, 0), (1, 0), (0, 1)


@dataclass
class Draft:
    """The workbook so far: `picked` feeds it, `texts` are the words that all pages share."""

    picked: Picked
    texts: Mapping[str, str]
    title: str = ""
    note: str = ""
    classes: Sequence[str] = ()
    network: Graph | None = None
    """The network that the whole workbook is about, captured; pages may bring further ones."""
    cached_digits: int = CACHED_DIGITS
    """Significant digits of the values that formulas show until they are computed; what is typed is always exact."""
    graph: Graph = field(default_factory=lambda: Graph([], [], []))
    places: dict[Tensor, Place] = field(default_factory=dict)
    stored: dict[Tensor, FloatArray] = field(default_factory=dict)
    notes: list[Tensor] = field(default_factory=list)
    pages: list[Maker] = field(default_factory=list)
    built: set[str] = field(default_factory=set)
    choice: Tensor | None = None
    images: Tensor | None = None
    digit: Tensor | None = None
    known: dict[Tensor, FloatArray] = field(default_factory=dict)
    gradients: bool = False
    """Whether the workbook's own network shows its gradients and a step of training."""
    run: Any = None
    """The training run that the workbook is made from (`sheetconv.back.run_data.RunData`)."""
    label: int | None = None
    """What the loss is measured against; None for the label of the chosen image."""

    def stack(self) -> FloatArray:
        """The images as (K, C, H, W)."""
        images = self.picked.images
        return images if images.ndim == 4 else images[:, None]

    def compute(self) -> dict[Tensor, FloatArray]:
        """torch's value of every tensor so far (each computed once), then the notes by their own expressions.

        Raises `ModelError` for a value that is no finite number.
        """
        import torch

        from sheetconv.compile.reference import evaluate

        before = {**self.stored, **self.known}
        found = evaluate(self.graph, {t: torch.from_numpy(np.array(v)) for t, v in before.items()})
        for tensor in self.graph:
            if tensor not in self.known:
                self.known[tensor] = _finite(tensor, found[tensor].reshape(tensor.shape).numpy())
        values = dict(self.known)
        for note in self.notes:
            assert note.expr is not None
            values[note] = evaluate_expr(note.expr, note.axes, values)
        return values


class Maker:
    """What a page makes tensors with; every name gets the page's name in front. `kind` is the page's in templates."""

    kind: ClassVar[str] = ""

    def __init__(self, draft: Draft, settings: PageSettings) -> None:
        self.draft, self.settings = draft, settings
        self.name = settings.name

    def stored(self, name: str, values: Any, *, kind: Any = "parameter", signed: bool = True) -> Tensor:
        """A tensor of typed numbers: a parameter, or an input."""
        array = np.asarray(values, dtype=np.float64)
        tensor = Tensor(f"{self.name}.{name}", array.shape, kind, operator=name, signed=signed)
        tensor.placement = "given"  # so that no rule lays it out anew
        self.draft.graph.tensors.append(tensor)
        self.draft.stored[tensor] = shortest(array) if kind == "parameter" else array
        if kind == "input":
            self.draft.graph.inputs.append(tensor)
        return tensor

    def made(
        self,
        name: str,
        shape: Sequence[int],
        formula: Callable[[Tensor], Expr],
        operation: Operation,
        *,
        kind: Any = "activation",
        signed: bool = True,
    ) -> Tensor:
        """A tensor by an expression, and the torch operation that it must agree with."""
        tensor = Tensor(f"{self.name}.{name}", tuple(shape), kind, operator=name, signed=signed)
        tensor.expr = self._through(formula(tensor))
        tensor.operation = operation
        self.draft.graph.tensors.append(tensor)
        if kind == "input":
            self.draft.graph.inputs.append(tensor)
        return tensor

    def note(self, name: str, shape: Sequence[int], formula: Callable[[Tensor], Expr]) -> Tensor:
        """A tensor by an expression alone: sizes, counts, differences. No activation may read it."""
        tensor = Tensor(f"{self.name}.{name}", tuple(shape), operator=name)
        tensor.expr = self._through(formula(tensor))
        self.draft.notes.append(tensor)
        return tensor

    def apply(self, name: str, target: str, *arguments: Any) -> Tensor:
        """The result of a torch operator (``aten.conv2d.default``), by the rule that captured networks use."""
        from sheetconv.compile.apply import apply

        tensors = self.draft.graph.tensors
        count = len(tensors)
        result = apply(tensors, target, arguments, f"{self.name}.{name}", where=f"page {self.name}")
        for tensor in tensors[count:]:
            assert tensor.expr is not None
            tensor.expr = self._through(tensor.expr)
        return result

    def net(self, name: str, module: nn.Module, source: Tensor | None = None, *, fuse: bool = False) -> Graph:
        """Capture `module`; returns its own graph, whose input copies the cells of `source`, see `taken`."""
        from sheetconv.compile.capture import capture

        shape = source.shape if source else (1, *self.draft.stack().shape[1:])
        return self.taken(capture(module, shape), name, source, fuse=fuse)

    def taken(
        self, graph: Graph, name: str, source: Tensor | None = None, *, bare: bool = False, fuse: bool = False
    ) -> Graph:
        """Make a captured graph part of the workbook's; its names get the page's in front unless they stay `bare`.

        Without a source the graph's input is the workbook's digit, see `digit`. With `fuse` a ReLU that
        directly follows a layer is written into the same cell.
        """
        from sheetconv.compile.fuse import fuse_relu

        if fuse:
            fuse_relu(graph)
        for tensor in graph:
            if not bare:
                tensor.name = f"{self.name}.{name}.{tensor.name}" if name else f"{self.name}.{tensor.name}"
                tensor.layer = tensor.layer and f"{self.name}.{tensor.layer}"
            if tensor.kind == "parameter" and tensor.values is not None:
                self.draft.stored[tensor] = shortest(tensor.values)
            elif tensor.kind == "input" and tensor.values is not None:
                self.draft.stored[tensor] = tensor.values
        if source is None:
            self._feed_digit(graph.inputs[0])
        else:
            self.copied(graph.inputs[0], source)
        self.draft.graph.tensors += graph.tensors
        self.draft.graph.inputs += graph.inputs
        if bare:
            self.draft.graph.outputs += graph.outputs
        return graph

    def copied(self, tensor: Tensor, source: Tensor) -> Tensor:
        """Let an input read the cells of `source` (it may still be typed over)."""
        tensor.expr = self._through(source.at(*tensor.axes))
        tensor.operation = Operation("aten.alias.default", (source,))
        return tensor

    def digit(self, name: str = "digit") -> Tensor:
        """The workbook's digit (1, 1, 28, 28) for this page: the chosen image, or a copy of the first page's."""
        tensor = Tensor(
            f"{self.name}.{name}", (1, *self.draft.stack().shape[1:]), "input", operator=name, signed=False
        )
        self._feed_digit(tensor)
        self.draft.graph.tensors.append(tensor)
        self.draft.graph.inputs.append(tensor)
        return tensor

    def _feed_digit(self, tensor: Tensor) -> None:
        draft = self.draft
        if draft.digit is not None:
            self.copied(tensor, draft.digit)
            return
        if draft.choice is None or draft.images is None:
            draft.stored[tensor] = draft.stack()[:1].reshape(tensor.shape)
        else:
            tensor.expr, tensor.operation = chosen(draft.choice, draft.images, tensor)
        draft.digit = tensor

    def _through(self, expr: Expr) -> Expr:
        return look_through(expr, [t for t in self.draft.graph.tensors if t.view])

    def put(
        self,
        tensor: Tensor,
        row: int,
        column: int,
        *steps: Step,
        margin: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> Place:
        """Give a tensor its cells on this page: a (rows, columns) step for each axis, from (row, column).

        The axes that step by one cell make the planes that titles and colour scales go by.
        """
        assert len(steps) == len(tensor.shape), tensor
        rows = [np.arange(size, dtype=np.int64) * r for size, (r, _) in zip(tensor.shape, steps, strict=True)]
        columns = [
            np.arange(size, dtype=np.int64) * c for size, (_, c) in zip(tensor.shape, steps, strict=True)
        ]
        plane = tuple(a for a, s in enumerate(steps) if s in (DOWN, ACROSS))
        place = Place(self.name, tensor, rows, columns, margin, row, column, plane)
        self.draft.places[tensor] = place
        tensor.view = False
        return place


def chosen(pick: Tensor, stack: Tensor, tensor: Tensor) -> tuple[Expr, Operation]:
    """The formula and the operation of image number `pick` (from 1) of `stack` (K, C, H, W)."""
    _, c, y, x = tensor.axes
    expr = nth(pick.at(0), [stack.at(k, c, y, x) for k in range(stack.shape[0])])
    return expr, Operation("choose", (pick, stack))


def nth(number: Expr, choices: Sequence[Expr]) -> Expr:
    """Choice `number` (from 1); many are chosen in two steps, since LibreOffice's CHOOSE takes 30 arguments at most."""
    if len(choices) < _CHOICES:
        return Call("CHOOSE", (number, *choices))
    group = _CHOICES - 10
    rest = [*choices, *[choices[-1]] * (-len(choices) % group)]
    place = call("MOD", number - 1, group) + 1
    groups = [Call("CHOOSE", (place, *rest[i : i + group])) for i in range(0, len(rest), group)]
    return Call("CHOOSE", (call("INT", (number - 1) / group) + 1, *groups))


def _finite(tensor: Tensor, values: FloatArray) -> FloatArray:
    bad = ~(abs(values) < float("inf"))
    if bad.any():
        raise ModelError(
            f"layer {tensor.name} computes {values[bad][0]} in {int(bad.sum())} cells; a sheet holds finite numbers only"
        )
    return values
