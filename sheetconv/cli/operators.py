"""List the operators that networks may be made of."""

import click


@click.command()
@click.argument("part", required=False)
def command(part: str | None) -> None:
    """List the operators of torch that have a rule, with what a cell computes; only names with PART in them.

    torch takes many others apart into these (a multi-head attention, an LSTM), and what is the same for every
    input is computed once and stored.
    """
    from sheetconv.errors import UsageError
    from sheetconv.ops.registry import RULES, load

    load()
    found: dict[str, list[str]] = {}
    for target in sorted(RULES):
        name = target.split(".")[1] if "." in target else target
        summary = (RULES[target].rule.__doc__ or "").partition("\n")[0].rstrip(".")
        line = f"{name:34} {summary}"
        if part is None or part in name:
            found.setdefault(line, []).append(target)
    if not found:
        raise UsageError(f"no operator with {part!r} in its name has a rule")
    for line in found:
        click.echo(line)
