"""Every rule's examples: torch against the numpy reading of the formulas, and against two spreadsheet engines."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sheetconv.compile import apply as applying
from sheetconv.compile.apply import apply
from sheetconv.compile.capture import capture
from sheetconv.compile.reference import evaluate as torch_evaluate
from sheetconv.compile.reference import run
from sheetconv.compile.views import settle_views
from sheetconv.data.pick import Picked
from sheetconv.graph.expr import evaluate, substitute
from sheetconv.graph.tensor import Graph, Operation, Tensor
from sheetconv.ops import registry
from sheetconv.pages.workbook import write_network
from sheetconv.prove.verify import verify

registry.load()
EXAMPLES = registry.EXAMPLES
IDS = [e.name for e in EXAMPLES]


def module_of(example: registry.Example) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return example.make()


def random_input(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(4).normal(size=shape) * 2


def reference(graph: Graph, x: np.ndarray) -> dict[Tensor, np.ndarray]:
    stored = {t: torch.from_numpy(t.values) for t in graph if t.kind == "parameter"}
    stored[graph.inputs[0]] = torch.from_numpy(x)
    return {t: v.reshape(t.shape).numpy() for t, v in torch_evaluate(graph, stored).items()}


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_formulas_read_by_numpy_equal_torch(example: registry.Example) -> None:
    module, x = module_of(example), random_input(example.shape)
    graph = capture(module, example.shape)
    expected = reference(graph, x)
    values = {t: expected[t] for t in graph if t.expr is None}
    for tensor in graph.placed():
        if tensor.expr is not None:
            values[tensor] = evaluate(tensor.expr, tensor.axes, values)
            np.testing.assert_allclose(values[tensor], expected[tensor], rtol=1e-12, atol=1e-13)
    with torch.no_grad():
        whole = module.double().eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(expected[graph.outputs[0]].reshape(whole.shape), whole, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("engine", ["ironcalc", "formualizer"])
@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_engines_equal_torch(example: registry.Example, engine: str, tmp_path: Path) -> None:
    graph = capture(module_of(example), example.shape)
    picked = Picked(random_input(example.shape), [None], ["random"], "random numbers", "a test")
    path = tmp_path / "book.xlsx"
    write_network(path, graph, picked, example.name)
    report = verify(path, engine, "cpu")
    assert report.agrees, report.verdict()
    assert report.largest <= 1e-12
    assert {c.tensor for c in report.computed} >= {t.name for t in graph.placed() if t.kind == "activation"}


def given(argument: object, seed: int) -> object:
    """A tensor of a graph with random numbers for a `Given`."""
    if not isinstance(argument, registry.Given):
        return argument
    generator = np.random.default_rng(seed)
    values = generator.normal(size=argument.sizes)
    if argument.below:
        values = generator.integers(0, argument.below, argument.sizes).astype(float)
    return Tensor(f"x{seed}", argument.sizes, "input", values=values)


@pytest.mark.parametrize(
    ("target", "arguments"), registry.CALLS, ids=[f"{i} {c[0]}" for i, c in enumerate(registry.CALLS)]
)
def test_operators_called_by_name(target: str, arguments: tuple[object, ...]) -> None:
    resolved = [given(a, i) for i, a in enumerate(arguments)]
    made = [t for t in resolved if isinstance(t, Tensor)]
    values = {t: t.values for t in made if t.values is not None}
    several = any(w in target for w in ("split", "chunk", "unbind", "native_dropout"))
    for item in (0, 1) if several and "dropout" not in target else (0,) if several else (None,):
        graph = Graph([*made], made, [])
        result = apply(graph.tensors, target, resolved, "y", item=item)
        settle_views(graph)
        result.view = False
        found = torch_evaluate(graph, {t: torch.from_numpy(v) for t, v in values.items()})
        known = {t: v.reshape(t.shape).numpy() for t, v in found.items()}
        assert result.expr is not None
        numbers = evaluate(result.expr, result.axes, known)
        operation = Operation(target, (*resolved,))
        truth = run(operation if item is None else Operation("getitem", (operation, item)), found)
        np.testing.assert_allclose(numbers, truth.double().numpy(), rtol=1e-12, atol=1e-13)


def test_each_target_is_reached_by_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = {target for target, _ in registry.CALLS}

    def find(target: str, where: str) -> registry.Registered:
        reached.add(registry.functional(target))
        return registry.find(target, where)

    monkeypatch.setattr(applying, "find", find)
    for example in EXAMPLES:
        capture(module_of(example), example.shape)
    # the way back through operators is taken in tests/learns; torch's primitives appear under another torch only
    elsewhere = {t for t in registry.RULES if "backward" in t or "gradient" in t or t.startswith("prims.")}
    elsewhere |= {"aten.mse_loss.default", "aten.ones_like.default", "aten.to.dtype"}
    assert sorted(set(registry.RULES) - reached - elsewhere) == []


@pytest.mark.parametrize("fault", ["split", "expand", "pow", "adaptive"])
def test_planted_faults_are_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that is wrong by one shows in the example of its target."""
    target, arguments = {
        "split": ("aten.split.Tensor", (registry.Given((1, 4, 3)), 2, 1)),
        "expand": ("aten.expand.default", (registry.Given((1, 1, 3)), [1, 2, 3])),
        "pow": ("aten.pow.Tensor_Scalar", (registry.Given((2, 3)), 3)),
        "adaptive": ("aten.adaptive_max_pool1d.default", (registry.Given((1, 2, 7)), [3])),
    }[fault]
    right = registry.RULES[target].rule

    def wrong(build: registry.Build, *options: object) -> Tensor:
        result: Tensor = right(build, *options)
        assert result.expr is not None
        result.expr = substitute(result.expr, {result.axes[-1]: (result.axes[-1] + 1) % result.shape[-1]})
        return result

    monkeypatch.setitem(registry.RULES, target, replace(registry.RULES[target], rule=wrong))
    x = given(arguments[0], 0)
    assert isinstance(x, Tensor)
    assert x.values is not None
    graph = Graph([x], [x], [])
    several = fault in ("split", "adaptive")
    result = apply(graph.tensors, target, [x, *arguments[1:]], "y", item=0 if several else None)
    assert result.expr is not None
    assert result.operation is not None
    settle_views(graph)
    truth = run(result.operation, {x: torch.from_numpy(x.values)})
    assert not np.allclose(evaluate(result.expr, result.axes, {x: x.values}), truth.numpy())
