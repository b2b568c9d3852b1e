"""What a manifest asks of torch is bounded by its shapes; what our own networks ask is far below the bound."""

from pathlib import Path

import pytest
from ops.test_rules import EXAMPLES, module_of

from sheetconv.compile import budget
from sheetconv.compile.budget import check_work
from sheetconv.compile.capture import capture
from sheetconv.errors import WorkbookError
from sheetconv.graph.tensor import Graph, Operation, Tensor


@pytest.mark.parametrize("example", EXAMPLES[::3], ids=lambda e: e.name)
def test_what_rules_make_is_within_the_bounds(example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "LARGEST", 0)
    monkeypatch.setattr(budget, "ELEMENTS", 0)
    monkeypatch.setattr(budget, "FLOPS", 0)
    check_work(capture(module_of(example), example.shape), Path("x"))


def graph(operation: Operation, x: Tensor) -> Graph:
    y = Tensor("y", (1, 1), "activation")
    y.operation = operation
    return Graph([x, y], [x], [y])


def test_large_results_and_long_products_are_refused() -> None:
    x = Tensor("x", (100, 100), "input")
    padded = Operation("aten.pad.default", (x, [0, 20_000, 0, 20_000], "constant", 0.0))
    with pytest.raises(WorkbookError, match="y make far more numbers"):
        check_work(graph(Operation("aten.sum.default", (padded,)), x), Path("x"))
    x = Tensor("x", (2000, 2000), "input")
    product: Operation | Tensor = x
    for _ in range(8):
        product = Operation("aten.matmul.default", (product, x))
    with pytest.raises(WorkbookError, match="far more numbers"):
        check_work(graph(product, x), Path("x"))
    with pytest.raises(WorkbookError, match="do not fit"):
        check_work(graph(Operation("aten.matmul.default", (x, [1])), x), Path("x"))
