"""Checkpoints of the best and the last epoch, and going on from the last."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Self

import torch

from sheetconv.errors import TrainingError
from sheetconv.files import replacing
from sheetconv.train.callback import Callback
from sheetconv.train.callbacks.stop import better, figure
from sheetconv.train.devices import at_home
from sheetconv.train.learner import Learner
from sheetconv.train.state import load_state, random_state, save_state, set_random_state

LAST, BEST = "last.safetensors", "best.safetensors"


class Checkpoint(Callback):
    """After each epoch writes `last.safetensors` (all that going on needs) and, where it improved, `best.safetensors`.

    `best` holds the weights alone, under the model's own names, as they were validated (averaged, where they
    are). `monitor` chooses the figure: by default the accuracy, else the validation loss. With `resume` the
    fit goes on from `last` and ends where an unbroken one ends; without such a file it starts from the
    beginning. `run` says what the run is (recipe, batch size, …): going on with another one is refused, but for the
    number of epochs where it `extends` a finished one.
    Files are moved into place, so that a killed process loses at most the epoch at hand.
    """

    order = 1000  # what it takes up must not be reset by the callbacks' own `before_fit`
    run_only = True

    def __init__(
        self,
        folder: Path,
        monitor: str | None = None,
        resume: bool = False,
        run: dict[str, Any] | None = None,
        extends: bool = False,
    ) -> None:
        self.folder, self.monitor, self.resume, self.run = Path(folder), monitor, resume, run or {}
        self.extends = extends
        self.best: float | None = None
        self.resumed = 0
        self._due = False

    @classmethod
    def example(cls, folder: Path) -> Self:
        """In that folder."""
        return cls(folder)

    def before_fit(self, learn: Learner) -> None:
        """Take up the last epoch's state, after all other callbacks are ready for it."""
        self.best, self.resumed, self._due = None, 0, False
        if learn.opt is None:
            return
        self._sweep()
        path = self.folder / LAST
        if self.resume and path.is_file():
            self._load(learn, path)

    def _sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for name in (LAST, BEST):
            for left in self.folder.glob(f".{Path(name).stem}-*.safetensors"):
                left.unlink(missing_ok=True)

    def after_epoch(self, learn: Learner) -> None:
        """Keep the weights if they are the best so far."""
        if not learn.closing or learn.opt is None:
            return
        self._due = True
        name, value, more = figure(learn, self.monitor)
        if better(value, self.best, more):
            self.best = value
            if learn.main:
                save_weights(self.folder / BEST, learn.model, epoch=learn.epoch + 1, **{name: value})

    def cleanup_epoch(self, learn: Learner) -> None:
        """Keep everything, now that callbacks have put back what they had exchanged for the validation."""
        if self._due:
            self._due = False
            if learn.main:
                save_state(self.folder / LAST, self._state(learn))

    def _state(self, learn: Learner) -> dict[str, Any]:
        return {
            "run": self.run,
            "n_epochs": learn.n_epochs,
            "epochs_done": learn.epoch + 1,
            "history": learn.history,
            "model": dict(learn.model.state_dict()),
            "optimiser": learn.opt.state_dict(),
            "callbacks": {name: cb.state_dict() for name, cb in _named(learn).items()},
            "loaders": {name: dl.state_dict() for name, dl in _loaders(learn).items()},
            "random": random_state(),
        }

    def _load(self, learn: Learner, path: Path) -> None:
        state = load_state(path)
        self._refuse_another(state, learn, path)
        try:
            learn.model.load_state_dict(state["model"])
            learn.opt.load_state_dict(state["optimiser"])
            for name, cb in _named(learn).items():
                if name in state["callbacks"]:
                    cb.load_state_dict(state["callbacks"][name])
            for name, dl in _loaders(learn).items():
                dl.load_state_dict(state["loaders"][name])
            learn.history = list(state["history"])
            self.resumed = state["epochs_done"]
            learn.epochs = range(self.resumed, learn.n_epochs)
            set_random_state(state["random"])
        except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(f"{path} does not fit this run: {reason}") from error

    def _refuse_another(self, state: dict[str, Any], learn: Learner, path: Path) -> None:
        kept = {"n_epochs": state.get("n_epochs")} | (state.get("run") or {})
        for name, value in ({"n_epochs": learn.n_epochs} | self.run).items():
            if kept.get(name) != value and not (self.extends and name in ("n_epochs", "epochs")):
                raise TrainingError(
                    f"{path} belongs to a run with {name} {kept.get(name)}, this one has {value}; go on with the"
                    " same settings, or start anew in another folder"
                )

    def state_dict(self) -> dict[str, Any]:
        """The best figure so far."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Compare with the best figure from before the interruption."""
        self.best = state["best"]


def save_weights(path: Path, model: torch.nn.Module, **about: Any) -> None:
    """Write a model's weights under its own names, with `about` as metadata; moved into place."""
    from safetensors.torch import save_file

    tensors = at_home(model.state_dict())
    with replacing(path, force=True) as temporary:
        save_file(tensors, temporary, metadata={k: str(v) for k, v in about.items()})


def _named(learn: Learner) -> dict[str, Callback]:
    """Callbacks by class name and a number that tells those of one class apart."""
    count: Counter[str] = Counter()
    named = {}
    for cb in learn.cbs:
        name = type(cb).__name__
        named[f"{name}.{count[name]}"] = cb
        count[name] += 1
    return named


def _loaders(learn: Learner) -> dict[str, Any]:
    both = {"train": learn.dls.train, "valid": learn.dls.valid}
    return {name: dl for name, dl in both.items() if hasattr(dl, "state_dict")}
