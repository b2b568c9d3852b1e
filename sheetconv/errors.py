"""The error tree: each message says in one line what is wrong, where, and what to do about it.

The command line prints the message and leaves with ``exit_code``; it never shows a traceback for these.
"""


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
