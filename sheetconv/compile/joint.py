"""Gradients as tensors of the graph: torch's own backward pass, traced, then one rule per operator.

The operators of a graph are run once more under autograd while every call is recorded (`make_fx`). What was
recorded after the forward pass is the backward pass; its operators are compiled by the same rules and the same
registry as any network, and read the forward pass's tensors where they are. So the network's own layers stay as
they were, and each gradient carries the operator that torch itself ran.

(`torch.export`'s own joint graph, `torch.export.experimental._export_forward_backward`, was tried: for conv-example
with a cross-entropy it has 58 calls where this makes 25 tensors, since it takes the forward pass and each ReLU's
gradient apart too, and the layers lose their names.)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from sheetconv.compile.reference import in_order, run
from sheetconv.compile.views import settle_views
from sheetconv.errors import ModelError, UnsupportedOperator
from sheetconv.graph.expr import Read, substitute, tensors_read
from sheetconv.graph.index import Index, as_index
from sheetconv.graph.tensor import Graph, Operation, Tensor
from sheetconv.ops.registry import RULES, Build, find, functional, load

_BUFFERS = ("running_mean", "running_var")
_SAME = ("aten.detach.default", "aten.alias.default")


def learnable(graph: Graph) -> list[Tensor]:
    """The parameters that training changes: all but the statistics of batch-norm."""
    return [t for t in graph if t.kind == "parameter" and t.name.rpartition(".")[2] not in _BUFFERS]


def gradients(graph: Graph, loss: Tensor, of: Sequence[Tensor] | None = None) -> dict[Tensor, Tensor]:
    """Append the gradient of `loss` (one number) to the graph; returns it by the tensor that it belongs to.

    `of` are parameters, inputs and activations, by default all of them that the loss depends on. A gradient
    has the shape of its tensor. Two tensors that share one gradient (a sum's terms) share its cells.

    Raises `UnsupportedOperator` where an operator of the backward pass has no rule.
    """
    load()
    trace = _traced(graph, loss, list(of) if of is not None else None)
    return _Backward(graph, trace).compiled()


@dataclass
class _Trace:
    """Recorded nodes in order, and which of them are a tensor's value or gradient."""

    nodes: list[Any]
    values: dict[Any, Tensor]
    gradients: dict[Any, list[Tensor]]


def _traced(graph: Graph, loss: Tensor, of: list[Tensor] | None) -> _Trace:
    from torch.fx.experimental.proxy_tensor import make_fx

    leaves = [t for t in graph if t.operation is None or t.kind == "input"]
    grown = set(learnable(graph)) | {t for t in leaves if t.kind == "input" and len(t.shape) > 1}
    rest = [t for t in graph if t not in leaves]
    examples = [
        torch.rand(t.state_shape, dtype=torch.float64, generator=_generator(i)) for i, t in enumerate(leaves)
    ]
    wanted: list[Tensor] = []

    def joint(*values: torch.Tensor) -> Any:
        env = {t: v.detach().requires_grad_(t in grown) for t, v in zip(leaves, values, strict=True)}
        for tensor in rest:
            result = run(tensor.operation, env)  # type: ignore[arg-type]
            env[tensor] = result if result.dtype == torch.float64 else result.to(torch.float64)
        wanted[:] = [t for t in (of or env) if env[t].requires_grad and (of or not _moves(t))]
        found = torch.autograd.grad(env[loss], [env[t] for t in wanted], allow_unused=True)
        return [env[t] for t in (*leaves, *rest)], list(found)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own deprecations are not the user's
            module = make_fx(joint)(*examples)
    except (RuntimeError, NotImplementedError) as error:
        raise ModelError(
            f"torch cannot differentiate the network: {' '.join(str(error).split())[:200]}"
        ) from error
    module.graph.eliminate_dead_code()
    values, found = next(n for n in module.graph.nodes if n.op == "output").args[0]
    by_value: dict[Any, Tensor] = {}
    for tensor, node in zip((*leaves, *rest), values, strict=True):
        # a view that changes nothing is recorded as what it shows
        if node not in by_value or by_value[node].view:
            by_value[node] = tensor
    by_gradient: dict[Any, list[Tensor]] = {}
    for tensor, node in zip(wanted, found, strict=True):
        if node is not None:
            by_gradient.setdefault(node, []).append(tensor)
    return _Trace(list(module.graph.nodes), by_value, by_gradient)


def _moves(tensor: Tensor) -> bool:
    """Whether a tensor only shows another's cells."""
    return tensor.view and isinstance(tensor.expr, Read)


def flattened(axes: Sequence[Index], shape: Sequence[int]) -> Index:
    """The number of an element in C order."""
    flat: Index = as_index(0)
    for axis, size in zip(axes, shape, strict=True):
        flat = flat * size + axis
    return flat


def unflattened(flat: Index, shape: Sequence[int]) -> list[Index]:
    """The element's index along each axis; the first axis takes what the others leave."""
    found: list[Index] = []
    for size in reversed(shape[1:]):
        found.append(flat % size)
        flat = flat // size
    return [flat, *reversed(found)]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class _Backward:
    """Compiles the recorded nodes that are no values of the forward pass."""

    graph: Graph
    trace: _Trace
    values: dict[Any, Any] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    count: int = 0

    def compiled(self) -> dict[Tensor, Tensor]:
        self.names = {t.name for t in self.graph}
        first = len(self.graph.tensors)
        found: dict[Tensor, Tensor] = {}
        needed = self._needed()
        for node in self.trace.nodes:
            if node in self.trace.values:
                self.values[node] = self._as_torch_knows_it(self.trace.values[node])
            elif node in needed:
                self.values[node] = self._value(node)
        for node, owners in self.trace.gradients.items():
            shown = next((t for t in owners if not t.view), owners[0])
            gradient = self._shaped(self.values[node], shown)
            found |= dict.fromkeys(owners, gradient)
        self._drop_unread(first, set(found.values()))
        settle_views(self.graph)
        self.graph.check()
        return found

    def _needed(self) -> set[Any]:
        """The nodes that gradients come from; the forward pass itself stops at its values."""
        todo, seen = list(self.trace.gradients), set()
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                if node not in self.trace.values:
                    todo += node.all_input_nodes
        return seen

    def _as_torch_knows_it(self, tensor: Tensor) -> Tensor:
        """A parameter that is laid out in another shape, seen in its own."""
        if tensor.shape == tensor.state_shape:
            return tensor
        build = self._build(
            "aten.view.default", (tensor, list(tensor.state_shape)), tensor.state_shape, "view"
        )
        same = tensor.shape[0] == tensor.state_shape[0]

        def index(*axes: Index) -> list[Index]:
            # the outputs stay an axis of their own, so that a sum over them is one over a range
            if same and len(axes) == 2:
                return [axes[0], *unflattened(axes[1], tensor.shape[1:])]
            return unflattened(flattened(axes, tensor.state_shape), tensor.shape)

        seen = build.view(tensor, index)
        seen.operation = Operation("aten.alias.default", (tensor,))
        return seen

    def _value(self, node: Any) -> Any:
        """A tensor, or (of a result of several parts, or one that only operators read) an operation."""
        if getattr(node.target, "__name__", "") == "getitem":
            return self._part(node)
        target = str(node.target)
        arguments = self._arguments(node, target)
        if target in _SAME:
            return arguments[0]
        if functional(target) not in RULES or isinstance(node.meta["val"], list | tuple):
            return Operation(target, arguments)
        return self._ruled(target, arguments, node)

    def _part(self, node: Any) -> Any:
        source, which = node.args
        inner = self.values[source]
        whole = not node.meta["val"].is_floating_point()  # positions, say: no rule gives them cells
        if not isinstance(inner, Operation) or functional(inner.target) not in RULES or whole:
            return Operation("getitem", (inner, which))
        return self._ruled(inner.target, inner.arguments, node, which, several=True)

    def _ruled(
        self, target: str, arguments: tuple[Any, ...], node: Any, item: int = 0, several: bool = False
    ) -> Tensor:
        owners = self.trace.gradients.get(node, [])
        build = self._build(target, arguments, tuple(node.meta["val"].shape), self._name(owners), item)
        build.several = several
        registered = find(target, "the backward pass")
        try:
            result: Tensor = registered.rule(build, *arguments)
        except AttributeError as error:
            raise UnsupportedOperator(
                f"the backward pass: {target} reads what has no cells ({error})"
            ) from error
        return result

    def _build(
        self, target: str, arguments: tuple[Any, ...], shape: Sequence[int], name: str, item: int = 0
    ) -> Build:
        if name in self.names:
            self.count += 1
            name = f"{name}{self.count}"
        self.names.add(name)
        return Build(target, arguments, tuple(shape), name, "", self.graph.tensors, item=item)

    def _name(self, owners: Iterable[Tensor]) -> str:
        shown = sorted(owners, key=lambda t: t.view)
        return f"grad.{shown[0].name}" if shown else "back"

    def _arguments(self, node: Any, target: str) -> tuple[Any, ...]:
        declared = node.target._schema.arguments
        return tuple(self._plain(v) for v in in_order(declared, node.args, node.kwargs))

    def _plain(self, value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            return self.values[value]
        if isinstance(value, list | tuple):
            return [self._plain(v) for v in value]
        return value if value is None or isinstance(value, bool | int | float | str) else None

    def _shaped(self, gradient: Tensor, owner: Tensor) -> Tensor:
        """The gradient with cells of its own, in the shape that its tensor is laid out in.

        A vector that only a reshape reads (the gradient before `flatten`) is written as maps at once.
        """
        name = f"grad.{owner.name}"
        if gradient.shape == owner.shape and not gradient.view:
            return gradient
        if gradient.shape != owner.shape:
            build = self._build("aten.view.default", (gradient, list(owner.shape)), owner.shape, name)
            gradient = find(build.target, name).rule(build, *build.arguments)
        self._inline(gradient)
        gradient.name, gradient.layer, gradient.view = name, name, False
        gradient.state_shape = owner.state_shape
        if owner.shape != owner.state_shape:
            assert gradient.operation is not None
            gradient.operation = Operation("aten.view.default", (gradient.operation, list(owner.state_shape)))
        return gradient

    def _inline(self, view: Tensor) -> None:
        """Give a chain of views the formula and the operation of what it shows."""
        while isinstance(view.expr, Read) and view.operation is not None:
            source = view.expr.tensor
            if source.operation is None or source.expr is None or source.kind == "parameter":
                return
            variables = dict(zip(source.axes, view.expr.at, strict=True))
            view.expr = substitute(source.expr, variables)
            view.operation = _with(view.operation, source)
            view.operator = source.operator if not source.view else view.operator
            if not source.view:
                return

    def _drop_unread(self, first: int, kept: set[Tensor]) -> None:
        """Remove what the backward pass made and nothing reads."""
        read: set[Tensor] = set()
        for tensor in reversed(self.graph.tensors[first:]):
            if tensor in kept or tensor in read:
                read.update(tensors_read(tensor.expr) if tensor.expr else ())
                read.update(tensor.operation.tensors() if tensor.operation else ())
        self.graph.tensors[first:] = [t for t in self.graph.tensors[first:] if t in kept or t in read]


def _with(operation: Operation, source: Tensor) -> Operation:
    """The operation with that of `source` in the place of `source`, at any depth."""

    def resolved(value: Any) -> Any:
        if value is source:
            return source.operation
        if isinstance(value, Operation):
            return _with(value, source)
        return [resolved(v) for v in value] if isinstance(value, list | tuple) else value

    return Operation(operation.target, tuple(resolved(a) for a in operation.arguments))
