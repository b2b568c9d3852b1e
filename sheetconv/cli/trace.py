"""Show which cells a number comes from (or goes to), level by level.

BOOK is any .xlsx or .xlsm; CELL an address such as 'My net'!B3. Macros are never run.
"""

from pathlib import Path

import click


@click.command()
@click.argument("book", type=click.Path(path_type=Path))
@click.argument("cell")
@click.option("--levels", type=click.IntRange(1), help="Stop after this many levels (default: all).")
@click.option("--to", "target", help="Show only the part inside this SHEET!RANGE.")
@click.option("--dependents", is_flag=True, help="Follow the formulas that read the cell instead.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--dot", "form", flag_value="dot", help="Print a Graphviz graph.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option("--png", type=click.Path(path_type=Path), help="Draw the sheets with the cells lit.")
@click.option("--force", is_flag=True, help="Overwrite the picture.")
def command(
    book: Path,
    cell: str,
    levels: int | None,
    target: str | None,
    dependents: bool,
    form: str | None,
    png: Path | None,
    force: bool,
) -> None:
    """Show which cells a number comes from (or goes to), level by level."""
    from sheetconv.trace import output, precedents
    from sheetconv.trace.area import parse_area
    from sheetconv.trace.source import Source

    with Source(book) as source:
        start = parse_area(cell, source.sheets)
        found = (precedents.dependents if dependents else precedents.trace)(source, start, levels)
        if target:
            found = precedents.within(found, parse_area(target, source.sheets))
        if png:
            from sheetconv.trace.picture import draw

            draw(source, found, png, force=force)
        if form == "dot":
            click.echo(output.as_dot(found, source))
        else:
            writer = {"json": output.as_json, "csv": output.as_csv}.get(form or "")
            kind = "dependents" if dependents else "precedents"
            click.echo(writer(found) if writer else output.as_text(found, kind))
