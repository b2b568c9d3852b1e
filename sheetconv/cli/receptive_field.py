"""Show how much of the image each layer of a network sees."""

import click


@click.command()
@click.argument("model")
@click.option("--layer", help="Only this operator's output (a name of the table).")
@click.option("--unit", help="Also the exact pixel box of one unit of --layer: c,i,j from zero.")
@click.option("--prove", is_flag=True, help="Check units of every layer against torch's linearised gradient.")
def command(model: str, layer: str | None, unit: str | None, prove: bool) -> None:
    """Show how much of the image each layer of a network sees.

    MODEL is a named network. Sizes, jumps and starts are in input pixels, along the rows.
    """
    from sheetconv.errors import UsageError
    from sheetconv.nets import INPUT_SHAPES, NETS, seeded
    from sheetconv.trace import fields

    if model not in NETS:
        raise UsageError(f"no network {model!r}; choose one of {', '.join(NETS)}")
    shape = INPUT_SHAPES[model]
    module = fields.export(seeded(model), shape)
    found = [f for f in fields.fields(module, shape) if layer in (None, f.name)]
    if not found:
        raise UsageError(f"no layer {layer!r} in {model}; leave --layer out to see them")
    if unit and not layer:
        raise UsageError("--unit needs --layer")
    click.echo(f"{'layer':24} {'operator':20} {'shape':>14} {'size':>6} {'jump':>6} {'start':>6} {'pad':>4}")
    for f in found:
        y = f.axes[0]
        size = "×".join(map(str, f.shape[1:]))
        click.echo(
            f"{f.name:24} {f.operator:20} {size:>14} {y.size:6g} {y.jump:6g} {y.start:6g} {f.padding:4}"
        )
    if unit:
        try:
            _, i, j = (int(v) for v in unit.split(","))
            box = found[0].box(i, j)
        except (ValueError, IndexError):
            raise UsageError(f"--unit {unit!r} is not c,i,j inside {found[0].shape[1:]}") from None
        seen = f"rows {box[0]}–{box[2]}, columns {box[1]}–{box[3]}" if box else "no pixel, padding only"
        click.echo(f"unit {unit}: {seen}")
    if prove:
        count, lines = fields.disagreements(module, shape)
        click.echo("\n".join([*lines[:50], f"{count:,} units compared, {len(lines):,} disagree"]))
        if lines:
            raise click.exceptions.Exit(1)
