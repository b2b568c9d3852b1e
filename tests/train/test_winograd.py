"""Convolutions by Winograd's algorithm against torch's own in float64: values, both gradients, and in a network."""

import copy

import pytest
import torch
from torch import Tensor, nn

from sheetconv.train.extras.winograd import (
    WORTH_PAIRS,
    WinogradConv2d,
    conv3x3,
    exchange,
    matrices,
    put_back,
    suits,
    tile,
)
from sheetconv.train.extras.winograd_callback import Winograd
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders, ResidentLoader

W = 48


@pytest.mark.parametrize("m", [2, 3, 4, 6])
def test_the_matrices_filter_one_line_exactly(m: int) -> None:
    bt, g, at = (t.double() for t in matrices(m))
    line, kernel = torch.randn(m + 2, dtype=torch.double), torch.randn(3, dtype=torch.double)
    wanted = line.unfold(0, 3, 1) @ kernel
    assert torch.allclose(at @ ((g @ kernel) * (bt @ line)), wanted, atol=1e-4)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("size", [(3, 3), (5, 7), (6, 6), (13, 12), (14, 14), (12, 28)])
def test_values_and_gradients_are_torch_s(size: tuple[int, int], padding: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 7, *size).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(9, 7, 3, 3, requires_grad=True)
    exact = nn.functional.conv2d(x.double(), weight.double(), padding=padding)
    grad = torch.randn(exact.shape)
    wanted = [exact, *torch.autograd.grad(exact, (x, weight), grad.double())]
    outputs = conv3x3(x, weight, padding)
    found = [outputs, *torch.autograd.grad(outputs, (x, weight), grad)]
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() < 2e-5 * other.abs().max()


def test_many_images_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.randn(7, 4, 12, 12), torch.randn(4, 4, 3, 3, requires_grad=True)
    whole = conv3x3(x, weight)
    (gradient,) = torch.autograd.grad(whole.square().sum(), weight)
    monkeypatch.setattr("sheetconv.train.extras.winograd._AT_ONCE", 64 * 4 * 4 * 3)
    parts = conv3x3(x, weight)
    assert torch.allclose(parts, whole, atol=1e-4)
    assert torch.allclose(
        torch.autograd.grad(parts.square().sum(), weight)[0], gradient, rtol=1e-4, atol=1e-2
    )


@pytest.mark.parametrize(("size", "wanted"), [(6, 6), (12, 6), (14, 4), (8, 4), (3, 3), (2, 2)])
def test_the_tile_is_the_one_with_the_fewest_products(size: int, wanted: int) -> None:
    assert tile(size) == wanted


def test_only_suited_layers_are_exchanged() -> None:
    suited = nn.Conv2d(W, W, 3, padding=1)
    others = [
        nn.Conv2d(W, W, 3, stride=2, padding=1),
        nn.Conv2d(W, W, 5, padding=1),
        nn.Conv2d(W, W, 3, padding=2),
        nn.Conv2d(W, W, 3, dilation=2),
        nn.Conv2d(W, W, 3, groups=2),
        nn.Conv2d(W, W, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(W, W, 3, padding="same"),
        nn.Conv2d(WORTH_PAIRS - 1, 1, 3),
        nn.ConvTranspose2d(W, W, 3),
    ]
    assert suits(suited)
    assert not any(map(suits, others))
    found = exchange(nn.Sequential(suited, *others))
    assert found == [suited]
    put_back(found)
    assert type(suited) is nn.Conv2d


def test_an_exchanged_layer_has_its_bias_and_is_torch_s_own_without_gradients() -> None:
    layer = nn.Conv2d(W, W, 3, padding=1)
    x = torch.randn(3, W, 6, 6)
    wanted = layer(x)
    exchange(nn.Sequential(layer))
    assert type(layer) is WinogradConv2d
    by_winograd = layer(x)
    assert type(copy.deepcopy(layer)) is WinogradConv2d
    assert not torch.equal(by_winograd, wanted)
    assert torch.allclose(by_winograd, wanted, atol=1e-4)
    with torch.no_grad():
        assert torch.equal(layer(x), wanted)
    doubled = copy.deepcopy(layer).double()(x.double())
    assert torch.equal(
        doubled, nn.functional.conv2d(x.double(), layer.weight.double(), layer.bias.double(), padding=1)
    )


def _learner(cbs: list[Winograd]) -> Learner:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, W, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(W, W, 3),
        nn.BatchNorm2d(W),
        nn.Flatten(),
        nn.LazyLinear(2),
    )
    images, labels = torch.randint(0, 256, (40, 8, 8), dtype=torch.uint8), torch.randint(0, 2, (40,))
    net(images[:2, None].float())
    dls = DataLoaders(ResidentLoader(images, labels, 10), ResidentLoader(images, labels, 10))
    return Learner(net, dls, nn.functional.cross_entropy, 0.01, cbs)


def test_training_with_it_is_training_without_it_but_for_rounding() -> None:
    plain, fast = _learner([]), _learner([Winograd()])
    seen: list[type] = []
    fast.model[2].register_forward_hook(lambda layer, *_: seen.append(type(layer)))
    plain.fit(1)
    fast.fit(1)
    assert set(seen) == {WinogradConv2d}
    assert type(fast.model[2]) is nn.Conv2d
    one, other = plain.model.state_dict(), fast.model.state_dict()
    assert list(one) == list(other)
    assert not torch.equal(one["2.weight"], other["2.weight"])
    for name, value in one.items():
        assert torch.allclose(value.float(), other[name].float(), atol=1e-4), name


def test_a_fit_that_fails_puts_torch_s_layers_back() -> None:
    learn = _learner([Winograd()])

    def fail(preds: Tensor, labels: Tensor) -> Tensor:
        raise RuntimeError("no loss")

    learn.loss_func = fail
    with pytest.raises(RuntimeError, match="no loss"):
        learn.fit(1)
    assert type(learn.model[2]) is nn.Conv2d
