"""One operator applied to tensors of a graph, by its rule: the only place where a `Build` is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from sheetconv.compile.reference import run, schema
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.registry import Build, find, functional


def apply(
    tensors: list[Tensor],
    target: str,
    arguments: Sequence[Any],
    name: str | Callable[[str], str],
    *,
    module: str = "",
    item: int | None = None,
    shape: tuple[int, ...] | None = None,
    where: str = "",
) -> Tensor:
    """Append to `tensors` what the rule of `target` makes of `arguments`; returns the result.

    Arguments that are left out are torch's defaults. `name` is the result's, or a function of the rule's kind;
    `item` says which of several results is wanted; `where` says who asks, for errors. Raises
    `UnsupportedOperator` where there is no rule, or it does not know the arguments.
    """
    target = functional(target)
    registered = find(target, where or "the workbook")
    declared = schema(target)
    rest = [d.default_value if d.has_default_value() else None for d in declared[len(arguments) :]]
    complete = (*arguments, *rest)
    if shape is None:
        shape = result_shape(Operation(target, complete), item)
    title = name if isinstance(name, str) else name(registered.kind)
    several = item is not None
    build = Build(target, complete, shape, title, module, tensors, item=item or 0, several=several)
    result: Tensor = registered.rule(build, *complete)
    for tensor in build.made:
        tensor.layer = build.name
    return result


def result_shape(operation: Operation, item: int | None = None) -> tuple[int, ...]:
    """Shape of an operator's result, asked of torch with zeros that take no memory."""
    zero = torch.zeros((), dtype=torch.float64)
    tensors = {t: zero.expand(t.state_shape) for t in operation.tensors()}
    result = run(operation, tensors)
    first = result[item or 0] if isinstance(result, list | tuple) else result
    return tuple(int(s) for s in first.shape)
