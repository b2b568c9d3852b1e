"""Every option and argument of every command, with bad values: what is tried, and how."""

from collections.abc import Iterator
from pathlib import Path

import click

from sheetconv.cli import main

LONG, LONGER = "n" * 300, "n" * 5000
PATHS = [
    "",
    LONG,
    LONGER,
    "folder",
    "missing",
    "folder/missing/x",
    "/dev/full",
    "pipe",
    "loop",
    "a\nb",
    "text.txt",
]
TEXTS = ["", " ", LONGER, "a\nb\x1b[2K", "../nowhere", "-", "\u202e", "1,2", "nan"]
NUMBERS = ["", "x", "-1", "nan", "inf", "1e999", str(2**63), str(2**64), str(10**12), "9" * 5000]

# What makes a command run, up to the option that is tried; nothing here may take more than a second or two.
BASE: dict[str, list[str]] = {
    "build-workbook": [
        "conv-example",
        "--dataset",
        "builtin",
        "--digit",
        "3",
        "--no-verify",
        "-o",
        "out.xlsx",
    ],
    "diff": ["book.xlsx", "missing.xlsx"],
    "evaluate": ["book.xlsx", "--dataset", "./nowhere"],
    "explain": ["book.xlsx", "Network!K12"],
    "import-weights": ["book.xlsx", "-o", "weights.safetensors"],
    "lint": ["book.xlsx"],
    "lr-find": ["builtin-simple-cnn", "--dataset", "./nowhere"],
    "predict": ["book.xlsx", "--image", "missing.png"],
    "receptive-field": ["conv-example"],
    "push": ["book.xlsx", "--image", "missing.png"],
    "recipes": [],
    "recover": ["missing.xlsx", "-o", "model.py"],
    "templates": [],
    "trace": ["book.xlsx", "Network!K12", "--levels", "1"],
    "train": ["builtin-simple-cnn", "--dataset", "./nowhere", "--out", "run"],
    "verify": ["missing.xlsx"],
}


def prepare(folder: Path) -> None:
    """The files that bad values name."""
    import os

    (folder / "folder").mkdir()
    (folder / "text.txt").write_text("this is text")
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")


def values(parameter: click.Parameter) -> list[str]:
    """Bad values for an option or argument, by its type."""
    if isinstance(parameter.type, click.Path):
        return PATHS
    if isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType):
        return NUMBERS
    return TEXTS + PATHS[3:]


def tries(name: str) -> Iterator[list[str]]:
    """Command lines with one bad value each."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    base = BASE.get(name, ["book.xlsx"])
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.is_flag and parameter.name != "help":
            for value in values(parameter):
                yield [name, *without(base, parameter.opts), f"{parameter.opts[-1]}={value}"]
        elif isinstance(parameter, click.Argument):
            at = [p for p in command.params if isinstance(p, click.Argument)].index(parameter)
            for value in values(parameter):
                yield [name, *replaced(base, at, value)]


def without(base: list[str], options: list[str]) -> list[str]:
    """The base without an option and its value."""
    found = next((base.index(o) for o in options if o in base), None)
    return base if found is None else base[:found] + base[found + 2 :]


def replaced(base: list[str], at: int, value: str) -> list[str]:
    """The base with another argument, after ``--`` so that it is taken for none of the options."""
    first = next((i for i, word in enumerate(base) if word.startswith("-")), len(base))
    arguments = base[:first]
    arguments[at : at + 1] = [value]
    return [*base[first:], "--", *arguments]
