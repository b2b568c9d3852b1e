"""Random small stacks: torch, the numpy reading of the formulas, and a spreadsheet engine must agree."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from sheetconv.compile.capture import capture
from sheetconv.compile.reference import evaluate as torch_evaluate
from sheetconv.data.pick import Picked
from sheetconv.graph.expr import evaluate
from sheetconv.graph.index import Constant, Var, grid, split
from sheetconv.pages.workbook import write_network
from sheetconv.prove.verify import verify


@st.composite
def layers(draw: st.DrawFn) -> tuple[list[nn.Module], tuple[int, ...]]:
    channels, height, width = draw(st.integers(1, 3)), draw(st.integers(5, 9)), draw(st.integers(5, 9))
    shape = (1, channels, height, width)
    stack: list[nn.Module] = []
    x = torch.zeros(shape)
    for _ in range(draw(st.integers(1, 3))):
        layer = draw(layer_for(x.shape))
        try:
            x = layer(x)
        except RuntimeError:  # a kernel that is larger than what is left of the image
            continue
        stack.append(layer)
    return stack or [nn.Identity(), nn.ReLU()], shape


@st.composite
def layer_for(draw: st.DrawFn, shape: torch.Size) -> nn.Module:
    kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    match draw(st.sampled_from(["conv", "max", "avg", "relu", "transposed"])):
        case "conv":
            groups = draw(st.sampled_from([1, shape[1]]))
            return nn.Conv2d(
                shape[1], groups * draw(st.integers(1, 2)), kernel, stride, draw(st.integers(0, 2)),
                dilation=draw(st.integers(1, 2)), groups=groups, bias=draw(st.booleans()),
            )  # fmt: skip
        case "max":
            return nn.MaxPool2d(
                kernel, stride, draw(st.integers(0, kernel // 2)), ceil_mode=draw(st.booleans())
            )
        case "avg":
            return nn.AvgPool2d(
                kernel, stride, draw(st.integers(0, kernel // 2)), draw(st.booleans()), draw(st.booleans())
            )
        case "transposed":
            return nn.ConvTranspose2d(shape[1], 2, kernel, stride, draw(st.integers(0, kernel - 1)))
    return nn.ReLU()


def check(stack: list[nn.Module], shape: tuple[int, ...], engine: str | None) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    graph = capture(nn.Sequential(*stack), shape)
    stored = {t: torch.from_numpy(t.values) for t in graph if t.kind == "parameter"}
    stored[graph.inputs[0]] = torch.from_numpy(x)
    expected = {t: v.reshape(t.shape).numpy() for t, v in torch_evaluate(graph, stored).items()}
    for tensor in graph.placed():
        if tensor.expr is not None:
            found = evaluate(tensor.expr, tensor.axes, expected)
            np.testing.assert_allclose(found, expected[tensor], rtol=1e-12, atol=1e-13)
    if engine:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "book.xlsx"
            picked = Picked(x, [None], ["random"], "random numbers", "a test")
            write_network(path, graph, picked, "random")
            report = verify(path, engine, "cpu")
        assert report.agrees, report.verdict()
        assert report.largest <= 1e-12


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(layers())
def test_numpy_agrees(drawn: tuple[list[nn.Module], tuple[int, ...]]) -> None:
    check(*drawn, engine=None)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(layers(), st.sampled_from(["ironcalc", "formualizer"]))
def test_engine_agrees(drawn: tuple[list[nn.Module], tuple[int, ...]], engine: str) -> None:
    check(*drawn, engine=engine)


@given(st.integers(-3, 3), st.integers(-3, 3), st.integers(-5, 5))
def test_split_is_a_sum(a: int, b: int, c: int) -> None:
    i, k = Var("i", 4), Var("k", 3)
    index = i * a + (k * b - c) * 2 + Constant(1)
    outer, inner = split(index, [k])
    env = grid([i, k])
    np.testing.assert_array_equal(outer.evaluate(env) + inner.evaluate(env), index.evaluate(env))
    assert k not in outer.variables()
    assert inner.variables() <= {k}
