"""Take a cell's number apart: each product, the terms that mattered most, the share of each input."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("book", type=click.Path(path_type=Path))
@click.argument("cell")
@click.option("--top", default=9, show_default=True, help="How many terms to print, largest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every term.")
def command(book: Path, cell: str, top: int, as_json: bool) -> None:
    """Take a cell's number apart: each product, the terms that mattered most, the share of each input."""
    from sheetconv.trace.area import parse_area
    from sheetconv.trace.explain import explain
    from sheetconv.trace.source import Source

    with Source(book) as source:
        found = explain(source, parse_area(cell, source.sheets)[:3])
    terms = sorted((t for _, _, g in found.groups for t in g), key=lambda t: -abs(t.product))
    if as_json:
        rows = [[str(t.left), t.left_value, str(t.right), t.right_value, t.product] for t in terms]
        shares = [[str(area), share] for area, share in found.shares()]
        document: dict[str, object] = {
            "cell": str(found.cell),
            "formula": found.formula,
            "value": found.value,
        }
        document |= {"terms": rows, "shares": shares, "reads": [str(a) for a in found.reads]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    click.echo(f"{found.cell} = {found.value}\n{found.formula}")
    for t in terms[:top]:
        click.echo(f"  {t.left_value:g} ({t.left}) × {t.right_value:g} ({t.right}) = {t.product:g}")
    if len(terms) > top:
        click.echo(
            f"  … and {len(terms) - top} smaller terms; sum of all {sum(t.product for t in terms):.15g}"
        )
    for area, share in found.shares():
        click.echo(f"  share of {area}: {share:.1%}")
    if not terms:
        click.echo("  no sums of products recognised; it reads " + ", ".join(map(str, found.reads)))
