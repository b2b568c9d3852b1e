"""List past training runs, the best first."""

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"))
def command(folder: Path) -> None:
    """List the training runs in FOLDER (by default runs/): recipe, test score, time; best first."""
    from sheetconv.train.runs import table

    click.echo(table(folder))
