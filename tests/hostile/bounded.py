"""A command run as a user runs it, under a memory limit, and what became of it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MEMORY = 1 << 30
SECONDS = 20
# A small process of its own starts the command: the most memory that the system reports of a process counts what its
# parent held when it was started, and a test process has grown large by then.
_LAUNCHER = """
import os, resource, sys
far, memory, seconds = map(int, sys.argv[1:4])
child = os.fork()
if not child:
    os.close(far)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    os.execv(sys.argv[4], sys.argv[4:])
_, status, used = os.wait4(child, 0)
told = f"{os.waitstatus_to_exitcode(status)} {used.ru_utime + used.ru_stime} {used.ru_maxrss}"
os.write(far, told.encode())
"""
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

    near, far = os.pipe()
    command = [sys.executable, "-c", _CODE, *arguments]
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", _LAUNCHER, str(far), str(2 * MEMORY), str(3 * SECONDS), *command],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[far],
    )
    os.close(far)
    with process, os.fdopen(near) as told:
        out, line = process.communicate()
        status, seconds, kilobytes = told.read().split()
    return Outcome(int(status), out, line, float(seconds), int(kilobytes) << 10)
