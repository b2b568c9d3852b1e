"""The receptive-field page, driven through LibreOffice, against torch's autograd on a network of ones.

The expected side is a plain torch network written here by hand: nothing of the page's own arithmetic is in it.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

UNITS = 50
LIT = {"#FFE3C2", "#FFC078", "#FF922B", "#D9480F"}
UNIT = "#C2255C"


def ones(*layers: nn.Conv2d) -> nn.Sequential:
    """Convolutions without bias whose weights are all 1."""
    net = nn.Sequential(*layers).double()
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    return net


def two_layers() -> nn.Sequential:
    """The two-layer network; its pooling takes the sum, so that every cell of a window counts."""
    pool = nn.Conv2d(2, 2, 2, stride=2, groups=2, bias=False)
    return ones(nn.Conv2d(1, 2, 3, bias=False), nn.Conv2d(2, 2, 3, bias=False), pool)


def simple_cnn() -> nn.Sequential:
    channels = [1, 4, 8, 16, 16, 10]
    return ones(*(nn.Conv2d(a, b, 3, 2, 1, bias=False) for a, b in pairwise(channels)))


NETS = {1: two_layers(), 2: simple_cnn()}


def gradients(net: nn.Sequential, unit: tuple[int, int, int, int]) -> list[np.ndarray]:
    """The gradient of a unit (layer from 1, channel, row, column) at the input and at each layer up to its own."""
    seen = [torch.ones(1, 1, 28, 28, dtype=torch.float64, requires_grad=True)]
    layer, *where = unit
    for step in net[:layer]:
        seen.append(step(seen[-1]))
    found = torch.autograd.grad(seen[-1][(0, *where)], seen)
    return [g[0].numpy() for g in found]


def chosen_units(net: nn.Sequential) -> Iterator[tuple[int, int, int, int]]:
    """For each layer its corners and a random choice, 50 in all, or all of them where there are fewer."""
    x = torch.zeros(1, 1, 28, 28, dtype=torch.float64)
    random = np.random.default_rng(8)
    for layer, step in enumerate(net, start=1):
        x = step(x)
        _, channels, height, width = x.shape
        every = [(layer, c, y, xx) for c in range(channels) for y in range(height) for xx in range(width)]
        corners = [u for u in every if u[2] in (0, height - 1) and u[3] in (0, width - 1)][:UNITS]
        rest = [u for u in every if u not in corners]
        more = random.permutation(len(rest))[: max(0, UNITS - len(corners))]
        yield from (*corners, *(rest[i] for i in more))


@pytest.fixture(scope="module")
def page(lesson_page: Any) -> Any:
    return lesson_page("Receptive field")


def setting(page: Any, net: int, unit: tuple[int, ...]) -> Any:
    """The selectors of a network set to a unit."""
    names = (f"net_{net}_{name}" for name in ("layer", "channel", "row", "column"))
    return page.set(**dict(zip(names, unit, strict=True)))


@pytest.mark.libreoffice
@pytest.mark.parametrize("net", [1, 2])
def test_path_counts_are_the_gradient_of_the_network_of_ones(page: Any, net: int) -> None:
    layers = len(NETS[net])
    units = list(chosen_units(NETS[net]))
    names = [
        f"net {net} {axis} paths {i}" for i in range(layers + 1) for axis in ("channel", "row", "column")
    ]
    names.append(f"net {net} paths 0")
    steps = [setting(page, net, unit) for unit in units]
    for unit, counts in zip(units, page.drive(steps, names), strict=True):
        expected = gradients(NETS[net], unit)
        for i in range(layers + 1):
            product = counts[3 * i] * counts[3 * i + 1] * counts[3 * i + 2]  # channels × rows × columns
            wanted = expected[i] if i < len(expected) else np.zeros(product.shape[1:])
            np.testing.assert_array_equal(product[0], wanted, f"unit {unit}, layer {i}")
        heat = counts[-1] * counts[0]
        np.testing.assert_array_equal(heat[0], expected[0], f"unit {unit}, heat map")
    per_layer = np.unique([u[0] for u in units], return_counts=True)[1]
    assert (per_layer >= UNITS).all() or net == 2
    assert per_layer.tolist()[:4] == [UNITS] * min(layers, 4)


# the middle, corners, borders, other channels, every layer
LOOKS = {
    1: [(3, 0, 4, 5), (3, 1, 0, 11), (2, 1, 23, 11), (1, 0, 25, 25)],
    2: [(3, 2, 3, 0), (1, 3, 0, 13), (4, 15, 1, 1), (5, 9, 0, 0)],
}


@pytest.mark.libreoffice
def test_what_lights_up_is_what_autograd_reaches(page: Any, tmp_path: Path) -> None:
    looks = [(net, unit) for net, units in LOOKS.items() for unit in units]
    page.drive([setting(page, net, unit) for net, unit in looks], [], tmp_path)
    shown = {
        1: ["net 1.input", "net 1.relu1", "net 1.relu2", "net 1.maxpool1"],
        2: ["net 2 digit", *(f"net 2 paths {i}" for i in range(1, 6))],
    }
    for number, (net, unit) in enumerate(looks):
        expected = gradients(NETS[net], unit)
        for layer, name in enumerate(shown[net]):
            found = page.colours(tmp_path / f"{number}.html", name)[0]
            wanted = expected[layer] != 0 if layer < len(expected) else np.zeros(found.shape, dtype=bool)
            if net == 2 and layer:
                wanted = wanted.any(0, keepdims=True) if layer < len(expected) else wanted
                if layer < len(expected) - 1:  # every channel before the unit's own layer is reached alike
                    assert (expected[layer] != 0).all(0)[wanted[0]].all()
            lit = np.isin(found, list(LIT | {UNIT}))
            np.testing.assert_array_equal(lit, wanted, f"network {net}, unit {unit}, {name}")
            at = np.argwhere(found == UNIT)
            own = [unit[1], *unit[2:]] if net == 1 else [0, *unit[2:]]
            assert at.tolist() == ([own] if layer == unit[0] else [])
        heat = page.colours(tmp_path / f"{number}.html", f"net {net} paths 0")[0, 0]
        np.testing.assert_array_equal(np.isin(heat, list(LIT)), expected[0][0] != 0)


@pytest.mark.libreoffice
def test_numbers_beyond_the_grid_are_taken_as_its_last(page: Any) -> None:
    steps = [setting(page, 1, unit) for unit in ((3, 1, 25, 12), (2, 0, 25, 12), (1, 1, 25, 12))]
    found = page.drive(steps, [f"net 1 {name} used" for name in ("channel", "row", "column")])
    assert [[b.item() for b in blocks] for blocks in found] == [[1, 11, 11], [0, 23, 12], [1, 25, 12]]
