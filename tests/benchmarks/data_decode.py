"""Decoding against Pillow, a cached start, and the handwriting's speed: medians of five, one thread.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/data_decode.py ../shared/data
"""

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from sheetconv.data.decode import decode
from sheetconv.data.handwriting import digits
from sheetconv.data.sources import open_dataset


def seconds(work: Callable[[], object], times: int = 5) -> float:
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def main(folder: Path) -> None:
    print("dataset         pillow s  ours s  ratio  limit  cached start s (limit 0.05)")
    for name, limit in (("mnist", 0.4), ("fashion_mnist", 0.65)):
        table = pq.read_table(folder / name / "train-00000-of-00001.parquet")
        blobs = table["image"].combine_chunks().field("bytes").to_pylist()
        slow = seconds(lambda: np.stack([np.asarray(Image.open(io.BytesIO(b))) for b in blobs]))  # noqa: B023
        fast = seconds(lambda: decode(blobs))  # noqa: B023
        with tempfile.TemporaryDirectory() as cache:
            os.environ["SHEETCONV_CACHE"] = cache
            where = str(folder / name)
            open_dataset(where, "train")
            start = seconds(lambda: open_dataset(where, "train"))  # noqa: B023
        print(f"{name:14}  {slow:8.2f}  {fast:6.2f}  {fast / slow:5.2f}  {limit:5}  {start:.4f}")
    digits(1000, 0)
    print(f"handwriting: {10_000 / seconds(lambda: digits(10_000, 1)):,.0f} images/s (limit 15,000)")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
