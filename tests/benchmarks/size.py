"""Writing workbooks of any size beside XlsxWriter, openpyxl and the bare compressor, and what programs need to read them.

    python tests/benchmarks/size.py NAME …

NAME is conv-example, simple-cnn, lesson, lenet5, resnet20, resnet18-64 or resnet18-224; each is a process of its own.
CPU seconds; prints a Markdown table. `--peers` writes the same cells with XlsxWriter and openpyxl too.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import nn


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, ni: int, nf: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(ni, nf, 3, stride, 1, bias=False), nn.BatchNorm2d(nf)
        self.conv2, self.bn2 = nn.Conv2d(nf, nf, 3, 1, 1, bias=False), nn.BatchNorm2d(nf)
        same = stride == 1 and ni == nf
        self.down = (
            None if same else nn.Sequential(nn.Conv2d(ni, nf, 1, stride, bias=False), nn.BatchNorm2d(nf))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's result."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.down is None else self.down(x)))


def resnet18() -> nn.Module:
    """ResNet-18 with 1000 classes, random weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        widths = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]  # fmt: skip
        stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)]
        return nn.Sequential(*stem, *(Block(*w) for w in widths), *tail)


def write(name: str, path: Path) -> dict[str, float]:
    """Write a workbook in this process; seconds of CPU, cells and memory."""
    import numpy as np

    from sheetconv.compile.capture import capture
    from sheetconv.data.image import random_input
    from sheetconv.data.pick import Picked, pick
    from sheetconv.models import load_model
    from sheetconv.pages.workbook import write_network, write_pages
    from sheetconv.template import load

    if name == "lesson":
        picked = pick("builtin", digit=3)
        before, start = peak(), time.process_time()
        manifest = write_pages(path, load(name), picked)
    else:
        size = int(name.rpartition("-")[2]) if name.startswith("resnet18") else 0
        module, shape = (resnet18(), (3, size, size)) if size else load_model(name)
        assert shape is not None
        picked = Picked(np.asarray(random_input(shape))[None], [None], ["random"], "random", "a benchmark")
        graph = capture(module, (1, *shape))
        before, start = peak(), time.process_time()
        manifest = write_network(path, graph, picked, name)
    seconds = time.process_time() - start
    formulas = sum(t.size for t in manifest.graph if t.expr is not None and t in manifest.places)
    cells = sum(t.size for t in manifest.graph if t in manifest.places)
    return {
        "seconds": seconds,
        "formulas": formulas,
        "cells": cells,
        "memory": peak(),
        "added": peak() - before,
    }


def peak() -> float:
    """Largest memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def squeeze(path: Path) -> dict[str, float]:
    """Seconds of zlib, level 6, for the sheets' XML."""
    seconds, size = 0.0, 0
    with zipfile.ZipFile(path) as book:
        for name in book.namelist():
            if name.startswith("xl/worksheets/sheet"):
                packer = zlib.compressobj(6)
                with book.open(name) as part:
                    while chunk := part.read(1 << 20):
                        size += len(chunk)
                        start = time.process_time()
                        packer.compress(chunk)
                        seconds += time.process_time() - start
    return {"zlib": seconds, "xml": size / 1e6}


def peers(path: Path, folder: Path) -> dict[str, float]:
    """Seconds of XlsxWriter and of openpyxl (write-only, no cached values) for the same cells."""
    import xlsxwriter
    from openpyxl import Workbook

    from sheetconv.xlsx.cells import Book

    rows: list[list[tuple[int, int, str | None, Any]]] = []
    with Book(path) as book:
        for sheet in book.sheet_names:
            cells = book.cells(sheet)
            if cells.extent is None:
                continue
            values, formulas = cells.values(*cells.extent), cells.formulas(*cells.extent)
            r0, c0 = cells.extent[:2]
            rows.append([(r + r0, c + c0, formulas[r, c], v) for r, line in enumerate(values) for c, v in enumerate(line) if v is not None])  # fmt: skip
    start = time.process_time()
    with xlsxwriter.Workbook(folder / "x.xlsx") as out:
        for part in rows:
            sheet = out.add_worksheet()
            for r, c, formula, value in part:
                if formula:
                    sheet.write_formula(r, c, formula, None, value)
                else:
                    sheet.write(r, c, value)
    one = time.process_time()
    other = Workbook(write_only=True)
    for part in rows:
        sheet = other.create_sheet()
        now, line = 0, []
        for r, c, formula, value in part:
            while now < r:
                sheet.append(line)
                now, line = now + 1, []
            line += [None] * (c - len(line)) + [formula or value]
        sheet.append(line)
    other.save(folder / "o.xlsx")
    return {
        "xlsxwriter": one - start,
        "openpyxl": time.process_time() - one,
        "peer_cells": sum(map(len, rows)),
    }


def child(*arguments: str) -> dict[str, float]:
    """This program in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--one", type=Path, help="write one workbook there and print its figures as JSON")
    parser.add_argument("--beside", type=Path, help="measure the peers on this workbook")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(write(given.names[0], given.one)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.beside:
            print(json.dumps(peers(given.beside, folder)))
            return
        print("| workbook | formulas | cells | XML MB | file MB | write s | cells/s | zlib 6 s | ratio | peak MB | added MB | XlsxWriter s | openpyxl s |")  # fmt: skip
        print("|---|" + "---|" * 12)
        for book in given.names:
            path = folder / f"{book}.xlsx"
            f = child("--one", str(path), book)
            z = squeeze(path)
            p = child("--beside", str(path), book) if given.peers else {}
            peer = [f"{p[k]:.1f}" if k in p else "" for k in ("xlsxwriter", "openpyxl")]
            print(
                f"| {book} | {f['formulas']:,} | {f['cells']:,} | {z['xml']:.1f} | {path.stat().st_size / 1e6:.2f} | {f['seconds']:.2f} "
                f"| {f['cells'] / f['seconds']:,.0f} | {z['zlib']:.2f} | {f['seconds'] / z['zlib']:.2f} | {f['memory']:.0f} | {f['added']:.0f} "
                f"| {' | '.join(peer)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
