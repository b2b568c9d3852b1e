"""LibreOffice Calc without its window: the fastest on large workbooks, where it is installed.

It runs with a profile of its own, so it neither meets another running LibreOffice nor the user's settings;
the profile asks for recalculation on load, forbids macros and never follows links. Values are read through
UNO, at full double precision, by a Python that has the ``uno`` module; without such a Python they come from a
conversion to .xlsx, which keeps 15 digits (compare with a tolerance of 1e-14 then).
"""

import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv import child
from sheetconv.child import Workplace
from sheetconv.engines.base import Engine, block, run_job
from sheetconv.errors import EngineError
from sheetconv.files import check_target, replacing
from sheetconv.xlsx.a1 import Range
from sheetconv.xlsx.cells import Book, CellError
from sheetconv.xlsx.strip import without_cached_values

_INSTALL = (
    "LibreOffice Calc is not installed; install it (Debian: apt install libreoffice-calc python3-uno; "
    "otherwise from libreoffice.org), or use another engine"
)
_PLACES = (
    "/Applications/LibreOffice.app/Contents/MacOS/soffice",
    "C:/Program Files/LibreOffice/program/soffice.exe",
)
_WORKER = Path(__file__).with_name("_uno_worker.py")
_SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load"><prop oor:name="OOXMLRecalcMode" oor:op="fuse">\
<value>{recalculate}</value></prop></item>
<item oor:path="/org.openoffice.Office.Calc/Content/Update"><prop oor:name="Link" oor:op="fuse">\
<value>2</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="MacroSecurityLevel" \
oor:op="fuse"><value>3</value></prop></item>
</oor:items>
"""


class LibreOffice(Engine):
    """LibreOffice Calc, headless."""

    name = "libreoffice"
    timeout = 900

    def missing(self) -> str | None:
        """See `Engine.missing`."""
        return None if find_soffice() else _INSTALL

    def compute(
        self, copy: Path, ranges: Sequence[tuple[str, Range]], place: Workplace
    ) -> list[list[list[Any]]]:
        """See `Engine.compute`."""
        python = find_uno_python()
        if python is None:
            return self._compute_by_conversion(copy, ranges, place)
        return self._job(python, {"book": str(copy), "ranges": ranges}, place)

    def save_recalculated(
        self, book: Path, out: Path, edits: Mapping[tuple[str, int, int], float | str] | None = None
    ) -> None:
        """Open `book`, set cells {(sheet, row, column): number or text}, recalculate, save as .xlsx `out`.

        Rows and columns count from zero. What a user would do by hand; needs a Python with UNO.

        Raises `EngineError` (LibreOffice missing or failed), `WorkbookError`, `OutputError`.
        """
        cells = [[sheet, row, column, value] for (sheet, row, column), value in (edits or {}).items()]
        self._save(book, out, {"filter": "Calc MS Excel 2007 XML", "edits": cells})

    def drive(
        self,
        book: Path,
        steps: Sequence[Mapping[tuple[str, int, int], float | str]],
        ranges: Sequence[tuple[str, Range]],
        html: Path | None = None,
    ) -> list[list[np.ndarray]]:
        """Open `book` once and, step by step, set cells as a user would; return the ranges after each step.

        A step is {(sheet, row, column): number or text}, counted from zero; it builds on those before. Only
        what hangs on the edited cells is computed again. Ranges and results are as in `evaluate`. With
        `html`, a folder, each step also saves ``0.html``, ``1.html`` … there: they hold the colours that
        conditional formats of the formula kind give at that moment.

        Raises as `save_recalculated`.
        """
        python = self._uno_python()
        jobs: list[dict[str, Any]] = [
            {"edits": [[*where, value] for where, value in step.items()], "ranges": ranges} for step in steps
        ]
        for number, job in enumerate(jobs if html else []):
            job |= {"save": str(Path(str(html), f"{number}.html").resolve()), "filter": "HTML (StarCalc)"}
        with Workplace() as place:
            copy = place.folder / "book.xlsx"
            without_cached_values(book, copy)
            found: Any = self._job(python, {"book": str(copy), "steps": jobs}, place)
        return [[block(rows, area) for rows, (_, area) in zip(step, ranges, strict=True)] for step in found]

    def save_pdf(self, book: Path, out: Path, sheets: Sequence[str] | None = None) -> None:
        """Print `book`, or only some of its sheets, to the PDF file `out`, with the cached values.

        Raises as `save_recalculated`.
        """
        job = {"filter": "calc_pdf_Export", "only": list(sheets) if sheets else None, "recalculate": False}
        self._save(book, out, job)

    def _save(self, book: Path, out: Path, job: dict[str, Any]) -> None:
        python = self._uno_python()
        check_target(out, force=True)
        recalculate = job.get("recalculate", True)
        with Workplace() as place:
            copy, made = place.folder / "book.xlsx", place.folder / f"made{out.suffix}"
            if recalculate:
                without_cached_values(book, copy)
            else:
                shutil.copyfile(book, copy)
            self._job(python, job | {"book": str(copy), "save": str(made)}, place)
            with replacing(out, force=True) as temporary:
                shutil.copyfile(made, temporary)

    def _uno_python(self) -> list[str]:
        if reason := self.missing():
            raise EngineError(reason)
        if python := find_uno_python():
            return python
        raise EngineError("this needs a Python with LibreOffice's uno module (Debian: python3-uno)")

    def _job(self, python: list[str], job: dict[str, Any], place: Workplace) -> list[list[list[Any]]]:
        return self.serve([*python, str(_WORKER)], job, place)

    def serve(self, worker: Sequence[str], job: dict[str, Any], place: Workplace) -> list[list[list[Any]]]:
        """Start LibreOffice, let a worker (a command, see `run_job`) do the job in it, end both in any case."""
        pipe = f"sheetconv-{uuid.uuid4().hex}"
        office = _soffice_command(_profile(place.folder, job.get("recalculate", True)))
        return run_job(
            self,
            worker,
            job | {"pipe": pipe},
            place,
            beside=[*office, "--nodefault", f"--accept=pipe,name={pipe};urp;"],
            sweep=f"/tmp/OSL_PIPE_*_{pipe}",
        )

    def _compute_by_conversion(
        self, copy: Path, ranges: Sequence[tuple[str, Range]], place: Workplace
    ) -> list[list[list[Any]]]:
        out = place.folder / "converted"
        out.mkdir()
        command = [
            *_soffice_command(_profile(place.folder)),
            "--convert-to",
            "xlsx",
            "--outdir",
            str(out),
            str(copy),
        ]
        _, message = place.run(command, self.timeout, self.name)
        made = out / copy.name
        if not made.exists():
            raise EngineError(f"libreoffice failed on this workbook: {message.strip()[-300:]}")
        with Book(made) as book:
            blocks = [book.cells(sheet).values(*area).tolist() for sheet, area in ranges]
        return [[[_plain(value) for value in row] for row in block] for block in blocks]


def find_soffice() -> str | None:
    """Path of LibreOffice's program, or None."""
    for name in ("soffice", "libreoffice"):
        if found := child.which(name):
            return found
    return next((place for place in _PLACES if Path(place).exists()), None)


