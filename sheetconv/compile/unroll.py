"""A graph repeated with other tensors in the place of its leaves: one traced training step becomes many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sheetconv.graph.expr import transform
from sheetconv.graph.tensor import Operation, Tensor


def repeated(
    tensors: Iterable[Tensor], instead: Mapping[Tensor, Tensor], name: Callable[[Tensor], str]
) -> dict[Tensor, Tensor]:
    """Copies of `tensors` (in the order in which they are computed) that read `instead` of their leaves.

    The copies keep shapes, axes, formulas and operations; leaves that `instead` does not name stay shared.
    Returns each copy by its original.
    """
    found: dict[Tensor, Tensor] = dict(instead)
    made: dict[Tensor, Tensor] = {}
    for old in tensors:
        new = Tensor(
            name(old),
            old.shape,
            old.kind,
            operator=old.operator,
            view=old.view,
            signed=old.signed,
            axes=old.axes,
        )
        new.state_shape, new.layer = old.state_shape, name(old)
        if old.expr is not None:
            new.expr = transform(old.expr, lambda r: found.get(r.tensor, r.tensor).at(*r.at), lambda i: i)
        if old.operation is not None:
            new.operation = _with(old.operation, found)
        found[old] = made[old] = new
    return made


def _with(operation: Operation, found: Mapping[Tensor, Tensor]) -> Operation:
    def resolved(value: Any) -> Any:
        if isinstance(value, Tensor):
            return found.get(value, value)
        if isinstance(value, Operation):
            return _with(value, found)
        return [resolved(v) for v in value] if isinstance(value, list | tuple) else value

    return Operation(operation.target, tuple(resolved(a) for a in operation.arguments))
