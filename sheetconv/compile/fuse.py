"""Optional: a ReLU written into the cell of the layer that it follows."""

from __future__ import annotations

from collections import Counter

from sheetconv.graph.expr import Aggregate, Call, Read, substitute, tensors_read, walk
from sheetconv.graph.tensor import Graph, Tensor


def fuse_relu(graph: Graph) -> None:
    """Give ``MAX(0, …)`` around a layer's own formula to each ReLU that alone reads this layer."""
    readers = Counter(t for tensor in graph if tensor.expr is not None for t in tensors_read(tensor.expr))
    for tensor in graph.tensors:
        source = _only_source(tensor)
        if source is None or readers[source] != 1 or source in graph.outputs or source.expr is None:
            continue
        if not any(isinstance(e, Aggregate) and e.function == "SUMPRODUCT" for e in walk(source.expr)):
            continue
        assert isinstance(tensor.expr, Call)
        inner = substitute(source.expr, dict(zip(source.axes, tensor.axes, strict=True)))
        tensor.expr = Call("MAX", (tensor.expr.arguments[0], inner))
        tensor.operator = f"{source.operator}, ReLU"
        source.view = True  # no cells of its own


def _only_source(tensor: Tensor) -> Tensor | None:
    expr = tensor.expr
    if (
        not tensor.operation
        or not tensor.operation.target.startswith("aten.relu")
        or not isinstance(expr, Call)
    ):
        return None
    read = expr.arguments[-1]
    if isinstance(read, Read) and all(a is b for a, b in zip(read.at, tensor.axes, strict=True)):
        return read.tensor
    return None
