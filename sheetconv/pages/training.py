"""Gradients and one step beside a network's layers, all in cells: loss, every gradient, the network after the step.

The loss is measured against a label (or the image itself, for an autoencoder). The parameters after the step are
those of the network less rate × gradient while the switch is 1; a second copy of the network runs on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sheetconv.compile.capture import settle_views
from sheetconv.compile.joint import gradients, learnable
from sheetconv.compile.loss import add_operator, cross_entropy, loss_of
from sheetconv.compile.unroll import repeated
from sheetconv.graph.expr import Aggregate, Binary, Call, Expr, Number, call
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import Graph, Operation, Tensor
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import Maker

RATE = 0.1


@dataclass
class Training:
    """What was added: the gradient of each tensor, and the cells that drive it (yellow on the page)."""

    gradients: dict[Tensor, Tensor]
    loss: Tensor
    after: Tensor
    rate: Tensor
    switch: Tensor
    breaks: list[Tensor]
    label: Tensor | None = None
    classes: int = 0


def add_training(maker: Maker, graph: Graph, label: int | None) -> Training:
    """Append loss, gradients and a step to a captured network that is not yet part of the workbook.

    `label` None takes the label of the image that is chosen, as far as it is known. Raises `ModelError` where
    there is no loss for the output, `UnsupportedOperator` where the backward pass has an operator without rule.
    """
    forward = [t for t in graph if t.operation is not None]
    output = graph.outputs[0]
    labels = _labels(maker, graph, label)
    loss = loss_of(graph)
    if loss.label is not None and loss.classes is not None:
        maker.draft.stored[loss.classes] = np.arange(loss.classes.size, dtype=np.float64)[None]
    found = gradients(graph, loss.value)
    if loss.label is not None:
        _set_label(maker, loss.label, labels, label)
    rate = _typed(maker, graph, "learning rate", "Learning rate", RATE)
    switch = _typed(maker, graph, "use the new weights", "1: after the step, 0: before", 1)
    instead = {p: _used(graph, p, found[p], rate, switch) for p in learnable(graph) if p in found}
    copies = repeated(forward, instead, lambda t: f"after.{t.name}")
    graph.tensors += copies.values()
    if loss.label is not None and loss.classes is not None:
        after = cross_entropy(graph, copies[output], loss.classes, loss.label, "after.")
    else:
        after = add_operator(graph, "after.loss", "aten.mse_loss.default", copies[output], graph.inputs[0], 1)
    settle_views(graph)
    for parameter in instead:
        for tensor in (found[parameter], instead[parameter]):
            tensor.placement, tensor.partner = "like", parameter
    first_square = len(graph.tensors)
    _check(graph, loss.value, after, rate, [found[p] for p in instead])
    backward = next(t for t in graph if t.name == "grad.loss")
    breaks = [labels or loss.classes or loss.value, backward, rate, graph.tensors[first_square]]
    return Training(found, loss.value, after, rate, switch, breaks, loss.label, output.size)


def draw_control(canvas: Canvas, training: Training, tensor: Tensor) -> bool:
    """Draw a cell that drives the training yellow; False for any other tensor."""
    if tensor is training.rate:
        canvas.decimal(tensor, 1e-9, 1e6, span=3)
    elif tensor is training.switch:
        canvas.choice(tensor, [1, 0], span=3)
    elif tensor is training.label:
        canvas.choice(tensor, range(training.classes), span=3)
    else:
        return False
    return True


def _labels(maker: Maker, graph: Graph, label: int | None) -> Tensor | None:
    """The labels of the images that can be chosen, where all are known and none was asked for."""
    known = maker.draft.picked.labels
    output = graph.outputs[0]
    if label is not None or output.shape == graph.inputs[0].shape or any(k is None for k in known):
        return None
    labels = Tensor("labels", (len(known),), "input", operator="Labels of the images", signed=False)
    graph.tensors.append(labels)
    graph.inputs.append(labels)
    maker.draft.stored[labels] = np.array(known, dtype=np.float64)
    return labels


def _set_label(maker: Maker, cell: Tensor, labels: Tensor | None, label: int | None) -> None:
    choice = maker.draft.choice
    cell.signed = False
    if labels is None:
        maker.draft.stored[cell] = np.array([label or 0], dtype=np.float64)
    elif choice is None:
        cell.expr, cell.operation = labels.at(0), Operation("aten.slice.Tensor", (labels, 0, 0, 1, 1))
    else:
        cell.expr = call("CHOOSE", choice.at(0), *(labels.at(k) for k in range(labels.size)))
        cell.operation = Operation("choose", (choice, labels))


def _typed(maker: Maker, graph: Graph, name: str, title: str, value: float) -> Tensor:
    tensor = Tensor(name, (1,), "input", operator=title, signed=False)
    graph.tensors.append(tensor)
    graph.inputs.append(tensor)
    maker.draft.stored[tensor] = np.array([value], dtype=np.float64)
    return tensor


def _used(graph: Graph, parameter: Tensor, gradient: Tensor, rate: Tensor, switch: Tensor) -> Tensor:
    """The parameter less rate × gradient while the switch is 1, else as it is."""
    name = f"after.{parameter.name}"
    tensor = Tensor(name, parameter.shape, operator="parameter − rate × gradient", layer=name)
    tensor.state_shape = parameter.state_shape
    at = tensor.axes
    moved: Expr = parameter.at(*at) - rate.at(0) * gradient.at(*at)
    off = Binary("=", switch.at(0), Number(0.0))
    tensor.expr = Call("IF", (off, parameter.at(*at), moved))
    step = Operation("aten.sub.Tensor", (parameter, Operation("aten.mul.Tensor", (gradient, rate))))
    tensor.operation = Operation(
        "aten.where.self", (Operation("aten.eq.Scalar", (switch, 0)), parameter, step)
    )
    graph.tensors.append(tensor)
    return tensor


def _check(graph: Graph, before: Tensor, after: Tensor, rate: Tensor, found: list[Tensor]) -> Tensor:
    """By how much the loss falls for a unit of the rate, and what the gradients promise: Σ gradient²."""
    slope: Expr | None = None
    total: Operation | None = None
    for gradient in found:
        part, squares = _squares(graph, gradient)
        slope = part if slope is None else slope + part
        summed = Operation("aten.sum.default", (squares,))
        total = summed if total is None else Operation("aten.add.Tensor", (total, summed))
    promised = Tensor("promised", (), operator="Σ gradient²: the fall for a small rate", layer="promised")
    promised.expr, promised.operation = slope, total
    fall = Tensor("fall", (1,), operator="(loss − loss after) / rate", layer="fall")
    fall.expr = (before.at() - after.at()) / rate.at(0)
    fall.operation = Operation("aten.div.Tensor", (Operation("aten.sub.Tensor", (before, after)), rate))
    graph.tensors += [promised, fall]
    return promised


def _squares(graph: Graph, gradient: Tensor) -> tuple[Expr, Tensor]:
    """The sums of squares of each output's gradients in cells of their own, and the sum of these."""
    first, *rest = gradient.axes
    name = f"square of {gradient.name}"
    squares = Tensor(name, (first.size,), operator="Σ gradient²", layer=name, signed=False)
    over = tuple(Var(v.name, v.size) for v in rest)
    reads = (gradient.at(squares.axes[0], *over),) * 2
    squares.expr = Aggregate("SUMPRODUCT", reads, over) if over else reads[0] * reads[1]
    product = Operation("aten.mul.Tensor", (gradient, gradient))
    rows = Operation("aten.reshape.default", (product, [first.size, -1]))
    squares.operation = Operation("aten.sum.dim_IntList", (rows, [1], False))
    graph.tensors.append(squares)
    k = Var("k", first.size)
    return Aggregate("SUM", (squares.at(k),), (k,)), squares
