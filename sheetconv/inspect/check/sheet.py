"""A sheet's part, read once from start to end: order, limits, formulas, numbers, styles."""

from __future__ import annotations

import re
from xml.parsers import expat

from sheetconv.inspect.check.finding import Breaches
from sheetconv.inspect.check.formula import faults
from sheetconv.xlsx.address import MAX_COLUMNS, MAX_ROWS
from sheetconv.xlsx.package import Package
from sheetconv.xlsx.xml_parts import new_parser, xml_error

MAX_TEXT = 32_767
MAX_LINK = 2_079
MAX_LIST = 255

# The children of a worksheet in the only order that Excel takes.
ORDER = [
    "sheetPr",
    "dimension",
    "sheetViews",
    "sheetFormatPr",
    "cols",
    "sheetData",
    "sheetCalcPr",
    "sheetProtection",
    "protectedRanges",
    "scenarios",
    "autoFilter",
    "sortState",
    "dataConsolidate",
    "customSheetViews",
    "mergeCells",
    "phoneticPr",
    "conditionalFormatting",
    "dataValidations",
    "hyperlinks",
    "printOptions",
    "pageMargins",
    "pageSetup",
    "headerFooter",
    "rowBreaks",
    "colBreaks",
    "customProperties",
    "cellWatches",
    "ignoredErrors",
    "smartTags",
    "drawing",
    "legacyDrawing",
    "legacyDrawingHF",
    "drawingHF",
    "picture",
    "oleObjects",
    "controls",
    "webPublishItems",
    "tableParts",
    "extLst",
]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_ADDRESS = re.compile(r"([A-Z]{1,3})([1-9][0-9]*)")


