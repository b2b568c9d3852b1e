"""What torch computes: the operators of a graph, run by torch itself in float64.

This is the reference that formulas are verified against. It runs operators by name from an allow-list (those
that have a rule, and the few that describe a rule's intermediate results), so that a manifest from a stranger
can name nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import torch

from sheetconv.errors import WorkbookError
from sheetconv.graph.tensor import Graph, Operation, Tensor
from sheetconv.ops.registry import RULES, Registered, functional, load

_INTERMEDIATE = ("aten.cos.default", "aten.flip.default", "aten.remainder.Scalar")


def _position(value: Any, unknown: int) -> int:
    """A position from a cell; `unknown` where there are only shapes, and no numbers."""
    if not isinstance(value, torch.Tensor):
        return int(value)
    return unknown if value.is_meta else int(value.item())


def _window(x: Any, row: Any, column: Any, height: int, width: int) -> Any:
    top, left = (_position(at, 0) for at in (row, column))
    if top < 0 or left < 0:
        raise IndexError(f"a window at row {top}, column {left}")
    found = x[..., top : top + height, left : left + width]
    if found.shape[-2:] != (height, width):
        raise IndexError(f"a window at row {top}, column {left} reaches beyond the image")
    return found


def _nth(pick: Any, stack: Any) -> Any:
    number = _position(pick, 1)
    if not 1 <= number <= len(stack):
        raise IndexError(f"choice {number} of {len(stack)}")
    return stack[number - 1]


def _drawn(source: Any, pick: Any, stack: Any) -> Any:
    if not source.is_meta and source.item() != 0:
        raise WorkbookError(
            "random numbers by RAND() are new at every calculation; there is nothing to compare"
        )
    return _nth(pick, stack).unsqueeze(0)


def _pool_gradient(grad: Any, x: Any, *sizes: Any) -> Any:
    indices = torch.ops.aten.max_pool2d_with_indices.default(x, *sizes)[1]
    return torch.ops.aten.max_pool2d_with_indices_backward.default(grad, x, *sizes, indices)


# What torch has no single operator for: an element of a tuple result; number `pick` (counted from 1) of a
# stack, with a batch axis or without; the part of a map at a row and column (counted from 0); number `pick` of a
# stack of fixed random numbers, unless a switch asks for new ones; a max-pool's gradient with its winners found anew.
_OWN = {
    "getitem": lambda values, which: values[which],
    "choose": lambda pick, stack: _nth(pick, stack).unsqueeze(0),
    "nth": _nth,
    "window": _window,
    "drawn": _drawn,
    "max_pool2d_gradient": _pool_gradient,
}


# Everything is computed in float64, and a manifest holds no types.
_TYPES: dict[str, Any] = {"ScalarType": torch.float64, "Optional[ScalarType]": None}


def allowed() -> frozenset[str]:
    """Names of all operators that may run."""
    load()
    return frozenset((*RULES, *_INTERMEDIATE, *_OWN))


@cache
def overload(target: str) -> Any:
    """torch's operator by its name (``aten.conv2d.default``), or our own; never one that changes its argument.

    Raises `WorkbookError` for a name that is not allowed.
    """
    target = functional(target)
    load()
    if target not in RULES and target not in _OWN and target not in _INTERMEDIATE:
        raise WorkbookError(f"operator {target!r} is not one that sheetconv runs")
    own = _OWN.get(target) or (RULES[target].own if target in RULES else None)
    if own is not None:
        return own
    namespace, name, variant = target.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), name), variant)


@cache
def _types(target: str) -> list[tuple[Any, str]]:
    """What `schema` gives, each with the name of its type (torch takes long to spell it)."""
    return [(d, str(d.real_type)) for d in schema(target)]


@cache
def schema(target: str) -> list[Any]:
    """The arguments of an operator as torch declares them; of our own, none."""
    declared = getattr(overload(target), "_schema", None)
    return list(declared.arguments) if declared is not None else []


def in_order(declared: Sequence[Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The arguments of a call in the order in which torch declares them, defaults filled in."""
    found = [d.default_value if d.has_default_value() else None for d in declared]
    names = [d.name for d in declared]
    for at, value in [*enumerate(args), *((names.index(name), v) for name, v in kwargs.items())]:
        found[at] = value
    return found


def run(operation: Operation, values: Mapping[Tensor, torch.Tensor]) -> Any:
    """The result of an operation, from the values of the tensors in it, which stay as they are."""

    def resolve(value: Any) -> Any:
        if isinstance(value, Tensor):
            return values[value]
        if isinstance(value, Operation):
            return run(value, values)
        if isinstance(value, list | tuple):
            return [resolve(v) for v in value]
        return value

    operator = overload(operation.target)
    registered = RULES.get(functional(operation.target))
    arguments = [resolve(a) for a in operation.arguments]
    if registered is not None:
        arguments = [_as_wanted(a, i, registered) for i, a in enumerate(arguments)]
    declared = _types(operation.target)
    if not declared:
        return operator(*arguments)
    pairs = [(d, _TYPES.get(kind, a)) for (d, kind), a in zip(declared, arguments, strict=False)]
    named = {d.name: a for d, a in pairs if d.kwarg_only and a is not None}
    return operator(*(a for d, a in pairs if not d.kwarg_only), **named)


def _as_wanted(value: Any, position: int, registered: Registered) -> Any:
    """Cells hold truth values as 1 and 0 and whole numbers as any others; torch asks for its own."""
    if isinstance(value, torch.Tensor):
        if position in registered.truth:
            return value != 0
        if position in registered.whole:
            return value.to(torch.int64)
    elif isinstance(value, list) and position in registered.whole:
        return [_whole(v) for v in value] if _nested(value) else torch.tensor(value, dtype=torch.int64)
    return value


def _nested(value: list[Any]) -> bool:
    return any(not isinstance(v, int) for v in value)


def _whole(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(torch.int64)
    return torch.tensor(value, dtype=torch.int64) if isinstance(value, list) else value


def evaluate(
    graph: Graph | Iterable[Tensor],
    stored: Mapping[Tensor, torch.Tensor],
    device: str = "cpu",
    adjust: Callable[[Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> dict[Tensor, torch.Tensor]:
    """Every tensor of the graph in float64, from the values of inputs and parameters (any shape, C order).

    Tensors that are in `stored` already are not computed again. `adjust` may change what was computed before
    anything reads it (numbers typed over a formula).
    """
    values = {t: v.to(device=device, dtype=torch.float64).reshape(t.state_shape) for t, v in stored.items()}
    with torch.no_grad():
        for tensor in graph:
            if tensor not in values:
                assert tensor.operation is not None, tensor
                # a comparison is 1 or 0 in a cell
                values[tensor] = run(tensor.operation, values).to(torch.float64)
    return values
