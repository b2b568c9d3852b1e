"""What programs read differently is refused, and nothing from a file moves the cursor of a terminal."""

import re
from pathlib import Path

import pytest

from sheetconv.errors import WorkbookError, printable
from sheetconv.prove.verify import verify
from sheetconv.xlsx.cells import Book
from tests.prove.books import altered

CELL = r'<c r="[A-Z]+\d+" s="\d+"><f>[^<]*</f><v>([^<]*)</v></c>'


FORGED = {
    "value in a foreign namespace": (r"<v>([^<]*)</v>", r'<v>123456</v><q:v xmlns:q="urn:q">\1</q:v>'),
    "two values": (r"<v>([^<]*)</v>", r"<v>123456</v><v>\1</v>"),
    "a choice": (
        r"<v>([^<]*)</v>",
        r'<mc:Choice xmlns:mc="urn:mc" Requires="q"><v>123456</v></mc:Choice><v>\1</v>',
    ),
    "two formulas": (r"<f>([^<]*)</f>", r"<f>42</f><f>\1</f>"),
    "a namespace bound anew": (r"<v>([^<]*)</v>", r'<v xmlns="urn:q">\1</v>'),
}


@pytest.mark.parametrize("kind", FORGED)
def test_values_that_programs_read_differently_are_refused(kind: str, example: Path, tmp_path: Path) -> None:
    pattern, replacement = FORGED[kind]

    def change(text: str) -> str:
        cell = re.search(CELL, text)
        assert cell
        return text.replace(cell[0], re.sub(pattern, replacement, cell[0], count=1), 1)

    bad = altered(example, tmp_path / "bad.xlsx", {"xl/worksheets/sheet2.xml": change})
    with pytest.raises(WorkbookError, match=r"twice|differently|differ there|two values|two formulas"):
        verify(bad, device="cpu")


def test_a_decoy_sheet_behind_a_second_id_is_refused(example: Path, tmp_path: Path) -> None:
    bad = altered(
        example,
        tmp_path / "bad.xlsx",
        {"xl/workbook.xml": lambda t: t.replace('r:id="rId2"', 'q:id="rId1" xmlns:q="urn:q" r:id="rId2"', 1)},
    )
    with pytest.raises(WorkbookError, match="two ids"), Book(bad):
        pass


def test_an_extension_list_in_a_cell_is_no_forgery(example: Path, tmp_path: Path) -> None:
    extension = '<extLst><ext uri="u"><q:v xmlns:q="urn:q">7</q:v></ext></extLst></c>'
    good = altered(
        example,
        tmp_path / "good.xlsx",
        {"xl/worksheets/sheet2.xml": lambda t: t.replace("</c>", extension, 1)},
    )
    with Book(good) as book:
        assert len(book.cells("Network")) > 1000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2K\rb", r"a\x1b[2K\rb"),
        ("é ▸ 7", "é ▸ 7"),
        ("a\u202eb\x9b", r"a\u202eb\x9b"),
        ("1\n2", "1\n2"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
