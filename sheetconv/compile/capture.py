"""From a torch module to a graph: `torch.export`, then one rule per operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sheetconv.compile.apply import apply
from sheetconv.compile.fold import (
    constant_nodes,
    folded,
    live_nodes,
    origins,
    stored_inputs,
    stored_value,
    user_outputs,
)
from sheetconv.compile.module import check_same
from sheetconv.compile.program import (
    IGNORED,
    Examples,
    Program,
    module_path,
    program_of,
    refuse_missing,
    where,
)
from sheetconv.compile.reference import in_order, schema
from sheetconv.compile.views import settle_views
from sheetconv.compile.within import mark_whole
from sheetconv.errors import ModelError, SheetconvError, UnsupportedOperator
from sheetconv.graph.expr import evaluate as evaluate_expr
from sheetconv.graph.expr import tensors_read
from sheetconv.graph.tensor import Graph, Tensor
from sheetconv.graph.windows import through_all
from sheetconv.ops.registry import functional

__all__ = ["capture", "evaluate_expr"]

# Elements of one tensor beyond which no spreadsheet could hold it (and the numbers would fill memory).
_MAX_ELEMENTS = 10_000_000
# What stands for an infinite number (of a mask, say): a cell can hold no such thing.
_INFINITE = 1e30


def capture(module: nn.Module, shape: tuple[int, ...] | Examples) -> Graph:
    """The graph of `module` in evaluation mode and float64, for one input of `shape` (N = 1 first).

    In place of a shape there may be the inputs themselves, in order or by name, as torch tensors (token numbers
    as whole ones). The module itself is left as it was, and has the last word: run on its own on other numbers,
    it must give what the graph's operators give. Raises `ModelError` when it cannot be exported for this input
    or gives something else, and `UnsupportedOperator` naming every operator that has no rule.
    """
    program = program_of(module, _examples(shape))
    refuse_missing(program.exported)
    graph = _Capture(program, not _is_shape(shape)).graph()
    settle_views(graph)
    _drop_unread(graph)
    graph.check()
    check_same(program, graph)
    mark_whole(graph)
    return graph


def _examples(shape: tuple[int, ...] | Examples) -> Examples:
    if isinstance(shape, tuple) and _is_shape(shape):
        generator = torch.Generator().manual_seed(0)
        return [torch.rand(tuple(shape), dtype=torch.float64, generator=generator)]
    return shape


def _is_shape(shape: tuple[int, ...] | Examples) -> bool:
    return isinstance(shape, Sequence) and all(isinstance(s, int) for s in shape)


class _Capture:
    """Walks the exported program once, in order."""

    def __init__(self, program: Program, given: bool) -> None:
        self.program, self.source, self.given = program.exported, program, given
        self.tensors: list[Tensor] = []
        self.values: dict[Any, Any] = {}
        self.taken: Counter[str] = Counter()
        self.names: set[str] = set()
        self.stored = stored_inputs(self.program)
        self.inputs: list[Tensor] = []

    def graph(self) -> Graph:
        exported = self.program
        constants = constant_nodes(exported)
        live = live_nodes(exported, constants)
        fixed = folded(exported, live, constants)
        wanted = set(live)
        several = sum(n.op == "placeholder" and n.name not in self.stored for n in exported.graph.nodes) > 1
        for node in exported.graph.nodes:
            if node.op == "placeholder" and node.name not in self.stored:
                self._input(node, node.name if several else "input")
            elif node not in wanted:
                continue
            elif node.op == "placeholder":
                path = self.stored[node.name]
                self._constant(node, path, stored_value(exported, path), "parameter")
            elif node in fixed:
                self._constant(node, self._constant_name(node), fixed[node], "constant")
            elif node.op == "call_function":
                self._call(node)
        return Graph(self.tensors, self.inputs, self._outputs())

    def _outputs(self) -> list[Tensor]:
        found = []
        for node in user_outputs(self.program):
            tensor = self.values[node]
            if tensor.kind != "activation" or (tensor.view and tensor in found):
                tensor = apply(self.tensors, "aten.clone.default", [tensor], self._named("output"))
            if not _same_cells(tensor):
                tensor.view = False
            if tensor not in found:
                found.append(tensor)
        if not found:
            raise ModelError("the network returns no tensor")
        return found

    def _input(self, node: Any, name: str) -> None:
        value = node.meta["val"]
        if not isinstance(value, torch.Tensor):
            raise ModelError(f"input {name} is no tensor")
        shape = tuple(int(s) for s in value.shape)
        tensor = Tensor(self._named(name), shape, "input", operator="Input", signed=False)
        tensor.whole = not value.is_floating_point()
        tensor.values = self._given(node)
        self.inputs.append(tensor)
        self._add(node, tensor)

    def _given(self, node: Any) -> Any:
        """The numbers that were given for an input, where they mean more than a shape."""
        if not self.given:
            return None
        given = self.source.keywords.get(node.name)
        given = self.source.arguments[len(self.inputs)] if given is None else given
        return np.array(given.to(torch.float64).numpy())

    def _constant(self, node: Any, name: str, value: torch.Tensor, operator: str) -> None:
        found = value.detach().to(torch.float64)
        # a mask's lowest number stands for an infinite one too; weights that are finite stay bit for bit
        far = found.isinf() | (operator != "parameter")
        finite = torch.where(far, found.clamp(-_INFINITE, _INFINITE), found)
        numbers = np.array(finite.numpy())
        tensor = Tensor(name, tuple(value.shape), "parameter", values=numbers, operator=operator)
        tensor.whole = not value.is_floating_point()
        self._add(node, tensor)

    def _add(self, node: Any, tensor: Tensor) -> None:
        _bounded(tensor)
        self.names.add(tensor.name)
        self.values[node] = tensor
        self.tensors.append(tensor)

    def _constant_name(self, node: Any) -> str:
        """A constant made from one parameter alone has its name, others the name of the module and a number."""
        made_from = origins(self.program, node)
        if len(made_from) == 1 and made_from[0] not in self.names and made_from[0] not in self.stored:
            return made_from[0]
        return self._named(made_from[0] if len(made_from) == 1 else "constant")

    def _call(self, node: Any) -> None:
        target, item, source = str(node.target), None, node
        if getattr(node.target, "__name__", "") == "getitem":
            source, item = node.args
            target = str(source.target)
        elif isinstance(node.meta["val"], list | tuple) or target.startswith(IGNORED):
            return  # each of several results is made where it is taken out
        arguments = self._arguments(source, functional(target))
        module, place = module_path(node), where(node)
        count = len(self.tensors)
        try:
            self.values[node] = apply(
                self.tensors,
                target,
                arguments,
                lambda kind: self._name(module, kind),
                module=module,
                item=item,
                shape=tuple(int(s) for s in node.meta["val"].shape),
                where=place,
            )
        except SheetconvError:
            raise
        except Exception as error:  # a defect of a rule must not reach the user as a traceback
            raise UnsupportedOperator(
                f"operator {target} in {place} could not be compiled ({type(error).__name__}: {error!s:.100})"
            ) from error
        self.values[node].whole = not node.meta["val"].is_floating_point()
        for tensor in self.tensors[count:]:
            _bounded(tensor)

    def _arguments(self, node: Any, target: str) -> tuple[Any, ...]:
        return tuple(self._plain(v) for v in in_order(schema(target), node.args, node.kwargs))

    def _plain(self, value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            return self.values[value]
        if isinstance(value, list | tuple):
            return [self._plain(v) for v in value]
        if isinstance(value, float) and abs(value) == float("inf"):
            return np.sign(value) * _INFINITE
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, torch.dtype):
            return str(value).removeprefix("torch.")
        return None  # devices, memory formats: everything is computed in float64 on one device

    def _name(self, module: str, kind: str) -> str:
        last = module.rpartition(".")[2]
        if module and not last.isdigit() and module not in self.names:
            self.names.add(module)
            return module
        return self._named(kind, number=True)

    def _named(self, stem: str, *, number: bool = False) -> str:
        name = stem
        while number or name in self.names:
            self.taken[stem] += 1
            name = f"{stem}{self.taken[stem]}"
            number = False
        self.names.add(name)
        return name


def _drop_unread(graph: Graph) -> None:
    """Leave out constants that only shaped a formula (positions in a table, say)."""
    read = {t for tensor in graph if tensor.expr is not None for t in tensors_read(tensor.expr)}
    graph.tensors = [t for t in graph if t.kind != "parameter" or t in read]


def _bounded(tensor: Tensor) -> None:
    if tensor.size > _MAX_ELEMENTS:
        raise ModelError(f"{tensor.name} has {tensor.size:,} elements; a spreadsheet cannot show as many")


def _same_cells(tensor: Tensor) -> bool:
    """Whether a view shows a whole computed tensor as it is (or is none)."""
    shown = through_all(tensor.at(*tensor.axes))
    alike = shown.tensor.shape == tensor.shape and shown.tensor.kind == "activation"
    return alike and all(a is b for a, b in zip(shown.at, tensor.axes, strict=True) if b.size > 1)
