"""From a torch module to a graph: `torch.export`, then one rule per operator."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from sheetconv.compile.reference import schema
from sheetconv.errors import ModelError, UnsupportedOperator
from sheetconv.graph.expr import Aggregate, Expr, Read, precedents, walk
from sheetconv.graph.expr import evaluate as evaluate_expr
from sheetconv.graph.index import NotSeparable, Var, grid, split
from sheetconv.graph.tensor import Graph, Operation, Tensor, look_through
from sheetconv.ops.registry import Build, find

__all__ = ["capture", "evaluate_expr"]

# Elements of one tensor beyond which no spreadsheet could hold it (and the numbers would fill memory).
_MAX_ELEMENTS = 10_000_000


def capture(module: nn.Module, shape: tuple[int, ...]) -> Graph:
    """The graph of `module` in evaluation mode and float64, for one input of `shape` (N = 1 first).

    The module itself is left as it was. Raises `ModelError` when it cannot be exported for this shape and
    `UnsupportedOperator` when one of its operators has no rule.
    """
    program = _export(module, shape)
    graph = _Capture(program).graph()
    settle_views(graph)
    graph.check()
    return graph


def _export(module: nn.Module, shape: tuple[int, ...]) -> Any:
    import copy

    example = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")  # torch's own deprecations are not the user's
            model = copy.deepcopy(module).double().eval()
            return torch.export.export(model, (example,))
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        sizes = "×".join(map(str, shape))
        raise ModelError(
            f"torch.export cannot capture {type(module).__name__} for an input of {sizes}: {reason}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """torch.export logs and prints the whole graph when it fails; the error's text is enough."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


