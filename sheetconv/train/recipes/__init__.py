"""Recipes: which network is trained on what, and how; one short declaration per file of this package.

A file `mnist_best.py` holds `RECIPE = Recipe(…)` and is the recipe `mnist-best`; nothing else lists it. Numbers
were chosen on held-out training images; the test set is looked at once, after the last epoch.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, fields, replace
from typing import Any

from sheetconv.errors import UsageError

TASKS = ("classify", "reconstruct")


@dataclass(frozen=True)
class Recipe:
    """Everything about a training run but where it runs and where it is kept.

    `net`, `opt` and `schedule` are names of `nets.NETS`, `optimisers.OPTIMISERS` and `schedule.CURVES`. `lr` is
    the highest learning rate of the schedule; with Muon that of matrices and kernels, of which biases and norms
    get `adam_ratio`. `shift` (pixels), `flip` (left to right, every other epoch), `erase` (share of images that
    lose a rectangle) and `affine` (largest turn, scaling and slant) change training images. `average` is the
    decay per step of the weights' moving average, which then replaces the weights (0: none). `test_time` averages
    predictions over "flip", "shift" or "flip-shift" ("" for none). `held_out` images at the end of the training
    split are validated on after each epoch and never trained on. `fresh` draws new handwriting for every epoch
    where the dataset is the built-in one. `skip_easy` is the share of images that epochs after the first leave
    out, the easier ones with greater chance. `init` is "default" (torch's), "kaiming", "open" or "whiten"; of `trials`
    initialisations the one goes on that did best in a trial of `trial_epochs` epochs of 27,000 images. The test
    set is `test_dataset`'s where one is named. `label_column` names a table's column of labels where its own names
    do not tell.
    """

    summary: str
    net: str
    dataset: str
    epochs: int
    lr: float
    opt: str = "adamw"
    task: str = "classify"
    batch_size: int = 256
    schedule: str = "one-cycle"
    warm_up: float = 0.25
    adam_ratio: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    init: str = "kaiming"
    trials: int = 1
    trial_epochs: int = 1
    label_smoothing: float = 0.0
    shift: int = 0
    flip: bool = False
    erase: float = 0.0
    affine: float = 0.0
    average: float = 0.0
    test_time: str = ""
    held_out: int = 5000
    fresh: bool = False
    skip_easy: float = 0.0
    channels_last: bool = True
    test_dataset: str = ""
    label_column: str = ""

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UsageError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:  # refuses NaN as well
                raise UsageError(f"{name} is {value}; give {low:g} to {high:g}")

    def with_values(self, **changes: Any) -> Recipe:
        """This recipe with other numbers; those that are None stay as they are. Raises `UsageError`."""
        return replace(self, **{key: value for key, value in changes.items() if value is not None})

    def with_texts(self, texts: dict[str, str]) -> Recipe:
        """This recipe with values written as text, as in ``--set shift=2``. Raises `UsageError`."""
        known = {f.name: type(getattr(self, f.name)) for f in fields(self) if f.name != "summary"}
        changes = {}
        for key, text in texts.items():
            name = key.replace("-", "_")
            if name not in known:
                raise UsageError(f"a recipe has no {key!r}; it has {', '.join(known)}")
            changes[name] = _value(key, text, known[name])
        return replace(self, **changes)


CHOICES: dict[str, tuple[str, ...]] = {
    "task": TASKS,
    "init": ("default", "kaiming", "open", "whiten"),
    "test_time": ("", "flip", "shift", "flip-shift"),
}
LIMITS: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "lr": (0, 1e12),
    "adam_ratio": (0, 1e6),
    "momentum": (0, 0.9999),
    "warm_up": (0.001, 0.999),
    "weight_decay": (0, 1e6),
    "label_smoothing": (0, 1),
    "shift": (0, 64),
    "erase": (0, 1),
    "affine": (0, 1),
    "average": (0, 0.999999),
    "trials": (1, 1000),
    "trial_epochs": (1, 1000),
    "skip_easy": (0, 0.95),
    "held_out": (1, 10_000_000),
}


def _value(key: str, text: str, kind: type) -> Any:
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() not in words:
            raise UsageError(f"{key} is yes or no, not {text!r}")
        return words[text.lower()]
    try:
        return kind(text)
    except ValueError as error:
        raise UsageError(
            f"{key} must be {'a whole number' if kind is int else 'a number'}, not {text!r}"
        ) from error


def names() -> list[str]:
    """Names of all recipes."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Recipe:
    """The recipe called `name`; raises `UsageError` for an unknown one."""
    if name not in names():
        raise UsageError(f"there is no recipe {name!r}; choose one of {', '.join(names())}")
    found: Recipe = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").RECIPE
    return found
