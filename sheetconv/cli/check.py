"""Check a workbook against the rules that decide whether Excel repairs or rejects it."""

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command()
@click.argument("book", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(book: Path, as_json: bool) -> None:
    """Check a workbook against the rules that decide whether Excel repairs or rejects it.

    Limits, order, formulas' syntax, numbers, names, relations, content types, styles: in any workbook, whoever
    wrote it. Exit code 0 when all are kept, 1 when one is broken.
    """
    from sheetconv.inspect.check import check

    found = check(book)
    if as_json:
        click.echo(json.dumps([asdict(f) for f in found], indent=2, ensure_ascii=False))
    else:
        for finding in found:
            click.echo(str(finding))
        click.echo(f"{len(found)} finding{'s' * (len(found) != 1)}")
    if found:
        raise click.exceptions.Exit(1)
