"""Constants: what no input reaches is computed once, when the network is captured.

Masks, positions, tables of indices and weights that are made from other weights (weight and spectral norm) become
stored numbers. A view of a parameter that is read elsewhere too (tied weights) stays a view, so that the
parameter has one place.
"""

from __future__ import annotations

from typing import Any

import torch

from sheetconv.ops.registry import RULES, functional

# Operators that ask a tensor for its shape and type only.
_LIKE = (
    "aten.zeros_like", "aten.ones_like", "aten.full_like", "aten.empty_like", "aten.new_zeros", "aten.new_ones",
    "aten.new_full", "aten.new_empty", "aten.empty_strided", "aten.new_empty_strided",
)  # fmt: skip
_VIEWS = ("reshape", "permute", "slice", "select", "expand")


def stored_inputs(exported: Any) -> dict[str, str]:
    """Names of the graph's placeholders that hold parameters, buffers and constants, with their paths."""
    signature = exported.graph_signature
    return {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }


def stored_value(exported: Any, path: str) -> torch.Tensor:
    """The numbers of a parameter, buffer or constant."""
    found = exported.state_dict.get(path)
    value: torch.Tensor = exported.constants[path] if found is None else found
    return value.detach()


def user_outputs(exported: Any) -> list[Any]:
    """The nodes that the module returns (not what it writes into its buffers)."""
    wanted = set(exported.graph_signature.user_outputs)
    output = next(n for n in exported.graph.nodes if n.op == "output")
    return [n for n in output.args[0] if isinstance(n, torch.fx.Node) and n.name in wanted]


def live_nodes(exported: Any, constants: set[Any]) -> list[Any]:
    """The nodes that results depend on, in order; what a constant was made from is not needed."""
    needed: set[Any] = set()
    todo = list(user_outputs(exported))
    while todo:
        node = todo.pop()
        if node not in needed:
            needed.add(node)
            if node not in constants:
                todo += node.all_input_nodes
    return [n for n in exported.graph.nodes if n in needed]


def constant_nodes(exported: Any) -> set[Any]:
    """The calls that no input reaches, except views of parameters that something else reads as well."""
    stored = stored_inputs(exported)
    found: set[Any] = set()
    shared: dict[Any, Any] = {}  # views of parameters: their parameter
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name in stored:
            found.add(node)
            shared[node] = node
        elif node.op == "call_function" and not _random(node):
            if not _fixed(node, found):
                continue
            found.add(node)
            if _is_view(node) and node.args[0] in shared:
                shared[node] = shared[node.args[0]]
    tied = _tied(found, shared)
    return {n for n in found if n.op == "call_function" and shared.get(n) not in tied}


def _fixed(node: Any, found: set[Any]) -> bool:
    return str(node.target).startswith(_LIKE) or all(n in found for n in node.all_input_nodes)


def _is_view(node: Any) -> bool:
    rule = RULES.get(functional(str(node.target)))
    return rule is not None and rule.kind in _VIEWS


def _tied(found: set[Any], shared: dict[Any, Any]) -> set[Any]:
    """The parameters that live calls read in more than one way."""
    ways: dict[Any, set[Any]] = {}
    for node, origin in shared.items():
        if any(user not in found for user in node.users):
            ways.setdefault(origin, set()).add(node)
    return {origin for origin, nodes in ways.items() if len(nodes) > 1}


def _random(node: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def folded(exported: Any, nodes: list[Any], constants: set[Any]) -> dict[Any, torch.Tensor]:
    """The values of those of `nodes` (in order) that are constants, computed by torch."""
    stored = stored_inputs(exported)
    values: dict[Any, Any] = {}

    def value(node: Any) -> Any:
        if node in values:
            return values[node]
        if node.op == "placeholder" and node.name in stored:
            return stored_value(exported, stored[node.name])
        seen = node.meta["val"]
        return torch.zeros(seen.shape, dtype=seen.dtype)  # asked for its shape only

    needed = _behind([n for n in nodes if n in constants], constants)
    with torch.no_grad():
        for node in exported.graph.nodes:
            if node in needed:
                arguments = torch.fx.map_arg(node.args, value)
                values[node] = node.target(*arguments, **torch.fx.map_arg(node.kwargs, value))
    return {n: values[n] for n in nodes if n in values and n in constants}


def _behind(nodes: list[Any], constants: set[Any]) -> set[Any]:
    found: set[Any] = set()
    todo = list(nodes)
    while todo:
        node = todo.pop()
        if node in constants and node not in found:
            found.add(node)
            todo += node.all_input_nodes
    return found


def origins(exported: Any, node: Any) -> list[str]:
    """Paths of the parameters that a constant was made from."""
    stored = stored_inputs(exported)
    seen: set[Any] = set()
    todo, found = [node], []
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.op == "placeholder":
            found.append(stored.get(current.name, current.name))
        todo += current.all_input_nodes
    return sorted(found)
