"""Freed memory that is kept: later batches touch no new pages.

Tensors are of more than 32 MiB, beyond what glibc comes to keep by itself.
"""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from sheetconv.train.extras.memory import keep_memory
if sys.argv[1] == "keep" and not keep_memory():
    print("no"); sys.exit()
def batch():
    tensors = [torch.ones(10_000_000) for _ in range(2)]
for _ in range(9):  # until all that is needed has been asked for
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told to keep memory")
def test_memory_of_a_batch_is_used_again() -> None:
    kept = faults("keep")
    if kept == "no":
        pytest.skip("this C library keeps memory as it likes")
    assert int(kept) < 100 < int(faults("leave"))
