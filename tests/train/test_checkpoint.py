"""Checkpoints: a resumed run ends where an unbroken one ends; damaged and foreign files are refused."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sheetconv.errors import TrainingError
from sheetconv.train.augment import random_erase, random_shift
from sheetconv.train.callback import Callback
from sheetconv.train.callbacks.average import WeightAveraging
from sheetconv.train.callbacks.batch import BatchTransform
from sheetconv.train.callbacks.checkpoint import Checkpoint
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.callbacks.recorder import Recorder
from sheetconv.train.callbacks.schedule import OneCycle, Scheduler
from sheetconv.train.callbacks.stop import EarlyStopping
from sheetconv.train.learner import Learner
from sheetconv.train.metrics import Accuracy
from sheetconv.train.optimisers import optimiser
from sheetconv.train.state import load_state, random_state, save_state, set_random_state

Make = Callable[..., Learner]


class Break(Callback):
    """Ends the process's work in the middle of an epoch, as Ctrl-C would."""

    def __init__(self, epoch: int) -> None:
        self.at = epoch

    def after_step(self, learn: Learner) -> None:
        if learn.epoch == self.at and learn.iter == 2:
            raise KeyboardInterrupt


def callbacks(folder: Path, resume: bool = False) -> list[Callback]:
    return [
        Metrics(Accuracy()),
        OneCycle(),
        Recorder(),
        WeightAveraging(0.9),
        BatchTransform(random_shift(1), random_erase(0.5)),
        Checkpoint(folder, resume=resume),
    ]


@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw", "muon", "full-adam"])
def test_resumed_equals_unbroken(make_learner: Make, tmp_path: Path, name: str) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    unbroken = make_learner(*callbacks(whole), opt_func=optimiser(name), lr=0.02)
    unbroken.fit(4)
    with pytest.raises(KeyboardInterrupt):
        make_learner(*callbacks(broken), Break(2), opt_func=optimiser(name), lr=0.02).fit(4)
    resumed = make_learner(*callbacks(broken, resume=True), opt_func=optimiser(name), lr=0.02)
    torch.rand(5)  # the state at the start must not matter
    resumed.fit(4)
    assert resumed.cbs[-1].resumed == 2
    assert resumed.history == unbroken.history
    for key, value in unbroken.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    recorders = [next(cb for cb in learn.cbs if isinstance(cb, Recorder)) for learn in (unbroken, resumed)]
    assert torch.equal(recorders[0].losses, recorders[1].losses)
    assert recorders[0].lr == recorders[1].lr
    assert load_file(whole / "best.safetensors").keys() == load_file(broken / "best.safetensors").keys()
    for key, value in load_file(whole / "best.safetensors").items():
        assert torch.equal(value, load_file(broken / "best.safetensors")[key]), key


def test_torch_s_schedulers_resume(make_learner: Make, tmp_path: Path) -> None:
    def cbs(folder: Path, resume: bool = False) -> list[Callback]:
        folder.mkdir(exist_ok=True)
        step = Scheduler(lambda opt, n: torch.optim.lr_scheduler.OneCycleLR(opt, 0.1, total_steps=n))
        decay = Scheduler(lambda opt, n: torch.optim.lr_scheduler.ExponentialLR(opt, 0.9), per="epoch")
        plateau = Scheduler(
            lambda opt, n: torch.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=0), per="epoch"
        )
        return [Metrics(), Recorder(), step, decay, plateau, Checkpoint(folder, resume=resume)]

    unbroken = make_learner(*cbs(tmp_path / "a"))
    unbroken.fit(4)
    with pytest.raises(KeyboardInterrupt):
        make_learner(*cbs(tmp_path / "b"), Break(3)).fit(4)
    resumed = make_learner(*cbs(tmp_path / "b", True))
    resumed.fit(4)
    assert resumed.history == unbroken.history


SCRIPT = """
import os, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import torch
from conftest import loaders, small_net
from test_checkpoint import callbacks
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner

resume = sys.argv[2] == "resume"

class Kill(Callback):
    def after_step(self, learn):
        if learn.epoch == 1 and learn.iter == 3 and not resume:
            os.kill(os.getpid(), signal.SIGKILL)

torch.manual_seed(3)
torch.set_num_threads({threads})
learn = Learner(small_net(), loaders(), torch.nn.functional.cross_entropy, 0.1,
                [*callbacks(Path(sys.argv[1]), resume), Kill()])
learn.fit(3)
print(repr(learn.history))
"""


