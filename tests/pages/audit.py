"""A workbook in LibreOffice under test: cells set as a user would, conditions evaluated, precedents followed."""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from sheetconv.prove.engines import libreoffice


def audit(book: Path, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Do `steps` (see `audit_worker`) one after the other in one LibreOffice; returns what each gave."""
    python = libreoffice.find_uno_python()
    assert python is not None, "no Python with uno"
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        folder = Path(name)
        pipe = f"audit-{time.monotonic_ns()}"
        command = libreoffice._soffice_command(libreoffice._profile(folder))
        office = subprocess.Popen(
            [*command, "--nodefault", f"--accept=pipe,name={pipe};urp;"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            job, result = folder / "job.json", folder / "result.json"
            job.write_text(json.dumps({"pipe": pipe, "book": str(book.resolve()), "steps": steps}))
            worker = Path(__file__).with_name("audit_worker.py")
            engines = Path(libreoffice.__file__).parent
            done = subprocess.run(
                [python, str(worker), str(job), str(result), str(engines)],
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, done.stderr
            found: list[dict[str, Any]] = json.loads(result.read_text())
            office.wait(timeout=20)
            return found
        finally:
            libreoffice.end_group(office)
