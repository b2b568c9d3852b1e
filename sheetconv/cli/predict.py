"""What a network, or the one in a workbook, says of pictures."""

import json
from pathlib import Path

import click


@click.command("predict")
@click.argument("network")
@click.option(
    "--image",
    "images",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A picture or a .npy array; repeatable.",
)
@click.argument("more", nargs=-1, type=click.Path(path_type=Path))
@click.option("--weights", type=click.Path(path_type=Path), help="A safetensors file for a network by name.")
@click.option("--page", help="The sheet with the network, in a workbook of several.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    network: str,
    images: tuple[Path, ...],
    more: tuple[Path, ...],
    weights: Path | None,
    page: str | None,
    as_json: bool,
) -> None:
    """Run NETWORK on pictures: a workbook, a run's folder, or a network by name with --weights.

    A picture of a digit is inverted, cropped and centred as MNIST was. Further pictures may follow --image FILE.
    """
    from sheetconv.back.network import open_network
    from sheetconv.back.prediction import predict
    from sheetconv.errors import UsageError

    files = [*images, *more]
    if not files:
        raise UsageError("there is nothing to predict; give --image FILE")
    found = predict(open_network(network, weights, page), files)
    if as_json:
        click.echo(json.dumps([p.as_dict() for p in found]))
        return
    for prediction in found:
        click.echo(prediction.line())
