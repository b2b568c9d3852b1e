"""A loss behind a network: cross-entropy against a label, or the mean squared error against an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sheetconv.compile.apply import apply
from sheetconv.compile.views import settle_views
from sheetconv.errors import ModelError
from sheetconv.graph.tensor import Graph, Tensor

_SOFT = ("aten.softmax.int", "aten._softmax.default")
_LOG_SOFT = ("aten.log_softmax.int", "aten._log_softmax.default")


@dataclass
class Loss:
    """The loss (one number) and what it is measured against: class numbers and label, or the input itself."""

    value: Tensor
    classes: Tensor | None = None
    label: Tensor | None = None


def add_operator(graph: Graph, name: str, target: str, *arguments: Any) -> Tensor:
    """The result of a torch operator, appended by its rule under a name."""
    return apply(graph.tensors, target, arguments, name, where=name)


def add_loss(graph: Graph, target: str, *arguments: Any) -> Tensor:
    """A loss by its operator, such as ``aten.mse_loss.default``."""
    return add_operator(graph, "loss", target, *arguments)


def loss_of(graph: Graph, prefix: str = "") -> Loss:
    """Append the loss that fits the output: cross-entropy for class scores, the squared error for an image.

    Where the network ends in a softmax the cross-entropy is that of its probabilities. Raises `ModelError` for
    an output that is neither.
    """
    output, source = graph.outputs[0], graph.inputs[0]
    if output.shape == source.shape:
        return Loss(add_operator(graph, f"{prefix}loss", "aten.mse_loss.default", output, source, 1))
    if len(output.shape) != 2 or output.shape[1] < 2:
        sizes = "×".join(map(str, output.shape[1:]))
        raise ModelError(
            f"there is no loss for an output of {sizes}: give one score per class, or an image of the input's size"
        )
    classes = Tensor(f"{prefix}classes", (1, output.shape[1]), "input", operator="Classes")
    label = Tensor(f"{prefix}label", (1,), "input", operator="Label")
    graph.tensors += [classes, label]
    graph.inputs += [classes, label]
    return Loss(cross_entropy(graph, output, classes, label, prefix), classes, label)


def cross_entropy(graph: Graph, output: Tensor, classes: Tensor, label: Tensor, prefix: str = "") -> Tensor:
    """−Σ target · ln p, where the target is 1 for the label's class and 0 for all others."""
    target = add_operator(graph, f"{prefix}target", "aten.eq.Tensor", classes, label)
    made = output.operation.target if output.operation else ""
    logs = output
    if made in _SOFT:
        logs = add_operator(graph, f"{prefix}ln p", "aten.log.default", output)
    elif made not in _LOG_SOFT:
        logs = add_operator(graph, f"{prefix}ln p", "aten.log_softmax.int", output, 1)
    picked = add_operator(graph, f"{prefix}target × ln p", "aten.mul.Tensor", target, logs)
    total = add_operator(graph, f"{prefix}sum", "aten.sum.default", picked)
    loss = add_operator(graph, f"{prefix}loss", "aten.neg.default", total)
    settle_views(graph)
    return loss
