"""A sheet moved into another workbook, in which everything else stays as it is, byte for byte.

Reading a workbook into objects and writing it anew loses what the library does not know (charts, conditional
formats of newer kinds, macros). Here the file's parts are copied; four small ones get an entry more: the list of
sheets, its relations, the content types, and the styles, to which the new sheet's formats are appended.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count as count_from
from itertools import islice
from pathlib import Path
from xml.sax.saxutils import quoteattr

from sheetconv.errors import WorkbookError
from sheetconv.xlsx.marks import FORMAT, Marks, Splices
from sheetconv.xlsx.package import LIMITS, Package
from sheetconv.xlsx.xml_parts import XmlElement, check_utf8, xml_elements

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"
_COMMENTS_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.comments+xml"
_VML_TYPE = "application/vnd.openxmlformats-officedocument.vmlDrawing"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
_NO_RELATIONS = (
    b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">%b</Relationships>'
)
_OUR_OWN = replace(LIMITS, ratio=1100, small_part=1 << 30)
"""Bounds for the workbook that was just written here."""
_STYLED = re.compile(rb'(<(?:c|row)\b[^>]*?\bs="|<col\b[^>]*?\bstyle=")(\d+)"')
_FIRST_CUSTOM_FORMAT = 164
_BEHIND_DIFFERENTIAL = {"tableStyles", "colors", "extLst"}
_Tag = tuple[str, dict[str, str]]


def graft(book: Path, donor: Path, out: Path, marks: Sequence[Marks] = ()) -> str:
    """Write `book` with the only sheet of `donor` behind its own to `out`; returns the sheet's name.

    `donor` is a workbook that XlsxWriter has just written with ``constant_memory`` (texts stand in the cells). The
    name gets a number where it is taken. With `marks`, those of its sheets that are named there get conditional
    formats (and comments) more. Raises `WorkbookError` for a workbook that is not safe to read or complete.
    """
    with Package(book) as target, Package(donor, _OUR_OWN) as source:
        plan = _Plan(target, source, marks)
        changed, splices = plan.changed(), plan.splices()
        for part, data in changed.items():
            check_utf8(data, f"{book}: {part}")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in target.names:
                with archive.open(
                    part, "w", force_zip64=target.size(part) > zipfile.ZIP64_LIMIT // 2
                ) as stream:
                    for chunk in [changed[part]] if part in changed else target.chunks(part):
                        for piece in splices[part](chunk) if part in splices else [chunk]:
                            stream.write(piece)
            for part, data in plan.added.items():
                with archive.open(part, "w") as stream:
                    stream.write(data)
    return plan.name


class _Plan:
    """Where the new sheet goes, and the parts that change for it or are added."""

    def __init__(self, target: Package, source: Package, marks: Sequence[Marks]) -> None:
        self.target, self.marks = target, marks
        relations = target.relations(target.workbook_part)
        self.folder, _, base = target.workbook_part.rpartition("/")
        self.relations_part = target.spelt(posixpath.join(self.folder, "_rels", f"{base}.rels"))
        self.types_part = target.spelt("[Content_Types].xml")
        self.part = self._new("worksheets/sheet{}.xml")
        self.added: dict[str, bytes] = {}
        self.types = [_override(self.part, _SHEET_TYPE)]
        self.relation = self._new_ids(self.relations_part, 1)[0]
        taken = {s.name.lower() for s in target.sheets()}
        wanted = source.sheets()[0].name
        names = (wanted if n == 1 else f"{wanted[: 28 - len(str(n))]} {n}" for n in range(1, 100_000))
        self.name = next(n for n in names if n.lower() not in taken)
        self.styles_part = next((part for kind, part in relations.values() if kind == "styles"), "")
        donor_relations = source.relations(source.workbook_part).values()
        own = dict(donor_relations)
        sheet = source.read(own["worksheet"]).replace(b' tabSelected="1"', b"")
        self.styles, self.mark_format = b"", 0
        shift: dict[int, int] = {}
        if self.styles_part in target:
            self.styles, shift, self.mark_format = _merged_styles(
                target.read(self.styles_part),
                source.read(own["styles"]),
                f"{target.path}: {self.styles_part}",
                [FORMAT] if marks else [],
            )
        self.added[self.part] = _STYLED.sub(
            lambda m: m[1] + str(shift.get(int(m[2]), 0)).encode() + b'"', sheet
        )
        self.links = dict(self._comment(mark) for mark in marks if mark.comments)

    def _new(self, pattern: str) -> str:
        paths = (posixpath.join(self.folder, pattern.format(n)) for n in range(1, 100_000))
        return _free(paths, [*self.target.names, *getattr(self, "added", [])])

    def _new_ids(self, relations: str, count: int) -> list[str]:
        """Ids that the relations of a part do not have yet."""
        found = self.target.elements(relations, depth=1) if relations in self.target else []
        taken = {e.attributes.get("Id", "").lower() for e in found}
        return list(islice((i for i in (f"rId{n}" for n in count_from(1)) if i.lower() not in taken), count))

    def _comment(self, mark: Marks) -> tuple[str, tuple[str, list[_Tag]]]:
        """Add the two parts of a sheet's comments; returns the sheet's part, the drawing's id and the relations."""
        comments, drawing = self._new("comments{}.xml"), self._new("drawings/vmlDrawing{}.vml")
        self.added |= {comments: mark.comments, drawing: mark.drawing}
        self.types += [_override(comments, _COMMENTS_TYPE), _override(drawing, _VML_TYPE)]
        relations = self._relations_of(mark.part)
        ids = self._new_ids(relations, 2)
        folder = posixpath.dirname(mark.part) or "."
        tags = [
            ("Relationship", {"Id": i, "Type": _RELATIONS + kind, "Target": posixpath.relpath(part, folder)})
            for i, kind, part in zip(ids, ("vmlDrawing", "comments"), (drawing, comments), strict=True)
        ]
        if relations not in self.target:
            inside = b"".join(_empty(*tag) for tag in tags)
            self.added[relations] = _NO_RELATIONS % inside
        return mark.part, (ids[0], tags)

    def _relations_of(self, part: str) -> str:
        folder, base = posixpath.split(part)
        return self.target.spelt(posixpath.join(folder, "_rels", f"{base}.rels"))

    def changed(self) -> dict[str, bytes]:
        """The parts that are written anew, by name."""
        relative = posixpath.relpath(self.part, self.folder or ".")
        relation = {"Id": self.relation, "Type": _RELATIONS + "worksheet", "Target": relative}
        found = {
            self.types_part: self._appended(self.types_part, self.types),
            self.relations_part: self._appended(self.relations_part, [("Relationship", relation)]),
            self.target.workbook_part: self._listed(),
        }
        for sheet, (_, tags) in self.links.items():
            part = self._relations_of(sheet)
            if part in self.target:
                found[part] = self._appended(part, tags)
        return found | ({self.styles_part: self.styles} if self.styles else {})

    def splices(self) -> dict[str, Splices]:
        """What is put into the sheets that get marks, which are copied as they come."""
        found = {}
        for mark in self.marks:
            formats = mark.formats(self.mark_format) if self.styles else b""
            link = mark.legacy_drawing(self.links[mark.part][0]) if mark.part in self.links else b""
            found[mark.part] = Splices([(mark.spots.formats, formats), (mark.spots.comments, link)])
        return found

    def _appended(self, part: str, tags: Sequence[_Tag]) -> bytes:
        """A part with more children of its root, behind the last."""
        data = self.target.read(part)
        children = self.target.elements(part, depth=1)
        if not children:
            raise WorkbookError(f"{self.target.path}: {part} is empty; it is not a complete workbook")
        at, prefix = children[-1].end, _prefix(data, children[-1])
        return data[:at] + b"".join(_empty(prefix + tag, given) for tag, given in tags) + data[at:]

    def _listed(self) -> bytes:
        """The workbook part with one more sheet; the indices of the others stay."""
        part = self.target.workbook_part
        data = self.target.read(part)
        sheets = [e for e in self.target.elements(part, depth=2) if e.name == "sheet"]
        if not sheets:
            raise WorkbookError(f"{self.target.path}: {part} lists no sheets; it is not a complete workbook")
        last = sheets[-1]
        number = max(int(e.attributes.get("sheetId", "0")) for e in sheets) + 1
        identity = next(k for k in last.attributes if k.rpartition(":")[2] == "id" and ":" in k)
        attributes = {"name": self.name, "sheetId": str(number), identity: self.relation}
        return data[: last.end] + _empty(_prefix(data, last) + "sheet", attributes) + data[last.end :]


