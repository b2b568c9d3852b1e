"""The training engine on an accelerator: make-believe ones everywhere, real ones where they are (`pytest -m cuda`).

What runs on a CPU may still fail on a GPU: tensors of two devices meet, a generator is of the wrong device, an
operator or float64 is missing, or every batch waits for a value.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from train.pretend import State, pretending, register

from sheetconv.compile.capture import capture
from sheetconv.compile.reference import evaluate
from sheetconv.data.handwriting import digits
from sheetconv.data.sources import ImageData
from sheetconv.errors import TrainingError
from sheetconv.nets import seeded
from sheetconv.train import augment, recipes
from sheetconv.train import run as running
from sheetconv.train.assemble import make_learner
from sheetconv.train.callback import Callback
from sheetconv.train.callbacks.activations import ActivationStats
from sheetconv.train.callbacks.average import TestTimeAveraging
from sheetconv.train.callbacks.batch import BatchTransform
from sheetconv.train.callbacks.checkpoint import Checkpoint
from sheetconv.train.callbacks.device import Device
from sheetconv.train.callbacks.lr_finder import lr_find
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.callbacks.precision import GradientClip, MixedPrecision
from sheetconv.train.callbacks.predict import capture_preds
from sheetconv.train.callbacks.recorder import Recorder, StopAtNaN
from sheetconv.train.devices import choose_device
from sheetconv.train.extras.switches import choose_switches
from sheetconv.train.extras.trials import best_start
from sheetconv.train.hooks import lsuv_init
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders, ResidentLoader
from sheetconv.train.metrics import Accuracy
from sheetconv.train.optimisers import OPTIMISERS
from sheetconv.train.options import Options
from sheetconv.train.prepare import Data, prepare_net
from sheetconv.train.state import random_kept
from sheetconv.train.summary import summary

register()  # as tests are collected: at its first backward pass torch starts a thread for every device it knows
REAL = [kind for kind in ("cuda", "mps") if getattr(torch, kind).is_available()]
KINDS = ["pretended cuda", "pretended mps", *(pytest.param(kind, marks=pytest.mark.cuda) for kind in REAL)]


@pytest.fixture(params=KINDS)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The devices in turn: make-believe ones, and real ones where there are any."""
    name: str = request.param
    if name.startswith("pretended"):
        with pretending(name.split()[1]) as found:
            yield found
        return
    with random_kept():
        yield torch.device(name, 0)


@contextmanager
def counted_waits(device: torch.device) -> Iterator[Callable[[], int]]:
    """How often the program waited for the device since the block began; on MPS nothing can tell, so 0."""
    if device.type == "cuda":
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield lambda: sum("synchronizing" in str(w.message) for w in caught)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return
    State.waits.clear()
    yield lambda: sum(State.waits.values())


def digits_data(n: int) -> Data:
    images, labels = digits(n, 3, np.arange(n) % 10)
    part = ImageData(images, labels, [str(i) for i in range(10)], "digits", "0", False)
    few = dataclasses.replace(part, images=images[:10], labels=labels[:10])
    return Data(part, few, few)


def trained(
    name: str, device: torch.device, epochs: int = 2, images: int = 30, *more: Callback, **changes: Any
) -> Learner:
    """A learner that has trained by the recipe on a few drawn digits."""
    recipe = recipes.load(name).with_values(epochs=epochs, batch_size=10, **changes)
    if recipe.dataset == "mnist":
        recipe = recipe.with_values(skip_easy=0.0)
    data = digits_data(images)
    torch.manual_seed(0)
    learn = make_learner(recipe, prepare_net(recipe, 0, data), data, 0, device)
    learn.fit(epochs, cbs=more)
    return learn


NETS = {recipes.load(name).net: name for name in recipes.names()}


@pytest.mark.parametrize("name", [n for n in recipes.names() if n != "fashion-gpu-long"])
def test_every_recipe_trains_there_and_waits_as_often_for_few_batches_as_for_many(
    name: str, device: torch.device
) -> None:
    """Once per figure and pass, and never in a batch: twice as many batches wait no more often."""
    if State.kind == "mps" and name in ("fashion-best", "fashion-gpu"):
        pytest.skip("the operators are those of fashion-fast")
    with counted_waits(device) as waits:
        learn = trained(name, device, 2, 20)
        few = waits()
        trained(name, device, 2, 40)
        assert waits() - few == few
    assert {p.device for p in learn.model.parameters()} == {device}
    assert np.isfinite(learn.history[-1]["valid_loss"])
    figures = len(learn.history) * (2 * 2 + 1)  # the loss of two passes, is it finite, the accuracy
    once = (
        2 * len(learn.history) + 40
    )  # per epoch: an order, a choice of images; before all: images and weights
    assert few <= figures + once + len(list(learn.model.parameters()))


