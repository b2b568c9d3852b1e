"""Looking inside: hooks, LSUV, summary, the search for a learning rate, the switches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sheetconv.errors import TrainingError, UsageError
from sheetconv.nets import NETS, compact_cnn, seeded, simple_cnn
from sheetconv.train.callbacks.activations import ActivationStats
from sheetconv.train.callbacks.lr_finder import LRFinder, lr_find, smoothed
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.callbacks.schedule import OneCycle
from sheetconv.train.extras import switches
from sheetconv.train.hooks import Hooks, leaves, lsuv_init, of_kind
from sheetconv.train.learner import Learner
from sheetconv.train.metrics import Accuracy
from sheetconv.train.optimisers import optimiser
from sheetconv.train.options import Options, switched
from sheetconv.train.relu import GeneralRelu
from sheetconv.train.show import plot_func, show_images
from sheetconv.train.summary import summary

Make = Callable[..., Learner]


def test_hooks_see_each_layer_and_are_gone_afterwards() -> None:
    net = simple_cnn()
    shapes: dict[str, tuple[int, ...]] = {}

    def look(name: str, module: nn.Module, before: Any, output: Any) -> None:
        shapes[name] = tuple(output.shape)

    with pytest.raises(RuntimeError, match="channels"), Hooks(leaves(net), look):
        net(
            torch.cat([net(torch.zeros(2, 1, 28, 28))[:, :, None, None]] * 2)
        )  # ten channels into a net for one
    assert shapes["0.0"] == (2, 4, 14, 14)
    assert shapes["5"] == (2, 10)
    assert not any(m._forward_hooks for m in net.modules())


def test_lsuv_gives_every_layer_unit_variance() -> None:
    torch.manual_seed(0)
    net, x = simple_cnn(), torch.rand(128, 1, 28, 28)
    lsuv_init(net, x, after_activation=False)
    found: dict[str, float] = {}
    kernels = [(n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad(), Hooks(kernels, lambda n, m, b, out: found.update({n: out.std().item()})):
        net(x)
    assert len(found) == 5
    assert all(abs(std - 1) <= 0.02 for std in found.values())
    assert net.training
    with pytest.raises(TrainingError, match=r"output of layer 0\.0 is constant"):
        lsuv_init(net, torch.zeros(4, 1, 28, 28))


@pytest.mark.parametrize(
    ("name", "shape", "parameters"), [("simple-cnn", (1, 28, 28), 5274), ("mlp", (1, 28, 28), 39760)]
)
def test_summary_counts_what_the_lesson_counts(name: str, shape: tuple, parameters: int) -> None:
    found = summary(seeded(name), shape)
    assert found.parameters == parameters == sum(row.parameters for row in found.rows)
    assert found.multiply_adds == sum(row.multiply_adds for row in found.rows)


def test_summary_counts_the_multiply_adds_of_each_convolution_by_its_formula() -> None:
    net = NETS["resnet20"]()
    found = {row.name: row for row in summary(net, (3, 32, 32)).rows}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            row = found[name]
            kernel = module.kernel_size[0] * module.kernel_size[1] * module.in_channels
            assert row.multiply_adds == kernel * row.shape[0] * row.shape[1] * row.shape[2]
    assert net.training
    text = str(summary(simple_cnn(), (1, 28, 28)))
    assert "4×14×14" in text
    assert text.splitlines()[-1].split() == ["total", "5,274", "50,256"]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_search_suggests_a_rate_that_trains_and_leaves_no_trace(make_learner: Make, name: str) -> None:
    def make() -> Learner:
        return make_learner(Metrics(Accuracy()), OneCycle(), opt_func=optimiser(name), n_train=400)

    untouched, searched = make(), make()
    before = searched.cbs, searched.history, searched.opt
    curve = lr_find(searched)
    assert (searched.cbs, searched.history, searched.opt) == before
    assert len(curve.lrs) == len(curve.losses) == len(curve.smooth)
    assert 1e-4 < curve.suggestion < 1
    torch.manual_seed(9)
    untouched.fit(1)
    torch.manual_seed(9)
    searched.fit(1)
    assert searched.history == untouched.history, "weights, loader and random state must be as before"
    searched.fit(3, lr=curve.suggestion)
    assert searched.history[-1]["valid_accuracy"] > 0.9


def test_the_search_puts_random_states_and_weights_back(make_learner: Make) -> None:
    learn = make_learner(opt_func=torch.optim.AdamW, n_train=400)
    weights = {k: v.clone() for k, v in learn.model.state_dict().items()}
    state, order = torch.get_rng_state(), learn.dls.train.generator.get_state()
    lr_find(learn)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(learn.dls.train.generator.get_state(), order)
    assert all(torch.equal(v, weights[k]) for k, v in learn.model.state_dict().items())


def test_a_search_that_finds_nothing_says_so(make_learner: Make) -> None:
    learn = make_learner()
    learn.loss_func = lambda preds, y: (preds * 0).sum() + 1 + 0.1 * torch.rand(())
    with pytest.raises(TrainingError, match="fell clearly at no learning rate"):
        lr_find(learn)
    with pytest.raises(UsageError, match="a search needs"):
        LRFinder(1.0, 0.1)


def test_smoothing_keeps_a_straight_line_s_middle_and_lowers_noise() -> None:
    line = np.arange(50.0)
    assert np.allclose(smoothed(line)[12:-12], line[12:-12], atol=1e-3)
    noise = np.random.default_rng(0).normal(size=2000)
    assert smoothed(noise).std() < 0.4


def test_switches_are_chosen_by_what_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is a stand-in: the second of each pair takes as long as the case says."""
    net, batch = simple_cnn(), (torch.rand(4, 1, 28, 28), torch.zeros(4, dtype=torch.long))
    threads = torch.get_num_threads()
    try:
        for times, low, count in (((3.0, 2.0), True, 4), ((1.0, 0.9), False, 1), ((1.0, 40.0), False, 1)):
            monkeypatch.setattr(switches, "available_threads", lambda: 4)
            monkeypatch.setattr(switches, "interleaved", lambda first, second, seconds, **_: times)  # noqa: B023
            found = switches.choose_switches(net, batch, nn.functional.cross_entropy, torch.device("cpu"))
            assert (found.low_precision, found.threads) == (low, count if low else found.threads)
            assert torch.get_num_threads() == found.threads
            assert len(found.lines) == 2
        assert found.threads == 1
        assert "0.03 times as fast" in found.lines["threads"]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("half", "winograds", "wanted"), [(1.0, 0.5, True), (1.0, 1.0, False), (0.5, 0.4, None)]
)
def test_winograd_s_convolutions_are_tried_in_float32_only(
    half: float, winograds: float, wanted: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds of a plain step are 1; `wanted` is None where nothing is to be said about convolutions."""
    net, batch = compact_cnn(), (torch.rand(2, 1, 28, 28), torch.zeros(2, dtype=torch.long))
    spent = iter([(1.0, half), (1.0, winograds)])
    monkeypatch.setattr(switches, "available_threads", lambda: 1)
    monkeypatch.setattr(switches, "interleaved", lambda first, second, seconds, **_: next(spent))
    threads = torch.get_num_threads()
    try:
        found = switches.choose_switches(net, batch, nn.functional.cross_entropy, torch.device("cpu"))
    finally:
        torch.set_num_threads(threads)
    assert found.winograd is bool(wanted)
    assert ("convolutions" in found.lines) is (wanted is not None)
    if wanted is not None:
        assert f"{1 / winograds:.2f} times as fast" in found.lines["convolutions"]
        assert ("by Winograd" in found.lines["convolutions"]) is wanted
    assert all(type(layer) is nn.Conv2d for layer in net.modules() if isinstance(layer, nn.Conv2d))


@pytest.mark.parametrize("fixed", [{"compile": True}, {"amp": "bf16"}])
def test_compiled_and_bf16_networks_have_torch_s_convolutions(fixed: dict[str, Any], tmp_path: Path) -> None:
    """Nothing is left to time then, so that neither data nor network are looked at."""
    asked = Options(**{"threads": torch.get_num_threads(), "amp": "off"} | fixed)
    nothing: Any = None
    options, lines = switched(nothing, asked, nothing, nothing, torch.device("cpu"), tmp_path)
    assert (options.convolutions, lines) == ("torch", [])


def test_choosing_switches_leaves_the_network_and_random_states_alone() -> None:
    net, batch = simple_cnn(), (torch.rand(16, 1, 28, 28), torch.zeros(16, dtype=torch.long))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    try:
        found = switches.choose_switches(
            net, batch, nn.functional.cross_entropy, torch.device("cpu"), seconds=0.05
        )
    finally:
        torch.set_num_threads(threads)
    assert found.lines
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_interleaved_runs_in_turns_and_gives_up_on_what_is_far_slower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    costs = {"fast": 0.001, "slow": 5.0}
    monkeypatch.setattr(switches, "seconds_of", lambda run: (run(), costs[calls[-1]])[1])
    one, two = switches.interleaved(lambda: calls.append("fast"), lambda: calls.append("slow"), 1.0)
    assert (one, two) == (0.001, 5.0)
    assert calls.count("slow") <= 2


def test_lsuv_gives_unit_variance_after_what_activates() -> None:
    """By hand: the deviation of every ReLU's output; with `after_activation=False` that of the layers themselves."""
    torch.manual_seed(0)
    net, x = simple_cnn(), torch.rand(64, 1, 28, 28)
    reached = lsuv_init(net, x)
    found: dict[str, float] = {}
    with torch.no_grad(), Hooks(net, lambda n, m, b, out: found.update({n: out.std().item()}), nn.ReLU):
        net(x)
    assert len(found) == 4
    assert all(abs(std - 1) <= 0.02 for std in found.values())
    assert len(reached) == 5


def test_hooks_and_layers_are_chosen_by_type() -> None:
    net = simple_cnn()
    assert [name for name, _ in of_kind(net, nn.Conv2d)] == ["0.0", "1.0", "2.0", "3.0", "4"]
    seen: list[str] = []
    with Hooks(net, lambda name, *rest: seen.append(name)):
        net(torch.zeros(1, 1, 28, 28))
    assert seen == [name for name, _ in leaves(net)]


def test_a_learner_answers_what_one_asks_while_working(make_learner: Make) -> None:
    """A single callback, no optimiser, no data; a search that draws; a summary for the data's images."""
    learn = make_learner(opt_func=None, n_train=400)
    curve = learn.lr_find(steps=60)
    assert curve._repr_png_().startswith(b"\x89PNG")
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    alone = Learner(net, learn.dls, nn.functional.cross_entropy, 0.1, Metrics())
    alone.fit(1, cbs=Metrics(name=Accuracy()))
    assert "train_loss" in alone.history[0]
    assert alone.summary().parameters == 260
    with pytest.raises(UsageError, match="no data to train on"):
        Learner(net).fit(1)
    with pytest.raises(UsageError, match="size of an image"):
        Learner(net).summary()
    assert Learner(net).summary((1, 8, 8)).parameters == 260


class Own(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(min=0)


def test_statistics_see_one_s_own_activations_and_draw_them(make_learner: Make) -> None:
    learn = make_learner()
    learn.model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), Own(), nn.Flatten(), nn.Linear(64, 4)
    )
    stats, layers = ActivationStats(), ActivationStats(nn.Conv2d)
    learn.fit(1, valid=False, cbs=[stats, layers])
    assert list(stats.stats) == ["1", "3"]
    assert list(layers.stats) == ["0", "2"]
    counts = stats.histograms["3"]
    assert counts.shape == (7, 40)
    assert counts[0].sum() == 16 * 4 * 4 * 4  # every output of the first batch has a magnitude below 10
    assert len(stats.plot_stats().axes) == 3
    assert len(stats.color_dim().axes) == len(stats.dead_chart().axes) == 2
    share = stats.dead_chart().axes[1].lines[0].get_ydata()
    assert np.allclose(share, (counts[:, 0] / counts.sum(1)).numpy())


