"""The package around the sheets: content types, relations, names, styles; then every sheet."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from sheetconv.inspect.check.finding import Breach, Breaches
from sheetconv.inspect.check.formula import is_address_like, needs_quotes
from sheetconv.inspect.check.sheet import SheetCheck
from sheetconv.xlsx.package import Package
from sheetconv.xlsx.xml_parts import XmlElement, xml_elements

SHEET_NAME = 31
MAX_FORMATS = 65_490

# The children of a font in the order of the schema's strict reading, which Excel and the Open XML SDK share.
FONT = [
    "b",
    "i",
    "strike",
    "condense",
    "extend",
    "outline",
    "shadow",
    "u",
    "vertAlign",
    "sz",
    "color",
    "name",
    "family",
    "charset",
    "scheme",
]
STYLES = [
    "numFmts",
    "fonts",
    "fills",
    "borders",
    "cellStyleXfs",
    "cellXfs",
    "cellStyles",
    "dxfs",
    "tableStyles",
    "colors",
    "extLst",
]
_BAD_SHEET = re.compile(r"[\[\]:*?/\\\x00-\x1f]")
_NAME = re.compile(r"[A-Za-z_\\\u0080-\uffff][\w.\\?]*")


def check(path: Path) -> list[Breach]:
    """All breaches of the rules that make programs repair or reject a workbook.

    Raises `WorkbookError` for a file that is no workbook at all.
    """
    findings = Breaches()
    with Package(path) as package:
        types = _types(package, findings)
        for name in package.names:
            if name.endswith(".rels"):
                _relations(package, name, findings)
        _workbook(package, findings)
        styles, strings = _styles(package, types, findings), _strings(package, types)
        for name in package.names:
            if types.get(name, "").endswith("worksheet+xml"):
                SheetCheck(package, name, styles, strings, findings).run()
    return findings.closed()


def _elements(package: Package, name: str) -> list[XmlElement]:
    return xml_elements(package.read(name), f"{package.path}: {name}")


def _types(package: Package, findings: Breaches) -> dict[str, str]:
    part = "[Content_Types].xml"
    defaults: dict[str, str] = {}
    types: dict[str, str] = {}
    for element in _elements(package, part):
        kind = element.attributes.get("ContentType", "")
        if element.name == "Default":
            defaults[element.attributes.get("Extension", "").lower()] = kind
        elif element.name == "Override":
            name = element.attributes.get("PartName", "").lstrip("/")
            if name not in package:
                findings.add(
                    "content-type", part, "", f"{name} has a type and is no part", "Excel rejects the file"
                )
            if name in types:
                findings.add("content-type", part, "", f"{name} has two types", "Excel rejects the file")
            types[name] = kind
    for name in package.names:
        found = types.get(name) or defaults.get(name.rpartition(".")[2].lower())
        if found is None and name != part and not name.endswith("/"):
            findings.add("content-type", part, "", f"{name} has no type", "Excel rejects the file")
        types[name] = found or ""
    return types


def _relations(package: Package, name: str, findings: Breaches) -> None:
    folder = posixpath.dirname(posixpath.dirname(name))
    seen: set[str] = set()
    for element in _elements(package, name):
        if element.name != "Relationship":
            continue
        identifier, target = element.attributes.get("Id", ""), element.attributes.get("Target", "")
        if identifier in seen:
            findings.add(
                "relation", name, "", f"two relations are called {identifier}", "Excel rejects the file"
            )
        seen.add(identifier)
        if element.attributes.get("TargetMode") == "External":
            if len(target) > 2079:
                findings.add(
                    "long-link", name, "", f"a link of {len(target)} characters", "the limit is 2079"
                )
            continue
        where = posixpath.normpath(posixpath.join(folder, target)) if target[:1] != "/" else target[1:]
        if where.partition("#")[0] not in package:
            findings.add(
                "relation", name, "", f"{identifier} leads to {where}, which is no part", "Excel repairs it"
            )


def _workbook(package: Package, findings: Breaches) -> None:
    part = package.workbook_part
    sheets: list[str] = []
    for element in _elements(package, part):
        if element.name == "sheet":
            name = element.attributes.get("name", "")
            if not 0 < len(name) <= SHEET_NAME:
                findings.add("sheet-name", part, "", f"a sheet's name of {len(name)} characters", f"the limit is {SHEET_NAME}")  # fmt: skip
            if _BAD_SHEET.search(name) or name[:1] == "'" or name[-1:] == "'" or name.lower() == "history":
                findings.add(
                    "sheet-name", part, "", f"the sheet name {name!r}", "it holds what Excel forbids"
                )
            if name.casefold() in (s.casefold() for s in sheets):
                findings.add(
                    "sheet-name", part, "", f"two sheets are called {name!r}", "Excel repairs the file"
                )
            sheets.append(name)
    seen: set[tuple[str, str]] = set()
    for element in _elements(package, part):
        if element.name == "definedName":
            _name(element, part, seen, findings)


def _name(element: XmlElement, part: str, seen: set[tuple[str, str]], findings: Breaches) -> None:
    name = element.attributes.get("name", "")
    key = (name.casefold(), element.attributes.get("localSheetId", ""))
    if key in seen:
        findings.add("name", part, "", f"the name {name!r} twice", "Excel repairs the file")
    seen.add(key)
    if name.startswith("_xlnm."):
        return
    if len(name) > 255 or not _NAME.fullmatch(name) or is_address_like(name) or name.upper() in ("R", "C"):
        findings.add(
            "name", part, "", f"the name {name[:40]!r}", "it reads as an address or holds what names may not"
        )
    for sheet in re.findall(r"(?:^|[,( ])([^'!,( ]+)!", element.text):
        if not sheet.startswith("#") and needs_quotes(sheet):
            findings.add("unquoted-sheet", part, "", f"the sheet name {sheet!r} without quotes in {name}", "it reads as an address or breaks off")  # fmt: skip


def _styles(package: Package, types: dict[str, str], findings: Breaches) -> int:
    """Number of cell formats; the order of what a style sheet holds is checked by the way."""
    part = next((n for n, kind in types.items() if kind.endswith("styles+xml")), None)
    if part is None:
        return 1
    count = fonts = 0
    elements = sorted(_elements(package, part), key=lambda e: e.start)
    inside, inner = "", ""
    font_place = style_place = -1
    for element in elements:
        if element.depth == 1:
            inside = element.name
            place = STYLES.index(inside) if inside in STYLES else style_place
            if place < style_place:
                findings.add(
                    "element-order", part, "", f"{inside} stands too late", "Excel takes one order only"
                )
            style_place = max(place, style_place)
        elif element.depth == 2:
            inner = element.name
            count += inside == "cellXfs" and inner == "xf"
            fonts += inside == "fonts"
        if element.name == "font":
            font_place = -1
        elif inner == "font" and element.name in FONT:
            place = FONT.index(element.name)
            if place < font_place:
                what = f"{element.name} after {FONT[font_place]} in font {fonts}"
                findings.add("element-order", part, "", what, "the schema takes one order only")
            font_place = max(place, font_place)
    if count > MAX_FORMATS:
        findings.add("limit", part, "", f"{count:,} cell formats", f"the limit is {MAX_FORMATS:,}")
    return count


def _strings(package: Package, types: dict[str, str]) -> int:
    part = next((n for n, kind in types.items() if kind.endswith("sharedStrings+xml")), None)
    if part is None:
        return 0
    return sum(e.name == "si" for e in _elements(package, part))
