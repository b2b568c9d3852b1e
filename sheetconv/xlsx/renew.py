"""A workbook with other numbers, texts and cached values in some of its cells; all else stays byte for byte."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from sheetconv.xlsx.package import Package
from sheetconv.xlsx.sheet_cells import CellError, Value
from sheetconv.xlsx.strip import _start_tag, _Stripper
from sheetconv.xlsx.xml_parts import check_utf8

At = tuple[int, int]


@dataclass
class Changes:
    """What is written anew on one sheet, by (row, column) from zero.

    `numbers` and `texts` go into cells that the file lists, without a formula; `formulas` (no equals sign) replace
    formulas; `values` are the new cached values of formula cells, None where there is none.
    """

    numbers: dict[At, float] = field(default_factory=dict)
    texts: dict[At, str] = field(default_factory=dict)
    formulas: dict[At, str] = field(default_factory=dict)
    values: dict[At, Value] = field(default_factory=dict)


def renewed(path: Path, out: Path, changes: Mapping[str, Changes]) -> None:
    """Write the workbook `path` to `out` with the changes of each sheet (by name).

    Raises `WorkbookError` when the workbook is not safe to read.
    """
    with Package(path) as package, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        relations = package.relations(package.workbook_part)
        parts = {
            relations[s.relation][1]: changes.get(s.name) for s in package.sheets() if s.relation in relations
        }
        for name in package.names:
            change = parts.get(name)
            chunks = package.chunks(name) if change is None else _changed(package, name, change)
            large = package.size(name) > zipfile.ZIP64_LIMIT // 2
            with target.open(name, "w", force_zip64=large) as stream:
                for chunk in chunks:
                    stream.write(chunk)


def _changed(package: Package, name: str, changes: Changes) -> Iterator[bytes]:
    renewer = _Renewer(f"{package.path}: {name}", changes)
    first = True
    for chunk in package.chunks(name):
        if first:
            check_utf8(chunk, renewer.where)
            first = False
        yield renewer.feed(chunk)
    yield renewer.feed(b"", final=True)


class _Renewer(_Stripper):
    """Copies a sheet's XML and writes the changed cells anew."""

    def __init__(self, where: str, changes: Changes) -> None:
        super().__init__(where, None, {})
        self.changes = changes

    def end(self, tag: str) -> None:
        name = self.names.local[tag]
        if self.cell is None or name != "c":
            super().end(tag)
            return
        here, changes = self._here(), self.changes
        if self.formula is None and here in changes.numbers:
            self._written(changes.numbers[here])
        elif self.formula is None and here in changes.texts:
            self._inline(changes.texts[here])
        elif here in changes.values and (self.formula is not None or (self.areas and self._in_area())):
            self._written(changes.values[here], changes.formulas.get(here))
        elif self.formula is not None and here in changes.formulas:
            self._written(None, changes.formulas[here])
        self.cell = None

    def _written(self, value: Value, formula: str | None = None) -> None:
        """The current cell with its formula (or another one) and a value."""
        assert self.cell is not None
        tag, attributes, first = self.cell
        kept = {key: v for key, v in attributes.items() if key not in ("t", "vm")}
        prefix = "".join(tag.rpartition(":")[:2])
        kind, text = _spelt(value)
        self._copy(first)
        self.out.append(_start_tag(tag, kept | ({"t": kind} if kind else {})))
        if self.formula is not None:
            name, of_formula = self.formula
            written = "".join(self.text) if formula is None else formula
            self.out += [_start_tag(name, of_formula), f"{escape(written)}</{name}>".encode()]
        found = f"<{prefix}v>{escape(text)}</{prefix}v>" if text is not None else ""
        self.out.append(f"{found}</{tag}>".encode())
        self._done()

    def _inline(self, text: str) -> None:
        assert self.cell is not None
        tag, attributes, first = self.cell
        kept = {key: v for key, v in attributes.items() if key not in ("t", "vm")} | {"t": "inlineStr"}
        p = "".join(tag.rpartition(":")[:2])
        self._copy(first)
        body = f'<{p}is><{p}t xml:space="preserve">{escape(text)}</{p}t></{p}is></{tag}>'
        self.out += [_start_tag(tag, kept), body.encode()]
        self._done()


def _spelt(value: Value) -> tuple[str, str | None]:
    """The type and the text of a cell's value."""
    if value is None:
        return "", None
    if isinstance(value, bool):
        return "b", str(int(value))
    if isinstance(value, CellError):
        return "e", str(value)
    if isinstance(value, str):
        return "str", value
    return "", repr(float(value))
