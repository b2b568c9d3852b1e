"""Between which bounds the whole numbers of an input may lie: the rows of the tables that they choose from."""

from __future__ import annotations

import torch

from sheetconv.compile.reference import evaluate
from sheetconv.graph.expr import Binary, Entry, Number, Read, walk
from sheetconv.graph.tensor import Graph, Tensor

# What torch raises for a position that no table has.
_BEYOND = (IndexError, RuntimeError)


def mark_whole(graph: Graph) -> None:
    """Give every input of whole numbers its bounds (`Tensor.within`), so that other numbers can be drawn.

    They are those of the smallest table that the input chooses from directly, if the network computes at both
    ends, else those of the numbers that were given.
    """
    for tensor in graph.inputs:
        if not tensor.whole or tensor.values is None:
            continue
        given = int(tensor.values.min()), int(tensor.values.max())
        rows = _rows(graph, tensor)
        wide = (0, rows - 1) if rows else given
        tensor.within = wide if all(_computes(graph, tensor, end) for end in wide) else given


def _rows(graph: Graph, tensor: Tensor) -> int:
    """Elements of the smallest range in which the numbers of `tensor` are positions; 0 where there is none."""
    sizes = [
        node.over[at].size
        for other in graph
        if other.expr is not None
        for node in walk(other.expr)
        if isinstance(node, Entry)
        for at, position in enumerate(node.position)
        if _chooses(position, tensor)
    ]
    return min(sizes, default=0)


def _chooses(position: object, tensor: Tensor) -> bool:
    """Whether a position, counted from 1, is a number of `tensor`, counted from 0."""
    match position:
        case Binary("+", Read(read), Number(1.0)):
            return read is tensor
    return False


def _computes(graph: Graph, tensor: Tensor, number: int) -> bool:
    stored = {t: torch.from_numpy(t.values) for t in graph if t.values is not None}
    try:
        evaluate(graph, stored | {tensor: torch.full(tensor.state_shape, float(number))})
    except _BEYOND:
        return False
    return True
