"""One training run, from a recipe to a folder with weights, history and pictures."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import sheetconv
from sheetconv.errors import TrainingError
from sheetconv.train import augment
from sheetconv.train.assemble import check, loader, make_learner, make_loss
from sheetconv.train.callback import Callback
from sheetconv.train.callbacks.average import TestTimeAveraging
from sheetconv.train.callbacks.checkpoint import Checkpoint, save_weights
from sheetconv.train.callbacks.compiled import Compile
from sheetconv.train.callbacks.epochs import KeepEpochs
from sheetconv.train.callbacks.history import History
from sheetconv.train.callbacks.log import LOGS
from sheetconv.train.callbacks.predict import capture_preds
from sheetconv.train.callbacks.progress import Progress, Timer
from sheetconv.train.callbacks.stop import EarlyStopping
from sheetconv.train.devices import choose_device, device_name, to_device
from sheetconv.train.extras.memory import is_full, keep_memory, largest
from sheetconv.train.extras.switches import one_step
from sheetconv.train.extras.trials import best_start
from sheetconv.train.folder import BEST, LAST, MODEL, free_folder, latest_folder, read_run, write_run
from sheetconv.train.learner import Learner
from sheetconv.train.lock import claimed
from sheetconv.train.options import Options, extended, switched
from sheetconv.train.plain import PLAIN, write_plain
from sheetconv.train.prepare import Data, image_shape, prepare_data, prepare_net
from sheetconv.train.recipes import Recipe
from sheetconv.train.report import report
from sheetconv.train.summary import summary

Say = Callable[[str], None]


@dataclass
class Run:
    """What came of it: the folder, the test's results as in run.json, and the lines that say them."""

    folder: Path
    results: dict[str, Any]
    lines: list[str]


def train(name: str, recipe: Recipe, options: Options, say: Say = print) -> Run:
    """Run `recipe` (called `name`) and leave its folder; `say` is given each line for the terminal.

    Raises the errors of data and model, `OutputError` for a folder that is not to be overwritten, `UsageError`
    for settings that make no sense, and `TrainingError` when the loss is no number. A run that was
    interrupted goes on with `options.resume` and ends where an unbroken one ends.
    """
    begun = time.perf_counter()
    device = choose_device(options.device)
    check(recipe)
    keep_memory()
    goes_on = options.resume or options.extend
    folder = options.out or (latest_folder(name) if goes_on else free_folder(name))
    recipe, options, after = extended(recipe, options, folder)
    data = prepare_data(recipe, options.limit)
    torch.manual_seed(options.seed)
    model = prepare_net(recipe, options.seed, data, options.weights)
    logs: list[Callback] = [LOGS[name](folder) for name in options.log]
    with (
        claimed(folder, resume=options.resume, force=options.force),
        _memory_told(recipe, model, data, device),
    ):
        return _train(name, recipe, options, data, model, device, folder, after, logs, begun, say)


def _train(
    name: str, recipe: Recipe, options: Options, data: Data, model: nn.Module, device: torch.device,
    folder: Path, after: int, logs: list[Callback], begun: float, say: Say,
) -> Run:  # fmt: skip
    options, chosen = switched(recipe, options, model, data, device, folder)
    about = _about(name, recipe, options, device, data, folder) | {"extended_from": after}
    if recipe.net == PLAIN:
        about["plain"] = [*image_shape(data.train), len(data.train.class_names)]
    write_run(folder, about)
    if recipe.net == PLAIN:
        write_plain(folder / "model.py", about["plain"])
    for line in [*_introduction(name, recipe, device, model, data), *chosen, f"into {folder}"]:
        say(line)
    if not (options.resume and (folder / LAST).is_file()) and options.weights is None:
        model = best_start(recipe, options.seed, data, device, options.amp, say)
    learn = make_learner(recipe, model, data, options.seed, device, options.amp, options.convolutions, after)
    identity = _identity(recipe, options)
    checkpoint = Checkpoint(folder, resume=options.resume, run=identity, extends=bool(options.extend))
    learn.cbs += [Timer(), Progress(), checkpoint, History(folder), _SayResumed(checkpoint, say), *logs]
    learn.cbs += [KeepEpochs(folder)] * options.keep_epochs
    learn.cbs += [Compile()] * options.compile
    learn.cbs += [EarlyStopping(options.patience)] if options.patience else []
    learn.fit(recipe.epochs)
    epochs = len(learn.history)
    if epochs < recipe.epochs:
        say(
            f"stopped after epoch {epochs}: {options.patience} without a better figure; the best is in {BEST}"
        )
    about |= {
        key: round(sum(row.get(key, 0.0) for row in learn.history), 2) for key in ("seconds", "cpu_seconds")
    }
    save_weights(folder / MODEL, model, recipe=name, epochs=epochs, seed=options.seed, data=data.train.source)
    return _finish(name, recipe, learn, data, folder, about, begun)


