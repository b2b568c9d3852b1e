"""A graph with expressions from a manifest, which names torch operators only: their rules are applied anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from sheetconv.compile.capture import settle_views
from sheetconv.compile.reference import overload, run, schema
from sheetconv.graph.tensor import Graph, Kind, Operation, Tensor
from sheetconv.ops.registry import RULES, Build, load

# What helper tensors are described with and no rule knows, as an operator that reads the same cells.
_READS_LIKE = {"aten.var.correction": lambda x, dims, _: ("aten.sum.dim_IntList", (x, dims, False))}


def rebuilt(described: Graph) -> tuple[Graph, dict[Tensor, Tensor]]:
    """The graph that a manifest describes, with expressions, and its tensors by the manifest's.

    Tensors that no rule computes (the choice of an image, a window that moves) become inputs. Raises what the
    rules and torch raise for arguments that make no sense.
    """
    load()
    maker = _Maker()
    made = {tensor: maker.tensor(tensor) for tensor in described}
    inputs = [t for t in maker.tensors if t.kind == "input"]
    graph = Graph(maker.tensors, inputs, [made[t] for t in described.outputs])
    settle_views(graph)
    return graph, made


@dataclass
class _Maker:
    tensors: list[Tensor] = field(default_factory=list)
    made: dict[Tensor, Tensor] = field(default_factory=dict)

    def tensor(self, old: Tensor) -> Tensor:
        if old.operation is not None and old.kind == "activation" and _computable(old.operation):
            new = self.applied(old.operation, old)
            if new in self.made.values() or new.name != old.name:  # a view of another tensor, say a copy's
                new = self._named(new, old)
            new.layer, new.operator = old.layer, old.operator
        else:
            kind: Kind = "parameter" if old.kind == "parameter" else "input"
            new = Tensor(old.name, old.state_shape, kind, operator=old.operator, layer=old.layer)
            self.tensors.append(new)
        self.made[old] = new
        return new

    def _named(self, source: Tensor, old: Tensor) -> Tensor:
        new = Tensor(old.name, source.shape, view=source.view)
        new.expr = source.at(*new.axes)
        new.operation = Operation("aten.alias.default", (source,))
        self.tensors.append(new)
        return new

    def applied(self, operation: Operation, old: Tensor) -> Tensor:
        """The tensor that an operation gives; `old` lends its name (nested operations get none of their own)."""
        arguments = tuple(self.resolved(a, old) for a in operation.arguments)
        if operation.target == "getitem":
            return self._item(operation, old)
        target = operation.target
        if target in _READS_LIKE:
            target, arguments = _READS_LIKE[target](*arguments)
        result = self._ruled(target, arguments, old, whole=operation is old.operation)
        return result if isinstance(result, Tensor) else result[0]

    def resolved(self, value: Any, old: Tensor) -> Any:
        if isinstance(value, Tensor):
            return self.made[value]
        if isinstance(value, Operation):
            return self.applied(value, old)
        if isinstance(value, list | tuple):
            return [self.resolved(v, old) for v in value]
        return value

    def _ruled(
        self, target: str, arguments: tuple[Any, ...], old: Tensor, item: int = 0, whole: bool = False
    ) -> Any:
        declared = schema(target)
        rest = [d.default_value if d.has_default_value() else None for d in declared[len(arguments) :]]
        arguments = (*arguments, *rest)
        # what the manifest says is compared with what torch computes elsewhere; torch's own answer costs seconds
        shape = old.state_shape if whole else _shape(target, arguments, item)
        build = Build(target, arguments, shape, old.name, old.module, self.tensors, item=item)
        return RULES[target].rule(build, *arguments)

    def _item(self, operation: Operation, old: Tensor) -> Tensor:
        """One part of a result of several: the rule tells along which axis, and from where on."""
        inner, which = operation.arguments
        arguments = tuple(self.resolved(a, old) for a in inner.arguments)
        found = self._ruled(inner.target, arguments, old, which)
        if isinstance(found, Tensor):
            return found
        dim, bounds = found
        x = arguments[0]
        shape = _shape(inner.target, arguments, which)
        build = Build(inner.target, arguments, shape, old.name, old.module, self.tensors)
        start = bounds[which][0]
        part = build.view(x, lambda *axes: [a + start if d == dim else a for d, a in enumerate(axes)])
        part.operation = Operation("getitem", (Operation(inner.target, arguments), which))
        return part


def _computable(operation: Operation) -> bool:
    if (
        operation.target not in RULES
        and operation.target not in _READS_LIKE
        and operation.target != "getitem"
    ):
        return False
    return all(_computable(o) for o in _operations(operation.arguments))


def _operations(value: Any) -> list[Operation]:
    if isinstance(value, Operation):
        return [value]
    if isinstance(value, list | tuple):
        return [o for v in value for o in _operations(v)]
    return []


def _shape(target: str, arguments: tuple[Any, ...], item: int) -> tuple[int, ...]:
    """Shape of an operator's result, asked of torch with zeros that take no memory."""
    overload(target)
    tensors = {t: torch.zeros(()).expand(t.state_shape) for t in Operation(target, arguments).tensors()}
    result = run(Operation(target, arguments), tensors)
    first = result[item] if isinstance(result, list | tuple) else result
    return tuple(int(s) for s in first.shape)
