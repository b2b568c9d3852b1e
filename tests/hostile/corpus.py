"""Hostile files, made on the spot: ``python tests/hostile/corpus.py FOLDER`` writes them all.

Each maker writes one file (or folder) to the path that it is given; `FILES` says which commands must refuse it,
or bear it, within the bounds: no traceback, one line of error at most, 20 s, 1 GB.
"""

import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "read"))

from conftest import MAIN, REL, sheet_xml, write_book

TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def big_part(path: Path, part: str, head: str, piece: str, count: int, tail: str, **sheets: Any) -> None:
    """A small workbook one part of which is `count` times the same piece."""
    write_book(path, sheets or {"S": {"A1": 1.0, "A2": "=A1+1"}})
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist() if name != part}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as new:
        for name, data in parts.items():
            new.writestr(name, data)
        with new.open(part, "w", force_zip64=True) as stream:
            stream.write(head.encode())
            block = (piece * 10_000).encode()
            for _ in range(count // 10_000):
                stream.write(block)
            stream.write(tail.encode())


def empty_cells(path: Path) -> None:
    """98 million cells without anything in them."""
    row = "<row>" + "<c/>" * 16_000 + "</row>"
    head = f'<worksheet xmlns="{MAIN}"><sheetData><row r="1"><c r="A1"><f>1+1</f><v>2</v></c></row>'
    write_book(path, {"S": {"A1": 1.0}})
    rewrite(path, {"xl/worksheets/sheet1.xml": repeated(head, row, 6_125, "</sheetData></worksheet>")})


def ones(path: Path) -> None:
    """48 million cells that hold 1."""
    row = "<row>" + "<c><v>1</v></c>" * 16_000 + "</row>"
    write_book(path, {"S": {"A1": 1.0}})
    head = f'<worksheet xmlns="{MAIN}"><sheetData>'
    rewrite(path, {"xl/worksheets/sheet1.xml": repeated(head, row, 3_000, "</sheetData></worksheet>")})


def repeated(head: str, piece: str, count: int, tail: str) -> Iterator[bytes]:
    """The bytes of a part, piece by piece."""
    yield head.encode()
    block = piece.encode()
    for _ in range(count):
        yield block
    yield tail.encode()


def rewrite(path: Path, changed: dict[str, Iterator[bytes] | bytes | str | None]) -> None:
    """Replace, add or (None) drop parts of a package."""
    with zipfile.ZipFile(path) as old:
        parts: dict[str, Any] = {name: old.read(name) for name in old.namelist()}
    parts |= changed
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as new:
        for name, data in parts.items():
            if data is None:
                continue
            with new.open(name, "w", force_zip64=True) as stream:
                whole = data.encode() if isinstance(data, str) else data
                for piece in [whole] if isinstance(whole, bytes) else whole:
                    stream.write(piece)


def with_strings(path: Path, count: int, text: str = "<si/>") -> None:
    """A workbook whose shared strings are `count` times the same."""
    cell = '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1"><f>A1</f><v>0</v></c></row>'
    write_book(path, {"S": f'<worksheet xmlns="{MAIN}"><sheetData>{cell}</sheetData></worksheet>'})
    with zipfile.ZipFile(path) as old:
        relations = old.read("xl/_rels/workbook.xml.rels").decode()
    added = f'<Relationship Id="ss" Type="{REL}/sharedStrings" Target="sharedStrings.xml"/></Relationships>'
    rewrite(
        path,
        {
            "xl/_rels/workbook.xml.rels": relations.replace("</Relationships>", added),
            "xl/sharedStrings.xml": repeated(
                f'<sst xmlns="{MAIN}">', text * 10_000, count // 10_000, "</sst>"
            ),
        },
    )


def empty_strings(path: Path) -> None:
    """120 million shared texts without a letter."""
    with_strings(path, 120_000_000)


def merges(path: Path) -> None:
    """A million merged pairs of cells."""
    refs = "".join(f'<mergeCell ref="A{i}:B{i}"/>' for i in range(1, 1_000_001))
    body = '<row r="1"><c r="A1"><v>1</v></c><c r="C1"><f>A1+1</f><v>2</v></c></row>'
    write_book(
        path,
        {
            "S": f'<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData><mergeCells>{refs}</mergeCells></worksheet>'
        },
    )


def many_names(path: Path) -> None:
    """A million defined names."""
    names = "".join(f'<definedName name="n{i}">S!$A$1</definedName>' for i in range(1_000_000))
    write_book(path, {"S": {"A1": 1.0, "C1": "=A1+1"}}, names=f"<definedNames>{names}</definedNames>")


def deep_xml(path: Path) -> None:
    """A million nested elements in the list of sheets."""
    write_book(path, {"S": {"A1": 1.0, "C1": "=A1+1"}}, names="<a>" * 1_000_000 + "</a>" * 1_000_000)


def deep_formula(path: Path) -> None:
    """A formula of 4,000 nested brackets."""
    write_book(path, {"S": {"A1": 1.0, "C1": "=" + "(" * 4_000 + "A1" + ")" * 4_000}})


def whole_sheet_sums(path: Path) -> None:
    """A cell with 400 sums over whole sheets."""
    sums = "+".join(["SUM(A1:XFD1048576)"] * 380)
    write_book(path, {"S": {"A1": 1.0}, "T": {"C1": "=" + sums.replace("A1:", "S!A1:")}})


def chain(path: Path) -> None:
    """A chain of 200,000 cells."""
    cells = {"A1": 1.0} | {f"A{i}": f"=A{i - 1}+0.5" for i in range(2, 200_001)}
    write_book(path, {"S": cells})


def encoding(name: str) -> Callable[[Path], None]:
    """A workbook whose sheet says that it is in another encoding."""

    def make(path: Path) -> None:
        xml = f'<?xml version="1.0" encoding="{name}"?>' + sheet_xml({"A1": 1.0, "C1": "=A1+1"})
        write_book(path, {"S": xml})

    return make


def manifest(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """One of our own workbooks, its manifest changed."""

    def make(path: Path) -> None:
        from openpyxl import load_workbook

        from sheetconv.building import Request, build

        ours = path.parent / "ours.xlsx"
        if not ours.exists():
            build(Request(ours, "conv-example", dataset="builtin", digit=3, verify=False))
        book = load_workbook(ours)
        sheet = book["_sheetconv"]
        data = json.loads("".join(row[0].value for row in sheet.iter_rows() if row[0].value))
        change(data)
        sheet.delete_rows(1, sheet.max_row)
        text = json.dumps(data)
        for row, start in enumerate(range(0, len(text), 30_000), 1):
            sheet.cell(row, 1, text[start : start + 30_000])
        book.save(path)

    return make


def activation(data: dict[str, Any], name: str = "relu1") -> dict[str, Any]:
    """The entry of a tensor."""
    return next(entry for entry in data["tensors"] if entry["name"] == name)


def pad(tensor: Any, size: int) -> dict[str, Any]:
    """A call that pads a map to size × size."""
    return {"call": "aten.pad.default", "arguments": [tensor, [0, size, 0, size], "constant", 0.0]}


def padding_views(data: dict[str, Any]) -> None:
    """A view that pads to 20,000² and sums it up again."""
    entry = activation(data)
    entry["operation"]["arguments"] = [pad(entry["operation"]["arguments"][0], 20_000)]


def nested_products(data: dict[str, Any]) -> None:
    """200 products of matrices of 2000², each nested in the next."""
    entry = activation(data)
    value = pad(entry["operation"]["arguments"][0], 1_974)
    for _ in range(200):
        value = {
            "call": "aten.matmul.default",
            "arguments": [
                value,
                value
                if value["call"] != "aten.matmul.default"
                else pad(entry["operation"]["arguments"][0], 1_974),
            ],
        }
    entry["operation"]["arguments"] = [value]


def placed(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A tensor's place or shape replaced."""

    def change(data: dict[str, Any]) -> None:
        activation(data)[key] = value

    return change


def nested_lists(data: dict[str, Any]) -> None:
    """Arguments nested 800 deep (deeper is refused by JSON itself)."""
    value: Any = 1
    for _ in range(800):
        value = [value]
    activation(data)["operation"]["arguments"].append(value)


@dataclass
class Case:
    """A file's maker, its suffix, and the commands to be tried on it ({} is the file)."""

    make: Callable[[Path], Any]
    commands: list[str]
    suffix: str = ".xlsx"


READ = ["trace {} S!C1", "lint {}", "explain {} S!C1", "recover {} -o model.py"]
VERIFY = ["verify {}", "import-weights {} -o w.safetensors", "receptive-field {}"]
FILES: dict[str, Case] = {
    "98 million empty cells": Case(empty_cells, ["trace {} S!A1", "lint {}", "verify {}", "explain {} S!A1"]),
    "48 million ones": Case(ones, ["lint {}"]),
    "120 million empty texts": Case(empty_strings, ["lint {}", "explain {} S!B1"]),
    "a million merges": Case(
        merges, ["lint {}", "trace {} S!C1 --png p.png", "lint {} --annotate a.xlsx --force"]
    ),
    "a million names": Case(many_names, ["trace {} S!C1", "lint {}"]),
    "a million nested elements": Case(deep_xml, ["lint {}"]),
    "a deep formula": Case(deep_formula, READ),
    "sums over whole sheets": Case(whole_sheet_sums, ["explain {} T!C1", "trace {} T!C1", "lint {}"]),
    "a long chain": Case(chain, ["explain {} S!A200000 --paths 3"]),
    "utf-7": Case(encoding("utf-7"), READ),
    "unknown encoding": Case(encoding("klingon"), READ),
    "a multi-byte encoding": Case(encoding("shift_jis"), READ),
    "padding views": Case(manifest(padding_views), VERIFY),
    "nested products": Case(manifest(nested_products), VERIFY),
    "a row of 1e300": Case(manifest(placed("row", 1e300)), VERIFY[:1]),
    "a row without end": Case(manifest(placed("row", float("inf"))), VERIFY[:1]),
    "a row beyond 64 bits": Case(manifest(placed("row", 2**63)), VERIFY[:1]),
    "a table beyond 64 bits": Case(manifest(placed("rows", [[2**63]] * 4)), VERIFY[:1]),
    "a row that is a list": Case(manifest(placed("row", [1])), VERIFY[:1]),
    "nested lists": Case(manifest(nested_lists), VERIFY[:1]),
}


def main(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(exist_ok=True)
    for name, case in FILES.items():
        path = folder / (name.replace(" ", "-") + case.suffix)
        case.make(path)
        print(f"{os.path.getsize(path):12,}  {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
