"""A copy of a workbook without its cached values, so that an engine can only answer by computing.

Spreadsheet programs may show the values that a file remembers instead of computing its formulas; a proof
must not rest on them. The copy is streamed: memory does not grow with the workbook.
"""

import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from sheetconv.errors import WorkbookError
from sheetconv.files import replacing
from sheetconv.xlsx.a1 import Range, parse_range
from sheetconv.xlsx.package import LIMITS, Limits, Package
from sheetconv.xlsx.scan import Positions
from sheetconv.xlsx.xml_parts import Namespaces, XmlElement, check_utf8, new_parser, xml_elements, xml_error

POISON = -9.87654321e123
"""A cached value that no network computes, for engines that want one; finding it is finding a stale cell."""

_SHEETS = {"worksheet", "xlMacrosheet", "dialogsheet"}
_BEFORE_CALC = {"sheets", "functionGroups", "externalReferences", "definedNames"}


_LOOKS = {"mergeCells", "conditionalFormatting", "dataValidations", "hyperlinks"}
"""What changes no result: engines spend memory on it, and refuse to type into merged cells."""

Typed = Mapping[str, Mapping[tuple[int, int], float]]
"""Other numbers for typed cells: sheet → (row, column) → number."""


def without_cached_values(
    path: str | os.PathLike[str],
    out: Path,
    *,
    poison: float | None = None,
    typed: Typed | None = None,
    bare: bool = False,
    limits: Limits = LIMITS,
) -> None:
    """Write a copy of the workbook `path` to `out` in which no formula cell has its cached value.

    The values of array formulas go for their whole areas; shared formulas stay shared; the calculation chain
    is left out and the program that opens the copy is asked to calculate all. With `poison`, formula cells
    hold that number instead of nothing. Cells of `typed` that hold a value and no formula get their number
    there. With `bare`, merged cells, conditional formats, validations and links are left out. All else is copied
    byte for byte.

    Raises `WorkbookError` when the workbook is not safe to read, `OutputError` when `out` cannot be written.
    """
    with (
        Package(path, limits) as package,
        replacing(Path(out), force=True) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target,
    ):
        for name, chunks in _parts(package, poison, typed or {}, bare):
            large = package.size(name) > zipfile.ZIP64_LIMIT // 2  # else plain: formualizer reads no other
            with target.open(name, "w", force_zip64=large) as stream:
                for chunk in chunks:
                    stream.write(chunk)