def _override(part: str, kind: str) -> _Tag:
    return "Override", {"PartName": f"/{part}", "ContentType": kind}


def _free(candidates: Iterable[str], taken: Iterable[str]) -> str:
    known = {t.lower() for t in taken}
    return next(c for c in candidates if c.lower() not in known)


def _prefix(data: bytes, element: XmlElement) -> str:
    """The namespace prefix of an element as written, with its colon."""
    tag = re.match(rb"<([\w.-]+:)?", data[element.start : element.start + 200])
    return tag[1].decode() if tag and tag[1] else ""


def _empty(tag: str, attributes: dict[str, str]) -> bytes:
    return f"<{tag}{''.join(f' {k}={quoteattr(v)}' for k, v in attributes.items())}/>".encode()


# --- styles -------------------------------------------------------------------------------------------


@dataclass
class _Styles:
    """A styles part: its lists (fonts, fills …) as elements, and the entries of each."""

    data: bytes
    where: str

    def __post_init__(self) -> None:
        found = xml_elements(self.data, self.where)
        self.lists = {e.name: e for e in found if e.depth == 1}
        self.entries = {
            name: [e for e in found if e.depth == 2 and box.start < e.start < box.end]
            for name, box in self.lists.items()
        }

    def raw(self, element: XmlElement) -> bytes:
        return self.data[element.start : element.end]

    def formats(self) -> dict[int, str]:
        """Number formats of one's own, by number."""
        entries = self.entries.get("numFmts", [])
        return {int(e.attributes["numFmtId"]): e.attributes["formatCode"] for e in entries}


