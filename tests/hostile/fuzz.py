"""Readers fed with damaged files: ``python tests/hostile/fuzz.py [CASES] [SEED]`` counts what comes of them.

A good file of each kind is changed at random (bytes flipped, cut, doubled, pieces swapped, numbers and names
replaced by hostile ones), inside the package for parts of a workbook, and read. A reader may succeed or raise one
of our own errors; anything else is a fault, and is printed with the seed that makes it again.
"""

import json
import random
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from corpus import rewrite, write_book

from sheetconv.errors import SheetconvError

HOSTILE = [
    b"-1", b"0", b"1e999", b"NaN", b"Infinity", b"99999999999999999999", b"9223372036854775808", b"null", b"[]", b"{}",
    b'""', b"true", b"\x00", b"\xff\xfe", b"<!DOCTYPE a>", b"&#0;", b"&#x110000;", b"_x0000_", b"A0", b"XFE1", b"A1048577",
    b"<c/>", b"</row>", b"<f/>", b"<v>", b"<![CDATA[", b"-->", b"1_0", b"\xe2\x80\xae", b"nan", b"-0", b"=" * 20, b"(" * 60,
]  # fmt: skip


def damaged(data: bytes, draw: random.Random) -> bytes:
    """The bytes with one to four changes."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        length = draw.choice([1, 1, 2, 4, 8, 30])
        kind = draw.randrange(6)
        if kind == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[at + length :]
        elif kind == 2:
            data = data[:at] + data[at : at + length] * 2 + data[at + length :]
        elif kind == 3:
            data = data[:at] + draw.choice(HOSTILE) + data[at + draw.choice([0, length]) :]
        elif kind == 4:
            other = draw.randrange(len(data) + 1)
            data = data[:at] + data[other : other + length] + data[at:]
        else:
            data = _number_replaced(data, draw)
    return data


def _number_replaced(data: bytes, draw: random.Random) -> bytes:
    places = [i for i, byte in enumerate(data[:200_000]) if 48 <= byte < 58]
    if not places:
        return data[: draw.randrange(len(data) + 1)]
    at = end = draw.choice(places)
    while end < len(data) and 48 <= data[end] < 58:
        end += 1
    return data[:at] + draw.choice(HOSTILE) + data[end:]


VALUES: list[Any] = [
    -1, 0, 1e300, 2**63, 10**30, 0.5, None, True, "", "x", [], {}, [[]], [1], "aten.pad.default", "relu1", [0] * 9,
]  # fmt: skip


def damaged_values(data: bytes, draw: random.Random) -> bytes:
    """JSON with one to three of its values replaced, doubled or left out: still JSON."""
    whole = json.loads(data)
    for _ in range(draw.randint(1, 3)):
        here: Any = whole
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = draw.choice(keys)
            inner = here[key]
            if isinstance(inner, dict | list) and inner and draw.random() < 0.9:
                here = inner
                continue
            if draw.random() < 0.15:
                del here[key]
            else:
                here[key] = draw.choice(VALUES)
            break
    return json.dumps(whole).encode()


def damaged_header(data: bytes, draw: random.Random) -> bytes:
    """A safetensors file whose header has other values, or other bytes."""
    length = int.from_bytes(data[:8], "little")
    changed = (damaged_values if draw.random() < 0.7 else damaged)(data[8 : 8 + length], draw)
    return len(changed).to_bytes(8, "little") + changed + data[8 + length :]


CHANGES = {"manifest": damaged_values, "safetensors": damaged_header, "checkpoint": damaged_header}
Reader = Callable[[bytes, Path], Any]


def _workbook(part: str, base: Path) -> tuple[bytes, Reader]:
    with zipfile.ZipFile(base) as file:
        whole = {name: file.read(name) for name in file.namelist()}

    def read(data: bytes, folder: Path) -> None:
        from sheetconv.formulas.source import Source
        from sheetconv.inspect.lint import lint
        from sheetconv.xlsx.strip import without_cached_values

        path = folder / "x.xlsx"
        with zipfile.ZipFile(path, "w") as file:
            for name, old in whole.items():
                file.writestr(name, data if name == part else old)
        without_cached_values(path, folder / "y.xlsx")
        with Source(path) as source:
            for sheet in source.sheets:
                for row, column in list(source.formulas(sheet))[:20]:
                    source.precedents((sheet, row, column))
            lint(source)

    return whole[part], read


def _manifest() -> tuple[bytes, Reader]:
    from sheetconv.building import Request, build
    from sheetconv.compile.budget import check_work
    from sheetconv.sheet.manifest import load, read_manifest
    from sheetconv.xlsx.cells import Book

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ours.xlsx")
        build(Request(path, "conv-example", dataset="builtin", digit=3, verify=False))
        with Book(path) as book:
            read_manifest(book, path)
            cells = book.cells("_sheetconv")
            assert cells.extent is not None
            text = "".join(str(cells.value(row, 0)) for row in range(cells.extent[2] + 1))

    def read(data: bytes, folder: Path) -> None:
        manifest = load(data.decode("utf-8", "replace"), folder / "x.xlsx")
        check_work(manifest.graph, folder / "x.xlsx")

    return text.encode(), read


def _toml() -> tuple[bytes, Reader]:
    from sheetconv import template

    def read(data: bytes, folder: Path) -> None:
        (folder / "x.toml").write_bytes(data)
        template.load(str(folder / "x.toml"))

    return (template.folder() / "lesson.toml").read_bytes(), read


def _idx() -> tuple[bytes, Reader]:
    from sheetconv.data.readers import read_idx

    def read(data: bytes, folder: Path) -> None:
        (folder / "x").write_bytes(data)
        read_idx(folder / "x")

    return b"\0\0\x08\x03\0\0\0\x02\0\0\0\x03\0\0\0\x04" + bytes(range(24)), read


def _npy() -> tuple[bytes, Reader]:
    from sheetconv.data.image import array_input

    def read(data: bytes, folder: Path) -> None:
        (folder / "x.npy").write_bytes(data)
        array_input(folder / "x.npy", (2, 3, 4))

    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "a.npy"), np.arange(24.0).reshape(2, 3, 4))
        return Path(folder, "a.npy").read_bytes(), read


def _safetensors() -> tuple[bytes, Reader]:
    from safetensors.torch import save

    from sheetconv.models import load_weights
    from sheetconv.nets import NETS, seeded

    module = seeded("conv-example") if "conv-example" in NETS else seeded(next(iter(NETS)))

    def read(data: bytes, folder: Path) -> None:
        (folder / "x.safetensors").write_bytes(data)
        load_weights(module, folder / "x.safetensors")

    return save(module.state_dict()), read


def _checkpoint() -> tuple[bytes, Reader]:
    import torch

    from sheetconv.train.state import load_state, save_state

    def read(data: bytes, folder: Path) -> None:
        (folder / "x.safetensors").write_bytes(data)
        load_state(folder / "x.safetensors")

    with tempfile.TemporaryDirectory() as folder:
        save_state(Path(folder, "a"), {"w": torch.zeros(3), "n": 3, "t": (1, "two")})
        return Path(folder, "a").read_bytes(), read


def kinds(folder: Path) -> dict[str, tuple[bytes, Reader]]:
    """What is fuzzed: a good file's bytes and its reader, by name."""
    cells = {"A1": 1.5, "A2": "text", "B2": '=IF(A1>1,SUM(A1:A9)*-2,"no")', "C3": "=S!$A$1^2&A2"}
    base = write_book(
        folder / "base.xlsx",
        {"S": cells},
        names='<definedNames><definedName name="n">S!$A$1</definedName></definedNames>',
    )
    rewrite(base, {})
    return {
        "sheet": _workbook("xl/worksheets/sheet1.xml", base),
        "workbook.xml": _workbook("xl/workbook.xml", base),
        "relations": _workbook("xl/_rels/workbook.xml.rels", base),
        "content types": _workbook("[Content_Types].xml", base),
        "manifest": _manifest(),
        "template": _toml(),
        "IDX": _idx(),
        "npy": _npy(),
        "safetensors": _safetensors(),
        "checkpoint": _checkpoint(),
    }


