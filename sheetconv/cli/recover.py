"""Read a network back out of a workbook's formulas, as a torch module, and prove it cell by cell."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("book", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .py file to write.")
@click.option("--engine", default="ironcalc", show_default=True, help="Spreadsheet engine for the proof.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--force", is_flag=True, help="Overwrite the output files.")
def command(book: Path, output: Path, engine: str, as_json: bool, force: bool) -> None:
    """Read a network back out of a workbook's formulas, as a torch module, and prove it cell by cell.

    Writes OUTPUT and, beside it, a .safetensors file with the weights and the input. The module needs torch and
    safetensors only. Exit code 0 when every recognised cell is what the module computes, 1 when some differ
    (the files are written all the same: they are the network without the mistakes).
    """
    from sheetconv.inspect.recover import recover

    report = recover(book, output, engine, force=force)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        for layer in report.layers:
            click.echo(
                f"{layer.name:12} {len(layer.places):7,} cells  error {layer.error:7.1e}  {layer.code}"
            )
        for difference in report.differences:
            click.echo(
                f"DIFFERS at {difference.area}: {difference.found!r}, the network computes "
                f"{difference.expected!r}: {difference.reason}"
            )
        if report.follow:
            click.echo(f"{report.follow:,} cells differ because they read those")
        for unread in report.unread:
            click.echo(f"Not recognised: {unread.area} {unread.formula[:80]}: {unread.reason}")
        for name, inputs in report.depends.items():
            click.echo(f"{name} depends on {', '.join(inputs) or 'no input'}")
        if report.note:
            click.echo(f"Note: {report.note}")
        word = "all equal" if report.agrees else "not all equal"
        click.echo(f"{report.cells:,} cells compared with torch float64, {word} (engine {report.engine})")
        if report.points:
            less = f", {report.undefined:,} cells undefined there" if report.undefined else ""
            click.echo(f"Compared again with {report.points} other sets of inputs and weights{less}")
        click.echo(f"Wrote {report.model} and {report.weights}")
    if not report.agrees:
        raise click.exceptions.Exit(1)