def test_the_largest_network_takes_a_step(device: torch.device) -> None:
    learn = trained("fashion-gpu-long", device, 1, 10)
    assert np.isfinite(learn.history[-1]["train_loss"])


@pytest.mark.parametrize("opt", OPTIMISERS)
def test_numbers_are_those_of_the_cpu(opt: str, device: torch.device) -> None:
    """Shuffled alike, with nothing drawn at random on the device."""
    changes = {"opt": opt, "lr": 0.01, "skip_easy": 0.5, "flip": True, "dataset": "fashion-mnist"}
    if opt == "full-adam":
        changes["net"] = "autoencoder"
        changes["task"] = "reconstruct"
        changes["skip_easy"] = 0.0
    name, images = (
        "mnist-simple-cnn",
        80 if opt == "full-adam" else 40,
    )  # it does not move before its twentieth step
    there = trained(name, device, 3, images, **changes)
    here = trained(name, torch.device("cpu"), 3, images, **changes)
    for key, value in here.history[-1].items():
        assert there.history[-1][key] == pytest.approx(value, rel=1e-3, abs=1e-4), key


class Leave(Callback):
    """Ends the fit in the middle of an epoch, as Ctrl-C would."""

    order = 2000

    def before_epoch(self, learn: Learner) -> None:
        if learn.epoch == 2:
            raise KeyboardInterrupt


EVERYTHING = {"shift": 1, "erase": 0.5, "affine": 0.1, "flip": True, "average": 0.9, "skip_easy": 0.3}


@pytest.mark.parametrize("start", ["there", "cpu"])
@pytest.mark.parametrize("opt", ["adamw", "muon"])
def test_an_interrupted_run_goes_on_there(start: str, opt: str, device: torch.device, tmp_path: Path) -> None:
    """Also one that a CPU began; on the same device it ends as an unbroken one."""
    changes = EVERYTHING | {"opt": opt, "net": "simple-cnn-bn", "dataset": "fashion-mnist"}
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = trained("mnist-simple-cnn", device, 3, 20, Checkpoint(tmp_path / "whole"), **changes)
    place = device if start == "there" else torch.device("cpu")
    with pytest.raises(KeyboardInterrupt):
        trained("mnist-simple-cnn", place, 3, 20, Checkpoint(tmp_path / "broken"), Leave(), **changes)
    again = Checkpoint(tmp_path / "broken", resume=True)
    resumed = trained("mnist-simple-cnn", device, 3, 20, again, **changes)
    assert again.resumed == 2
    assert len(resumed.history) == 3
    recorder = next(cb for cb in resumed.cbs if isinstance(cb, Recorder))
    assert len(recorder.losses) == len(recorder.lr)
    assert recorder.losses.isfinite().all()
    if start == "there":
        assert resumed.history[-1] == pytest.approx(whole.history[-1], rel=1e-5)
        for key, value in load_file(tmp_path / "whole" / "best.safetensors").items():
            torch.testing.assert_close(value, load_file(tmp_path / "broken" / "best.safetensors")[key])