def fuzz(cases: int, seed: int, only: str = "") -> tuple[Counter[str], list[str]]:
    """Read `cases` damaged files, in turn of each kind; how they ended, and the faults."""
    ends: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = list(kinds(folder).items())
        for number in range(cases):
            kind, (good, read) = known[number % len(known)]
            if only and kind != only:
                continue
            draw = random.Random(seed * 1_000_003 + number)
            change = CHANGES.get(kind, damaged) if draw.random() < 0.7 else damaged
            data = change(good, draw)
            begin = time.process_time()
            try:
                read(data, folder)
                end = "read"
            except SheetconvError as error:
                end = "refused" if "\n" not in str(error) else "more than a line"
            except Exception as error:
                end = "fault"
                faults.append(f"{kind}, case {number}: {type(error).__name__}: {str(error)[:200]}")
            if time.process_time() - begin > 10:
                faults.append(f"{kind}, case {number}: slow")
            ends[f"{kind}: {end}"] += 1
    return ends, faults


if __name__ == "__main__":
    ended, found = fuzz(
        int(sys.argv[1]) if len(sys.argv) > 1 else 1000, int(sys.argv[2]) if len(sys.argv) > 2 else 0
    )
    print(json.dumps(dict(sorted(ended.items())), indent=1), *found, sep="\n")
    sys.exit(bool(found))
