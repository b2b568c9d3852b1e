"""The outside of a workbook from anywhere: a zip of XML parts, opened within bounds or refused in one line.

Nothing that the file says about itself is believed: sizes are counted while inflating, names are checked,
XML with a document type (entities, external references) is refused before anything of it is used.
"""

import os
import posixpath
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from sheetconv.errors import WorkbookError
from sheetconv.xlsx.xml_parts import PROLOG, XmlElement, check_no_doctype, xml_elements

CHUNK = 1 << 18
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FOREIGN = {
    ".xls": "an old binary Excel file",
    ".xlsb": "a binary Excel file",
    ".ods": "an OpenDocument spreadsheet",
    ".numbers": "a Numbers file",
    ".csv": "a text file",
}


@dataclass(frozen=True)
class Limits:
    """Bounds on a package, in bytes unless said otherwise; they hold what a spreadsheet program can open."""

    entries: int = 10_000
    part: int = 4 << 30
    total: int = 16 << 30
    """All that is inflated through one open package, parts that are read twice counted twice."""
    ratio: int = 250
    """Inflated size over packed size; real sheets stay below 60, deflate itself reaches 1032."""
    ratio_from: int = 16 << 20
    """The ratio counts only beyond this many bytes: small parts may be monotonous."""
    small_part: int = 64 << 20
    """Bound of `Package.read`, for parts that are held in memory whole."""
    tags: int = 4_000_000
    tags_per_byte: float = 2
    """XML tags of a part: so many always, and so many for each packed byte; real sheets have below one."""


LIMITS = Limits()


class SheetEntry(NamedTuple):
    """A sheet in the workbook's list: its name and the id of the relation that leads to its part."""

    name: str
    relation: str


