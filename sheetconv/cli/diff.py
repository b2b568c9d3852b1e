"""What differs between two workbooks, runs or files of weights, layer by layer."""

import json
import sys

import click


@click.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--json", "as_json", is_flag=True, help="Print all tensors as JSON.")
def command(before: str, after: str, as_json: bool) -> None:
    """Compare BEFORE with AFTER: workbooks (.xlsx), folders of runs, safetensors files.

    For workbooks, pixels, kernels, biases, activations and prediction are compared, the activations as torch
    computes them from the cells. Exit code 0 if nothing differs, else 1.
    """
    from sheetconv.back.difference import compare, contents

    found = compare(contents(before), contents(after))
    click.echo(json.dumps(found.as_dict()) if as_json else found.table())
    sys.exit(0 if found.same else 1)
