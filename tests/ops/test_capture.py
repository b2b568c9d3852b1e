"""Capture: nothing changes anything in place, the module has the last word, and refusals say what and where."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from sheetconv.compile import capture as capturing
from sheetconv.compile.capture import capture
from sheetconv.compile.module import graph_outputs
from sheetconv.compile.reference import run
from sheetconv.errors import ModelError, UnsupportedOperator
from sheetconv.graph.tensor import Graph
from sheetconv.ops import registry

registry.load()
functional = nn.functional


class Function(nn.Module):
    """A convolution, then a function of its result."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 1)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.conv(x))


def _slice_set(y: torch.Tensor) -> torch.Tensor:
    y[:, 1] = y[:, 0] * 2
    return y


def _select_scaled(y: torch.Tensor) -> torch.Tensor:
    y[:, 0].mul_(2)
    return y


def _view_of_view(y: torch.Tensor) -> torch.Tensor:
    y.view(-1)[3:20].view(17)[2:].sub_(0.5)
    return y


def _relu_of_view(y: torch.Tensor) -> torch.Tensor:
    functional.relu(y.view(-1), inplace=True)
    return y


def _used_before(y: torch.Tensor) -> torch.Tensor:
    functional.relu(y, inplace=True)
    return y + y


@pytest.mark.parametrize("function", [_slice_set, _select_scaled, _view_of_view, _relu_of_view, _used_before])
def test_changes_in_place_mean_what_torch_means(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    torch.manual_seed(0)
    module = Function(function).double()
    graph = capture(module, (1, 2, 3, 4))
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    (found,) = graph_outputs(graph, {graph.inputs[0]: x})
    with torch.no_grad():
        torch.testing.assert_close(found, module(x.clone()), rtol=1e-12, atol=1e-12)
    assert not graph.outputs[0].view


def test_an_input_changed_in_place() -> None:
    class Changes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x.view(-1).sub_(0.5)
            return x * 2

    graph = capture(Changes(), (1, 3))
    x = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    (found,) = graph_outputs(graph, {graph.inputs[0]: x})
    assert found.tolist() == [[1.0, 3.0, 5.0]]
    assert x.tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("example", registry.EXAMPLES, ids=lambda e: e.name)
def test_operators_leave_their_arguments_alone(example: registry.Example) -> None:
    torch.manual_seed(3)
    graph = capture(example.make(), example.shape)
    values = {t: torch.randn(t.state_shape, dtype=torch.float64) for t in graph.inputs}
    values |= {t: torch.from_numpy(t.values).reshape(t.state_shape) for t in graph if t.values is not None}
    for tensor in graph:
        if tensor not in values:
            assert tensor.operation is not None
            before = {t: values[t].clone() for t in tensor.operation.tensors()}
            values[tensor] = run(tensor.operation, values).double()
            again = run(tensor.operation, values).double()
            np.testing.assert_array_equal(again, values[tensor])
            for argument, numbers in before.items():
                np.testing.assert_array_equal(values[argument], numbers)


def test_the_module_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(graph: Graph) -> None:
        drop(graph)
        graph.outputs[0].operation = graph.tensors[-2].operation

    drop = capturing._drop_unread
    monkeypatch.setattr(capturing, "_drop_unread", spoiled)
    with pytest.raises(ModelError, match="does not compute what the module does"):
        capture(nn.Sequential(nn.Tanh(), nn.Sigmoid()), (1, 4))


def test_all_missing_operators_are_named_with_their_places() -> None:
    class Strange(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Function(lambda y: torch.special.bessel_j0(y) + torch.digamma(y))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.inner(x)
            return found

    with pytest.raises(UnsupportedOperator) as caught:
        capture(Strange(), (1, 2, 3, 4))
    text = str(caught.value)
    assert "bessel_j0" in text
    assert "digamma" in text
    assert "'inner'" in text
    assert "test_capture.py:" in text
    assert "\n" not in text
    assert "conv2d" not in text


def test_constants_are_folded_and_named() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.randn(6, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows = torch.arange(3)
            mask = torch.ones(3, 4).tril() * 2.5
            return x + self.table[rows * 2].sin() + mask

    graph = capture(Positions(), (1, 3, 4))
    kinds = [t.kind for t in graph]
    assert kinds.count("parameter") == 2
    assert kinds.count("activation") == 2


def test_casts_to_half_are_refused() -> None:
    with pytest.raises(UnsupportedOperator, match="float16"):
        capture(Function(lambda y: y.half().double()), (1, 2, 3, 3))