class SheetCheck:
    """Reads one sheet; `styles` and `strings` are the numbers of formats and shared texts."""

    def __init__(self, package: Package, part: str, styles: int, strings: int, findings: Breaches) -> None:
        self.package, self.part, self.styles, self.strings, self.findings = (
            package,
            part,
            styles,
            strings,
            findings,
        )
        self.depth = self.row = self.place = 0
        self.column = 0
        self.cell = ""
        self.kind = ""
        self.text: list[str] | None = None
        self.shared: dict[str, str] = {}
        self.formula: dict[str, str] = {}
        self.has_formula = False
        self.merged: list[tuple[int, int, int, int]] = []

    def run(self) -> None:
        """Read the part."""
        parser = new_parser(f"{self.package.path}: {self.part}")
        parser.StartElementHandler, parser.EndElementHandler = self.start, self.end
        parser.CharacterDataHandler = self.characters
        try:
            for chunk in self.package.chunks(self.part):
                parser.Parse(chunk, False)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise xml_error(error, f"{self.package.path}: {self.part}") from error
        self._merges()

    def add(self, rule: str, what: str, why: str) -> None:
        """A finding at the cell that is being read."""
        self.findings.add(rule, self.part, self.cell, what, why)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        name = tag.rpartition(":")[2]
        if self.depth == 1:
            self._ordered(name)
        self.depth += 1
        if name == "c":
            self._cell(attributes)
        elif name in ("v", "f", "t", "formula1", "formula"):
            self.text = []
            if name == "f":
                self.formula, self.has_formula = attributes, True
        elif name == "row":
            self._row(attributes)
        elif name == "mergeCell":
            self._merge(attributes.get("ref", ""))
        elif name == "hyperlink":
            self.cell = attributes.get("ref", "")
            for target in (attributes.get("location", ""), attributes.get("display", "")):
                if len(target) > MAX_LINK:
                    self.add("long-link", f"a link of {len(target)} characters", f"the limit is {MAX_LINK}")
        elif name == "dataValidation":
            self.cell = attributes.get("sqref", "").partition(" ")[0]
            for key, most in (("errorTitle", 32), ("promptTitle", 32), ("error", 255), ("prompt", 255)):
                if len(attributes.get(key, "")) > most:
                    self.add(
                        "long-validation",
                        f"{key} of {len(attributes[key])} characters",
                        f"the limit is {most}",
                    )

    def characters(self, text: str) -> None:
        """Text of a value, formula or string."""
        if self.text is not None:
            self.text.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        self.depth -= 1
        name = tag.rpartition(":")[2]
        if self.text is None:
            return
        text, self.text = "".join(self.text), None
        if name == "v":
            self._value(text)
        elif name == "f":
            self._formula(text)
        elif name == "t" and len(text) > MAX_TEXT:
            self.add(
                "long-text", f"a text of {len(text):,} characters", f"the limit of a cell is {MAX_TEXT:,}"
            )
        elif name == "formula1" and text.startswith('"') and len(text) - 2 > MAX_LIST:
            self.add("long-validation", f"a list of {len(text) - 2} characters", f"the limit is {MAX_LIST}")
        elif name in ("formula1", "formula"):
            for rule, what, why in faults(text):
                self.add(rule, what, why)

    def _ordered(self, name: str) -> None:
        if name not in ORDER:
            return
        place = ORDER.index(name)
        if place < self.place:
            self.cell = ""
            self.add(
                "element-order", f"{name} stands after {ORDER[self.place]}", "Excel takes one order only"
            )
        self.place = max(self.place, place)

    def _row(self, attributes: dict[str, str]) -> None:
        number = int(attributes["r"]) if attributes.get("r", "").isdecimal() else self.row + 1
        self.cell = ""
        if number <= self.row:
            self.add("order", f"row {number} after row {self.row}", "rows must ascend, each once")
        if number > MAX_ROWS:
            self.add("limit", f"row {number:,}", f"a sheet has {MAX_ROWS:,}")
        self.row, self.column = number, 0
        self._style(attributes)

    def _cell(self, attributes: dict[str, str]) -> None:
        self.cell = attributes.get("r", "")
        self.kind, self.has_formula = attributes.get("t", "n"), False
        found = _ADDRESS.fullmatch(self.cell) if self.cell else None
        if found is None:
            if self.cell:
                self.add("address", f"a cell called {self.cell!r}", "it is no address")
            self.column += 1
            return
        column = 0
        for letter in found[1]:
            column = column * 26 + ord(letter) - 64
        if int(found[2]) != self.row:
            self.add("order", f"it stands in row {self.row}", "a cell belongs into its own row")
        if column <= self.column:
            self.add(
                "order", "it stands behind a cell further right, or twice", "cells must ascend, each once"
            )
        if column > MAX_COLUMNS:
            self.add("limit", f"column {column:,}", f"a sheet has {MAX_COLUMNS:,}")
        self.column = column
        self._style(attributes)

    def _style(self, attributes: dict[str, str]) -> None:
        style = attributes.get("s")
        if style is not None and (not style.isdecimal() or int(style) >= self.styles):
            self.add("style", f"format {style} of {self.styles}", "there is no such format")

    def _value(self, text: str) -> None:
        if self.kind == "s":
            if not text.isdecimal() or int(text) >= self.strings:
                self.add("string", f"shared text {text} of {self.strings}", "there is no such text")
        elif self.kind == "n" and not _NUMBER.fullmatch(text):
            self.add("number", f"the value {text[:20]!r}", "it is no finite number written with a point")
        elif self.kind == "str" and len(text) > MAX_TEXT:
            self.add(
                "long-text", f"a text of {len(text):,} characters", f"the limit of a cell is {MAX_TEXT:,}"
            )

    def _formula(self, text: str) -> None:
        if self.formula.get("t") == "shared":
            number = self.formula.get("si", "")
            if text and "ref" in self.formula:
                self.shared[number] = text
                if "!" in text:
                    self.add(
                        "shared-other-sheet", "a shared formula that reads another sheet", "Excel repairs it"
                    )
            elif number not in self.shared:
                self.add(
                    "shared-orphan",
                    f"a shared formula {number} that no cell defines before",
                    "its cell is lost",
                )
            if not text:
                return
        if not text and self.formula.get("t") != "dataTable":
            self.add("syntax", "an empty formula", "no program can read it")
            return
        for rule, what, why in faults(text):
            self.add(rule, what, why)

    def _merge(self, ref: str) -> None:
        from sheetconv.xlsx.a1 import parse_range

        self.merged.append(parse_range(ref))

    def _merges(self) -> None:
        """Merged cells may not overlap: sorted by their first row, each is held against those still open."""
        opened: list[tuple[int, int, int, int]] = []
        self.cell = ""
        for box in sorted(self.merged):
            opened = [o for o in opened if o[2] >= box[0]]
            if any(o[1] <= box[3] and box[1] <= o[3] for o in opened):
                self.add("merge", f"merged cells overlap at row {box[0] + 1}", "Excel repairs the file")
            opened.append(box)
