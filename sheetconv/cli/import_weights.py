"""Read a network's weights back from a workbook's cells."""

from pathlib import Path

import click


@click.command("import-weights")
@click.argument("book", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The safetensors file to write."
)
@click.option("--page", help="Only the parameters on this sheet (for a workbook of several networks).")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "float64"]),
    default="auto",
    show_default=True,
    help="auto: float32 where the cells hold float32 numbers, else float64.",
)
@click.option("--force", is_flag=True, help="Overwrite the output file.")
def command(book: Path, output: Path, page: str | None, dtype: str, force: bool) -> None:
    """Write the parameters of BOOK, as they stand in its cells, to a safetensors file.

    `build-workbook --weights` and `evaluate --weights` take that file. Where a cell holds no finite number, or
    blocks were moved, the first such place is named and nothing is written.
    """
    from sheetconv.sheet.weights import import_weights

    found = import_weights(book, output, page=page, dtype=dtype, force=force)
    click.echo(f"{found.count:,} parameters in {len(found.values)} tensors")
    click.echo(f"Wrote {output}")
