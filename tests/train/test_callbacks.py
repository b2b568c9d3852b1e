"""Every callback: a conformance test over all of them, no waiting for the device, and what each is there for."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sheetconv.errors import TrainingError, UsageError
from sheetconv.train import augment
from sheetconv.train.callback import HOOKS, Callback, CancelFitException
from sheetconv.train.callbacks import all_callbacks
from sheetconv.train.callbacks.activations import ActivationStats
from sheetconv.train.callbacks.average import TestTimeAveraging, WeightAveraging
from sheetconv.train.callbacks.batch import SingleBatch
from sheetconv.train.callbacks.check import Check
from sheetconv.train.callbacks.checkpoint import Checkpoint
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.callbacks.precision import GradientClip, MixedPrecision
from sheetconv.train.callbacks.predict import capture_preds
from sheetconv.train.callbacks.progress import Progress, Timer, plot_history
from sheetconv.train.callbacks.recorder import Recorder, StopAtNaN
from sheetconv.train.callbacks.schedule import CURVES, OneCycle, Scheduler
from sheetconv.train.callbacks.stop import EarlyStopping
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders
from sheetconv.train.metrics import Accuracy

Make = Callable[..., Learner]

ELSEWHERE = {
    "Accelerate": "test_accelerate.py, in processes of its own",
    "FreshHandwriting": "test_recipes.py, with digits of 28×28 pixels",
}
NAMES = sorted(set(all_callbacks()) - set(ELSEWHERE))


def test_the_files_of_callbacks_are_found_and_names_can_be_imported() -> None:
    from sheetconv.train import callbacks

    assert {"Train", "Device", "Metrics", "Progress", "OneCycle", "Checkpoint"} <= set(NAMES)
    assert callbacks.OneCycle is OneCycle
    assert set(ELSEWHERE) <= set(all_callbacks())
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        callbacks.Nothing  # noqa: B018


@pytest.mark.parametrize("name", sorted(all_callbacks()))
def test_conformance_of_the_class(name: str) -> None:
    kind = all_callbacks()[name]
    assert kind.__doc__
    assert isinstance(kind.order, int)
    own = [hook for hook in HOOKS if getattr(kind, hook) is not getattr(Callback, hook)]
    assert own or any(hasattr(kind, step) for step in ("predict", "backward")), "a callback must do something"
    assert all(getattr(kind, hook).__doc__ for hook in own)


@pytest.mark.parametrize("name", NAMES)
def test_conformance_of_a_run(make_learner: Make, tmp_path: Path, name: str) -> None:
    """Trains and validates, twice with the same object, keeps state, leaves no hook and no grad mode behind."""
    callback = all_callbacks()[name].example(tmp_path)
    others = [] if name == "Metrics" else [Metrics(Accuracy())]
    learn = make_learner(callback, *others)
    for epochs in (2, 1):
        learn.fit(epochs)
        assert torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
        assert not any(m._forward_hooks for m in learn.model.modules())
    state = callback.state_dict()
    from sheetconv.train.state import load_state, save_state

    save_state(tmp_path / "state.safetensors", {"state": state})
    assert load_state(tmp_path / "state.safetensors")["state"].keys() == state.keys()
    learn.fit(1, train=False)


class Fail(Callback):
    """An error before any other callback has had its turn."""

    order = -2000

    def __init__(self, level: str) -> None:
        setattr(self, f"before_{level}", self._raise)

    def _raise(self, learn: Learner) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", ["fit", "epoch", "batch"])
def test_an_early_error_is_not_hidden_by_cleaning_up(
    make_learner: Make, tmp_path: Path, name: str, level: str
) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        make_learner(all_callbacks()[name].example(tmp_path)).fit(1, cbs=[Fail(level)])
    assert caught.value.__context__ is None


WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero")


class Count(TorchDispatchMode):
    """Counts operations that need a value on the host while `on`."""

    def __init__(self) -> None:
        super().__init__()
        self.on, self.seen = False, []  # type: ignore[var-annotated]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.on and func.__name__.split(".")[0] in WAITS:
            self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))


class Inside(Callback):
    """Switches the count on from the first hook of a batch to the last."""

    order = -1000

    def __init__(self, count: Count) -> None:
        self.count = count

    def before_batch(self, learn: Learner) -> None:
        self.count.on = True

    def after_epoch(self, learn: Learner) -> None:
        self.count.on = False


class Reads(Callback):
    """What must not be done."""

    def after_loss(self, learn: Learner) -> None:
        float(learn.loss.detach())


QUIET = sorted(set(NAMES) - {"CapturePreds", "LRFinder"})  # whose purpose is to read each batch


def test_no_callback_waits_for_the_device_inside_a_batch(make_learner: Make, tmp_path: Path) -> None:
    count = Count()
    own = [all_callbacks()[name].example(tmp_path) for name in QUIET if name != "SingleBatch"]
    learn = make_learner(Inside(count), *own)
    with count:
        learn.fit(2)
    assert count.seen == []
    with count:
        learn.fit(1, cbs=[Reads()])
    assert count.seen, "the count must notice a callback that waits"


class Leave(Callback):
    """Ends the fit after three batches, before figures are asked for."""

    order = 1000

    def after_batch(self, learn: Learner) -> None:
        if learn.iter == 2:
            raise CancelFitException


@pytest.mark.parametrize(
    "name", [n for n in QUIET if n not in ("Device", "Check", "MixedPrecision", "SingleBatch")]
)
def test_a_batch_needs_no_value_on_the_host(make_learner: Make, tmp_path: Path, name: str) -> None:
    """On torch's meta device tensors have no values at all: reading one raises."""
    learn = make_learner()
    learn.model.to("meta")
    learn.dls.train.to("meta")
    learn.fit(1, cbs=[all_callbacks()[name].example(tmp_path), Leave()])
    with pytest.raises(RuntimeError, match="meta"):
        learn.fit(1, cbs=[Reads(), Leave()])


