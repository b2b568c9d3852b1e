"""List the templates of workbooks, or hand one out to be changed."""

from pathlib import Path

import click


@click.command("templates")
@click.option("--copy", "name", metavar="NAME", help="Copy this template into DIRECTORY.")
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@click.option("--force", is_flag=True, help="Overwrite an earlier copy.")
def command(name: str | None, directory: Path | None, force: bool) -> None:
    """List the templates that `build-workbook` knows, or copy one.

    A template is a TOML file: it names the pages of a workbook, their texts, questions, kernels and networks.
    Copy one, change it, translate it, and build it by its path:

        sheetconv templates --copy lesson my-lesson
        sheetconv build-workbook my-lesson/lesson.toml -o my-lesson.xlsx
    """
    from sheetconv.errors import UsageError
    from sheetconv.template import copy, names, summary

    if name is None:
        if directory is not None or force:
            raise UsageError("name the template to copy: sheetconv templates --copy lesson DIRECTORY")
        for each in names():
            title, pages = summary(each)
            click.echo(f"{each:14} {title}{f' ({pages} pages)' if pages else ''}")
        return
    if directory is None:
        raise UsageError(
            f"give the directory that the copy goes to: sheetconv templates --copy {name} DIRECTORY"
        )
    click.echo(f"Wrote {copy(name, directory, force=force)}")