def test_a_killed_process_loses_at_most_the_epoch_at_hand(make_learner: Make, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = make_learner(*callbacks(tmp_path / "whole"))
    whole.fit(3)
    script, folder = tmp_path / "run.py", tmp_path / "broken"
    paths = [str(folder) for folder in (*Path(__file__).resolve().parents[:3],)]
    script.write_text(SCRIPT.format(paths=paths, threads=torch.get_num_threads()))
    folder.mkdir()

    def run(how: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(script), str(folder), how]
        return subprocess.run(command, capture_output=True, text=True, timeout=240)

    assert run("kill").returncode == -signal.SIGKILL
    (folder / ".last-abcd.safetensors").write_bytes(b"left half-written")
    resumed = run("resume")
    assert resumed.stdout.strip() == repr(whole.history), resumed.stderr
    assert sorted(p.name for p in folder.iterdir()) == ["best.safetensors", "last.safetensors"]


def test_the_best_weights_are_kept_under_the_model_s_own_names(make_learner: Make, tmp_path: Path) -> None:
    learn = make_learner(Metrics(Accuracy()), Checkpoint(tmp_path))
    learn.fit(4)
    best = max(row["valid_accuracy"] for row in learn.history)
    with safe_open(tmp_path / "best.safetensors", framework="pt") as file:
        about = file.metadata()
    first = next(row for row in learn.history if row["valid_accuracy"] == best)
    assert float(about["valid_accuracy"]) == best
    assert int(about["epoch"]) == first["epoch"]
    other = make_learner(Metrics(Accuracy()))
    other.model.load_state_dict(load_file(tmp_path / "best.safetensors"))
    other.fit(1, train=False)
    assert other.history[0]["valid_accuracy"] == best


def test_resuming_without_a_checkpoint_starts_from_the_beginning(make_learner: Make, tmp_path: Path) -> None:
    plain = make_learner(Metrics(Accuracy()))
    plain.fit(2)
    learn = make_learner(Metrics(Accuracy()), Checkpoint(tmp_path, resume=True))
    learn.fit(2)
    assert learn.history == plain.history


def test_a_finished_run_resumes_to_nothing_more(make_learner: Make, tmp_path: Path) -> None:
    first = make_learner(Metrics(), Checkpoint(tmp_path))
    first.fit(2)
    again = make_learner(Metrics(), Checkpoint(tmp_path, resume=True))
    again.fit(2)
    assert again.history == first.history
    assert torch.equal(again.model[0].weight, first.model[0].weight)


def test_a_run_stopped_early_stays_stopped(make_learner: Make, tmp_path: Path) -> None:
    def make(resume: bool) -> Learner:
        stop = EarlyStopping(2, "valid_loss", by=10.0)  # nothing improves by that much
        return make_learner(Metrics(), stop, Checkpoint(tmp_path, resume=resume))

    first = make(False)
    first.fit(9)
    assert len(first.history) == 3
    again = make(True)
    again.fit(9)
    assert again.history == first.history


def test_another_run_is_refused(make_learner: Make, tmp_path: Path) -> None:
    make_learner(Metrics(), Checkpoint(tmp_path, run={"recipe": "a"})).fit(1)
    with pytest.raises(TrainingError, match="a run with recipe a, this one has b"):
        make_learner(Metrics(), Checkpoint(tmp_path, resume=True, run={"recipe": "b"})).fit(1)
    with pytest.raises(TrainingError, match="a run with n_epochs 1, this one has 2"):
        make_learner(Metrics(), Checkpoint(tmp_path, resume=True, run={"recipe": "a"})).fit(2)


def test_a_checkpoint_of_another_network_is_refused(make_learner: Make, tmp_path: Path) -> None:
    make_learner(Metrics(), Checkpoint(tmp_path)).fit(1)
    other = make_learner(Metrics(), Checkpoint(tmp_path, resume=True))
    other.model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))
    with pytest.raises(TrainingError, match="does not fit this run"):
        other.fit(1)


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "json"])
def test_a_damaged_checkpoint_is_one_clear_error(make_learner: Make, tmp_path: Path, damage: str) -> None:
    make_learner(Metrics(), Checkpoint(tmp_path)).fit(1)
    path = tmp_path / "last.safetensors"
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        save_file({"x": torch.ones(1)}, path)
    else:
        wrong = {"format": "sheetconv-checkpoint-1", "state": json.dumps({"items": [[1]]})}
        save_file({"x": torch.ones(1)}, path, metadata=wrong)
    with pytest.raises(TrainingError, match=r"last\.safetensors") as caught:
        make_learner(Metrics(), Checkpoint(tmp_path, resume=True)).fit(1)
    assert "\n" not in str(caught.value)


def test_nested_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "a": [1, 2.5, None, True, "text", (1, ("x",))],
        3: {"t": torch.arange(6).reshape(2, 3).T, (1, 2): torch.tensor(1.5, dtype=torch.bfloat16)},
        "numpy": np.arange(3, dtype=np.uint32),
        "nan": float("inf"),
        "empty": {},
    }
    save_state(tmp_path / "s.safetensors", state)
    back = load_state(tmp_path / "s.safetensors")
    assert back["a"] == state["a"]
    assert torch.equal(back[3]["t"], state[3]["t"])
    assert back[3][1, 2].dtype == torch.bfloat16
    assert back["numpy"].dtype == np.uint32
    assert back["nan"] == float("inf")
    with pytest.raises(TrainingError, match="a function cannot be kept"):
        save_state(tmp_path / "t.safetensors", {"f": callbacks})
    assert not (tmp_path / "t.safetensors").exists()


def test_random_states_survive_a_file(tmp_path: Path) -> None:
    import random

    save_state(tmp_path / "r.safetensors", random_state())
    wanted = (random.random(), np.random.rand(), torch.rand(1).item())
    set_random_state(load_state(tmp_path / "r.safetensors"))
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == wanted
