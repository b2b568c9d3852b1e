"""The exported program of a module: no operator changes anything in place, and torch decomposes what has no rule."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from sheetconv.errors import ModelError, UnsupportedOperator
from sheetconv.ops.registry import RULES, functional, load

Examples = Sequence[Any] | Mapping[str, Any]

# Checks of torch's own that compute nothing.
IGNORED = ("aten._assert", "aten.sym_", "aten._local_scalar", "aten.lift_fresh", "<built-in", "_operator.")
_PASSES = 8


@dataclass
class Program:
    """What torch made of a module: the exported program, and the copy of the module that it was made from."""

    exported: Any
    module: nn.Module
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    @property
    def nodes(self) -> list[Any]:
        """The nodes of the exported graph, in order."""
        return list(self.exported.graph.nodes)


def program_of(module: nn.Module, examples: Examples) -> Program:
    """`module` in evaluation mode, exported for the given inputs, functional, in operators that have rules.

    The module itself is left as it was. Numbers are float64 where the module can compute in it. Raises
    `ModelError` when it cannot be exported and `UnsupportedOperator` naming every operator without a rule.
    """
    load()
    with _quiet():
        model = copy.deepcopy(module).eval()
        for precision in (torch.float64, _precision(model)):
            model = model.to(precision)
            arguments, keywords = _arguments(examples, precision)
            try:
                exported = torch.export.export(model, arguments, keywords, strict=False)
                exported = exported.run_decompositions({})
                break
            except Exception as error:
                failure = error
        else:
            raise ModelError(_reason(module, examples, failure)) from failure
        exported = _decomposed(exported)
    return Program(exported, model, arguments, keywords)


def _precision(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def _arguments(examples: Examples, precision: torch.dtype) -> tuple[tuple[Any, ...], dict[str, Any]]:
    def cast(value: Any) -> Any:
        return value.to(precision) if torch.is_floating_point(value) else value

    if isinstance(examples, Mapping):
        return (), {k: cast(v) for k, v in examples.items()}
    return tuple(cast(v) for v in examples), {}


def _reason(module: nn.Module, examples: Examples, error: Exception) -> str:
    values = examples.values() if isinstance(examples, Mapping) else examples
    sizes = " and ".join("×".join(map(str, v.shape)) for v in values)
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return f"torch.export cannot capture {type(module).__name__} for an input of {sizes}: {reason}"


@contextmanager
def _quiet() -> Iterator[None]:
    """torch.export logs, warns and prints the whole graph when it fails; the error's text is enough."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")  # torch's own deprecations are not the user's
            with contextlib.redirect_stdout(io.StringIO()):
                yield
    finally:
        logging.disable(before)


# --- decomposition ------------------------------------------------------------------------------------


@cache
def _known() -> dict[Any, Any]:
    """torch's decompositions: those for its core operators, then its reference implementations."""
    from torch._decomp import decomposition_table

    found = dict(torch.export.default_decompositions().items())
    for operator, function in decomposition_table.items():
        found.setdefault(operator, function)
    return found


def _parts_known(exported: Any) -> bool:
    """Whether what torch took apart ended in operators of its own, not in the primitives below them."""
    return not any(str(n.target).startswith("prims.") for n in missing_nodes(exported))


def _decomposed(exported: Any) -> Any:
    """The program with every operator that has no rule taken apart, as far as torch can."""
    table: dict[Any, Any] = {}
    whole = exported
    for _ in range(_PASSES):
        missing = {n.target for n in missing_nodes(exported)} & _known().keys() - table.keys()
        if not missing:
            break
        table |= {operator: _known()[operator] for operator in missing}
        try:
            exported = exported.run_decompositions(table)
        except Exception as error:
            names = ", ".join(sorted(map(str, missing)))
            raise UnsupportedOperator(
                f"{names} has no rule, and torch cannot take it apart: {error!s:.100}"
            ) from error
    return exported if _parts_known(exported) else whole


def missing_nodes(exported: Any) -> list[Any]:
    """The nodes that a result depends on, an input reaches, and no rule computes."""
    from sheetconv.compile.fold import constant_nodes, live_nodes

    constants = constant_nodes(exported)
    return [
        n
        for n in live_nodes(exported, constants)
        if n.op == "call_function"
        and n not in constants
        and functional(str(n.target)) not in RULES
        and not str(n.target).startswith(IGNORED)
    ]


def refuse_missing(exported: Any) -> None:
    """Raise `UnsupportedOperator` naming every operator that has no rule, where it is called."""
    found: dict[str, str] = {}
    for node in missing_nodes(exported):
        found.setdefault(str(node.target), where(node))
    if found:
        named = "; ".join(f"{target} in {place}" for target, place in found.items())
        noun, verb = ("operator", "has") if len(found) == 1 else ("operators", "have")
        raise UnsupportedOperator(
            f"{noun} {named} {verb} no rule for spreadsheets (`sheetconv operators` lists what has)"
        )


def module_path(node: Any) -> str:
    """The path of the module that calls a node's operator; empty for the network itself."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def where(node: Any) -> str:
    """Where an operator is called: the module's path and the line of Python, for messages."""
    path = module_path(node)
    place = f"module {path!r}" if path else "the network itself"
    lines = [x.strip() for x in (node.meta.get("stack_trace") or "").splitlines()]
    files = [x for x in lines if x.startswith('File "')]
    if files:
        name, _, rest = files[-1].removeprefix('File "').partition('", line ')
        place += f" ({name.rpartition('/')[2]}:{rest.partition(',')[0]})"
    return place