def test_a_run_begun_there_goes_on_on_the_cpu(device: torch.device, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained("mnist-best", device, 3, 20, Checkpoint(tmp_path), Leave())
    again = Checkpoint(tmp_path, resume=True)
    assert len(trained("mnist-best", torch.device("cpu"), 3, 20, again).history) == 3
    assert again.resumed == 2


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_with_averaged_views(precision: str, device: torch.device) -> None:
    """The network computes every view in the lower precision, its loss and weights stay in float32."""
    seen: list[torch.dtype] = []

    def look(module: nn.Module, given: Any, output: torch.Tensor) -> None:
        if not module.training:
            seen.append(output.dtype)

    recipe = recipes.load("mnist-simple-cnn-bn").with_values(epochs=2, batch_size=10)
    data = digits_data(30)
    torch.manual_seed(0)
    learn = make_learner(recipe, prepare_net(recipe, 0, data), data, 0, device, precision)
    learn.fit(2, cbs=[GradientClip()])
    next(m for m in learn.model.modules() if isinstance(m, nn.Conv2d)).register_forward_hook(look)
    views = TestTimeAveraging(augment.flip, augment.shifted(1, 0))
    preds = capture_preds(learn, cbs=[views]).preds
    assert preds.dtype == torch.float32
    assert preds.device.type == "cpu"
    assert seen == [torch.bfloat16 if precision == "bf16" else torch.float16] * 3
    assert {p.dtype for p in learn.model.parameters()} == {torch.float32}


def moved_by_a_faint_loss(device: torch.device, precision: Callback) -> float:
    """How far weights move when the gradients are too small for fp16; 0 where they vanish."""
    torch.manual_seed(0)
    images, labels = digits(20, 1, np.arange(20) % 10)
    dls = DataLoaders(ResidentLoader(images, labels, 10, shuffle=True))
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    before = net[1].weight.detach().clone()

    def faint(preds: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return 1e-7 * F.cross_entropy(preds, y)

    Learner(net, dls, faint, 1e-3, [Device(device), precision], torch.optim.Adam).fit(1)
    return float((net[1].weight.detach().cpu() - before).abs().max())


def test_small_gradients_survive_fp16(device: torch.device) -> None:
    assert moved_by_a_faint_loss(device, MixedPrecision("fp16")) > 1e-5


TRANSFORMS = {
    "shift": augment.random_shift(2),
    "crop": augment.random_crop(2, "reflect"),
    "flip": augment.random_flip(),
    "erase": augment.random_erase(1.0),
    "erase to black": augment.random_erase(1.0, value=0.0),
    "affine": augment.random_affine(10, 0.1, 0.1, 1.0, 0.1),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_augmentation_happens_there_and_repeats_by_its_seed(name: str, device: torch.device) -> None:
    x = torch.rand(6, 3, 12, 12).to(device)
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        with counted_waits(device) as waits:
            y = TRANSFORMS[name](x)
            assert waits() == 0
        assert y.device == device
        found.append(y.cpu())
    assert torch.equal(*found)
    assert not torch.equal(found[0], x.cpu())


def test_looking_inside_works_there(device: torch.device) -> None:
    """The search for a learning rate, statistics of activations, the summary, LSUV, and the timed switches."""
    learn = trained("mnist-simple-cnn", device, 1, 40)
    before = {k: v.cpu().clone() for k, v in learn.model.state_dict().items()}
    state = torch.rand(1, device=device).cpu()
    learn.lr = 0.01
    assert 1e-5 <= lr_find(learn, 1e-5, 1.0, 60).suggestion <= 1.0
    assert all(torch.equal(v.cpu(), before[k]) for k, v in learn.model.state_dict().items())
    stats = ActivationStats()
    learn.fit(1, cbs=[stats])
    assert all(figures.shape[1] == 3 and figures.device.type == "cpu" for figures in stats.stats.values())
    assert summary(learn.model, (1, 28, 28)).parameters == 5274
    x = learn.dls.train.sample(8)[0]
    assert all(0.9 < spread < 1.1 for spread in lsuv_init(learn.model, x).values())
    assert state.shape == (1,)


def test_timed_switches_leave_all_as_it_was(device: torch.device) -> None:
    learn = trained("mnist-simple-cnn", device, 1, 20)
    before = torch.get_rng_state()
    torch.manual_seed(1)
    first = torch.rand(3, device=device).cpu()
    torch.manual_seed(1)
    batch = learn.dls.train.sample(8)
    chosen = choose_switches(learn.model, batch, F.cross_entropy, device, 0.05)
    assert torch.equal(torch.rand(3, device=device).cpu(), first)
    torch.set_rng_state(before)
    assert chosen.threads is None
    assert not chosen.winograd


def test_trials_of_starts_leave_the_device_s_random_state(device: torch.device) -> None:
    recipe = recipes.load("fashion-autoencoder").with_values(
        epochs=1, trials=2, trial_epochs=1, batch_size=10
    )
    torch.manual_seed(4)
    first = torch.rand(3, device=device).cpu()
    torch.manual_seed(4)
    best_start(recipe, 0, digits_data(20), device, "off", lambda line: None)
    assert torch.equal(torch.rand(3, device=device).cpu(), first)


# what a program may get wrong; each must be told by the tests above, so it fails here
class CpuLoss(Callback):
    order = 1

    def after_loss(self, learn: Learner) -> None:
        learn.loss = learn.loss * torch.ones(1)


class CpuGenerator(Callback):
    def before_batch(self, learn: Learner) -> None:
        torch.rand(3, device=learn.batch[0].device, generator=torch.Generator())


class Float64(Callback):
    def after_loss(self, learn: Learner) -> None:
        learn.loss.double()


class NoOperator(Callback):
    def after_loss(self, learn: Learner) -> None:
        torch.linalg.eigh(torch.eye(3, device=learn.loss.device))


FAULTS: dict[str, tuple[Callback, str, type[Exception], str]] = {
    "a tensor of the CPU": (CpuLoss(), "cuda", RuntimeError, "same device"),
    "a generator of the CPU": (CpuGenerator(), "cuda", RuntimeError, "device type for generator"),
    "float64": (Float64(), "mps", TypeError, "float64"),
    "an operator that is missing": (NoOperator(), "mps", NotImplementedError, "_linalg_eigh"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_make_believe_device_refuses(fault: str) -> None:
    callback, kind, error, words = FAULTS[fault]
    with pretending(kind) as device, pytest.raises(error, match=words):
        trained("mnist-simple-cnn", device, 1, 20, callback)


class Asks(Callback):
    def after_loss(self, learn: Learner) -> None:
        learn.loss.item()


class Sends(Callback):
    def before_batch(self, learn: Learner) -> None:
        learn.batch[0].cpu()


class Picks(Callback):
    def before_batch(self, learn: Learner) -> None:
        learn.batch[1][learn.batch[1] > 4]


@pytest.mark.parametrize("fault", [Asks, Sends, Picks])
def test_the_make_believe_device_counts_what_waits(fault: type[Callback]) -> None:
    with pretending("cuda") as device, counted_waits(device) as waits:
        trained("mnist-simple-cnn", device, 1, 20)
        plain = waits()
        trained("mnist-simple-cnn", device, 1, 20, fault())
        assert waits() - plain >= plain + 2


def test_fp16_without_its_scaler_is_told_apart() -> None:
    class Bare(MixedPrecision):
        def before_fit(self, learn: Learner) -> None:
            super().before_fit(learn)
            self.scaler = torch.amp.GradScaler(self._kind, enabled=False)

    with pretending("cuda") as device:
        assert moved_by_a_faint_loss(device, Bare("fp16")) < 1e-6


def test_devices_are_told_by_number() -> None:
    with pretending("cuda"):
        assert choose_device("auto").type == "pretend"
        assert choose_device("pretend:1") == torch.device("pretend", 1)
        with pytest.raises(Exception, match="'pretend:2' is not available"):
            choose_device("pretend:2")


def test_a_plain_learner_on_a_loader_of_torch_s(device: torch.device) -> None:
    """Batches that come from the CPU are moved, without waiting for the move."""
    images, labels = digits(20, 1, np.arange(20) % 10)
    pairs = torch.utils.data.TensorDataset(
        torch.from_numpy(images)[:, None].float() / 255, torch.from_numpy(labels)
    )
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    dls = DataLoaders(torch.utils.data.DataLoader(pairs, 5), torch.utils.data.DataLoader(pairs, 5))
    cbs = [Device(device), Metrics(Accuracy()), StopAtNaN(), BatchTransform(augment.random_shift(1))]
    learn = Learner(net, dls, F.cross_entropy, 0.1, cbs)
    learn.fit(2)
    assert learn.history[1]["train_loss"] < learn.history[0]["train_loss"]


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recipes.Recipe:
    """A recipe on 100 drawn digits, whatever its dataset is called."""
    monkeypatch.setattr(running, "prepare_data", lambda *given: digits_data(100))
    return recipes.load("fashion-fast").with_values(epochs=2, batch_size=16)


def test_a_whole_run_there_and_its_extension(
    drawn: recipes.Recipe, device: torch.device, tmp_path: Path
) -> None:
    """All that `sheetconv train` does: timed switches, trials, checkpoints, averaged predictions, the report."""
    options = Options(tmp_path / "run", device=str(device), log=("csv",))
    said: list[str] = []
    simple = drawn.with_values(net="simple-cnn", init="kaiming", trials=2)
    running.train("fashion-fast", simple, options, said.append)
    options.extend = 1
    done = running.train("fashion-fast", simple, options, said.append)
    assert 0 <= done.results["accuracy"] <= 1
    assert f"device {device}, torch {torch.__version__}" in said
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 4


def test_a_full_memory_names_the_batch_that_fits(drawn: recipes.Recipe, tmp_path: Path) -> None:
    """The first maps have 24·27·27 numbers an image: of eight images they fit, of sixteen they do not."""
    with pretending("cuda") as device:
        State.largest = 10 * 24 * 27 * 27
        options = Options(tmp_path / "run", device=str(device), amp="off", convolutions="torch")
        words = r"too small for batches of 16; --batch-size 8 would fit"
        with pytest.raises(TrainingError, match=words):
            running.train("fashion-fast", drawn, options, lambda line: None)


def test_a_workbook_s_operators_run_there_in_float64() -> None:
    """What `verify --device cuda` does; Apple's devices have no float64, and are refused before."""
    x = torch.rand(1, 1, 28, 28, dtype=torch.float64)
    graph = capture(seeded("simple-cnn"), tuple(x.shape))
    stored = {t: torch.from_numpy(t.values) for t in graph if t.kind == "parameter"} | {graph.inputs[0]: x}
    with pretending("cuda") as device:
        there = evaluate(graph, stored, str(device))
    assert {value.device.type for value in there.values()} == {"pretend"}
    here = evaluate(graph, stored)
    for tensor, value in here.items():
        torch.testing.assert_close(there[tensor].cpu(), value, rtol=1e-12, atol=1e-12)