@contextmanager
def _memory_told(recipe: Recipe, model: nn.Module, data: Data, device: torch.device) -> Iterator[None]:
    """Turn a full memory into one line with the batch size that would fit."""
    try:
        yield
        return
    except RuntimeError as error:
        if not is_full(error):
            raise
    batches = loader(recipe, data.train, len(data.train.class_names))
    loss = make_loss(recipe)

    def fits(size: int) -> None:
        x, y = to_device(batches.sample(size), device)
        one_step(model, x, y, loss, device)()

    size = largest(fits, recipe.batch_size)
    help = f"--batch-size {size} would fit" if size else "not even one image fits, so give a smaller network"
    raise TrainingError(f"the memory of {device} is too small for batches of {recipe.batch_size}; {help}")


class _SayResumed(Callback):
    """Says where an interrupted run goes on, once its checkpoint has been read."""

    order = Checkpoint.order + 1
    run_only = True

    def __init__(self, checkpoint: Checkpoint, say: Say) -> None:
        self.checkpoint, self.say = checkpoint, say

    def before_fit(self, learn: Learner) -> None:
        if self.checkpoint.resumed:
            self.say(f"goes on after epoch {self.checkpoint.resumed} of {learn.n_epochs}")


def _finish(
    name: str, recipe: Recipe, learn: Learner, data: Data, folder: Path, about: dict[str, Any], begun: float
) -> Run:
    """Score the test set, once, and write what came of it."""
    test = loader(recipe, data.test, len(data.train.class_names))
    outcome = report(recipe, data, capture_preds(learn, test).preds, folder, name)
    if recipe.test_time:
        views = TestTimeAveraging(*_views(recipe.test_time))
        averaged = report(recipe, data, capture_preds(learn, test, cbs=[views]).preds, folder, name)
        averaged.results["accuracy_of_one_view"] = outcome.results["accuracy"]
        averaged.lines[0] += f"; without averaging over {recipe.test_time} {outcome.results['accuracy']:.2%}"
        outcome = averaged
    about["wall_seconds"] = round(time.perf_counter() - begun, 2)  # trials, checkpoints and the test included
    write_run(folder, about | {"finished": True, "test": outcome.results})
    return Run(folder, outcome.results, outcome.lines)


def _views(name: str) -> tuple[augment.Transform, ...]:
    """What predictions are averaged over beside the image itself."""
    steps = {"shift": ((1, 0), (-1, 0), (0, 1), (0, -1)), "flip-shift": ((1, 1), (-1, -1))}.get(name, ())
    shifts = [augment.shifted(*step) for step in steps]
    if name == "shift":
        return tuple(shifts)
    return (augment.flip, *shifts, *(partial(_mirrored, shift) for shift in shifts))


def _mirrored(view: augment.Transform, x: torch.Tensor) -> torch.Tensor:
    return augment.flip(view(x))


def _identity(recipe: Recipe, options: Options) -> dict[str, Any]:
    """What must be the same for a run to be resumed."""
    return asdict(recipe) | {
        "seed": options.seed,
        "limit": options.limit,
        "amp": options.amp,
        "convolutions": options.convolutions,
    }


def _about(
    name: str, recipe: Recipe, options: Options, device: torch.device, data: Data, folder: Path
) -> dict[str, Any]:
    before = read_run(folder) if options.resume else {}
    return {
        "recipe": name,
        "settings": asdict(recipe),
        "seed": options.seed,
        "limit": options.limit,
        "weights": None if options.weights is None else str(options.weights),
        "amp": options.amp,
        "convolutions": options.convolutions,
        "compile": options.compile,
        "device": str(device),
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "data": data.train.source,
        "data_fingerprint": data.train.fingerprint,
        "versions": {
            "sheetconv": sheetconv.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "started": before.get("started", time.strftime("%Y-%m-%dT%H:%M:%S%z")),
        "finished": False,
    }


def _introduction(name: str, recipe: Recipe, device: torch.device, model: nn.Module, data: Data) -> list[str]:
    """What is about to happen."""
    size = summary(model, image_shape(data.train))
    steps = -(-len(data.train.images) // recipe.batch_size)
    return [
        f"{name}: {recipe.summary}",
        f"device {device}, torch {torch.__version__}",
        *data.lines(),
        f"network {recipe.net}, {size.parameters:,} parameters, {size.multiply_adds:,} multiply-adds per image",
        f"{recipe.epochs} epoch{'s' * (recipe.epochs > 1)} of {steps} batches of {recipe.batch_size}, {recipe.opt}, "
        f"{recipe.schedule} schedule up to learning rate {recipe.lr:g}",
    ]