def _merged_styles(
    data: bytes, more: bytes, where: str, differential: list[bytes]
) -> tuple[bytes, dict[int, int], int]:
    """The styles with all cell formats of `more` and the `differential` ones appended.

    Also returns the new number of each cell format of `more`, and that of the first differential one.
    """
    target, source = _Styles(data, where), _Styles(more, "the new sheet's styles")
    if "cellXfs" not in target.lists:
        raise WorkbookError(f"{where} has no cell formats; it is not a complete workbook")
    first = max([*target.formats(), _FIRST_CUSTOM_FORMAT - 1]) + 1
    numbers = {old: first + k for k, old in enumerate(source.formats())}
    added: dict[str, list[bytes]] = {
        "numFmts": [
            _empty("numFmt", {"numFmtId": str(numbers[old]), "formatCode": code})
            for old, code in source.formats().items()
        ]
    }
    shifts: dict[str, int] = {}
    for name, attribute in (("fonts", "fontId"), ("fills", "fillId"), ("borders", "borderId")):
        added[name] = [source.raw(e) for e in source.entries[name]]
        shifts[attribute] = len(target.entries.get(name, []))
    added["cellXfs"] = [_shifted(source.raw(e), shifts, numbers) for e in source.entries["cellXfs"]]
    base = len(target.entries["cellXfs"])
    where_new = {k: base + k for k in range(len(added["cellXfs"]))}
    added["dxfs"] = differential
    return _extended(target, added), where_new, len(target.entries.get("dxfs", []))


def _shifted(raw: bytes, shifts: dict[str, int], numbers: dict[int, int]) -> bytes:
    """A cell format that points to the appended fonts, fills, borders and number formats."""
    head, end, rest = raw.partition(b">")

    def moved(match: re.Match[bytes]) -> bytes:
        name, value = match[1].decode(), int(match[2])
        new = numbers.get(value, value) if name == "numFmtId" else value + shifts.get(name, 0)
        return f'{name}="{new}"'.encode()

    return re.sub(rb'\b(numFmtId|fontId|fillId|borderId)="(\d+)"', moved, head) + end + rest


def _extended(target: _Styles, added: dict[str, list[bytes]]) -> bytes:
    data = target.data
    missing = [name for name, entries in added.items() if entries and name not in target.lists]
    if not set(missing) <= {"numFmts", "dxfs"}:
        raise WorkbookError(f"{target.where} has no {missing[0]}; it is not a complete workbook")
    boxes = sorted(target.lists.values(), key=lambda box: box.start)
    # the list of number formats comes before all others, that of differential formats before these
    behind = next((box.start for box in boxes if box.name in _BEHIND_DIFFERENTIAL), boxes[-1].end)
    changes = [
        (boxes[0].start if name == "numFmts" else behind, 0, _list(name, added[name])) for name in missing
    ]
    for name, box in target.lists.items():
        if added.get(name):
            changes.append((box.start, box.end - box.start, _longer(target, name, added[name])))
    for start, length, new in sorted(changes, key=lambda change: change[:2], reverse=True):
        data = data[:start] + new + data[start + length :]
    return data


def _list(name: str, entries: list[bytes]) -> bytes:
    return (
        f'<{name} xmlns="{_MAIN}" count="{len(entries)}">'.encode()
        + b"".join(entries)
        + f"</{name}>".encode()
    )


def _longer(target: _Styles, name: str, more: list[bytes]) -> bytes:
    """A list of styles with entries behind its own."""
    box = target.lists[name]
    prefix = _prefix(target.data, box)
    if prefix:  # the new entries are in the main namespace without a prefix
        more = [re.sub(rb"^<(\w+)", rf'<\1 xmlns="{_MAIN}"'.encode(), entry) for entry in more]
    entries = target.entries[name]
    inside = target.data[entries[0].start : entries[-1].end] if entries else b""
    attributes = box.attributes | {"count": str(len(entries) + len(more))}
    opening = f"<{prefix}{name}{''.join(f' {k}={quoteattr(v)}' for k, v in attributes.items())}>".encode()
    return opening + inside + b"".join(more) + f"</{prefix}{name}>".encode()
