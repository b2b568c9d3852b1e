"""Options that `train` and `lr-find` share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_OPTIONS = [
    click.option(
        "--model",
        help="A network by name, `plain` for one made for the images' size, or path/to/file.py:name (the file is run).",
    ),
    click.option(
        "--dataset", help="mnist, fashion-mnist, builtin, a hub id, or a path (parquet, folders, IDX)."
    ),
    click.option(
        "--label-column", help="The column of a table with the labels, where its name does not tell."
    ),
    click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training images."),
    click.option("--lr", type=float, help="The highest learning rate."),
    click.option("--batch-size", type=click.IntRange(min=1), help="Images per step."),
    click.option("--schedule", help="How the learning rate changes: one-cycle, linear, cosine or constant."),
    click.option("--opt", help="sgd, momentum, adam, adamw, rmsprop, muon or full-adam."),
    click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other setting of the recipe."
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**63 - 1),
        default=0,
        show_default=True,
        help="Seed of all random numbers.",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cuda, cuda:1, mps or cpu."),
    click.option(
        "--amp",
        type=click.Choice(["auto", "off", "bf16", "fp16"]),
        default="auto",
        show_default=True,
        help="Mixed precision; auto times it first.",
    ),
    click.option(
        "--convolutions",
        type=click.Choice(["auto", "torch", "winograd"]),
        default="auto",
        show_default=True,
        help="How 3×3 convolutions train on a CPU; auto times it first.",
    ),
    click.option("--limit", type=click.IntRange(min=1), help="Use so many training and test images only."),
    click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        help="Threads of torch on the CPU; timed first where not given.",
    ),
]


def training_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def chosen_recipe(name: str, options: dict[str, Any]) -> Any:
    """The recipe called `name` with the options' numbers; those options are taken out of `options`."""
    from sheetconv.errors import UsageError
    from sheetconv.train import recipes

    texts = {}
    for setting in options.pop("settings"):
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting!r} is not NAME=VALUE")
        texts[key.strip()] = value.strip()
    values = {
        key: options.pop(key)
        for key in ("dataset", "label_column", "epochs", "lr", "batch_size", "opt", "schedule")
    }
    return recipes.load(name).with_values(net=options.pop("model"), **values).with_texts(texts)


OUT = click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run; runs/RECIPE by default."
)
