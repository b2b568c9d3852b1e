"""Compile a network and a digit into a live, proven workbook."""

from pathlib import Path
from typing import Any

import click


def _shape(_: Any, __: Any, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        sizes = tuple(int(part) for part in value.replace("x", ",").replace("×", ",").split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r:.60} is not sizes such as 3,32,32") from error
    if len(sizes) > 4 or not all(0 < size <= 4096 for size in sizes):
        raise click.BadParameter(f"{value!r:.60}: give one to four sizes, each 1 to 4096")
    return sizes


@click.command("build-workbook")
@click.argument("template", required=False)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The .xlsx file to write."
)
@click.option(
    "--model",
    help="A network by name, path/to/file.py:name (the file is run), or of a package: torchvision:, timm:, transformers:NAME.",
)
@click.option("--model-args", help="Arguments for a package's model, a JSON object.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="A safetensors file for the network, a run's folder or a workbook.",
)
@click.option("--dataset", help="mnist, fashion-mnist, builtin, a hub id, or a path (parquet, folders, IDX).")
@click.option("--split", default="train", show_default=True, help="train or test.")
@click.option("--label-column", help="The column of a table with the labels, where its name does not tell.")
@click.option("--index", type=int, help="Number of the image in the split.")
@click.option("--digit", type=int, help="The first image of this class.")
@click.option(
    "--image",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A photograph or drawing of a handwritten digit; several to choose among in the workbook.",
)
@click.option("--nth", type=click.IntRange(min=1), help="Which digit of the picture, counted from the left.")
@click.option(
    "--show", type=click.Path(path_type=Path), help="Write how the picture was read, step by step, as a PNG."
)
@click.option(
    "--input", type=click.Path(path_type=Path), help="A .npy array or an image for any other network."
)
@click.option("--random-input", is_flag=True, help="Random numbers as input.")
@click.option("--input-shape", callback=_shape, help="Sizes of the input without batch, such as 3,32,32.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of --random-input."
)
@click.option("--fuse-relu/--no-fuse-relu", default=None, help="ReLU in the cell of the layer before it.")
@click.option("--with-gradients", is_flag=True, help="Loss, gradients and one step of training in cells too.")
@click.option("--label", type=click.IntRange(min=0), help="The class that the loss is measured against.")
@click.option(
    "--run", type=click.Path(path_type=Path), help="A folder of `train`: its network, history and mistakes."
)
@click.option(
    "--images", type=click.IntRange(1, 100), default=10, show_default=True, help="Images to choose from."
)
@click.option("--pages", help="Only these pages of the template, by number or name: 2,3,Edges.")
@click.option(
    "--cached-digits",
    type=click.IntRange(10, 17),
    default=12,
    show_default=True,
    help="Significant digits of the values that formulas show; what is typed is always exact.",
)
@click.option("--engine", default="ironcalc", show_default=True, help="Spreadsheet engine for the proof.")
@click.option("--no-verify", is_flag=True, help="Do not prove the workbook after writing it.")
@click.option(
    "--trust-template", is_flag=True, help="Run the Python file that the template names as its model."
)
@click.option("--force", is_flag=True, help="Overwrite the output file.")
def command(no_verify: bool, **options: Any) -> None:
    """Compile a network and a digit into a live, proven workbook.

    TEMPLATE is a name (`sheetconv templates` lists them) or a .toml file; by default it is lesson, the whole
    lesson in one workbook.
    """
    from sheetconv.building import Request, build

    built = build(Request(verify=not no_verify, **options))
    click.echo(f"Image: {built.source}; {built.reason}.")
    if built.report is not None:
        click.echo(built.report.verdict())
    click.echo(f"Wrote {built.path}")
