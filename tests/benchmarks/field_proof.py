"""Time to prove the receptive field of every unit of simple-cnn, from the model's name to the verdict.

A fresh process each time: imports, capture, building the workbook, tracing its formulas, torch's derivative.
Median of five. Run: python tests/benchmarks/field_proof.py
"""

import resource
import statistics
import subprocess
import sys
import time

INSIDE = """
import time
from sheetconv.inspect.fields.network import of_model
from sheetconv.inspect.fields.proof import prove
of_model("conv-example")  # imports
start, busy = time.perf_counter(), time.process_time()
proof = prove(of_model("simple-cnn"))
print(time.perf_counter() - start, time.process_time() - busy, sum(proof.units.values()))
"""


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    whole, load, proof, busy = [], [], [], []
    for _ in range(5):
        start, before = time.perf_counter(), _cpu()
        done = subprocess.run([sys.executable, "-c", "from sheetconv.cli import main; main(['receptive-field', 'simple-cnn', '--prove'])"],
                              capture_output=True, text=True, check=True)  # fmt: skip
        whole.append(time.perf_counter() - start)
        load.append(_cpu() - before)
        assert "PROVEN" in done.stdout, done.stdout
        inside = subprocess.run([sys.executable, "-c", INSIDE], capture_output=True, text=True, check=True)
        seconds, cpu, units = inside.stdout.split()
        proof.append(float(seconds))
        busy.append(float(cpu))
    print(
        f"{units} units; whole command: median {statistics.median(whole):.1f} s, CPU {statistics.median(load):.1f} s"
    )
    print(
        f"capture, build, three legs: median {statistics.median(proof):.1f} s, CPU {statistics.median(busy):.1f} s"
    )
