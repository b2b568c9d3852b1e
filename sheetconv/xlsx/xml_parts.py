"""Small XML parts read without building a tree; document types (entities) are refused."""

import re
from dataclasses import dataclass
from xml.parsers import expat

from sheetconv.errors import WorkbookError

MOST_ELEMENTS = 500_000
"""Elements of a part that is held in memory as objects (each has two tags, or one)."""

PROLOG = 1 << 16
"""Bytes within which a part's root element must begin."""


@dataclass(frozen=True)
class XmlElement:
    """An XML element: local name, attributes as written, its depth (root 0) and byte span in the part."""

    name: str
    attributes: dict[str, str]
    depth: int
    start: int
    end: int
    text: str


def new_parser(where: str) -> expat.XMLParserType:
    """Return an expat parser that refuses document types; `where` is for the message."""
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise WorkbookError(f"{where} declares a document type (DOCTYPE); refused, workbooks have none")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    return parser


def xml_error(error: expat.ExpatError, where: str) -> WorkbookError:
    """Return the one-line form of a parse error."""
    return WorkbookError(f"{where} is not well-formed XML ({error}); the file is damaged, get it again")


def xml_elements(data: bytes, where: str, depth: int | None = None) -> list[XmlElement]:
    """Read small XML without building a tree; text is what stands directly in the element."""
    if data.count(b"<") > 2 * MOST_ELEMENTS:
        raise WorkbookError(f"{where} has more than {MOST_ELEMENTS:,} elements; refused")
    parser = new_parser(where)
    stack: list[tuple[str, dict[str, str], int, list[str]]] = []
    found: list[XmlElement] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        stack.append((tag.rpartition(":")[2], attributes, parser.CurrentByteIndex, []))

    def end(_: str) -> None:
        name, attributes, first, text = stack.pop()
        if depth is None or depth == len(stack):
            found.append(
                XmlElement(
                    name, attributes, len(stack), first, _after_tag(data, parser, first), "".join(text)
                )
            )

    def characters(text: str) -> None:
        stack[-1][3].append(text)

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise xml_error(error, where) from error
    return found


def _after_tag(data: bytes, parser: expat.XMLParserType, first: int) -> int:
    """Byte behind an element, in its end handler; expat stands at ``</a>``, or already behind ``<a/>``."""
    at = parser.CurrentByteIndex
    empty = data[at - 2 : at] == b"/>" and _tag_end(data, first) == at
    return at if empty else data.index(b">", at) + 1


def _tag_end(data: bytes, at: int) -> int:
    quote = 0
    for index in range(at, len(data)):
        byte = data[index]
        if quote:
            quote = 0 if byte == quote else quote
        elif byte in b"\"'":
            quote = byte
        elif byte == 0x3E:
            return index + 1
    return len(data)


MAIN = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
)
"""The namespace of spreadsheets, as most programs write it and in the standard's strict form."""


class Namespaces:
    """Local names of the tags of one part; what is not in the namespace of its root is foreign.

    Programs differ in what they make of foreign elements and of a namespace that is bound anew within, so that
    what was checked would not be what is shown. Call it with every start tag; `local` then gives the same name.
    """

    def __init__(self, where: str):
        self.where = where
        self.local: dict[str, str] = {}
        self._prefix: str | None = None
        self._binding = ""

    def __call__(self, tag: str, attributes: dict[str, str]) -> str:
        """The local name, or "" for a foreign element. Raises `WorkbookError` where the namespace is bound anew."""
        if self._prefix is None:
            self._root(tag, attributes)
        elif self._binding in attributes and attributes[self._binding] not in MAIN:
            raise WorkbookError(
                f"{self.where} binds its namespace anew at {tag!r}; programs differ there, refused"
            )
        name = self.local.get(tag)
        if name is None:
            prefix, _, name = tag.rpartition(":")
            name = self.local[tag] = name if prefix == self._prefix else ""
        return name

    def _root(self, tag: str, attributes: dict[str, str]) -> None:
        self._prefix = tag.rpartition(":")[0]
        self._binding = f"xmlns:{self._prefix}" if self._prefix else "xmlns"
        if attributes.get(self._binding, MAIN[0]) not in MAIN:
            raise WorkbookError(f"{self.where} is not in the namespace of spreadsheets; the file is damaged")


class _RootReached(Exception):
    """A signal, not an error: the prolog is over."""


def check_no_doctype(head: bytes, where: str) -> None:
    """Read the beginning of a part up to its root element; raises `WorkbookError` at a document type."""
    parser = new_parser(where)

    def root(*_: object) -> None:
        raise _RootReached

    parser.StartElementHandler = root
    try:
        parser.Parse(head, False)
    except _RootReached:
        return
    except expat.ExpatError as error:
        raise xml_error(error, where) from error
    except (ValueError, LookupError) as error:  # an encoding that is none, or of more than a byte a letter
        raise WorkbookError(f"{where} is not in UTF-8 ({error}); save the workbook again") from error
    if len(head) >= PROLOG:
        raise WorkbookError(f"{where} has no XML element in its first {PROLOG:,} bytes; refused")


def check_utf8(head: bytes, where: str) -> None:
    """Refuse other encodings: the bytes that are written anew are UTF-8."""
    declared = re.match(rb"(?:\xef\xbb\xbf)?\s*<\?xml[^>]*encoding\s*=\s*[\"']([^\"']+)", head)
    encoding = declared[1].decode("ascii", "replace").lower() if declared else "utf-8"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or encoding not in ("utf-8", "us-ascii", "ascii"):
        raise WorkbookError(f"{where} is not in UTF-8; save the workbook again with a spreadsheet program")
