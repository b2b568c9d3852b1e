"""Where and how a recipe runs, as asked for and as decided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sheetconv.errors import UsageError
from sheetconv.train.assemble import loader, make_loss
from sheetconv.train.extras.switches import choose_switches
from sheetconv.train.folder import LAST, read_run
from sheetconv.train.prepare import Data
from sheetconv.train.recipes import Recipe

_SWITCHES = ("threads", "amp", "convolutions")
_UNDECIDED = (None, "auto")


@dataclass
class Options:
    """Where and how a recipe runs.

    What is learned depends only on `seed`, `limit`, the `weights` it starts from, the epochs that `extend` a finished
    run, and the `patience` after which epochs without improvement end it. `log` names further forms of the history.
    """

    out: Path | None = None
    seed: int = 0
    device: str = "auto"
    amp: str = "auto"
    convolutions: str = "auto"
    compile: bool = False
    limit: int | None = None
    resume: bool = False
    force: bool = False
    threads: int | None = None
    weights: Path | None = None
    extend: int | None = None
    patience: int | None = None
    log: tuple[str, ...] = ()
    keep_epochs: bool = False


def extended(recipe: Recipe, options: Options, folder: Path) -> tuple[Recipe, Options, int]:
    """Recipe and options of a finished run that is to have `options.extend` more epochs, and how many it had.

    Without that option they are as they were, and 0. Raises `UsageError` where the run was not finished.
    """
    if not options.extend:
        return recipe, options, 0
    before = read_run(folder)
    after = (
        before.get("settings", {}).get("epochs") if before.get("finished") else before.get("extended_from")
    )
    if not after or not (folder / LAST).is_file():
        raise UsageError(
            f"{folder} holds no finished run to extend; --resume goes on with an interrupted one"
        )
    return recipe.with_values(epochs=after + options.extend), replace(options, resume=True), after


def switched(
    recipe: Recipe, options: Options, model: nn.Module, data: Data, device: torch.device, folder: Path
) -> tuple[Options, list[str]]:
    """Options with threads (set in torch), precision and convolutions decided, and lines about what was timed.

    A resumed run takes what it began with, since all three change the last bits of its numbers.
    """
    before = read_run(folder) if options.resume else {}
    if before.get("amp") in ("off", "bf16", "fp16") and isinstance(before.get("threads"), int):
        options = _decided(options, {"convolutions": "torch"} | before)
    if options.compile or options.amp in ("bf16", "fp16"):
        options = _decided(options, {"convolutions": "torch"})  # Winograd's are in float32 and not compiled
    if options.threads:
        torch.set_num_threads(options.threads)
    lines: list[str] = []
    decide = {name for name in _SWITCHES if getattr(options, name) in _UNDECIDED}
    if decide:
        batch = loader(recipe, data.train, len(data.train.class_names)).sample(recipe.batch_size)
        switches = choose_switches(model, batch, make_loss(recipe), device, decide=decide)
        lines = list(switches.lines.values())
        options = _decided(options, switches.settings())
    return options, lines


def _decided(options: Options, values: dict[str, Any]) -> Options:
    """Options with those of `values` where nothing was asked for."""
    return replace(
        options,
        **{key: values[key] for key in _SWITCHES if key in values and getattr(options, key) in _UNDECIDED},
    )
