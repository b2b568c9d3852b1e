"""Put another image into an existing workbook, keeping everything else in it."""

from pathlib import Path

import click


@click.command("push")
@click.argument("book", type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path), help="A PNG or JPEG of a handwritten digit.")
@click.option("--dataset", help="mnist, fashion-mnist, builtin, a hub id, or a path.")
@click.option("--split", default="train", show_default=True, help="train or test.")
@click.option("--index", type=int, help="Number of the image in the split.")
@click.option("--digit", type=int, help="The first image of this class.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Another file to write; BOOK itself by default."
)
@click.option("--engine", default="ironcalc", show_default=True, help="Engine for the new cached values.")
@click.option("--force", is_flag=True, help="Overwrite the file of --output.")
def command(
    book: Path,
    image: Path | None,
    dataset: str | None,
    split: str,
    index: int | None,
    digit: int | None,
    output: Path | None,
    engine: str,
    force: bool,
) -> None:
    """Put an image into BOOK in the place of the one that is chosen there.

    Weights that were edited, formats, notes and sheets of one's own stay as they are, byte for byte; the cached
    values of all formulas are renewed.
    """
    from sheetconv.back.push import push
    from sheetconv.data.pick import pick
    from sheetconv.errors import UsageError

    if image is None and index is None and digit is None:
        raise UsageError("which image? Give --image FILE, --index N or --digit D")
    picked = pick(dataset, split, index, digit, image, others=0)
    done = push(book, picked, output, force=force, engine=engine)
    for note in done.notes:
        click.echo(f"Note: {note}.")
    click.echo(f"Image {done.number} is now {done.caption}")
    click.echo(f"Wrote {output or book}")