def test_a_loss_that_is_no_number_stops_with_one_clear_line(make_learner: Make, tmp_path: Path) -> None:
    learn = make_learner(StopAtNaN(), Metrics(), Checkpoint(tmp_path), lr=1e30)
    with pytest.raises(TrainingError, match=r"training loss .* from batch \d+ of epoch 1 .*1e\+30") as caught:
        learn.fit(3)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "nothing may be kept of that epoch"


def test_check_names_what_does_not_fit(make_learner: Make) -> None:
    learn = make_learner(Check())
    learn.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 4))
    with pytest.raises(TrainingError, match="cannot take images of 1×8×8"):
        learn.fit(1)
    learn.model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(TrainingError, match="has 4 classes, the network only 3 outputs"):
        learn.fit(1)
    learn.model = nn.Conv2d(1, 4, 3)
    with pytest.raises(TrainingError, match="one number per class for each image, not 4×6×6"):
        learn.fit(1)
    learn = make_learner(Check())
    learn.loss_func = nn.functional.mse_loss
    with pytest.raises(TrainingError, match="loss cannot be computed from outputs of 4"):
        learn.fit(1)
    learn.loss_func = lambda preds, y: nn.functional.cross_entropy(preds, y, reduction="none")
    with pytest.raises(TrainingError, match="a single number per batch"):
        learn.fit(1)


def test_recorder_notes_every_step(make_learner: Make) -> None:
    recorder, cycle = Recorder(), OneCycle(warm_up=0.3, start=0.1, end=0.01, momentum=(0.9, 0.5))
    momentum = lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9)  # noqa: E731
    make_learner(recorder, cycle, opt_func=momentum, lr=0.2).fit(3)
    steps = 3 * 7
    assert len(recorder.lr) == len(recorder.momentum) == len(recorder.losses) == steps
    assert recorder.lr[0] == pytest.approx(0.02)
    assert max(recorder.lr) == pytest.approx(0.2, rel=0.01)
    assert recorder.lr[-1] == pytest.approx(0.002)
    assert recorder.momentum[0] == recorder.momentum[-1] == pytest.approx(0.9)
    assert min(m for m in recorder.momentum if m) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", sorted(CURVES))
