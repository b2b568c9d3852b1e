"""Take a cell's number apart: each product, the terms that mattered most, the share of each input channel."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("book", type=click.Path(path_type=Path))
@click.argument("cell")
@click.option(
    "--top", type=click.IntRange(min=0), default=9, show_default=True, help="How many terms to print."
)
@click.option(
    "--paths",
    type=click.IntRange(1, 1000),
    help="Also this many of the strongest paths from pixels to the cell.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every term.")
def command(book: Path, cell: str, top: int, paths: int | None, as_json: bool) -> None:
    """Take a cell's number apart: each product, the terms that mattered most, the share of each input channel.

    BOOK is any workbook, CELL an address such as Network!K12. The numbers are those that the file remembers, and
    the terms are checked to add up to them.
    """
    from sheetconv.errors import UsageError
    from sheetconv.formulas.cell_range import parse_area
    from sheetconv.formulas.source import Source
    from sheetconv.inspect.explain import Explainer
    from sheetconv.inspect.explain.active import strongest
    from sheetconv.inspect.explain.output import as_data, as_text

    with Source(book) as source:
        area = parse_area(cell, source.sheets)
        if area.size > 1:
            raise UsageError(f"{area} is {area.size} cells; give one")
        explainer = Explainer(source)
        found = explainer.explain(area[:3])
        ways = strongest(explainer, area[:3], paths) if paths else None
        if as_json:
            click.echo(json.dumps(as_data(explainer, found, ways), indent=2, ensure_ascii=False))
        else:
            click.echo(as_text(explainer, found, top, ways))
