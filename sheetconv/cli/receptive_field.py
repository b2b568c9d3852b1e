"""Show how much of the image each layer of a network sees, and which pixels matter most."""

from pathlib import Path
from typing import Any

import click

from sheetconv.cli.build_workbook import _shape


@click.command("receptive-field")
@click.argument("network", metavar="MODEL|BOOK")
@click.option("--layer", help="Only this layer (a name of the table).")
@click.option("--unit", help="One unit of --layer, c,i,j from zero: its exact pixels.")
@click.option(
    "--effective", is_flag=True, help="How much each pixel contributes to the unit (default: the middle one)."
)
@click.option("--png", type=click.Path(path_type=Path), help="The effective field as a picture.")
@click.option(
    "--add-sheet",
    type=click.Path(path_type=Path),
    help="The BOOK with the effective field as one more sheet.",
)
@click.option(
    "--images", type=click.IntRange(1, 1000), default=50, show_default=True, help="Images to average over."
)
@click.option(
    "--dataset", help="Whose images (see build-workbook); default: MNIST, else built-in handwriting."
)
@click.option("--force", is_flag=True, help="Overwrite the picture or workbook.")
@click.option("--prove", is_flag=True, help="Check every unit: arithmetic = formulas = torch's gradient.")
@click.option(
    "--sample", default=2000, show_default=True, help="Units per layer that --prove checks at most."
)
@click.option("--weights", type=click.Path(path_type=Path), help="A safetensors file for the MODEL.")
@click.option("--input-shape", callback=_shape, help="Sizes of the MODEL's input, such as 3,32,32.")
@click.option("--image", help="Where the image lies in a workbook of someone else's, SHEET!A1:AB28.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    network: str,
    layer: str | None,
    unit: str | None,
    effective: bool,
    png: Path | None,
    add_sheet: Path | None,
    prove: bool,
    **options: Any,
) -> None:
    """Show how much of the image each layer of a network sees, and which pixels matter most.

    MODEL is a network's name or path/to/file.py:name (the file is run), BOOK a workbook. Every layer is listed with
    its receptive field's size, jump (the step from one unit to the next) and start (the centre of the first
    unit's field), in pixels. In a workbook that sheetconv did not write, blocks of equal formulas are taken as
    layers, and measured.
    """
    from sheetconv.errors import UsageError
    from sheetconv.files import check_target
    from sheetconv.inspect.fields.command import Fields, foreign_text, is_foreign, opened

    if is_foreign(network):
        if effective or png or add_sheet or prove:
            raise UsageError("that needs weights and layers, which only our own workbooks and models name")
        click.echo(foreign_text(network, options["image"], layer, unit, options["as_json"]))
        return
    found = opened(network, options["weights"], options["input_shape"])
    fields = Fields(found, layer, unit)
    if effective or png or add_sheet:
        from sheetconv.inspect.fields.picture import draw

        for target in (png, add_sheet):
            if target:
                check_target(target, force=options["force"])
        weighed = fields.weigh(options["images"], options["dataset"])
        if png:
            draw(weighed, png, force=options["force"])
        if add_sheet:
            fields.add_sheet(add_sheet, force=options["force"])
    if prove:
        fields.prove(options["sample"])
    click.echo(fields.json() if options["as_json"] else fields.text())
    if prove and not fields.proven:
        raise click.exceptions.Exit(1)
