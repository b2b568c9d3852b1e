"""A graph with expressions from a manifest, which names torch operators only: their rules are applied anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sheetconv.compile.apply import apply
from sheetconv.compile.views import settle_views
from sheetconv.graph.tensor import Graph, Kind, Operation, Tensor
from sheetconv.ops.registry import RULES, functional, load


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
        item, whole = None, operation is old.operation
        if operation.target == "getitem":
            operation, item = operation.arguments
        arguments = [self.resolved(a, old) for a in operation.arguments]
        # what the manifest says is compared with what torch computes elsewhere; torch's own answer costs seconds
        shape = old.state_shape if whole else None
        return apply(
            self.tensors, operation.target, arguments, old.name, module=old.module, item=item, shape=shape
        )

    def resolved(self, value: Any, old: Tensor) -> Any:
        if isinstance(value, Tensor):
            return self.made[value]
        if isinstance(value, Operation):
            return self.applied(value, old)
        if isinstance(value, list | tuple):
            return [self.resolved(v, old) for v in value]
        return value


def _computable(operation: Operation) -> bool:
    if operation.target != "getitem" and functional(operation.target) not in RULES:
        return False
    return all(_computable(o) for o in _operations(operation.arguments))


def _operations(value: Any) -> list[Operation]:
    if isinstance(value, Operation):
        return [value]
    if isinstance(value, list | tuple):
        return [o for v in value for o in _operations(v)]
    return []