class Package:
    """A checked, open workbook file. Use as a context manager.

    Raises `WorkbookError` (one line: what, where, what to do) from the constructor for a file that is not a
    plain .xlsx, and from `chunks` and `read` when the content is damaged, too large or not plain XML.
    """

    def __init__(self, path: str | os.PathLike[str], limits: Limits = LIMITS):
        self.path = Path(path)
        self.limits = limits
        self._inflated = 0
        _check_file(self.path)
        try:
            self._zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise WorkbookError(
                f"{self.path} is damaged or cut short ({error}); copy or download it again"
            ) from error
        try:
            self._entries = self._checked_entries()
            self._spelling = {name.casefold(): name for name in self._entries}
            self.workbook_part = self._find_workbook()
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> list[str]:
        """Names of all parts, in the file's order, such as ``xl/workbook.xml``."""
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self._spelling

    def spelt(self, name: str) -> str:
        """A part's name as this file spells it: programs take ``xl/Workbook.xml`` for ``xl/workbook.xml``."""
        return self._spelling.get(name.casefold(), name)

    def size(self, name: str) -> int:
        """Inflated size in bytes that the file declares for a part; not to be relied on."""
        return self._entry(name).file_size

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the inflated bytes of a part; sizes are counted as they come, an XML prolog is checked."""
        entry = self._entry(name)
        most = min(self.limits.part, max(entry.compress_size * self.limits.ratio, self.limits.ratio_from))
        tags = self.limits.tags + int(entry.compress_size * self.limits.tags_per_byte)
        size, prolog = 0, b""
        try:
            with self._zip.open(entry) as stream:
                while chunk := stream.read(CHUNK):
                    size += len(chunk)
                    self._inflated += len(chunk)
                    if size > most or self._inflated > self.limits.total:
                        raise WorkbookError(
                            f"{self.path}: {name} inflates to more than {most:,} bytes; refused as a zip bomb"
                        )
                    if size == len(chunk):
                        prolog = chunk[:PROLOG]
                        self._check_prolog(name, prolog)
                    tags -= chunk.count(b"<")
                    if tags < 0:
                        raise WorkbookError(
                            f"{self.path}: {name} holds far more cells or texts than its size can mean; refused"
                        )
                    yield chunk
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise WorkbookError(
                f"{self.path}: {name} is damaged or cut short ({error}); copy or download the file again"
            ) from error

    def read(self, name: str) -> bytes:
        """Return a whole part that is small by nature (manifest, styles, relations); bounded."""
        parts, size = [], 0
        for chunk in self.chunks(name):
            size += len(chunk)
            if size > self.limits.small_part:
                raise WorkbookError(
                    f"{self.path}: {name} is larger than {self.limits.small_part:,} bytes; refused"
                )
            parts.append(chunk)
        return b"".join(parts)

    def elements(self, name: str, depth: int | None = None) -> list[XmlElement]:
        """Elements of a small XML part in order of their ends; only those at `depth` when given."""
        return xml_elements(self.read(name), f"{self.path}: {name}", depth)

    def sheets(self) -> list[SheetEntry]:
        """Sheets of all kinds in tab order. Raises `WorkbookError` when two have the same name."""
        found = []
        for element in self.elements(self.workbook_part, depth=2):
            if element.name == "sheet":
                at = element.attributes
                identities = [value for key, value in at.items() if key.rpartition(":")[2] == "id"]
                if len(identities) > 1:
                    raise WorkbookError(
                        f"{self.path}: the sheet {at.get('name', '')!r} has two ids, which programs read differently; refused"
                    )
                found.append(SheetEntry(at.get("name", ""), identities[0] if identities else ""))
        if len({sheet.name.casefold() for sheet in found}) < len(found):
            raise WorkbookError(f"{self.path} has two sheets of the same name; the file is damaged")
        return found

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """Map the relationship ids of a part to (type, target part); external targets are left out."""
        folder, base = posixpath.split(name)
        rels = posixpath.join(folder, "_rels", f"{base}.rels")
        if rels not in self:
            return {}
        found = {}
        for element in self.elements(rels, depth=1):
            at = element.attributes
            if at.get("Id") in found:
                raise WorkbookError(f"{self.path}: {rels} has the id {at['Id']!r} twice; the file is damaged")
            if at.get("TargetMode") != "External" and "Id" in at and "Target" in at:
                written = at["Target"].replace("\\", "/")
                target = posixpath.normpath(posixpath.join("/", folder, written)).lstrip("/")
                found[at["Id"]] = (at.get("Type", "").rpartition("/")[2], self.spelt(target))
        return found

    def external_target(self, name: str) -> str:
        """File name that a part for an external link leads to ("?" where it names none); never opened."""
        folder, base = posixpath.split(name)
        rels = posixpath.join(folder, "_rels", f"{base}.rels")
        found = [e.attributes for e in self.elements(rels, depth=1)] if rels in self else []
        targets = [at.get("Target", "") for at in found if at.get("TargetMode") == "External"]
        return posixpath.basename(targets[0].replace("\\", "/")) if targets else "?"

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _entry(self, name: str) -> zipfile.ZipInfo:
        if name not in self:
            raise WorkbookError(f"{self.path} has no part {name}; it is not a complete workbook")
        return self._entries[self.spelt(name)]

    def _checked_entries(self) -> dict[str, zipfile.ZipInfo]:
        entries = [entry for entry in self._zip.infolist() if not entry.is_dir()]
        if len(entries) > self.limits.entries:
            raise WorkbookError(f"{self.path} has {len(entries):,} parts, more than {self.limits.entries:,}")
        if sum(entry.file_size for entry in entries) > self.limits.total:
            raise WorkbookError(
                f"{self.path} inflates to more than {self.limits.total:,} bytes; refused as a zip bomb"
            )
        seen: set[str] = set()
        for entry in entries:
            self._check_entry(entry, seen)
        self._check_overlap(entries)
        return {_slashed(entry.filename): entry for entry in entries}

    def _check_entry(self, entry: zipfile.ZipInfo, seen: set[str]) -> None:
        name, where = _slashed(entry.filename), f"{self.path}: part {entry.orig_filename!r}"
        if entry.flag_bits & 1:
            raise WorkbookError(f"{where} is encrypted; save the workbook without a password")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WorkbookError(f"{where} is packed in a way that workbooks do not use; save it again")
        steps = name.split("/")
        if name != _slashed(entry.orig_filename) or ":" in name or set(steps) & {"", ".", ".."}:
            raise WorkbookError(f"{where} has a name that no workbook uses; refused")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise WorkbookError(f"{where} is a symbolic link; refused")
        if name.casefold() in seen:
            raise WorkbookError(f"{where} is there twice; programs differ in which they take: refused")
        seen.add(name.casefold())

    def _check_overlap(self, entries: list[zipfile.ZipInfo]) -> None:
        """Refuse entries that share bytes: how a small file can inflate without end."""
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if entry.header_offset < end:
                raise WorkbookError(f"{self.path}: parts overlap in the file; refused as a zip bomb")
            end = entry.header_offset + 30 + entry.compress_size
        if entries and end > getattr(self._zip, "start_dir", end):
            raise WorkbookError(f"{self.path} is damaged: parts reach into its directory")

    def _check_prolog(self, name: str, head: bytes) -> None:
        """Look at an XML part as far as its root element: no document type may come before it."""
        looks = head.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")[:1] == b"<"
        if looks or name.endswith((".xml", ".rels", ".vml")):
            check_no_doctype(head, f"{self.path}: {name}")

    def _find_workbook(self) -> str:
        if "xl/workbook.bin" in self:
            raise WorkbookError(f"{self.path} is a binary workbook (.xlsb); save it as .xlsx")
        if "mimetype" in self:
            raise WorkbookError(f"{self.path} is an OpenDocument file (.ods); save it as .xlsx")
        for needed in ("[Content_Types].xml", "_rels/.rels"):
            if needed not in self:
                raise WorkbookError(f"{self.path} is a zip file but not a workbook: it has no {needed}")
        targets = {target for kind, target in self.relations("").values() if kind == "officeDocument"}
        if not targets:
            raise WorkbookError(f"{self.path} names no workbook part (xl/workbook.xml); it is not a workbook")
        if len(targets | {name for name in self.names if name.casefold() == "xl/workbook.xml"}) > 1:
            raise WorkbookError(
                f"{self.path} holds two workbooks; programs differ in which they take: refused"
            )
        target = targets.pop()
        if target not in self:
            raise WorkbookError(f"{self.path} has no {target}; it is not a complete workbook")
        return target


def open_package(path: str | os.PathLike[str], limits: Limits = LIMITS) -> Package:
    """Open a workbook file for safe reading; raises `WorkbookError` (see `Package`)."""
    return Package(path, limits)


def check_package(path: str | os.PathLike[str], limits: Limits = LIMITS) -> None:
    """Inflate every part once within the bounds and drop it; raises `WorkbookError` at the first fault."""
    with Package(path, limits) as package:
        package.sheets()
        package.relations(package.workbook_part)
        for name in package.names:
            for _ in package.chunks(name):
                pass


def _slashed(name: str) -> str:
    return name.replace("\\", "/")


def _check_file(path: Path) -> None:
    if path.suffix.lower() in _FOREIGN:
        raise WorkbookError(f"{path} is {_FOREIGN[path.suffix.lower()]}; save it as .xlsx and give that")
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise WorkbookError(f"{path} is a folder; give a workbook file (.xlsx)")
        if not stat.S_ISREG(mode):
            raise WorkbookError(f"{path} is not a regular file; give a workbook file (.xlsx)")
        with path.open("rb") as file:
            head = file.read(8)
    except FileNotFoundError as error:
        raise WorkbookError(f"{path} does not exist; check the name") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WorkbookError(f"{path} cannot be read: {reason}") from error
    if head == _OLE:
        raise WorkbookError(
            f"{path} is encrypted or an old .xls file; save it without a password as .xlsx and give that"
        )
    if not head.startswith(b"PK"):
        raise WorkbookError(f"{path} is not a workbook: an .xlsx file is a zip file, this one is not")
