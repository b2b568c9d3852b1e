"""How a command ends: well, or with one line and exit code 1 or 2; never with a traceback.

Set SHEETCONV_DEBUG=1 to see the traceback of an error that is our own.
"""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

import click

from sheetconv.errors import SheetconvError, printable

INTERRUPTED = 130
_MEMORY = "there is not enough memory for this; close other programs or give a smaller input"
_NO_MEMORY = ("can't allocate memory", "out of memory")  # as torch says it, in a RuntimeError


@contextmanager
def one_line() -> Iterator[None]:
    """Turn whatever goes wrong inside into one line on standard error and an exit code (by SystemExit)."""
    _open_streams()
    with _signals(), _quiet():
        try:
            with _printing():
                yield
        except SheetconvError as error:
            _fail(str(error), error.exit_code)
        except click.UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # since click 8.2
                click.echo(error.format_message(), err=True)
                sys.exit(error.exit_code)
            hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
            _fail(error.format_message().rstrip(".") + hint, error.exit_code)
        except click.ClickException as error:
            _fail(error.format_message(), error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            _fail("interrupted", INTERRUPTED)
        except MemoryError:
            _fail(_MEMORY, 1)
        except RecursionError:
            _fail("the input is nested too deeply", 1)
        except OSError as error:
            if _is_of_output(error):
                _fail_silently_from_now()
                if error.errno == errno.EPIPE:  # who reads has read enough
                    sys.exit(1)
                _fail(f"standard output cannot be written: {error.strerror or error}", 1)
            _fail(_system(error), 1)
        except Exception as error:
            if any(words in str(error) for words in _NO_MEMORY):
                _fail(_MEMORY, 1)
            if os.environ.get("SHEETCONV_DEBUG"):
                raise
            _fail(f"sheetconv has a mistake of its own: {type(error).__name__}: {error}; please report it", 1)


def _system(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason


def _fail(message: str, code: int) -> NoReturn:
    if len(message) > 1200:
        message = f"{message[:800]} … {message[-300:]}"
    with suppress(OSError, ValueError):
        click.echo(f"Error: {printable(' '.join(message.split()))}", err=True)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    _let_go(sys.exc_info()[1])
    sys.exit(code)


def _let_go(error: BaseException | None) -> None:
    """Clear away now what the failed calls held, half-written files for one, and not at the interpreter's end."""
    import traceback

    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


@contextmanager
def _printing() -> Iterator[None]:
    """Write out what is printed while a failure of that can still be told."""
    try:
        yield
    except SystemExit:
        _flush()
        raise
    _flush()


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _is_of_output(error: OSError) -> bool:
    """Whether it was printing that failed: the error comes out of click's echo or of our last flush."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code in (click.echo.__code__, _flush.__code__)


def _fail_silently_from_now() -> None:
    """Send what is still to be printed nowhere: the interpreter would try again at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _open_streams() -> None:
    """See to it that the three standard streams are there, so that no file opened later takes their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with suppress(OSError):
                while os.open(os.devnull, os.O_RDONLY) < number:
                    pass
                setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


@contextmanager
def _quiet() -> Iterator[None]:
    """Let objects fail in silence while they are cleared away (a zip on a full disk): the line was told."""
    before = sys.unraisablehook

    def told(found: Any) -> None:
        if not isinstance(found.exc_value, OSError | ValueError):
            before(found)

    sys.unraisablehook = told
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextmanager
def _signals() -> Iterator[None]:
    """Let TERM and HUP unwind as Ctrl-C does, so that nothing is left behind; HUP stays ignored under nohup."""
    before = {}

    def end(number: int, _: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    try:
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    except ValueError:  # not in the main thread: the program around us sees to it
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
