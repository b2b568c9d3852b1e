"""The error tree: each message says in one line what is wrong, where, and what to do about it.

The command line prints the message and leaves with ``exit_code``; it never shows a traceback for these.
"""

import unicodedata


def printable(text: object) -> str:
    """Text that may come from a file, safe for a terminal: control and direction marks are spelt out.

    ``printable("a\\x1b[2Kb")`` is ``a\\x1b[2Kb`` in visible characters. Lines stay lines.
    """
    return "".join(
        c
        if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else c.encode("unicode_escape").decode()
        for c in str(text)
    )


class SheetconvError(Exception):
    """Base of all errors that a user can cause and cure."""

    exit_code = 1


class UsageError(SheetconvError):
    """The request itself makes no sense: unknown name, options that exclude each other, a bad value."""

    exit_code = 2


class DataError(SheetconvError):
    """A dataset, image or array cannot be found or read, or has the wrong form."""


class ModelError(SheetconvError):
    """A model cannot be loaded, captured, or given the weights asked for."""


class UnsupportedOperator(ModelError):
    """The captured network uses an operator that has no rule."""


class LimitError(SheetconvError):
    """A spreadsheet limit (formula length, rows, columns, cells) would be exceeded."""


class TemplateError(SheetconvError):
    """A template has a mistake: the message names file, key and line."""


class WorkbookError(SheetconvError):
    """A workbook cannot be read, is not ours, or its manifest is damaged."""


class EngineError(SheetconvError):
    """A recalculation engine is missing or failed."""


class OutputError(SheetconvError):
    """A file cannot be written, or exists and is not ours to overwrite."""


class TrainingError(SheetconvError):
    """Training cannot start or go on: no data, a loss that is not a number, a run that does not fit."""
