"""Prove that every activation cell of a workbook is what torch computes."""

import json
import sys
from pathlib import Path

import click


@click.command("verify")
@click.argument("book", type=click.Path(path_type=Path))
@click.option("--engine", default="ironcalc", show_default=True, help="Spreadsheet engine that recalculates.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True
)
@click.option(
    "--probes", type=click.IntRange(1, 1000), help="Other points at which the engine computes the workbook."
)
@click.option(
    "--model", help="The network that BOOK must be: a name, or path/to/file.py:name (the file is run)."
)
@click.option("--weights", type=click.Path(path_type=Path), help="A safetensors file for --model.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    book: Path,
    engine: str,
    device: str,
    probes: int | None,
    model: str | None,
    weights: Path | None,
    as_json: bool,
) -> None:
    """Prove that every activation cell of BOOK is what torch computes in float64.

    Exit code 0 only if the recalculated and the cached values of all cells agree within 1e-9 of their scale.
    """
    from sheetconv.errors import printable
    from sheetconv.prove.verify import table, verify

    report = verify(book, engine, device, probes, model, weights)
    if as_json:
        click.echo(json.dumps(report.as_dict(), default=str))
    else:
        for cells in report.overwritten:
            click.echo(printable(f"Note: {cells} were typed over."))
        click.echo(table(report))
        click.echo(report.verdict())
    sys.exit(0 if report.agrees else 1)
