"""The command line: parse, call, print. Each command lives in a module of its own, imported when used."""

import ast
import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

import click

from sheetconv import __version__
from sheetconv.cli._ending import one_line


class LazyGroup(click.Group):
    """A group whose commands are the modules of this package: `build_workbook.py` holds `build-workbook`.

    A module defines `command` (a click command) and starts with a docstring whose first line is the
    summary; for `--help` only that line is read, so heavy libraries stay unloaded.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, from the files in this package."""
        found = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
        return sorted(name.replace("_", "-") for name in found)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the module of one command; None when there is none."""
        if name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the first line of their modules' docstrings, without importing them."""
        rows = [(name, _summary(name)) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Run a command line; whatever goes wrong ends with one line and an exit code."""
        settings["standalone_mode"] = False
        code = 0
        with one_line():
            code = super().main(*arguments, **settings)
        sys.exit(code if isinstance(code, int) else 0)


def _summary(command: str) -> str:
    source = Path(__file__).with_name(command.replace("-", "_") + ".py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="sheetconv")
def main() -> None:
    """Open a convolutional network in a spreadsheet, as live formulas proven against torch."""