def _parts(
    package: Package, poison: float | None, typed: Typed, bare: bool
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield (name, content) of every part of the copy."""
    relations = package.relations(package.workbook_part)
    # By type or by name in the list of sheets: some programs look at the one, some at the other.
    sheets = {part for kind, part in relations.values() if kind in _SHEETS}
    sheets |= {relations[e.relation][1] for e in package.sheets() if e.relation in relations}
    numbers = {
        relations[e.relation][1]: typed.get(e.name, {}) for e in package.sheets() if e.relation in relations
    }
    chains = {part for kind, part in relations.values() if kind == "calcChain"}
    folder, _, base = package.workbook_part.rpartition("/")
    workbook_relations = package.spelt(f"{folder}/_rels/{base}.rels".lstrip("/"))
    for name in package.names:
        if name in chains:
            continue
        if name in sheets:
            yield name, _stripped(package, name, poison, numbers.get(name, {}), bare)
        elif name == package.workbook_part:
            yield name, iter([_calculate_on_load(package, name)])
        elif name in ("[Content_Types].xml", workbook_relations) and chains:
            yield name, iter([_without_chain(package, name)])
        else:
            yield name, package.chunks(name)


def _calculate_on_load(package: Package, name: str) -> bytes:
    """Return the workbook part with ``fullCalcOnLoad`` set in its ``calcPr`` element."""
    data = package.read(name)
    where = f"{package.path}: {name}"
    check_utf8(data, where)
    children = xml_elements(data, where, depth=1)
    present = next((e for e in children if e.name == "calcPr"), None)
    if present is not None:
        tag = _tag_name(data, present)
        attributes = {k: v for k, v in present.attributes.items() if k != "calcCompleted"}
        element = _start_tag(tag, attributes | {"fullCalcOnLoad": "1"}, close=True)
        return data[: present.start] + element + data[present.end :]
    before = [e for e in children if e.name in _BEFORE_CALC]
    if not before:
        raise WorkbookError(f"{where} lists no sheets; it is not a complete workbook")
    prefix = _tag_name(data, before[-1]).rpartition(":")
    element = _start_tag(prefix[0] + prefix[1] + "calcPr", {"fullCalcOnLoad": "1"}, close=True)
    return data[: before[-1].end] + element + data[before[-1].end :]


def _without_chain(package: Package, name: str) -> bytes:
    """Return the content types or relations without what they say about the calculation chain."""
    data = package.read(name)
    for element in reversed(package.elements(name, depth=1)):
        at = element.attributes
        if at.get("Type", "").endswith("/calcChain") or at.get("PartName", "").endswith("/calcChain.xml"):
            data = data[: element.start] + data[element.end :]
    return data


def _stripped(
    package: Package,
    name: str,
    poison: float | None,
    typed: Mapping[tuple[int, int], float],
    bare: bool,
) -> Iterator[bytes]:
    where = f"{package.path}: {name}"
    stripper = _Stripper(where, poison, typed, bare)
    first = True
    for chunk in package.chunks(name):
        if first:
            check_utf8(chunk, where)
            first = False
        yield stripper.feed(chunk)
    yield stripper.feed(b"", final=True)


class _Stripper:
    """Copies a sheet's XML as it comes; writes anew only the cells whose values are computed.

    expat tells at which byte each tag starts; everything that is not such a cell is copied as it was.
    """

    def __init__(
        self, where: str, poison: float | None, typed: Mapping[tuple[int, int], float], bare: bool = False
    ):
        self.where, self.typed = where, typed
        self.looks = _LOOKS if bare else set()
        self.dropping = 0  # depth within an element that is left out
        self.value = "" if poison is None else repr(float(poison))
        self.parser = new_parser(where)
        self.parser.StartElementHandler, self.parser.EndElementHandler = self.start, self.end
        self.positions = Positions(where)
        self.names = Namespaces(where)
        self.buffer, self.offset = b"", 0  # the last bytes read, and where the first of them stands
        self.copied = 0  # all before this byte has been copied or written anew
        self.safe = 0  # up to this byte all is decided
        self.out: list[bytes] = []
        self.areas: list[Range] = []  # of array formulas and data tables that reach this row or a later one
        self.cell: tuple[str, dict[str, str], int] | None = None  # tag, attributes, first byte
        self.formula: tuple[str, dict[str, str]] | None = None
        self.text: list[str] = []
        self.has_value = self.in_data = False

    def feed(self, chunk: bytes, final: bool = False) -> bytes:
        """Take the next bytes of the sheet and return what is ready of the copy."""
        self.buffer += chunk
        try:
            self.parser.Parse(chunk, final)
        except expat.ExpatError as error:
            raise xml_error(error, self.where) from error
        self._copy(self.offset + len(self.buffer) if final else self.safe)
        self.buffer, self.offset = self.buffer[self.copied - self.offset :], self.copied
        ready = b"".join(self.out)
        self.out.clear()
        return ready

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = self.names(tag, attributes)
        if self.dropping or (not self.in_data and name in self.looks):
            self._drop()
        elif self.cell is None:
            self.safe = self.parser.CurrentByteIndex
            if not self.in_data:
                self.in_data = name == "sheetData"
            elif name == "c":
                self.positions.cell(attributes.get("r"))
                self.cell = (tag, attributes, self.safe)
                self.formula, self.has_value = None, False
            elif name == "row":
                self.positions.row(attributes.get("r"))
                self.areas = [area for area in self.areas if area[2] >= self.positions.at_row]
        elif name == "f":
            if self.formula is not None:
                raise WorkbookError(f"{self.positions.where()} has two formulas; the file is damaged")
            self.formula = (tag, attributes)
            self.text.clear()
            self.parser.CharacterDataHandler = self.text.append
            if "ref" in attributes and attributes.get("t") in ("array", "dataTable"):
                self._note_area(attributes["ref"])
        elif name in ("v", "is"):
            if self.has_value:
                raise WorkbookError(f"{self.positions.where()} has two values; the file is damaged")
            self.has_value = True

    def end(self, tag: str) -> None:
        name = self.names.local[tag]
        if self.dropping:
            self.dropping -= 1
            if not self.dropping:
                self._done()
        elif self.cell is None:
            self.in_data = self.in_data and name != "sheetData"
        elif name == "f":
            self.parser.CharacterDataHandler = None
        elif name == "c":
            if self.formula is not None or (self.has_value and self.areas and self._in_area()):
                self._rewrite(*self.cell)
            elif self.typed and self.has_value and self._here() in self.typed:
                self._retype(*self.cell, self.typed[self._here()])
            self.cell = None

    def _drop(self) -> None:
        """Enter an element that is left out."""
        if not self.dropping:
            self._copy(self.parser.CurrentByteIndex)
            self.safe = self.copied
        self.dropping += 1

    def _note_area(self, reference: str) -> None:
        """Remember the area that one formula fills: its other cells have values and no formula."""
        row0, column0, row1, column1 = parse_range(reference)
        here = self.positions.at_row, self.positions.at_column
        if (row0, column0) != here:
            raise WorkbookError(
                f"{self.positions.where()}: its formula fills {reference!r}, which starts elsewhere; damaged"
            )
        if (row1, column1) != here:
            self.areas.append((row0, column0, row1, column1))

    def _in_area(self) -> bool:
        row, column = self.positions.at_row, self.positions.at_column
        return any(r0 <= row <= r1 and c0 <= column <= c1 for r0, c0, r1, c1 in self.areas)

    def _here(self) -> tuple[int, int]:
        return self.positions.at_row, self.positions.at_column

    def _retype(self, tag: str, attributes: dict[str, str], first: int, number: float) -> None:
        """Write the current cell anew with another number."""
        kept = {key: value for key, value in attributes.items() if key not in ("t", "vm")}
        prefix = "".join(tag.rpartition(":")[:2])
        self._copy(first)
        self.out += [_start_tag(tag, kept), f"<{prefix}v>{float(number)!r}</{prefix}v></{tag}>".encode()]
        self._done()

    def _rewrite(self, tag: str, attributes: dict[str, str], first: int) -> None:
        """Write the current cell anew: its formula, no type, no value (or the poison)."""
        kept = {key: value for key, value in attributes.items() if key not in ("t", "vm")}
        prefix = "".join(tag.rpartition(":")[:2])
        self._copy(first)
        if self.formula is None:
            self.out.append(_start_tag(tag, kept, close=True))
        else:
            name, of_formula = self.formula
            value = f"<{prefix}v>{self.value}</{prefix}v>" if self.value else ""
            body = f"{escape(''.join(self.text))}</{name}>{value}</{tag}>"
            self.out += [_start_tag(tag, kept), _start_tag(name, of_formula), body.encode()]
        self._done()

    def _done(self) -> None:
        """All up to the end of the current cell's last tag has been written."""
        self.copied = self.offset + self.buffer.index(b">", self.parser.CurrentByteIndex - self.offset) + 1
        self.safe = self.copied

    def _copy(self, until: int) -> None:
        """Copy the bytes from the last copied one up to `until` as they are."""
        self.out.append(self.buffer[self.copied - self.offset : until - self.offset])
        self.copied = until


def _start_tag(tag: str, attributes: dict[str, str], *, close: bool = False) -> bytes:
    written = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{tag}{written}{'/' if close else ''}>".encode()


def _tag_name(data: bytes, element: XmlElement) -> str:
    """Return the element's name as written, with its prefix."""
    tag = data[element.start + 1 : element.start + 200].split(None, 1)[0]
    return tag.split(b"/")[0].split(b">")[0].decode("ascii", "replace")