def test_curves_stay_between_0_and_1_and_reach_their_top(name: str) -> None:
    values = [CURVES[name]()(i / 200) for i in range(201)]
    assert all(0 <= v <= 1 + 1e-12 for v in values)
    assert max(values) == pytest.approx(1)


def test_a_torch_scheduler_steps_per_batch_or_epoch(make_learner: Make) -> None:
    recorder = Recorder()
    decay = lambda opt, n: torch.optim.lr_scheduler.ExponentialLR(opt, 0.5)  # noqa: E731
    make_learner(recorder, Scheduler(decay, per="epoch"), lr=0.4).fit(3)
    assert sorted(set(recorder.lr), reverse=True) == pytest.approx([0.4, 0.2, 0.1])
    make_learner(recorder, Scheduler(decay), lr=0.4).fit(1)
    assert recorder.lr == pytest.approx([0.4 * 0.5**i for i in range(7)])
    with pytest.raises(UsageError, match="per 'month'"):
        Scheduler(decay, per="month")


def test_gradient_clip_bounds_the_norm(make_learner: Make) -> None:
    norms = []

    class Look(Callback):
        order = 5

        def after_backward(self, learn: Learner) -> None:
            grads = [p.grad.flatten() for p in learn.model.parameters() if p.grad is not None]
            norms.append(torch.cat(grads).norm().item())

    make_learner(Look(), GradientClip(0.1)).fit(1)
    assert norms
    assert all(n <= 0.1 + 1e-5 for n in norms)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_computes_low_and_keeps_the_weights_high(make_learner: Make, precision: str) -> None:
    low, scale = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision], []

    class Look(Callback):
        def after_predict(self, learn: Learner) -> None:
            scale.append(learn.preds.dtype)

    learn = make_learner(MixedPrecision(precision), GradientClip(1.0), Metrics(Accuracy()), Look())
    dtypes: list[torch.dtype] = []
    learn.model[0].register_forward_hook(lambda m, a, out: dtypes.append(out.dtype))
    learn.fit(6)
    assert set(dtypes) == {low}
    assert set(scale) == {torch.float32}
    assert {p.dtype for p in learn.model.parameters()} == {torch.float32}
    assert learn.history[-1]["valid_accuracy"] > 0.8


def test_early_stopping_waits_as_long_as_it_is_told(make_learner: Make) -> None:
    learn = make_learner(Metrics(), EarlyStopping(3, "valid_loss", by=10.0))
    learn.fit(20)
    assert len(learn.history) == 4
    with pytest.raises(UsageError, match="'valid_f1' to watch; the row has epoch, train_loss"):
        make_learner(Metrics(), EarlyStopping(monitor="valid_f1")).fit(1)


def test_single_batch_can_be_learnt_by_heart(make_learner: Make) -> None:
    learn = make_learner(SingleBatch(), Metrics(Accuracy()), Recorder(), opt_func=torch.optim.Adam, lr=0.03)
    learn.dls.train.shuffle = False
    learn.fit(150, valid=False)
    assert len(learn.cbs[-1].losses) == 150
    assert learn.history[-1]["train_loss"] < 0.02


def test_weight_averaging_is_the_average_of_the_weights(make_learner: Make) -> None:
    seen: list[torch.Tensor] = []

    class Look(Callback):
        def after_step(self, learn: Learner) -> None:
            seen.append(learn.model[0].weight.detach().clone())

    learn = make_learner(WeightAveraging(0.8), Look(), Metrics())
    wanted = learn.model[0].weight.detach().double().clone()
    learn.fit(2)
    for t, weight in enumerate(seen):
        decay = min(0.8, (t + 1) / (t + 10))
        wanted = decay * wanted + (1 - decay) * weight
    assert torch.allclose(learn.model[0].weight.double(), wanted, atol=1e-6)
    assert not torch.equal(learn.model[0].weight, seen[-1]), "the model must end as the average"
    check = Learner(learn.model, learn.dls, learn.loss_func, cbs=[Metrics()])
    check.fit(1, train=False)
    assert check.history[0]["valid_loss"] == learn.history[-1]["valid_loss"], "it is validated as the average"