def test_general_relu_and_pictures() -> None:
    x = torch.linspace(-3, 3, 13)
    leaky = GeneralRelu(0.1, 0.4, 2.0)
    assert torch.allclose(leaky(x), (torch.where(x > 0, x, 0.1 * x) - 0.4).clamp(max=2.0))
    assert torch.equal(GeneralRelu()(x), x.relu())
    assert np.allclose(plot_func(leaky).axes[0].lines[0].get_ydata()[[0, -1]], [-0.9, 2.0])
    figure = show_images(
        [torch.rand(1, 5, 6), np.zeros((5, 6, 3)), torch.rand(3, 5, 6)], ["a", "b"], columns=2
    )
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "", ""]
    assert [axis.images[0].get_array().shape for axis in figure.axes[:3]] == [(5, 6), (5, 6, 3), (5, 6, 3)]


def test_names_come_from_one_door() -> None:
    import sheetconv.train as door
    from sheetconv.train import DataLoaders, OneCycle, set_seed

    assert door.Learner is Learner
    assert DataLoaders.__name__ == "DataLoaders"
    assert OneCycle.__module__ == "sheetconv.train.callbacks.schedule"
    assert door.learner.Learner is Learner
    with pytest.raises(AttributeError):
        _ = door.Lerner
    set_seed(7)
    first = torch.rand(2)
    set_seed(7)
    assert torch.equal(torch.rand(2), first)
