"""Train a network by a recipe: weights, history and pictures in one folder."""

from pathlib import Path
from typing import Any

import click

from sheetconv.cli._training import OUT, chosen_recipe, training_options


@click.command()
@click.argument("recipe")
@OUT
@training_options
@click.option("--compile", is_flag=True, help="Compile the network with torch.compile.")
@click.option(
    "--weights",
    "--from",
    "weights",
    type=click.Path(path_type=Path),
    help="Start from these: a safetensors file, a run's folder, or a workbook as it stands.",
)
@click.option("--patience", type=click.IntRange(min=1), help="Stop after so many epochs without improvement.")
@click.option(
    "--log",
    multiple=True,
    type=click.Choice(["csv", "tensorboard"]),
    help="The history also as history.csv, or for TensorBoard.",
)
@click.option("--keep-epochs", is_flag=True, help="Keep the weights of every epoch, for a workbook to show.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run.")
@click.option("--extend", type=click.IntRange(min=1), help="Train a finished run so many epochs more.")
@click.option("--force", is_flag=True, help="Overwrite an earlier run in --out.")
def command(recipe: str, **options: Any) -> None:
    """Train a network by RECIPE (see `sheetconv recipes`).

    The run's folder holds model.safetensors, history.jsonl, run.json and pictures. Ctrl-C loses the current
    epoch at most: --resume continues.
    """
    settings = chosen_recipe(recipe, options)
    from sheetconv.train.run import Options, train

    try:
        run = train(recipe, settings, Options(**options), click.echo)
    except KeyboardInterrupt:
        click.echo("Interrupted: --resume goes on after the last complete epoch.", err=True)
        raise click.exceptions.Exit(130) from None
    for line in run.lines:
        click.echo(line)
    click.echo(f"Wrote {run.folder}")
