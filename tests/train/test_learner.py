"""The loop: the order of hooks, cancelling at each level, misspelt hooks, and what a fit leaves behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sheetconv.train.learner
from sheetconv.errors import TrainingError, UsageError
from sheetconv.train.callback import (
    HOOKS,
    LEVELS,
    Callback,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
)
from sheetconv.train.callbacks.train import Train
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders
from sheetconv.train.momentum import MomentumLearner

Make = Callable[..., Learner]
CANCELS = {"fit": CancelFitException, "epoch": CancelEpochException, "batch": CancelBatchException}


class Log(Callback):
    """Writes down every hook that runs; raises at the `at`-th call of `hook` where asked to."""

    def __init__(self, log: list[str], prefix: str = "", order: int = 0) -> None:
        self.log, self.prefix, self.order = log, prefix, order  # type: ignore[misc]
        self.hook, self.at, self.error = "", 0, Exception


def _logging(hook: str) -> Callable[[Any, Any], None]:
    def run(self: Any, learn: Any) -> None:
        self.log.append(self.prefix + hook)
        if hook == self.hook:
            self.at -= 1
            if self.at < 0:
                self.hook = ""
                raise self.error

    return run


for _hook in HOOKS:
    setattr(Log, _hook, _logging(_hook))

STEPS_TRAIN = ["after_predict", "after_loss", "after_backward", "after_step"]


def batch(training: bool) -> list[str]:
    return ["before_batch", *STEPS_TRAIN[: 4 if training else 2], "after_batch", "cleanup_batch"]


def epoch(training: bool, batches: int) -> list[str]:
    return ["before_epoch", *batches * batch(training), "after_epoch", "cleanup_epoch"]


def test_hooks_run_in_the_documented_order(make_learner: Make) -> None:
    log: list[str] = []
    make_learner(Log(log), n_train=32, n_valid=16).fit(2)
    assert log == ["before_fit", *2 * (epoch(True, 2) + epoch(False, 1)), "after_fit", "cleanup_fit"]


def test_callbacks_are_sorted_by_order_whatever_the_order_given(make_learner: Make) -> None:
    log: list[str] = []
    learn = make_learner(Log(log, "c ", 2), Log(log, "a ", -1))
    learn.fit(1, cbs=[Log(log, "b ", 0)])
    assert log[:3] == ["a before_fit", "b before_fit", "c before_fit"]
    assert len(learn.cbs) == 2, "callbacks of one fit must be gone after it"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_cancelling_leaves_out_the_rest_and_cleans_up(make_learner: Make, level: str, moment: str) -> None:
    log: list[str] = []
    watcher = Log(log)
    watcher.hook, watcher.error = f"{moment}_{level}", CANCELS[level]
    make_learner(watcher, n_train=32, n_valid=16).fit(1)
    whole = ["before_fit", *epoch(True, 2), *epoch(False, 1), "after_fit", "cleanup_fit"]
    first, end = whole.index(f"{moment}_{level}"), whole.index(f"cleanup_{level}")
    assert log == whole[: first + 1] + whole[end:]


@pytest.mark.parametrize("hook", STEPS_TRAIN)
def test_a_batch_can_be_cancelled_between_its_steps(make_learner: Make, hook: str) -> None:
    log: list[str] = []
    watcher = Log(log)
    watcher.hook, watcher.error = hook, CancelBatchException
    make_learner(watcher, n_train=32, n_valid=16).fit(1, valid=False)
    cut = batch(True)
    cut = [*cut[: cut.index(hook) + 1], "cleanup_batch"]
    assert log == [
        "before_fit",
        "before_epoch",
        *cut,
        *batch(True),
        *epoch(True, 0)[1:],
        "after_fit",
        "cleanup_fit",
    ]


def test_cancelling_the_fit_inside_a_batch_cleans_up_every_level(make_learner: Make) -> None:
    log: list[str] = []
    watcher = Log(log)
    watcher.hook, watcher.error = "after_loss", CancelFitException
    make_learner(watcher).fit(3)
    assert log[-4:] == ["after_loss", "cleanup_batch", "cleanup_epoch", "cleanup_fit"]


def test_an_error_cleans_up_and_reaches_the_caller(make_learner: Make) -> None:
    log: list[str] = []
    watcher = Log(log)
    watcher.hook, watcher.error = "after_backward", KeyboardInterrupt
    learn = make_learner()
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=[watcher])
    assert log[-3:] == ["cleanup_batch", "cleanup_epoch", "cleanup_fit"]
    assert learn.cbs == []
    assert learn.batch is None


def test_a_misspelt_hook_is_refused_where_the_class_is_defined() -> None:
    with pytest.raises(TrainingError, match=r"Wrong\.before_bacth .* did you mean before_batch"):
        type("Wrong", (Callback,), {"before_bacth": lambda self, learn: None})


def test_a_misspelt_hook_on_an_instance_is_refused_by_the_learner(make_learner: Make) -> None:
    cb = Callback()
    cb.after_epochs = print  # type: ignore[attr-defined]
    with pytest.raises(TrainingError, match="after_epochs is not a hook"):
        make_learner(cb)


def test_a_class_or_a_function_is_no_callback(make_learner: Make) -> None:
    with pytest.raises(TrainingError, match="is not a callback"):
        make_learner(Train)


def test_every_hook_of_the_base_class_is_a_documented_no_op(make_learner: Make) -> None:
    for hook in HOOKS:
        assert getattr(Callback, hook).__doc__
        assert getattr(Callback(), hook)(None) is None
    assert not any(make_learner(Callback()).hooks.values()), "what does nothing must not be called"


def test_the_loop_fits_on_one_page() -> None:
    assert sheetconv.train.learner.__file__
    assert len(Path(sheetconv.train.learner.__file__).read_text().splitlines()) < 150


def test_fitting_does_what_a_loop_written_by_hand_does(make_learner: Make) -> None:
    learn = make_learner(opt_func=torch.optim.Adam, lr=0.01)
    learn.fit(2)
    by_hand = make_learner()
    opt = torch.optim.Adam(by_hand.model.parameters(), 0.01)
    for _ in range(2):
        by_hand.model.train()
        for x, y in by_hand.dls.train:
            nn.functional.cross_entropy(by_hand.model(x), y).backward()
            opt.step()
            opt.zero_grad()
    for mine, its in zip(learn.model.parameters(), by_hand.model.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_validating_leaves_the_network_alone(make_learner: Make) -> None:
    learn = make_learner()
    before = {k: v.clone() for k, v in learn.model.state_dict().items()}
    learn.fit(2, train=False)
    assert all(torch.equal(v, before[k]) for k, v in learn.model.state_dict().items())


def test_a_learning_rate_of_its_own_for_one_fit(make_learner: Make) -> None:
    learn = make_learner(lr=0.1)
    learn.fit(1, lr=0.5)
    assert learn.opt.param_groups[0]["lr"] == 0.5
    learn.fit(1)
    assert learn.opt.param_groups[0]["lr"] == 0.1


def test_a_negative_number_of_epochs_is_refused(make_learner: Make) -> None:
    with pytest.raises(UsageError, match="-1 epochs"):
        make_learner().fit(-1)


def test_train_takes_over_the_steps_for_two_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 1), nn.Linear(2, 1)

        def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            return self.a(x) + self.b(z)

    torch.manual_seed(0)
    x, z = torch.randn(64, 3), torch.randn(64, 2)
    y = x.sum(1, keepdim=True) - z.sum(1, keepdim=True)
    data = [(x[i : i + 16], z[i : i + 16], y[i : i + 16]) for i in range(0, 64, 16)]
    learn = Learner(Two(), DataLoaders(data), lr=0.1, cbs=[Train(n_inputs=2)])
    learn.fit(60)
    assert nn.functional.mse_loss(learn.model(x, z), y) < 1e-3


def test_momentum_learner_equals_torch_momentum() -> None:
    def run(kind: type[Learner], opt_func: Any, **settings: Any) -> torch.Tensor:
        torch.manual_seed(1)
        data = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(4)]
        learn = kind(nn.Linear(3, 1), DataLoaders(data), lr=0.05, opt_func=opt_func, **settings)
        learn.fit(3)
        return learn.model.weight.detach()

    ours = run(MomentumLearner, torch.optim.SGD, momentum=0.8)
    theirs = run(Learner, lambda params, lr: torch.optim.SGD(params, lr, momentum=0.8))
    assert torch.allclose(ours, theirs, atol=1e-6)
