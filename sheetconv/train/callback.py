"""What a callback is: documented hooks that do nothing, so that a misspelt one is an error and not silence."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar, Self

from sheetconv.errors import TrainingError

Learner = Any  # what hooks are given; the class itself imports this module, and its own callbacks name it

LEVELS = ("fit", "epoch", "batch")
STEPS = ("predict", "get_loss", "backward", "step", "zero_grad")
HOOKS = (
    *(f"{moment}_{level}" for level in LEVELS for moment in ("before", "after", "cleanup")),
    *(f"after_{step}" for step in ("predict", "loss", "backward", "step")),
)


class CancelFitException(Exception):
    """Raised by a callback: the rest of the fit is left out, `cleanup_fit` still runs."""


class CancelEpochException(Exception):
    """Raised by a callback: the rest of this pass over the data is left out, `cleanup_epoch` still runs."""


class CancelBatchException(Exception):
    """Raised by a callback: the rest of this batch is left out, `cleanup_batch` still runs."""


_CANCELS: dict[str, type[Exception]] = {
    "fit": CancelFitException,
    "epoch": CancelEpochException,
    "batch": CancelBatchException,
}


def with_cbs(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Wrap a method of the Learner in the hooks of `name` (fit, epoch or batch), which may cancel it."""
    cancel, before, after, cleanup = _CANCELS[name], f"before_{name}", f"after_{name}", f"cleanup_{name}"

    def decorate(method: Callable[..., None]) -> Callable[..., None]:
        @wraps(method)
        def wrapped(self: Learner, *args: Any) -> None:
            hooks = self.hooks  # looked up once: this is on the way of every batch
            try:
                for call in hooks[before]:
                    call(self)
                method(self, *args)
                for call in hooks[after]:
                    call(self)
            except cancel:
                pass
            finally:
                for call in hooks[cleanup]:
                    call(self)

        return wrapped

    return decorate


class Callback:
    """Behaviour added to a `Learner`: override the hooks that you need; each is given the learner.

    Callbacks run in ascending `order`. A callback that defines one of `predict`, `get_loss`, `backward`,
    `step`, `zero_grad` (each given the learner) takes that step over; of several the last in order does.
    What `state_dict` returns (numbers, text, tensors, lists and dictionaries of them) is kept in checkpoints.
    A method whose name begins like a hook but is none raises `TrainingError` where the class is defined.
    Callbacks that only concern a run of training (`run_only`: schedules, progress, checkpoints …) are left
    out when the learner searches a learning rate or predicts.
    """

    order: ClassVar[int] = 0
    run_only: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_unknown_hooks(cls.__name__, vars(cls))

    @classmethod
    def example(cls, folder: Path) -> Self:
        """An instance to be tried, as the tests do; override where the constructor needs arguments.

        What it writes goes to `folder`.
        """
        return cls()

    def before_fit(self, learn: Learner) -> None:
        """Once, before the first epoch; the optimiser exists (`learn.opt`) when the fit trains."""

    def after_fit(self, learn: Learner) -> None:
        """Once, after the last epoch, unless the fit was cancelled or failed."""

    def cleanup_fit(self, learn: Learner) -> None:
        """Once, at the end of the fit in every case."""

    def before_epoch(self, learn: Learner) -> None:
        """Before each pass over `learn.dl`: training (`learn.training`) or validation."""

    def after_epoch(self, learn: Learner) -> None:
        """After each pass, unless it was cancelled; `learn.closing` where it is the epoch's last one."""

    def cleanup_epoch(self, learn: Learner) -> None:
        """At the end of each pass in every case."""

    def before_batch(self, learn: Learner) -> None:
        """Before each batch: `learn.batch` may be changed."""

    def after_batch(self, learn: Learner) -> None:
        """After each batch, unless it was cancelled; `learn.preds` and `learn.loss` are there."""

    def cleanup_batch(self, learn: Learner) -> None:
        """At the end of each batch in every case."""

    def after_predict(self, learn: Learner) -> None:
        """`learn.preds` has been computed."""

    def after_loss(self, learn: Learner) -> None:
        """`learn.loss` has been computed."""

    def after_backward(self, learn: Learner) -> None:
        """Gradients have been computed (training only)."""

    def after_step(self, learn: Learner) -> None:
        """The optimiser has stepped; the gradients are still there (training only)."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs from this callback; nothing by default."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned in the interrupted run."""


def refuse_unknown_hooks(owner: str, names: Any) -> None:
    """Raise `TrainingError` for a name that begins like a hook's but is none."""
    for name in names:
        if name.startswith(("before_", "after_", "cleanup_")) and name not in HOOKS:
            near = difflib.get_close_matches(name, HOOKS, 1)
            hint = f"did you mean {near[0]}?" if near else f"the hooks are {', '.join(HOOKS)}"
            raise TrainingError(f"{owner}.{name} is not a hook of the Learner, so it would never run; {hint}")


def listed(callbacks: Callback | Iterable[Callback]) -> list[Callback]:
    """A list of the callbacks, also of a single one."""
    return [callbacks] if isinstance(callbacks, Callback) else list(callbacks)


def in_order(callbacks: list[Callback]) -> list[Callback]:
    """Sorted by `order`; raises `TrainingError` for what is no callback."""
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TrainingError(f"{callback!r} is not a callback; give instances of subclasses of Callback")
    return sorted(callbacks, key=lambda callback: callback.order)


def hooks_of(callbacks: list[Callback]) -> dict[str, list[Any]]:
    """For each hook the bound methods that override it, in the callbacks' order."""
    for callback in callbacks:
        refuse_unknown_hooks(type(callback).__name__, vars(callback))
    return {
        hook: [
            getattr(callback, hook)
            for callback in callbacks
            if hook in vars(callback) or getattr(type(callback), hook) is not getattr(Callback, hook)
        ]
        for hook in HOOKS
    }
