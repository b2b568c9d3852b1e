"""Every rule's examples: torch against the numpy reading of the formulas, and against two spreadsheet engines."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sheetconv.compile.capture import capture
from sheetconv.compile.reference import evaluate as torch_evaluate
from sheetconv.data.pick import Picked
from sheetconv.graph.expr import evaluate
from sheetconv.graph.tensor import Graph, Tensor
from sheetconv.ops import registry
from sheetconv.prove.verify import verify
from sheetconv.sheet.workbook import write_network

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


def test_each_rule_is_reached_by_an_example() -> None:
    reached = set()
    for example in EXAMPLES:
        graph = capture(module_of(example), example.shape)
        for tensor in graph:
            reached |= {tensor.operation.target} if tensor.operation else set()
    families = {registry.RULES[t].kind for t in reached if t in registry.RULES}
    # views that export folds away or that appear as another operator
    rare = {"same", "split", "select", "expand", "slice", "reshape", "mask"}
    assert {r.kind for r in registry.RULES.values()} - families <= rare
