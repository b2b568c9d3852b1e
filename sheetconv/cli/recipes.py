"""List the recipes for training networks."""

import click


@click.command()
@click.argument("recipe", required=False)
def command(recipe: str | None) -> None:
    """List the recipes for training networks, or every setting of RECIPE."""
    from dataclasses import asdict

    from sheetconv.train import recipes

    if recipe:
        for key, value in asdict(recipes.load(recipe)).items():
            click.echo(f"{key.replace('_', '-'):16} {value}")
        return
    width = max(map(len, recipes.names()))
    for name in recipes.names():
        click.echo(f"{name:{width}}  {recipes.load(name).summary}")
