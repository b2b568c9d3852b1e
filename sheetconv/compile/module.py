"""The module has the last word: what it computes by itself, against the operators of its graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sheetconv.compile.program import Program
from sheetconv.compile.reference import evaluate
from sheetconv.errors import ModelError
from sheetconv.graph.tensor import Graph, Tensor

# Relative to the largest output: what float64 rounds, and what a module rounds that computes in float32 in between.
_EXACT, _SINGLE = 1e-9, 1e-4
_POINTS = 2


def check_same(program: Program, graph: Graph) -> None:
    """Raise `ModelError` where the module's own outputs are not those of its graph, at random points."""
    generator = torch.Generator().manual_seed(11)
    for _ in range(_POINTS):
        arguments = [_other(a, generator) for a in program.arguments]
        keywords = {k: _other(v, generator) for k, v in program.keywords.items()}
        check_at(program, graph, arguments, keywords)


def check_at(program: Program, graph: Graph, arguments: Sequence[Any], keywords: dict[str, Any]) -> None:
    """The same at one point: the inputs in order and by name."""
    inputs = dict(zip(graph.inputs, [*arguments, *keywords.values()], strict=True))
    found = graph_outputs(graph, inputs)
    expected = module_outputs(program, arguments, keywords)
    tolerance = _SINGLE if _rounds(program) else _EXACT
    for name, own, other in zip([t.name for t in graph.outputs], found, expected, strict=False):
        own, other = own.reshape(-1), other.to(torch.float64).reshape(-1)
        if own.shape == other.shape:  # what is no number in both is the same
            both = own.isnan() & other.isnan()
            own, other = own.masked_fill(both, 0), other.masked_fill(both, 0)
        worst = float((own - other).abs().max()) if own.shape == other.shape and own.numel() else 0.0
        if own.shape != other.shape or not worst <= tolerance * max(1.0, float(other.abs().max())):
            raise ModelError(
                f"the graph of {type(program.module).__name__} does not compute what the module does: "
                f"output {name} differs by {worst:.3g}"
            )


def graph_outputs(graph: Graph, inputs: dict[Tensor, torch.Tensor]) -> list[torch.Tensor]:
    """The outputs by torch's operators, one after the other."""
    stored = {t: torch.from_numpy(t.values) for t in graph if t.kind == "parameter" and t.values is not None}
    values = evaluate(graph, stored | inputs)
    return [values[t] for t in graph.outputs]


def module_outputs(
    program: Program, arguments: Sequence[Any], keywords: dict[str, Any]
) -> list[torch.Tensor]:
    """The tensors that the module's own forward returns, in order, each once."""
    with torch.no_grad():
        result = program.module(
            *(a.clone() for a in arguments), **{k: v.clone() for k, v in keywords.items()}
        )
    found: list[torch.Tensor] = []
    for value in torch.utils._pytree.tree_leaves(result):
        if isinstance(value, torch.Tensor) and not any(value is f for f in found):
            found.append(value)
    return found


def _rounds(program: Program) -> bool:
    """Whether anything on the way is not float64."""
    kinds = {
        value.dtype
        for node in program.nodes
        for value in torch.utils._pytree.tree_leaves(node.meta.get("val"))
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    return bool(kinds - {torch.float64})


def _other(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Other numbers of the same kind: whole ones stay among those that were given."""
    if value.is_floating_point():
        return torch.randn(value.shape, dtype=torch.float64, generator=generator).to(value.dtype)
    flat = value.reshape(-1)
    return flat[torch.randperm(flat.numel(), generator=generator)].reshape(value.shape)
