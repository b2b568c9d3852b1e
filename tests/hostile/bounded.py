"""A command run as a user runs it, under a memory limit, and what became of it."""

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MEMORY = 1 << 30
SECONDS = 20
_CODE = "import sys; from sheetconv.cli import main; sys.argv[0] = 'sheetconv'; main()"


@dataclass
class Outcome:
    """How a command ended: exit code, what it printed, CPU seconds and the most memory held, in bytes."""

    code: int
    out: str
    line: str
    seconds: float
    memory: int

    def faults(self) -> list[str]:
        """What is wrong with it: a traceback, more than a line, another exit code, too much time or memory."""
        found = []
        if self.code not in (0, 1, 2):
            found.append(f"exit code {self.code}")
        if "Traceback" in self.out + self.line or "mistake of its own" in self.line:
            found.append("traceback")
        if self.code and self.line.strip() and self.line.strip().count("\n"):
            found.append("more than a line")
        if self.seconds > SECONDS:
            found.append(f"{self.seconds:.0f} s")
        if self.memory > MEMORY:
            found.append(f"{self.memory >> 20} MiB")
        return found


def run(arguments: list[str], folder: Path, **settings: str) -> Outcome:
    """Run a command in `folder`; twice the memory that is allowed ends it, so that a fault cannot hurt."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (2 * MEMORY, 2 * MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (3 * SECONDS, 3 * SECONDS))

    process = subprocess.Popen(
        [sys.executable, "-c", _CODE, *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        out, line = process.stdout.read(), process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Outcome(process.returncode, out, line, used.ru_utime + used.ru_stime, used.ru_maxrss << 10)
