"""Workbooks edited as a user would, in the XML itself."""

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from sheetconv.sheet.manifest import read_manifest
from sheetconv.xlsx.address import cell, quoted
from sheetconv.xlsx.cells import Book


def place(path: Path, tensor: str, *index: int) -> str:
    """The cell of an element, as 'Network'!A1."""
    with Book(path) as book:
        manifest = read_manifest(book, path)
    at = manifest.places[manifest.graph[tensor]]
    rows, columns = np.broadcast_arrays(*at.cells())
    return f"{quoted(at.sheet)}!{cell(int(rows[index]), int(columns[index]))}"


def edited(
    source: Path,
    target: Path,
    cells: Mapping[str, str | None],
    names: Callable[[str], str] = str,
    sheets: Callable[[str], str] = str,
) -> None:
    """A copy with other values in cells (None clears one), and other defined names or sheets' names."""
    by_part: dict[str, dict[str, str | None]] = {}
    with Book(source) as book:
        for at, value in cells.items():
            sheet, _, name = at.rpartition("!")
            by_part.setdefault(book.sheet_part(sheet.strip("'")), {})[name] = value
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            data = old.read(part).decode("utf-8") if part.endswith((".xml", ".rels")) else old.read(part)
            if part in by_part:
                data = _with(data, by_part[part])
            if part == "xl/workbook.xml":
                data = sheets(re.sub("<definedNames>.*</definedNames>", lambda m: names(m[0]), data))
            new.writestr(part, data)


def _with(text: str, cells: Mapping[str, str | None]) -> str:
    left = dict(cells)

    def change(match: re.Match[str]) -> str:
        if match[1] not in left:
            return match[0]
        value = left.pop(match[1])
        style = re.search(r' s="\d+"', match[0])
        head = f'<c r="{match[1]}"{style[0] if style else ""}'
        if value is None:
            return f"{head}/>"
        if value.startswith("#"):
            return f'{head} t="e"><v>{value}</v></c>'
        if re.fullmatch(r"[-+0-9.eE]+", value):
            return f"{head}><v>{value}</v></c>"
        return f'{head} t="inlineStr"><is><t>{value}</t></is></c>'

    text = re.sub(r'<c r="([A-Z]+\d+)"[^>]*?(?:/>|>.*?</c>)', change, text)
    assert not left, f"no such cells: {list(left)[:5]}"
    return text
