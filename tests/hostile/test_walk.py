"""All commands, all options, a table of bad values: one line, exit code 1 or 2, nothing left behind."""

import os
from pathlib import Path

import pytest
import walk
from click.testing import CliRunner

from sheetconv.building import Request, build
from sheetconv.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("walk") / "deep" / "er"
    path.mkdir(parents=True)
    build(Request(path / "book.xlsx", "conv-example", dataset="builtin", digit=3, verify=False))
    before = Path.cwd()
    os.chdir(path)
    walk.prepare(path)
    yield path
    os.chdir(before)


def faults(arguments: list[str], folder: Path) -> list[str]:
    """What is wrong with how a command line ends."""
    before = set(folder.iterdir())
    result = CliRunner().invoke(main, arguments)
    line, found = result.stderr.strip(), []
    if result.exit_code not in (0, 1, 2) or "Traceback" in result.output or "mistake of its own" in line:
        found.append(f"exit code {result.exit_code}")
    if line.startswith("Error:") and "\n" in line:
        found.append("more than a line")
    if result.exit_code and not result.output:
        found.append("silent")
    new = set(folder.iterdir()) - before
    if result.exit_code and new:
        found.append(f"left {new}")
    for path in new:
        path.unlink() if path.is_file() else [p.unlink() for p in path.iterdir()]
        if path.is_dir():
            path.rmdir()
    return [f"{fault}: {[word[:60] for word in arguments]}: {line[:300]}" for fault in found]


@pytest.mark.parametrize("name", main.list_commands(None))  # type: ignore[arg-type]
def test_bad_values_end_with_one_line(name: str, folder: Path) -> None:
    """Every option and argument has each of its bad values in turn; here a fifth of them (walk.py has all)."""
    tries = list(walk.tries(name))
    wrong = [fault for arguments in tries[::5] for fault in faults(arguments, folder)]
    assert not wrong, "\n".join(wrong)
