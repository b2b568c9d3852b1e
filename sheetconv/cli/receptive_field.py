"""Show how much of the image each layer of a network sees, and which pixels have the say."""

from pathlib import Path
from typing import Any

import click

from sheetconv.cli.build_workbook import _shape


@click.command("receptive-field")
@click.argument("network", metavar="MODEL|BOOK")
@click.option("--layer", help="Only this layer (a name of the table).")
@click.option("--unit", help="One unit of --layer, c,i,j from zero: its exact pixels.")
@click.option("--prove", is_flag=True, help="Check every unit: arithmetic = formulas = torch's gradient.")
@click.option(
    "--sample", default=2000, show_default=True, help="Units per layer that --prove checks at most."
)
@click.option("--weights", type=click.Path(path_type=Path), help="A safetensors file for the MODEL.")
@click.option("--input-shape", callback=_shape, help="Sizes of the MODEL's input, such as 3,32,32.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(network: str, layer: str | None, unit: str | None, prove: bool, **options: Any) -> None:
    """Show how much of the image each layer of a network sees, and which pixels have the say.

    MODEL is a network's name or path/to/file.py:name (the file is run), BOOK a workbook. Every layer has its
    receptive field's size, jump (from unit to unit) and start (the centre of the first unit's), in pixels.
    """
    from sheetconv.trace.fields.command import Fields, opened

    found = opened(network, options["weights"], options["input_shape"])
    fields = Fields(found, layer, unit)
    if prove:
        fields.prove(options["sample"])
    click.echo(fields.json() if options["as_json"] else fields.text())
    if prove and not fields.proven:
        raise click.exceptions.Exit(1)