def test_predictions_come_in_the_loader_s_order_and_leave_the_learner_alone(make_learner: Make) -> None:
    learn = make_learner(Metrics(Accuracy()), OneCycle(), Progress(io.StringIO()))
    learn.fit(3)
    before = learn.history, learn.opt, learn.cbs, learn.dls
    found = capture_preds(learn, inputs=True)
    assert (learn.history, learn.opt, learn.cbs, learn.dls) == before
    x, y = learn.dls.valid.sample(50)
    learn.model.eval()
    with torch.no_grad():
        preds = learn.model(x)
        mirrored = (preds + learn.model(x.flip(3)) + learn.model(augment.shifted(1, 0)(x))) / 3
    assert torch.allclose(found.preds, preds, atol=1e-6)
    assert torch.equal(found.targets, y)
    assert found.inputs is not None
    assert torch.equal(found.inputs, x)
    views = TestTimeAveraging(augment.flip, augment.shifted(1, 0))
    assert torch.allclose(capture_preds(learn, cbs=[views]).preds, mirrored, atol=1e-6)
    with pytest.raises(TrainingError, match="nothing to predict"):
        capture_preds(learn, loader=[])


def test_activation_stats_are_those_of_the_layers(make_learner: Make) -> None:
    stats = ActivationStats()
    outputs: list[torch.Tensor] = []
    learn = make_learner(stats)
    handle = learn.model[2].register_forward_hook(lambda m, a, out: outputs.append(out.detach().clone()))
    learn.fit(1, valid=False)
    handle.remove()
    assert list(stats.stats) == ["2"]
    found = stats.stats["2"]
    wanted = torch.stack([torch.stack([o.mean(), o.std(), (o == 0).float().mean()]) for o in outputs])
    assert found.shape == (7, 3)
    assert torch.allclose(found, wanted, atol=1e-4)


def test_progress_prints_a_table_that_lines_up(make_learner: Make) -> None:
    out = io.StringIO()
    make_learner(Metrics(Accuracy()), Recorder(), Timer(), Progress(out)).fit(3)
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0].split() == [
        "epoch",
        "train",
        "loss",
        "valid",
        "loss",
        "valid",
        "accuracy",
        "lr",
        "seconds",
        "images/s",
        "waiting",
    ]
    assert len({len(line) for line in lines}) == 1
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]


def test_progress_plots_in_a_notebook(make_learner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for IPython: one display that is updated each epoch."""
    import sys
    import types

    shown: list[Any] = []

    class Handle:
        def update(self, picture: Any, raw: bool) -> None:
            shown.append(picture)

    module = types.ModuleType("IPython.display")
    module.display = lambda picture, raw, display_id: (shown.append(picture), Handle())[1]  # type: ignore[attr-defined]
    stand_in = types.ModuleType("IPython")
    stand_in.version_info = (9, 0, 0)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", stand_in)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    learn = make_learner(Metrics(Accuracy()), Progress(io.StringIO(), plot=True))
    learn.fit(3)
    assert len(shown) == 4, "one before the first epoch, then one an epoch"
    assert all(picture["image/png"].startswith(b"\x89PNG") for picture in shown)
    assert shown[1] != shown[2] != shown[3]
    losses = plot_history(learn.history).axes[0].lines
    assert [list(line.get_ydata()) for line in losses] == [
        [row[name] for row in learn.history] for name in ("train_loss", "valid_loss")
    ]


def test_the_plot_of_nothing_is_empty() -> None:
    figure = plot_history([])
    assert [line for axes in figure.axes for line in axes.lines if len(line.get_xdata())] == []


def test_timer_measures_the_wait_for_the_loader() -> None:
    import time

    class Slow:
        def __len__(self) -> int:
            return 3

        def __iter__(self) -> Iterator[Any]:
            for _ in range(3):
                time.sleep(0.02)
                yield torch.ones(4, 2), torch.ones(4, 1)

    learn = Learner(nn.Linear(2, 1), DataLoaders(Slow()), lr=0.01, cbs=[Timer()])
    learn.fit(1)
    row = learn.history[0]
    assert row["seconds"] >= 0.06
    assert row["waiting"] * row["seconds"] >= 0.06
    assert row["images_per_s"] == pytest.approx(12 / row["seconds"])
