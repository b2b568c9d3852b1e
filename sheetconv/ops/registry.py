"""The registry of operators: a rule says how one cell of an operator's result computes.

A rule is a function of a `Build` and of the operator's arguments in the order of torch's schema (defaults
filled in, tensors as `sheetconv.graph.tensor.Tensor`). It adds the tensor with `Build.emit`, after helper
tensors with `Build.step`, or returns a view with `Build.view`. Each file of this package registers one family
and lists example modules, which the tests take through torch, numpy and the spreadsheet engines.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sheetconv.errors import UnsupportedOperator
from sheetconv.graph.expr import Expr
from sheetconv.graph.index import Index
from sheetconv.graph.tensor import Operation, Tensor

Rule = Callable[..., Any]


@dataclass(frozen=True)
class Registered:
    """A rule with the short name ("conv", "relu") that numbered layer names are made from.

    `truth` and `whole` are the positions of arguments that torch wants as truth values or whole numbers (cells
    hold 1, 0 and plain numbers); `linear` is a stand-in for the operator through which every path stays open
    (None: the operator itself is linear); `own` computes an operator that torch has not.
    """

    rule: Rule
    kind: str
    truth: tuple[int, ...] = ()
    whole: tuple[int, ...] = ()
    linear: Callable[..., Any] | None = None
    own: Callable[..., Any] | None = None


RULES: dict[str, Registered] = {}


@dataclass(frozen=True)
class Example:
    """A module to test a family with: `make()` gives it, `shape` is its input's with N = 1 first."""

    name: str
    make: Callable[[], Any]
    shape: tuple[int, ...]


EXAMPLES: list[Example] = []


@dataclass(frozen=True)
class Given:
    """A tensor of random numbers for `called`: its sizes, whole numbers below `below` if that is not 0."""

    sizes: tuple[int, ...]
    below: int = 0


CALLS: list[tuple[str, tuple[Any, ...]]] = []


def called(target: str, *arguments: Any) -> None:
    """An example for an operator that torch.export gives another name, but pages and manifests may hold."""
    CALLS.append((target, arguments))


def rule(
    *targets: str,
    kind: str,
    truth: tuple[int, ...] = (),
    whole: tuple[int, ...] = (),
    linear: Callable[..., Any] | None = None,
    own: Callable[..., Any] | None = None,
) -> Callable[[Rule], Rule]:
    """Register a rule for operators named as in ``aten.conv2d.default`` (see `Registered` for the rest)."""

    def register(function: Rule) -> Rule:
        for target in targets:
            RULES[target] = Registered(function, kind, truth, whole, linear, own)
        return function

    return register


def example(name: str, shape: tuple[int, ...]) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register a function that returns a module, to be tested on random inputs of `shape`."""

    def register(make: Callable[[], Any]) -> Callable[[], Any]:
        EXAMPLES.append(Example(name, make, shape))
        return make

    return register


@cache
def load() -> None:
    """Import every file of this package, so that all rules are registered."""
    from sheetconv import ops

    for module in pkgutil.iter_modules(ops.__path__):
        importlib.import_module(f"{ops.__name__}.{module.name}")


def supported() -> list[str]:
    """Names of all operators that have a rule, sorted."""
    load()
    return sorted(RULES)


# Operators by another name; where torch's view asks how numbers lie in memory, a sheet does not.
_BY_ANOTHER_NAME = {
    "aten.view.default": "aten.reshape.default",
    "aten._unsafe_view.default": "aten.reshape.default",
    "aten._reshape_alias.default": "aten.reshape.default",
    "aten._softmax.default": "aten.softmax.int",
    "aten._log_softmax.default": "aten.log_softmax.int",
}


def functional(target: str) -> str:
    """The operator that a name stands for: one that does not change its argument (``relu_``: ``relu``)."""
    namespace, _, rest = target.partition(".")
    name, _, variant = rest.partition(".")
    target = f"{namespace}.{name.rstrip('_')}.{variant}" if name.endswith("_") else target
    return _BY_ANOTHER_NAME.get(target, target)


def find(target: str, where: str) -> Registered:
    """The rule for an operator; `where` says who calls it, for the error.

    Raises `UnsupportedOperator` naming the operator and its caller.
    """
    load()
    found = RULES.get(functional(target))
    if found is None:
        raise UnsupportedOperator(
            f"operator {target} in {where} has no rule for spreadsheets (`sheetconv operators` lists what has)"
        )
    return found


@dataclass
class Build:
    """What a rule works with: the operator being compiled and the tensors made so far.

    `item` says which result is compiled where the operator has `several` (of a backward operator: whose gradient).
    """

    target: str
    arguments: tuple[Any, ...]
    shape: tuple[int, ...]
    name: str
    module: str
    tensors: list[Tensor]
    title: str = ""
    made: list[Tensor] = field(default_factory=list)
    item: int = 0
    several: bool = False

    @property
    def operation(self) -> Operation:
        """The torch call that is being compiled."""
        return Operation(self.target, self.arguments)

    @property
    def result(self) -> Operation:
        """The same, or of its several results the one that is asked for."""
        return Operation("getitem", (self.operation, self.item)) if self.several else self.operation

    def refuse(self, what: str) -> UnsupportedOperator:
        """An error to raise where the rule does not know the arguments."""
        place = f"module {self.module!r}" if self.module else "the network itself"
        return UnsupportedOperator(f"{self.target} in {place}: {what}")

    def axes(self, shape: Sequence[int] | None = None) -> Tensor:
        """A tensor still without formula, whose `axes` an expression can be written in."""
        return Tensor(self.name, tuple(self.shape if shape is None else shape), module=self.module)

    def emit(
        self,
        tensor: Tensor,
        expr: Expr,
        *,
        operation: Operation | None = None,
        suffix: str = "",
        signed: bool = True,
    ) -> Tensor:
        """Add `tensor` with its formula; with `suffix` it is a helper that stands for `operation`."""
        tensor.expr = expr
        tensor.operation = operation or self.result
        tensor.layer = self.name
        tensor.name = f"{self.name}.{suffix}" if suffix else self.name
        tensor.operator = suffix or self.title or self.target.split(".")[1]
        tensor.signed = signed
        self._add(tensor)
        return tensor

    def step(
        self, suffix: str, shape: Sequence[int], operation: Operation, formula: Callable[[Tensor], Expr]
    ) -> Tensor:
        """Add a helper tensor (an intermediate result that a person would write in cells of its own)."""
        tensor = self.axes(shape)
        return self.emit(tensor, formula(tensor), operation=operation, suffix=suffix)

    def view(self, source: Tensor, index: Callable[..., Sequence[Index | int]]) -> Tensor:
        """Add a view: `index(*axes)` gives, for each element, the element of `source` that it is."""
        tensor = self.axes()
        tensor = self.emit(tensor, source.at(*index(*tensor.axes)), signed=source.signed)
        tensor.view = True
        return tensor

    def parameter(self, source: Tensor, shape: Sequence[int], placement: str, partner: Tensor) -> Tensor:
        """The parameter `source` laid out in `shape` (same elements, C order) as `placement` says.

        `partner` is the tensor whose layout it follows. A parameter that two layers share keeps the layout
        that the first of them gave it.
        """
        wanted = tuple(shape)
        if source.kind == "parameter" and not source.placement:
            if source.shape != wanted:
                source.reshape(wanted)
            source.placement, source.partner, source.layer = placement, partner, self.name
        return source

    def _add(self, tensor: Tensor) -> None:
        self.tensors.append(tensor)
        self.made.append(tensor)
