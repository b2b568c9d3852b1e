"""A sheet moved into another workbook, in which everything else stays as it is, byte for byte.

Reading a workbook into objects and writing it anew loses what the library does not know (charts, conditional
formats of newer kinds, macros). Here the file's parts are copied; four small ones get an entry more: the list of
sheets, its relations, the content types, and the styles, to which the new sheet's formats are appended.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from sheetconv.errors import WorkbookError
from sheetconv.xlsx.package import Package
from sheetconv.xlsx.xml_parts import Element, xml_elements

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"
_STYLED = re.compile(rb'(<(?:c|row)\b[^>]*?\bs="|<col\b[^>]*?\bstyle=")(\d+)"')
_FIRST_CUSTOM_FORMAT = 164


def graft(book: Path, donor: Path, out: Path) -> str:
    """Write `book` with the only sheet of `donor` behind its own to `out`; returns the sheet's name.

    `donor` is a workbook that XlsxWriter has just written with ``constant_memory`` (texts stand in the cells). The
    name gets a number where it is taken. Raises `WorkbookError` for a workbook that is not safe to read or complete.
    """
    with Package(book) as target, Package(donor) as source:
        plan = _Plan(target, source)
        changed = plan.changed()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in target.names:
                with archive.open(
                    part, "w", force_zip64=target.size(part) > zipfile.ZIP64_LIMIT // 2
                ) as stream:
                    for chunk in [changed[part]] if part in changed else target.chunks(part):
                        stream.write(chunk)
            archive.writestr(plan.part, plan.sheet)
    return plan.name


class _Plan:
    """Where the new sheet goes, and the parts that change for it."""

    def __init__(self, target: Package, source: Package) -> None:
        self.target = target
        relations = target.relations(target.workbook_part)
        self.folder, _, base = target.workbook_part.rpartition("/")
        self.relations_part = posixpath.join(self.folder, "_rels", f"{base}.rels")
        self.part = _free(
            (posixpath.join(self.folder, "worksheets", f"sheet{n}.xml") for n in range(1, 100_000)),
            target.names,
        )
        self.relation = _free((f"rId{n}" for n in range(1, 1_000_000)), relations)
        taken = {s.name.lower() for s in target.sheets()}
        wanted = source.sheets()[0].name
        names = (wanted if n == 1 else f"{wanted[: 28 - len(str(n))]} {n}" for n in range(1, 100_000))
        self.name = next(n for n in names if n.lower() not in taken)
        self.styles_part = next((part for kind, part in relations.values() if kind == "styles"), "")
        donor_relations = source.relations(source.workbook_part).values()
        own = dict(donor_relations)
        sheet = source.read(own["worksheet"]).replace(b' tabSelected="1"', b"")
        self.styles = b""
        shift: dict[int, int] = {}
        if self.styles_part in target:
            self.styles, shift = _merged_styles(
                target.read(self.styles_part),
                source.read(own["styles"]),
                f"{target.path}: {self.styles_part}",
            )
        self.sheet = _STYLED.sub(lambda m: m[1] + str(shift.get(int(m[2]), 0)).encode() + b'"', sheet)

    def changed(self) -> dict[str, bytes]:
        """The parts that are written anew, by name."""
        relative = posixpath.relpath(self.part, self.folder or ".")
        relation = {"Id": self.relation, "Type": _RELATION, "Target": relative}
        override = {"PartName": f"/{self.part}", "ContentType": _SHEET_TYPE}
        found = {
            "[Content_Types].xml": self._appended("[Content_Types].xml", "Override", override),
            self.relations_part: self._appended(self.relations_part, "Relationship", relation),
            self.target.workbook_part: self._listed(),
        }
        return found | ({self.styles_part: self.styles} if self.styles else {})

    def _appended(self, part: str, tag: str, attributes: dict[str, str]) -> bytes:
        """A part with one more child of its root, behind the last."""
        data = self.target.read(part)
        children = self.target.elements(part, depth=1)
        if not children:
            raise WorkbookError(f"{self.target.path}: {part} is empty; it is not a complete workbook")
        at = children[-1].end
        return data[:at] + _empty(_prefix(data, children[-1]) + tag, attributes) + data[at:]

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


def _free(candidates: Iterable[str], taken: Iterable[str]) -> str:
    known = {t.lower() for t in taken}
    return next(c for c in candidates if c.lower() not in known)


def _prefix(data: bytes, element: Element) -> str:
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

    def raw(self, element: Element) -> bytes:
        return self.data[element.start : element.end]

    def formats(self) -> dict[int, str]:
        """Number formats of one's own, by number."""
        entries = self.entries.get("numFmts", [])
        return {int(e.attributes["numFmtId"]): e.attributes["formatCode"] for e in entries}


def _merged_styles(data: bytes, more: bytes, where: str) -> tuple[bytes, dict[int, int]]:
    """The styles with all cell formats of `more` appended, and the new number of each of these."""
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
    return _extended(target, added), where_new


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
    if missing not in ([], ["numFmts"]):
        raise WorkbookError(f"{target.where} has no {missing[-1]}; it is not a complete workbook")
    for name, box in sorted(target.lists.items(), key=lambda item: -item[1].start):
        if added.get(name):
            data = data[: box.start] + _longer(target, name, added[name]) + data[box.end :]
    if missing:  # the list of number formats comes before all others
        first = min(box.start for box in target.lists.values())
        opening = f'<numFmts xmlns="{_MAIN}" count="{len(added["numFmts"])}">'.encode()
        data = data[:first] + opening + b"".join(added["numFmts"]) + b"</numFmts>" + data[first:]
    return data


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
