"""Loss, accuracy and confusion matrix of a network, or of the one in a workbook, on a whole dataset."""

import json
from pathlib import Path

import click


@click.command("evaluate")
@click.argument("network")
@click.option("--dataset", required=True, help="mnist, fashion-mnist, builtin, a hub id, or a path.")
@click.option("--split", default="test", show_default=True, help="train or test.")
@click.option("--weights", type=click.Path(path_type=Path), help="A safetensors file for a network by name.")
@click.option("--page", help="The sheet with the network, in a workbook of several.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many of the images.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write the confusion matrix as CSV.")
@click.option("--png", "png_path", type=click.Path(path_type=Path), help="Draw the confusion matrix.")
@click.option("--force", is_flag=True, help="Overwrite the files of --csv and --png.")
def command(
    network: str,
    dataset: str,
    split: str,
    weights: Path | None,
    page: str | None,
    limit: int | None,
    as_json: bool,
    csv_path: Path | None,
    png_path: Path | None,
    force: bool,
) -> None:
    """Score NETWORK on all images of a dataset, in float64.

    NETWORK is a workbook (its parameters as they stand in the cells), a run's folder, or a network by name or
    path/to/file.py:name with --weights.
    """
    from dataclasses import replace

    from sheetconv.back.network import open_network
    from sheetconv.back.score import score
    from sheetconv.data.sources import open_dataset
    from sheetconv.files import check_target

    for path in (csv_path, png_path):
        if path is not None:
            check_target(path, force=force)
    opened = open_network(network, weights, page)
    data = open_dataset(dataset, split)
    if limit:
        data = replace(data, images=data.images[:limit], labels=data.labels[:limit])
    found = score(opened, data)
    if png_path is not None:
        found.draw(png_path, force=force)
    if csv_path is not None:
        found.write_csv(csv_path, force=force)
    click.echo(json.dumps(found.as_dict()) if as_json else found.table())
