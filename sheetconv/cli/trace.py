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
    """Show which cells a number comes from (or goes to), level by level.

    BOOK is any .xlsx or .xlsm, CELL an address such as 'My net'!B3 (a range is traced as a whole). Level 1 is
    what the cell's own formula reads, level 2 what those cells read, and so on. Macros are never run.
    """
    from sheetconv.files import check_target
    from sheetconv.formulas import precedents
    from sheetconv.formulas.cell_range import parse_area
    from sheetconv.formulas.naming import CellNames
    from sheetconv.formulas.source import Source
    from sheetconv.inspect.trace import output

    if png:
        check_target(png, force=force)
    with Source(book) as source:
        start = parse_area(cell, source.sheets)
        if not dependents:
            precedents.check_formula(source, start)
        inside = parse_area(target, source.sheets) if target else None
        found = (precedents.dependents if dependents else precedents.trace)(source, start, levels)
        found = precedents.within(found, inside) if inside else found
        names, what = CellNames(source), "dependents" if dependents else "precedents"
        if png:
            from sheetconv.inspect.trace.picture import draw

            draw(source, found, png, names, force=force)
        pieces = {
            "json": lambda: output.as_json(found, names, what),
            "csv": lambda: output.as_csv(found, names),
            "dot": lambda: output.as_dot(found, source, names, what),
        }.get(form or "", lambda: output.as_text(found, names, what))()
        for portion in output.in_portions(pieces):
            click.echo(("" if form == "json" else "\n").join(portion), nl=form != "json")
        if form == "json":
            click.echo()
