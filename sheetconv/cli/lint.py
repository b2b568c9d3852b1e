"""Find the mistakes of a network sheet that someone built by hand."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("book", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(book: Path, as_json: bool) -> None:
    """Find the mistakes of a network sheet that someone built by hand.

    Exits with 1 when there is a finding.
    """
    from sheetconv.trace.lint import lint
    from sheetconv.trace.source import Source

    with Source(book) as source:
        found = lint(source)
    if as_json:
        rows = [
            {"cells": str(f.area), "rule": f.rule, "message": f.message, "expected": f.expected}
            for f in found
        ]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for f in found:
            click.echo(f"{f.area}: {f.message} [{f.rule}]; expected {f.expected}")
        click.echo(f"{len(found)} finding{'s' * (len(found) != 1)}")
    if found:
        raise click.exceptions.Exit(1)
