"""Find the mistakes of a network sheet that someone built by hand."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("book", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--annotate", "copy", type=click.Path(path_type=Path), help="Write a copy with the findings marked."
)
@click.option("--force", is_flag=True, help="Overwrite the annotated copy.")
def command(book: Path, as_json: bool, copy: Path | None, force: bool) -> None:
    """Find the mistakes of a network sheet that someone built by hand.

    Maps larger than their input allows, formulas unlike their neighbours, constants typed over them, blank
    cells and texts in sums, wrong denominators and sizes in labels, stray kernel values, and more.

    Exit code, as of other linters: 0 when nothing is found, 1 when there are findings, 2 when the request
    makes no sense. A workbook that cannot be read is 1 as well, with one line that starts with "Error:".
    """
    from sheetconv.files import check_target
    from sheetconv.formulas.source import Source
    from sheetconv.inspect.lint import lint
    from sheetconv.inspect.lint.annotate import annotate

    if copy:
        check_target(copy, force=force)
    with Source(book) as source:
        found = lint(source)
    if copy:
        annotate(book, found, copy, force=force)
    if as_json:
        rows = [
            {"cells": str(f.area), "rule": f.rule, "message": f.message, "expected": f.expected}
            for f in found
        ]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for f in found:
            click.echo(f"{f.area}: {f.message} [{f.rule}]\n    expected: {f.expected}")
        click.echo(f"{len(found)} finding{'s' * (len(found) != 1)}")
        if copy:
            click.echo(f"Wrote {copy}")
    if found:
        raise click.exceptions.Exit(1)
