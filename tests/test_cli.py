"""The command registry: every command has help, starts fast, and is in the README."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import sheetconv
from sheetconv.cli import main

COMMANDS = main.list_commands(click.Context(main))
README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_help_and_is_documented(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert len(result.output) > 100
    assert f"sheetconv {name}" in README.read_text(encoding="utf-8")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from sheetconv.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'datasets', 'openpyxl', 'xlsxwriter', 'PIL', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout


def test_version() -> None:
    assert sheetconv.__version__ in CliRunner().invoke(main, ["--version"]).output
