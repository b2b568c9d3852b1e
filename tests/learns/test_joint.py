"""Gradients of a graph: torch's numbers from torch's own operators, and the formulas' numbers from numpy."""

import numpy as np
import pytest
import torch
from learns.modules import MODULES, seeded
from torch import nn

from sheetconv.compile.capture import capture
from sheetconv.compile.joint import gradients, learnable
from sheetconv.compile.loss import add_loss
from sheetconv.compile.reference import evaluate
from sheetconv.errors import UnsupportedOperator
from sheetconv.graph.expr import evaluate as evaluate_expr
from sheetconv.graph.tensor import Graph, Tensor
from sheetconv.nets import INPUT_SHAPES
from sheetconv.nets import seeded as net

NETS = ["conv-example", "autoencoder"]


def compiled(module: nn.Module, shape: tuple[int, ...]) -> tuple[Graph, dict[Tensor, Tensor], Tensor]:
    """The graph with a squared error against a target, its gradients, the target."""
    graph = capture(module, (1, *shape))
    target = Tensor("target", graph.outputs[0].shape, "input")
    graph.tensors.append(target)
    graph.inputs.append(target)
    loss = add_loss(graph, "aten.mse_loss.default", graph.outputs[0], target, 1)
    return graph, gradients(graph, loss), target


def values(graph: Graph, ties: bool = False) -> dict[Tensor, torch.Tensor]:
    """torch's value of every tensor for random inputs, with many equal pixels if `ties`."""
    generator = torch.Generator().manual_seed(1)
    stored = {}
    for tensor in graph:
        if tensor.kind == "parameter":
            stored[tensor] = torch.from_numpy(np.asarray(tensor.values).copy()).reshape(tensor.state_shape)
        elif tensor.operation is None:
            stored[tensor] = torch.randn(tensor.shape, dtype=torch.float64, generator=generator)
            if ties:
                stored[tensor] = stored[tensor].round()
    return evaluate(graph, stored)


def check(module: nn.Module, shape: tuple[int, ...], ties: bool) -> None:
    graph, found, target = compiled(module, shape)
    by_torch = values(graph, ties)
    numbers = {t: v.reshape(t.shape).numpy() for t, v in by_torch.items()}
    source = by_torch[graph.inputs[0]].clone().requires_grad_()
    parameters = dict(module.named_parameters())
    loss = nn.functional.mse_loss(module(source), by_torch[target])
    wanted = torch.autograd.grad(loss, [source, *parameters.values()], allow_unused=True)
    for name, expected in zip([graph.inputs[0].name, *parameters], wanted, strict=True):
        tensor = graph[name]
        gradient = found[tensor]
        assert gradient.shape == tensor.shape
        assert torch.allclose(by_torch[gradient].reshape(expected.shape), expected, rtol=1e-12, atol=1e-15), (
            name
        )
    for tensor in graph:
        if tensor.expr is not None and not tensor.view:
            formula = evaluate_expr(tensor.expr, tensor.axes, numbers)
            scale = max(np.abs(numbers[tensor]).max(initial=0), 1e-300)
            assert np.abs(formula - numbers[tensor]).max(initial=0) <= 1e-12 * scale, tensor.name


@pytest.mark.parametrize("ties", [False, True], ids=["", "ties"])
@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str, ties: bool) -> None:
    make, shape = MODULES[name]
    check(seeded(make), shape, ties)


@pytest.mark.parametrize("name", NETS)
def test_networks(name: str) -> None:
    check(net(name).double().eval(), INPUT_SHAPES[name], ties=False)


def test_every_activation_on_the_way_has_a_gradient() -> None:
    graph, found, _ = compiled(net("conv-example"), (1, 28, 28))
    for name in ("conv1", "relu1", "conv2", "relu2", "pool", "dense", "softmax", "input"):
        assert found[graph[name]].shape == graph[name].shape
    assert {t.name for t in learnable(graph)} <= {t.name for t in found}


def test_a_kernels_gradient_is_one_product_of_two_maps() -> None:
    from sheetconv.sheet.formula import Printer
    from sheetconv.sheet.layout import arrange

    graph, found, _ = compiled(net("conv-example"), (1, 28, 28))
    printer = Printer(arrange(graph, "Network").places, "Network")
    for text in printer.formulas(found[graph["conv2.weight"]]):
        assert text.startswith("SUMPRODUCT(")
        assert text.count("SUMPRODUCT") == 1
        assert text.count(":") == 2


def test_statistics_do_not_learn() -> None:
    graph = capture(net("simple-cnn-bn"), (1, 1, 28, 28))
    assert not any("running" in t.name for t in learnable(graph))


def test_what_has_no_rule_is_named() -> None:
    grouped = nn.Conv2d(2, 2, 3, groups=2).double().eval()
    with pytest.raises(UnsupportedOperator, match="in groups"):
        compiled(grouped, (2, 5, 5))
    dilated = nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2, dilation=2)).double().eval()
    with pytest.raises(UnsupportedOperator, match="dilated"):
        compiled(dilated, (1, 5, 5))
