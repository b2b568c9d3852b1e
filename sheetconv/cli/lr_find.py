"""Find a learning rate for a recipe in a short search."""

from typing import Any

import click

from sheetconv.cli._training import OUT, chosen_recipe, training_options


@click.command("lr-find")
@click.argument("recipe")
@OUT
@training_options
@click.option(
    "--steps", type=click.IntRange(min=20), default=100, show_default=True, help="Batches to look at."
)
@click.option("--from", "start", type=float, default=1e-5, show_default=True, help="The lowest rate.")
@click.option("--to", "end", type=float, default=10.0, show_default=True, help="The highest rate.")
@click.option("--force", is_flag=True, help="Overwrite lr-find.png in --out.")
def command(recipe: str, **options: Any) -> None:
    """Find a learning rate for RECIPE (see `sheetconv recipes`) in a short search.

    The rate rises from batch to batch; the suggestion is where the smoothed loss falls fastest. With --out a
    picture of the curve is left there as lr-find.png.
    """
    settings = chosen_recipe(recipe, options)
    from sheetconv.train.search import search

    for line in search(recipe, settings, **options):
        click.echo(line)
