"""Altering workbooks: a few lines of zip and text."""

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.sheet.manifest import PIECE, read_manifest
from sheetconv.xlsx.address import cell
from sheetconv.xlsx.cells import Book

CELL = re.compile(r'<c r="([A-Z]+\d+)"([^>]*)>(?:<f>([^<]*)</f>)?(?:<v>([^<]*)</v>)?</c>')


def altered(source: Path, target: Path, changes: Mapping[str, Callable[[str], str]]) -> Path:
    """A copy of a workbook with the texts of some parts changed; each must change."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name in changes:
                text = changes[name](data.decode())
                assert text != data.decode(), f"nothing was changed in {name}"
                data = text.encode()
            new.writestr(name, data)
    return target


def cells(change: Callable[[str, str, str], tuple[str, str] | None]) -> Callable[[str], str]:
    """A change of sheet XML: `change(address, formula, value)` gives a new (formula, value), or None to keep it."""

    def rewrite(match: re.Match[str]) -> str:
        found = change(match[1], match[3] or "", match[4] or "")
        if found is None:
            return match[0]
        formula, value = found
        inside = (f"<f>{formula}</f>" if formula else "") + (f"<v>{value}</v>" if value else "")
        return f'<c r="{match[1]}"{match[2]}>{inside}</c>'

    return lambda text: CELL.sub(rewrite, text)


def addresses(path: Path, tensor: str) -> list[str]:
    """Addresses of a tensor's cells, in C order."""
    with Book(path) as book:
        manifest = read_manifest(book, path)
    rows, columns = np.broadcast_arrays(*manifest.places[manifest.graph[tensor]].cells())
    return [cell(int(r), int(c)) for r, c in zip(rows.reshape(-1), columns.reshape(-1), strict=True)]


def values(path: Path, sheet: str, wanted: list[str]) -> dict[str, float]:
    """Cached values of cells of a sheet by address."""
    with Book(path) as book:
        found = {cell(r, c): v for r, c, v in book.cells(sheet).listed()}
    return {a: float(found[a]) for a in wanted if isinstance(found[a], float)}


def part_of(path: Path, sheet: str) -> str:
    """The part that holds a sheet."""
    with Book(path) as book:
        return book.sheet_part(sheet)


def forged(
    source: Path, target: Path, change: Callable[[dict[str, Any]], None], **more: Callable[[str], str]
) -> Path:
    """A copy with another manifest."""
    with Book(source) as book:
        sheet = book.cells("_sheetconv")
        pieces = [str(v) for _, _, v in sheet.listed()]
        part = book.sheet_part("_sheetconv")
    data = json.loads("".join(pieces))
    change(data)
    text = json.dumps(data, separators=(",", ":"))
    rows = [text[i : i + PIECE] for i in range(0, len(text), PIECE)]
    escaped = [r.replace("&", "&amp;").replace("<", "&lt;") for r in rows]
    xml = "".join(
        f'<row r="{i}"><c r="A{i}" t="inlineStr"><is><t xml:space="preserve">{t}</t></is></c></row>'
        for i, t in enumerate(escaped, 1)
    )
    replace: dict[str, Callable[[str], str]] = {
        part: lambda old: re.sub(
            r"<sheetData>.*</sheetData>", lambda _: f"<sheetData>{xml}</sheetData>", old, flags=re.S
        )
    }
    return altered(source, target, {**replace, **more})