class _Capture:
    """Walks the exported program once, in order."""

    def __init__(self, program: Any) -> None:
        self.program = program
        self.tensors: list[Tensor] = []
        self.values: dict[Any, Any] = {}
        self.taken: Counter[str] = Counter()
        self.names: set[str] = set()
        signature = program.graph_signature
        self.stored: dict[str, str] = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self.constants: dict[str, str] = dict(signature.inputs_to_lifted_tensor_constants)
        self.inputs: list[Tensor] = []

    def graph(self) -> Graph:
        outputs: list[Tensor] = []
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self._placeholder(node)
            elif node.op == "output":
                outputs = [o for o in self._flat(node.args[0]) if isinstance(o, Tensor)]
            elif node.users:
                self._call(node)
        if len(self.inputs) != 1:
            raise ModelError(
                f"the network takes {len(self.inputs)} inputs; sheetconv compiles networks with one"
            )
        if not outputs:
            raise ModelError("the network returns no tensor")
        return Graph(self.tensors, self.inputs, outputs)

    def _flat(self, value: Any) -> list[Any]:
        if isinstance(value, list | tuple):
            return [x for v in value for x in self._flat(v)]
        if isinstance(value, dict):
            return [x for v in value.values() for x in self._flat(v)]
        return [self.values.get(value, value) if not isinstance(value, int | float | str) else value]

    def _placeholder(self, node: Any) -> None:
        if not node.users and node.name in self.stored:
            return
        shape = tuple(int(s) for s in node.meta["val"].shape)
        if node.name in self.stored or node.name in self.constants:
            path = self.stored.get(node.name) or self.constants[node.name]
            source = self.program.state_dict.get(path)
            source = self.program.constants[path] if source is None else source
            values = source.detach().to(torch.float64).numpy()
            tensor = Tensor(path, shape, "parameter", values=np.array(values), operator="parameter")
        else:
            tensor = Tensor("input", shape, "input", operator="Input", signed=False)
            self.inputs.append(tensor)
        if tensor.size > _MAX_ELEMENTS:
            raise ModelError(f"{tensor.name} has {tensor.size:,} elements; a spreadsheet cannot show as many")
        self.names.add(tensor.name)
        self.values[node] = tensor
        self.tensors.append(tensor)

    def _call(self, node: Any) -> None:
        if getattr(node.target, "__name__", "") == "getitem":
            self.values[node] = self._item(node)
            return
        target = str(node.target)
        module = _module_path(node)
        registered = find(target, f"module {module!r}" if module else "the network itself")
        build = Build(
            target,
            self._arguments(node, target),
            _shape(node),
            self._name(module, registered.kind),
            module,
            self.tensors,
        )
        result = registered.rule(build, *build.arguments)
        self.values[node] = result if isinstance(result, Tensor) else (build, result)
        for tensor in build.made:
            tensor.layer = build.name
            if tensor.size > _MAX_ELEMENTS:
                raise ModelError(
                    f"{tensor.name} has {tensor.size:,} elements; a spreadsheet cannot show as many"
                )

    def _item(self, node: Any) -> Tensor:
        source, which = node.args
        found = self.values[source]
        if isinstance(found, Tensor):
            if which == 0:
                return found
            raise UnsupportedOperator(f"result {which} of {source.target} has no rule; only the values have")
        build, (dim, bounds) = found
        start, _ = bounds[which]
        part = Build(
            build.target, build.arguments, _shape(node), f"{build.name}.{which}", build.module, self.tensors
        )
        part.title = f"Part {which}"
        x = build.arguments[0]
        tensor = part.view(x, lambda *axes: [a + start if d == dim else a for d, a in enumerate(axes)])
        tensor.operation = Operation("getitem", (build.operation, which))
        return tensor

    def _arguments(self, node: Any, target: str) -> tuple[Any, ...]:
        declared = schema(target)
        found = [d.default_value if d.has_default_value() else None for d in declared]
        for i, value in enumerate(node.args):
            found[i] = value
        names = [d.name for d in declared]
        for name, value in node.kwargs.items():
            found[names.index(name)] = value
        return tuple(self._plain(v) for v in found)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            return self.values[value]
        if isinstance(value, list | tuple):
            return [self._plain(v) for v in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        return None  # dtypes, devices, memory formats: everything is computed in float64 on one device

    def _name(self, module: str, kind: str) -> str:
        last = module.rpartition(".")[2]
        if module and not last.isdigit() and module not in self.names:
            name = module
        else:
            while True:
                self.taken[kind] += 1
                name = f"{kind}{self.taken[kind]}"
                if name not in self.names:
                    break
        self.names.add(name)
        return name


def _shape(node: Any) -> tuple[int, ...]:
    value = node.meta["val"]
    first = value[0] if isinstance(value, list | tuple) else value
    return tuple(int(s) for s in first.shape)


def _module_path(node: Any) -> str:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


# --- views: which of them need cells ------------------------------------------------------------------


def settle_views(graph: Graph) -> None:
    """Let readers look through views where their windows allow it; give the other views cells."""
    changed = True
    while changed:
        changed = False
        for tensor in graph.tensors:
            if tensor.view or tensor.expr is None:
                continue
            for view in _unreadable(tensor):
                view.view = False
                changed = True
    views = [t for t in graph.tensors if t.view]
    for tensor in graph.tensors:
        if tensor.expr is not None:
            tensor.expr = look_through(tensor.expr, views)


def _unreadable(tensor: Tensor) -> list[Tensor]:
    assert tensor.expr is not None
    read = {e.tensor for e in walk(tensor.expr) if isinstance(e, Read) and e.tensor.view}
    if not read:
        return []
    found = [view for view in read if _beyond(tensor, view) or not _composes(tensor.expr, view)]
    return list(dict.fromkeys(found))


def _beyond(tensor: Tensor, view: Tensor) -> bool:
    """Whether a cell reads the view outside its bounds, where its source may hold other numbers."""
    assert tensor.expr is not None
    for source, _, at in precedents(tensor.expr, grid(tensor.axes)):
        if source is view and at.size and ((at < 0) | (at >= np.array(view.shape))).any():
            return True
    return False


def _composes(expr: Expr, view: Tensor) -> bool:
    def separable(read: Read, over: tuple[Var, ...]) -> bool:
        resolved = look_through(read, [view])
        try:
            for index in resolved.at:  # type: ignore[attr-defined]
                split(index, over)
        except NotSeparable:
            return False
        return True

    windows = [(o, a.over) for a in walk(expr) if isinstance(a, Aggregate) for o in a.operands]
    return all(separable(o, over) for o, over in windows if o.tensor is view)
