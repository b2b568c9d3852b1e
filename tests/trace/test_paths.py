"""Paths counted in formulas, against torch's gradient of the network with all weights one."""

import numpy as np
import pytest
import torch
from torch import nn

from sheetconv.compile.capture import capture
from sheetconv.errors import UsageError
from sheetconv.formulas.paths import lit, path_counts


def counted_by_torch(network: nn.Module, shape: tuple[int, ...], unit: tuple[int, ...]) -> np.ndarray:
    """Gradient of one output with weights one, no ReLU, and the sum in place of the maximum."""
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    y = x
    for layer in network.double():
        if isinstance(layer, nn.MaxPool2d):
            window = torch.ones(y.shape[1], 1, layer.kernel_size, layer.kernel_size, dtype=torch.float64)
            y = torch.conv2d(y, window, None, layer.stride, layer.padding, 1, y.shape[1])
        elif not isinstance(layer, nn.ReLU):
            y = layer(y)
    return torch.autograd.grad(y[unit], x)[0].numpy()


@pytest.mark.parametrize("unit", [(0, 0, 0, 0), (0, 2, 1, 2), (0, 1, 3, 3)])
def test_counts_equal_the_gradient_of_a_network_of_ones(unit: tuple[int, ...]) -> None:
    layers = [
        nn.Conv2d(2, 4, 3, 2, 1),
        nn.ReLU(),
        nn.MaxPool2d(2, 1, 1),
        nn.Conv2d(4, 3, 3, padding=1, groups=1),
    ]
    network = nn.Sequential(*layers, nn.UpsamplingNearest2d(scale_factor=2), nn.Conv2d(3, 3, 3))
    shape = (1, 2, 7, 6)
    graph = capture(network, shape)
    found = path_counts(graph, graph.outputs[0], unit)[graph.inputs[0]]
    np.testing.assert_array_equal(found, counted_by_torch(network, shape, unit))


def test_every_earlier_layer_is_lit() -> None:
    graph = capture(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2)), (1, 1, 8, 8))
    found = lit(graph, graph.outputs[0], (0, 1, 2, 0))
    assert [t.operator.split()[0] for t in found] == ["Input", "Conv2d", "ReLU"]
    pixels, before = found[graph.inputs[0]], found[graph["relu1"]]
    assert before.sum() == 4
    assert before[0, 1, 4:6, 0:2].all()
    assert pixels.sum() == 16
    assert pixels[0, 0, 4:8, 0:4].all()


def test_a_cell_read_twice_by_one_formula_is_one_edge() -> None:
    graph = capture(nn.SiLU(), (1, 3))
    assert path_counts(graph, graph.outputs[0], (0, 1))[graph.inputs[0]].tolist() == [[0, 1, 0]]


def test_unit_outside() -> None:
    graph = capture(nn.Conv2d(1, 2, 3), (1, 1, 5, 5))
    with pytest.raises(UsageError, match=r"0,2,0,0 is not a unit of conv1, whose shape is 1×2×3×3"):
        lit(graph, graph.outputs[0], (0, 2, 0, 0))