@cache
def find_uno_python() -> list[str] | None:
    """How to start a Python that can talk to LibreOffice: its own, the system's, or this one; None without any."""
    soffice = find_soffice()
    if soffice is None:
        return None
    program = Path(soffice).resolve().parent
    own = [program / "python", program / "python.exe", program.parent / "Resources" / "python"]
    # LibreOffice's own Python is told by variables where its modules lie: it cannot be isolated.
    commands = [*([str(path)] for path in own), ["/usr/bin/python3", "-I"], [sys.executable, "-I"]]
    return next((command for command in commands if child.works([*command, "-c", "import uno"])), None)


def _soffice_command(profile: Path) -> list[str]:
    soffice = find_soffice()
    if soffice is None:
        raise EngineError(_INSTALL)
    where = f"-env:UserInstallation={profile.as_uri()}"
    return [soffice, where, "--headless", "--norestore", "--nologo", "--nofirststartwizard"]


def _profile(folder: Path, recalculate: bool = True) -> Path:
    """Make a private profile; 0 is "always recalculate", 1 is "never"."""
    profile = folder / "profile"
    (profile / "user").mkdir(parents=True)
    settings = _SETTINGS.format(recalculate=0 if recalculate else 1)
    (profile / "user" / "registrymodifications.xcu").write_text(settings, encoding="utf-8")
    return profile


def _plain(value: Any) -> Any:
    return {"error": str(value)} if isinstance(value, CellError) else value


ENGINE = LibreOffice()
