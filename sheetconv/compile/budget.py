"""How much work a graph from a file asks of torch, told from its shapes alone before anything is computed.

A manifest can name tensors of any size between those that have cells: operators are run on torch's meta
device, where a tensor has a shape and no numbers, and what they would make and multiply is added up.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sheetconv.compile.reference import run
from sheetconv.errors import WorkbookError
from sheetconv.graph.tensor import Graph, Operation, Tensor

LARGEST = 4_000_000
"""Elements of a single result that are always allowed; beyond it is 4 times the graph's largest tensor."""

ELEMENTS = 20_000_000
"""Elements of all results together that are always allowed; beyond it is 20 times all of the graph's."""

FLOPS = 1_000_000_000
PER_ELEMENT = 20_000
"""Multiplications and additions: so many always, and so many for each element of the graph."""


class _TooMuch(Exception):
    """A signal: the sums are over the bound."""


class _Meter(TorchDispatchMode):
    """Adds up the elements of results, and the multiplications and additions of products and convolutions."""

    def __init__(self, largest: int, elements: int, flops: int) -> None:
        super().__init__()
        self.largest, self.elements, self.flops = largest, elements, flops

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator on shapes and count it."""
        result = func(*args, **(kwargs or {}))
        made = [t.numel() for t in _tensors(result)]
        self.elements -= sum(made)
        if count := flop_registry.get(func._overloadpacket):
            self.flops -= int(count(*args, **(kwargs or {}), out_val=result))
        if max(made, default=0) > self.largest:
            raise _TooMuch
        self.check()
        return result

    def check(self) -> None:
        """Raise the signal where the sums are over the bound."""
        if self.elements < 0 or self.flops < 0:
            raise _TooMuch


def _tensors(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return [t for t in result if isinstance(t, torch.Tensor)] if isinstance(result, tuple | list) else []


def _signature(value: Any) -> Any:
    """What the work of an operation depends on: operators, shapes and numbers, not which tensors."""
    if isinstance(value, Tensor):
        return value.state_shape
    if isinstance(value, Operation):
        return value.target, _signature(value.arguments)
    if isinstance(value, list | tuple):
        return type(value).__name__, *map(_signature, value)
    return type(value).__name__, value


def check_work(graph: Graph, path: Path) -> None:
    """Raise `WorkbookError` where a manifest's operators make or multiply far more than its tensors hold."""
    sizes = [math.prod(tensor.state_shape) for tensor in graph]
    whole = sum(sizes)
    meter = _Meter(
        max(LARGEST, 4 * max(sizes, default=0)), ELEMENTS + 20 * whole, FLOPS + PER_ELEMENT * whole
    )
    shapes = {t: torch.empty(t.state_shape, dtype=torch.float64, device="meta") for t in graph}
    known: dict[Any, tuple[int, int]] = {}  # thousands of small operations are of few kinds
    for tensor in graph:
        if tensor.operation is None:
            continue
        try:
            kind, before = _signature(tensor.operation), (meter.elements, meter.flops)
            if kind in known:
                meter.elements, meter.flops = meter.elements - known[kind][0], meter.flops - known[kind][1]
                meter.check()
                continue
            with torch.no_grad(), meter:
                run(tensor.operation, shapes)
            known[kind] = before[0] - meter.elements, before[1] - meter.flops
        except _TooMuch:
            raise WorkbookError(
                f"{path}: the manifest's operators for {tensor.name} make far more numbers than the workbook has cells; "
                "refused"
            ) from None
        except (
            RuntimeError,
            IndexError,
            TypeError,
            ValueError,
            KeyError,
            AttributeError,
            OverflowError,
        ) as error:
            reason = " ".join(str(error).split())[:120]
            raise WorkbookError(
                f"{path}: the manifest's operators do not fit its tensors ({tensor.name}: {reason})"
            ) from error
