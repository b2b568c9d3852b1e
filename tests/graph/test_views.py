"""Random stacks of views: whatever is permuted, cut, joined, turned and reshaped, the formulas are torch's."""

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from sheetconv.compile.capture import capture
from sheetconv.compile.reference import evaluate as torch_evaluate
from sheetconv.graph.affine import bounds, simplified
from sheetconv.graph.expr import evaluate
from sheetconv.graph.index import Index, Var, grid

STEPS = ("permute", "reshape", "slice", "chunk", "flip", "roll", "cat", "stack")


class Views(nn.Module):
    """Views drawn by name and number, then a dense layer and a softmax, which read windows of them."""

    def __init__(self, steps: list[tuple[str, int]]) -> None:
        super().__init__()
        self.steps = steps
        torch.manual_seed(1)
        self.dense = nn.Linear(self.moved(torch.zeros(1, 4, 2, 6)).shape[-1], 2)

    def moved(self, x: torch.Tensor) -> torch.Tensor:
        for step, number in self.steps:
            axis = 1 + number % (x.dim() - 1)
            match step:
                case "permute":
                    x = x.transpose(axis, x.dim() - 1)
                case "reshape":
                    x = x.reshape(1, 2, -1) if number % 2 else x.reshape(1, -1, 2, 2)
                case "slice":
                    x = x.narrow(axis, x.shape[axis] % 2, max(1, x.shape[axis] // 2 * 2 - x.shape[axis] % 2))
                case "chunk":
                    x = x.chunk(2, axis)[number % 2 if x.shape[axis] > 1 else 0]
                case "flip":
                    x = x.flip(axis)
                case "roll":
                    x = x.roll(number, axis)
                case "cat":
                    x = torch.cat([x, x.flip(axis)], axis)
                case "stack":
                    x = torch.stack([x, x], 1).flatten(1, 2)
            if x.numel() % 4:
                x = torch.cat([x] * 4, 1)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.dense(self.moved(x))
        return found.softmax(-1)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), min_size=2, max_size=5))
def test_stacks_of_views(steps: list[tuple[str, int]]) -> None:
    x = torch.randn(1, 4, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    module = Views(steps).double()
    graph = capture(module, tuple(x.shape))
    stored = {t: torch.from_numpy(t.values) for t in graph if t.values is not None}
    found = torch_evaluate(graph, stored | {graph.inputs[0]: x})
    values = {t: v.reshape(t.shape).numpy() for t, v in found.items()}
    for tensor in graph.placed():
        if tensor.expr is not None:
            numbers = evaluate(tensor.expr, tensor.axes, values)
            np.testing.assert_allclose(numbers, values[tensor], rtol=1e-12, atol=1e-13)


@st.composite
def indices(draw: st.DrawFn, depth: int = 3) -> Index:
    if not depth:
        return draw(st.sampled_from(VARIABLES))
    left, number = draw(indices(depth - 1)), draw(st.integers(1, 6))
    match draw(st.sampled_from("+-*/%&")):
        case "+":
            return left + draw(indices(depth - 1))
        case "-":
            return left - number
        case "*":
            return left * number
        case "/":
            return left // number
        case "%":
            return left % number
    return left + number


VARIABLES = [Var("i", 4), Var("j", 6), Var("k", 1)]


@given(indices())
def test_simpler_indices_have_the_same_values(index: Index) -> None:
    env = grid(VARIABLES)
    expected = np.broadcast_to(index.evaluate(env), (24,))
    np.testing.assert_array_equal(np.broadcast_to(simplified(index).evaluate(env), (24,)), expected)
    low, high = bounds(index)
    assert low <= expected.min()
    assert high >= expected.max()
