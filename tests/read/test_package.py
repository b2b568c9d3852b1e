"""Workbooks from strangers: what is no plain .xlsx is refused with one clear line, before it does harm."""

import os
import re
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sheetconv.errors import WorkbookError
from sheetconv.xlsx.cells import Book
from sheetconv.xlsx.package import Limits, Package, check_package, open_package
from sheetconv.xlsx.strip import without_cached_values
from sheetconv.xlsx.xml_parts import xml_elements

SHEET = "xl/worksheets/sheet1.xml"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("books") / "plain.xlsx"
    book = xlsxwriter.Workbook(str(path))
    sheet = book.add_worksheet("Net 1")
    for row in range(50):
        sheet.write_number(row, 0, row / 7)
        sheet.write_formula(row, 1, f"=A{row + 1}*2", None, row * 2 / 7)
    sheet.write_string(0, 3, "a & b <c>")
    book.close()
    return path


def changed(source: Path, out: Path, parts: dict[str, bytes | Callable[[bytes], bytes] | None]) -> Path:
    """Copy a workbook with some parts replaced, added or (None) left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            change = parts.get(name, lambda data: data)
            data = change(old.read(name)) if callable(change) else change
            if data is not None:
                new.writestr(name, data)
        for name in parts.keys() - set(old.namelist()):
            new.writestr(name, parts[name])
    return out


def read_all(path: Path, limits: Limits = Limits()) -> None:  # noqa: B008  frozen
    with Book(path, limits) as book:
        for sheet in book.sheet_names:
            book.cells(sheet)


def refused(path: Path, pattern: str, limits: Limits = Limits()) -> None:  # noqa: B008  frozen
    """Every way of taking the file in says the same one line, and none leaves an output."""
    out = path.with_name("out.xlsx")
    tries = (
        lambda: read_all(path, limits),
        lambda: check_package(path, limits),
        lambda: without_cached_values(path, out, limits=limits),
    )
    messages = []
    for attempt in tries:
        try:
            attempt()
        except WorkbookError as error:
            messages.append(str(error))
    assert messages, "nothing refused the file"
    assert all("\n" not in message for message in messages)
    assert any(re.search(pattern, message) for message in messages), messages
    assert len(messages) == len(tries), f"only refused by some: {messages}"
    assert not out.exists()


def test_a_plain_workbook_passes(plain: Path) -> None:
    check_package(plain)
    with open_package(plain) as package:
        assert package.workbook_part == "xl/workbook.xml"
        assert SHEET in package
        assert package.size(SHEET) == len(package.read(SHEET)) == sum(map(len, package.chunks(SHEET)))


def test_missing_folder_and_unreadable(tmp_path: Path, plain: Path) -> None:
    refused(tmp_path / "none.xlsx", "does not exist")
    refused(tmp_path, "is a folder")
    fifo = tmp_path / "fifo.xlsx"
    os.mkfifo(fifo)
    refused(fifo, "not a regular file")
    if os.geteuid():
        locked = tmp_path / "locked.xlsx"
        locked.write_bytes(plain.read_bytes())
        locked.chmod(0)
        refused(locked, "cannot be read: Permission denied")


@pytest.mark.parametrize("name", ["old.xls", "binary.xlsb", "open.ods", "sheet.numbers", "table.csv"])
def test_other_formats_by_name(tmp_path: Path, plain: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(plain.read_bytes())
    refused(path, "save it as .xlsx")


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"", "not a workbook"),
        (b"hello world", "not a workbook"),
        (b"PK\x03\x04" + bytes(100), "damaged or cut short"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted or an old .xls"),
    ],
)
def test_not_a_zip(tmp_path: Path, content: bytes, pattern: str) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(content)
    refused(path, pattern)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 0.999), flip=st.none() | st.tuples(st.floats(0, 1), st.integers(1, 255)))
def test_truncated_or_flipped_never_shows_a_traceback(
    tmp_path: Path, plain: Path, cut: float, flip: tuple[float, int] | None
) -> None:
    data = bytearray(plain.read_bytes())
    if flip is None:
        data = data[: int(cut * len(data))]
    else:
        data[int(flip[0] * (len(data) - 1))] ^= flip[1]
    path = tmp_path / "damaged.xlsx"
    path.write_bytes(data)
    if flip is None:
        with pytest.raises(WorkbookError, match=r"^[^\n]+$"):
            read_all(path)
    else:
        with suppress(WorkbookError):  # any other exception fails
            read_all(path)
            check_package(path)


def test_zip_bomb_by_ratio_is_stopped_early(tmp_path: Path, plain: Path) -> None:
    bomb = changed(plain, tmp_path / "bomb.xlsx", {SHEET: b"<worksheet>" + bytes(300 << 20)})
    tracemalloc.start()
    begin = time.perf_counter()
    try:
        refused(bomb, "zip bomb|not well-formed")
        with Package(bomb) as package, pytest.raises(WorkbookError, match="zip bomb"):
            for _ in package.chunks(SHEET):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
    assert time.perf_counter() - begin < 20


def test_limits_on_parts_total_and_count(tmp_path: Path, plain: Path) -> None:
    refused(plain, "more than 3", Limits(entries=3))
    refused(plain, "more than 2,000 bytes", Limits(total=2000))
    big = changed(plain, tmp_path / "big.xlsx", {SHEET: os.urandom(5000)})
    with Package(big, Limits(part=4000)) as package, pytest.raises(WorkbookError, match="more than 4,000"):
        list(package.chunks(SHEET))
    with (
        Package(plain, Limits(small_part=2000)) as package,
        pytest.raises(WorkbookError, match="larger than"),
    ):
        package.read(SHEET)


def test_false_sizes_are_not_believed(tmp_path: Path, plain: Path) -> None:
    """A directory that understates the size of a part: the bytes are counted, and do not match."""
    data = bytearray(plain.read_bytes())
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(SHEET.encode()))
    data[at + 24 : at + 28] = (100).to_bytes(4, "little")
    path = tmp_path / "false.xlsx"
    path.write_bytes(data)
    refused(path, "damaged")


def test_overlapping_parts(tmp_path: Path, plain: Path) -> None:
    data = bytearray(plain.read_bytes())
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    path = tmp_path / "overlap.xlsx"
    path.write_bytes(data)
    refused(path, "overlap|damaged")


@pytest.mark.parametrize(
    "name", ["../evil.xml", "/etc/passwd", "xl/./x.xml", "C:/x.xml", "xl//x.xml", "xl/a\\..\\b.xml"]
)
def test_path_tricks(tmp_path: Path, plain: Path, name: str) -> None:
    path = tmp_path / "tricks.xlsx"
    path.write_bytes(plain.read_bytes())
    with zipfile.ZipFile(path, "a") as book:
        book.writestr(zipfile.ZipInfo(name), b"x")
    refused(path, "name that no workbook uses")


def test_twice_the_same_part_and_links(tmp_path: Path, plain: Path) -> None:
    twice = tmp_path / "twice.xlsx"
    twice.write_bytes(plain.read_bytes())
    with zipfile.ZipFile(twice, "a") as book:
        book.writestr(SHEET.upper(), b"<worksheet/>")
    refused(twice, "twice")
    link = tmp_path / "link.xlsx"
    link.write_bytes(plain.read_bytes())
    entry = zipfile.ZipInfo("xl/link.xml")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(link, "a") as book:
        book.writestr(entry, b"/etc/passwd")
    refused(link, "symbolic link")


def test_encrypted_part(tmp_path: Path, plain: Path) -> None:
    data = bytearray(plain.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    path = tmp_path / "locked.xlsx"
    path.write_bytes(data)
    refused(path, "encrypted")


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]>"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "part", [SHEET, "xl/workbook.xml", "xl/styles.xml", "_rels/.rels", "docProps/app.xml"]
)
def test_document_types(tmp_path: Path, plain: Path, part: str, encoding: str) -> None:
    def declared(data: bytes) -> bytes:
        text = LAUGHS.decode() + data.decode().partition("?>")[2]
        return text.encode(encoding)

    path = changed(plain, tmp_path / "entities.xlsx", {part: declared})
    with pytest.raises(WorkbookError, match="DOCTYPE"):
        check_package(path)
    with pytest.raises(WorkbookError, match="DOCTYPE"):
        without_cached_values(path, tmp_path / "out.xlsx")
    assert not (tmp_path / "out.xlsx").exists()


def test_document_type_behind_a_long_comment(tmp_path: Path, plain: Path) -> None:
    text = b"<!--" + b" " * 100_000 + b"-->" + LAUGHS.partition(b"?>")[2] + b"<worksheet/>"
    path = changed(plain, tmp_path / "late.xlsx", {SHEET: text})
    refused(path, "no XML element in its first|DOCTYPE")


def test_missing_and_foreign_parts(tmp_path: Path, plain: Path) -> None:
    for part, pattern in [
        ("[Content_Types].xml", "not a workbook"),
        ("_rels/.rels", "not a workbook"),
        ("xl/workbook.xml", "not a complete workbook"),
    ]:
        refused(changed(plain, tmp_path / "missing.xlsx", {part: None}), pattern)
    lost = changed(plain, tmp_path / "lost.xlsx", {SHEET: None})
    with pytest.raises(WorkbookError, match=r"'Net 1' is missing"):
        Book(lost)
    ods = tmp_path / "disguised.xlsx"
    with zipfile.ZipFile(ods, "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    refused(ods, "OpenDocument")
    refused(changed(plain, tmp_path / "xlsb.xlsx", {"xl/workbook.bin": b"\0"}), "binary workbook")
    any_zip = tmp_path / "any.xlsx"
    with zipfile.ZipFile(any_zip, "w") as file:
        file.writestr("readme.txt", "hello")
    refused(any_zip, "a zip file but not a workbook")


def test_two_readings_of_one_file(tmp_path: Path, plain: Path) -> None:
    """Whatever two programs could read in two ways is refused: what is proven must be what is shown."""

    def second_sheet(data: bytes) -> bytes:
        return data.replace(b"</sheets>", b'<sheet name="NET 1" sheetId="2" r:id="rId1"/></sheets>')

    def second_id(data: bytes) -> bytes:
        found = re.search(rb"<Relationship [^>]*worksheet[^>]*>", data)
        assert found
        return data.replace(found[0], found[0] * 2)

    refused(changed(plain, tmp_path / "names.xlsx", {"xl/workbook.xml": second_sheet}), "same name")
    refused(changed(plain, tmp_path / "ids.xlsx", {"xl/_rels/workbook.xml.rels": second_id}), "twice")
    moved = {
        "xl/other.xml": b"<workbook/>",
        "_rels/.rels": lambda data: data.replace(b"xl/workbook.xml", b"xl/other.xml"),
    }
    refused(changed(plain, tmp_path / "two.xlsx", moved), "two workbooks")


@pytest.mark.parametrize(
    ("old", "new", "pattern"),
    [
        (b"<v>0</v>", b"<v>nan</v>", "not a number"),
        (b"<v>0</v>", b"<v>1e999</v>", "not a number"),
        (b"<v>0</v>", b"<v>1_0</v>", "not a number"),
        (b'<c r="D1" t="s"><v>0</v>', b'<c r="D1" t="s"><v>7</v>', "shared text"),
        (b'<c r="D1" t="s"><v>0</v>', b'<c r="D1" t="s"><v>-1</v>', "shared text"),
        (b'<row r="2"', b'<row r="1"', "out of order"),
        (b'<c r="B1"', b'<c r="A1"', "out of order"),
        (b'<c r="B1"', b'<c r="B2"', "out of order"),
        (b'<c r="B1"', b'<c r="ZZZ1"', "out of order"),
        (b"</sheetData>", b"", "not well-formed"),
    ],
)
def test_damaged_sheets(tmp_path: Path, plain: Path, old: bytes, new: bytes, pattern: str) -> None:
    def damage(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    path = changed(plain, tmp_path / "damaged.xlsx", {SHEET: damage})
    with Book(path) as book, pytest.raises(WorkbookError, match=pattern) as caught:
        book.cells("Net 1")
    assert "\n" not in str(caught.value)


def test_unknown_sheet_names_those_there_are(plain: Path) -> None:
    with Book(plain) as book, pytest.raises(WorkbookError, match="no sheet 'Net 2'; it has 'Net 1'"):
        book.cells("Net 2")


def test_byte_spans_of_elements() -> None:
    data = b"""<a x="1>2"><b/><c y='/>'></c><d>text<e z=">"/></d></a>"""
    spans = {e.name: data[e.start : e.end] for e in xml_elements(data, "test")}
    expected = {
        "b": b"<b/>",
        "c": b"<c y='/>'></c>",
        "e": b'<e z=">"/>',
        "d": b'<d>text<e z=">"/></d>',
        "a": data,
    }
    assert spans == expected


def test_nested_without_end(tmp_path: Path, plain: Path) -> None:
    """Depth costs no recursion."""
    deep = b"<a>" * 200_000 + b"</a>" * 200_000
    path = changed(plain, tmp_path / "deep.xlsx", {"docProps/app.xml": deep, SHEET: deep})
    check_package(path)
    read_all(path)
