"""Marks on the sheets of a workbook that someone else wrote: conditional formats and comments, and where they go.

A conditional format touches no cell, and marks cells that are not in the file too. Comments are added to sheets
that have none: those of others, and what is drawn beside them, stay as they are.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from sheetconv.xlsx.package import Package
from sheetconv.xlsx.xml_parts import Namespaces, check_utf8, new_parser, xml_error

_LINE = b'<%b style="thin"><color rgb="FFC00000"/></%b>'
FORMAT = (
    b'<dxf><fill><patternFill patternType="solid"><fgColor rgb="FFFFD966"/><bgColor rgb="FFFFD966"/></patternFill></fill><border>'
    + b"".join(_LINE % (side, side) for side in (b"left", b"right", b"top", b"bottom"))
    + b"</border></dxf>"
)
"""The look of a marked cell, as an entry among the differential formats of the styles."""

_BEFORE_FORMATS = {
    "sheetData", "sheetCalcPr", "sheetProtection", "protectedRanges", "scenarios", "autoFilter", "sortState",
    "dataConsolidate", "customSheetViews", "mergeCells", "phoneticPr", "conditionalFormatting",
}  # fmt: skip
_BEFORE_COMMENTS = _BEFORE_FORMATS | {
    "dataValidations", "hyperlinks", "printOptions", "pageMargins", "pageSetup", "headerFooter", "rowBreaks",
    "colBreaks", "customProperties", "cellWatches", "ignoredErrors", "smartTags", "drawing",
}  # fmt: skip
_COMMENTED = {"comments", "vmlDrawing", "threadedComment"}
_STRICT = "http://purl.oclc.org/ooxml/"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RANGES = 200
_MOST_COLUMNS = 256


@dataclass
class Spots:
    """Where marks go in a sheet's XML: byte offsets, and what there is to know for them."""

    prefix: str = ""
    formats: int = -1
    comments: int = -1
    priority: int = 0
    """The largest of the conditional formats that are there."""
    free: bool = True
    """Whether comments can be added: there are none, and nothing in their place."""
    columns: list[tuple[int, int, float]] = field(default_factory=list)
    """First and last column, zero-based, and their width in characters."""
    row_height: float = 15.0


@dataclass
class Marks:
    """What is added to a sheet: a format on ranges such as ``A1:B2``, and the two parts of comments or none."""

    part: str
    spots: Spots
    ranges: list[str]
    comments: bytes = b""
    drawing: bytes = b""

    def formats(self, number: int) -> bytes:
        """Conditional formats that always hold, behind all others in rank; `number` is that of `FORMAT`."""
        found, p = [], self.spots.prefix
        for k in range(0, len(self.ranges), _RANGES):
            priority = self.spots.priority + 1 + k // _RANGES
            found.append(
                f'<{p}conditionalFormatting sqref="{" ".join(self.ranges[k : k + _RANGES])}">'
                f'<{p}cfRule type="expression" dxfId="{number}" priority="{priority}">'
                f"<{p}formula>TRUE</{p}formula></{p}cfRule></{p}conditionalFormatting>"
            )
        return "".join(found).encode()

    def legacy_drawing(self, relation: str) -> bytes:
        """The element that leads to the shapes of the comments."""
        return f'<{self.spots.prefix}legacyDrawing xmlns:r="{_RELATIONS}" r:id="{relation}"/>'.encode()


class Splices:
    """Puts bytes into a stream at the given offsets, which ascend; call it with each chunk."""

    def __init__(self, inserts: list[tuple[int, bytes]]) -> None:
        self.left = [insert for insert in inserts if insert[1]]
        self.at = 0

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        """The chunk in pieces, with what belongs between them."""
        done = 0
        while self.left and self.left[0][0] < self.at + len(chunk):
            offset, new = self.left.pop(0)
            yield chunk[done : offset - self.at]
            yield new
            done = offset - self.at
        yield chunk[done:]
        self.at += len(chunk)


def find_spots(package: Package, part: str) -> Spots:
    """Read a sheet's part once. Raises `WorkbookError` where it is damaged or not in UTF-8."""
    where = f"{package.path}: {part}"
    reader = _Reader(where)
    try:
        for k, chunk in enumerate(package.chunks(part)):
            if not k:
                check_utf8(chunk, where)
            reader.parser.Parse(chunk, False)
        reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise xml_error(error, where) from error
    folder, base = posixpath.split(part)
    relations = posixpath.join(folder, "_rels", f"{base}.rels")
    kinds = {kind for kind, _ in package.relations(part).values()}
    empty = relations in package and not package.elements(relations, depth=1)
    reader.spots.free &= not (kinds & _COMMENTED or empty)
    return reader.spots


class _Reader:
    def __init__(self, where: str) -> None:
        self.spots, self.depth, self.behind = Spots(), 0, False
        self.names = Namespaces(where)
        self.parser = new_parser(where)
        self.parser.StartElementHandler, self.parser.EndElementHandler = self.start, self.end

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = self.names(tag, attributes)
        if self.depth == 0:
            self.spots.prefix = tag.rpartition(":")[0] + ":" * (":" in tag)
            self.spots.free = not any(value.startswith(_STRICT) for value in attributes.values())
        elif self.depth == 1:
            self.child(name, attributes)
        elif name == "col" and len(self.spots.columns) < _MOST_COLUMNS:
            self.column(attributes)
        if tag.endswith("cfRule"):
            self.rank(attributes.get("priority", ""))
        self.spots.free &= name != "legacyDrawing"
        self.depth += 1

    def child(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sheetFormatPr":
            self.spots.row_height = _number(attributes.get("defaultRowHeight"), 5, 400, 15)
            width = _number(attributes.get("defaultColWidth"), 2, 255, 0)
            self.spots.columns += [(0, 16_383, width)] if width else []
        self.behind |= name == "sheetData"
        if self.behind and name not in _BEFORE_FORMATS:
            self.place("formats")
        if self.behind and name not in _BEFORE_COMMENTS:
            self.place("comments")

    def place(self, spot: str) -> None:
        if getattr(self.spots, spot) < 0:
            setattr(self.spots, spot, self.parser.CurrentByteIndex)

    def column(self, attributes: dict[str, str]) -> None:
        first, last = (int(_number(attributes.get(k), 1, 16_384, 0)) for k in ("min", "max"))
        width = _number(attributes.get("width"), 2, 255, 0)
        if 0 < first <= last and width:
            self.spots.columns.append((first - 1, last - 1, width))

    def rank(self, priority: str) -> None:
        if priority.isascii() and priority.isdecimal() and len(priority) < 10:
            self.spots.priority = max(self.spots.priority, int(priority))

    def end(self, _: str) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.place("formats")
            self.place("comments")


def _number(text: str | None, least: float, most: float, otherwise: float) -> float:
    """A number of an attribute, brought within bounds."""
    try:
        value = float(text or "nan")
    except ValueError:
        return otherwise
    return min(max(value, least), most) if value == value else otherwise
