"""What is added to someone's workbook (`lint --annotate`, `receptive-field --add-sheet`) leaves all else as it was."""

import io
import re
import subprocess
import time
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import xlsxwriter
from PIL import Image

from sheetconv.errors import WorkbookError
from sheetconv.formulas.cell_range import Area
from sheetconv.inspect.check import check
from sheetconv.inspect.lint.annotate import annotate
from sheetconv.inspect.lint.sheet import Finding
from sheetconv.sheet.field_sheet import FieldPage, Map, write_field_sheet
from sheetconv.xlsx.graft import graft

# openpyxl, with which the copies are read here, tells what it leaves out
pytestmark = pytest.mark.filterwarnings("ignore:.*extension is not supported:UserWarning")

SHARED = {"[Content_Types].xml", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml"}
SHEETS = [f"xl/worksheets/sheet{n}.xml" for n in (1, 2, 3, 4)]
NOTE = "xl/comments1.xml"


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sheets with a chart, a picture, comments, a dynamic array, formats, validations, links and a table."""
    path = tmp_path_factory.mktemp("rich") / "rich.xlsx"
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    with xlsxwriter.Workbook(path) as book:
        noted, drawn, plain = (book.add_worksheet(n) for n in ("Noted", "It's drawn", "Plain"))
        for sheet in (noted, drawn, plain):
            sheet.write_column(0, 0, [3, 1, 2])
            sheet.write_dynamic_array_formula("C1:C3", "=A1:A3*2", None, 6)
            sheet.conditional_format("A1:A3", {"type": "cell", "criteria": ">", "value": 2,
                                               "format": book.add_format({"bold": True})})  # fmt: skip
            sheet.conditional_format("C1:C3", {"type": "data_bar", "data_bar_2010": True})
        noted.write_comment("A1", "theirs")
        chart = book.add_chart({"type": "line"})
        chart.add_series({"values": "='It''s drawn'!$A$1:$A$3"})
        drawn.insert_chart("E2", chart)
        drawn.insert_image("E20", "red.png", {"image_data": picture})
        drawn.data_validation("A1", {"validate": "list", "source": ["1", "2"]})
        drawn.write_url("A5", "https://example.org/")
        drawn.merge_range("A7:B8", "merged")
        drawn.add_table("E30:F32")
    return path


def findings() -> list[Finding]:
    areas = [Area("Noted", 0, 0, 1, 0), Area("It's drawn", 1, 0, 1, 0), Area("It's drawn", 1, 0, 40, 5),
             Area("Plain", 9, 9, 9, 9)]  # fmt: skip
    return [Finding(a, "differs", f"=text & <{k}> \x01", "_x0041_") for k, a in enumerate(areas)]


@pytest.fixture(scope="module")
def annotated(rich: Path) -> Path:
    annotate(rich, findings(), rich.with_name("annotated.xlsx"))
    return rich.with_name("annotated.xlsx")


@pytest.fixture(scope="module")
def with_sheet(rich: Path) -> Path:
    donor, out = rich.with_name("donor.xlsx"), rich.with_name("with-sheet.xlsx")
    maps = [Map("Map", np.eye(6), "#FF0000", ["fact"])]
    write_field_sheet(donor, FieldPage("Field", ["text"], maps, (1, 3, 1, 3), ("a", "b"), [("1", "2")], 0))
    graft(rich, donor, out)
    return out


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_all_other_parts_stay_byte_for_byte(rich: Path, annotated: Path, with_sheet: Path) -> None:
    before, after, added = parts(rich), parts(annotated), parts(with_sheet)
    relations = "xl/worksheets/_rels/sheet2.xml.rels"  # it leads to the new comments
    assert {n for n in before if before[n] != after.get(n)} == {*SHARED, *SHEETS[:3], relations}
    assert {n for n in before if before[n] != added.get(n)} == SHARED
    assert any("chart" in name for name in before)
    assert {"xl/metadata.xml", NOTE} < set(before)
    inserted = re.compile(
        rb'<conditionalFormatting [^>]*><cfRule type="expression" .*?</conditionalFormatting>'
        rb"|<legacyDrawing xmlns:r=[^>]*/>"
    )
    for name, many in zip(SHEETS, (1, 2, 2), strict=False):
        assert inserted.subn(b"", after[name]) == (before[name], many)
    for name in SHARED | {relations}:  # what was there is still there, in order
        tags = re.findall(rb"<(?:xf|dxf|font|sheet|Override|Default|Relationship)\b[^>]*>", before[name])
        left = iter(re.findall(rb"<[^>]*>", after[name]))
        assert all(tag in left for tag in tags), name


def test_findings_are_marked_commented_and_listed(annotated: Path, rich: Path) -> None:
    book = openpyxl.load_workbook(annotated)
    assert book.sheetnames == ["Noted", "It's drawn", "Plain", "Findings"]
    rows = [[c.value for c in row] for row in book["Findings"].iter_rows(min_row=4)]
    escaped = "_x005F_x0041_"  # Excel reads it as the text that it was
    assert rows[1] == ["'It''s drawn'!A2", "differs", "=text & <1> ?", escaped]
    assert len(rows) == 4
    assert book["Findings"]["A5"].hyperlink.location == "'It''s drawn'!A2"
    for sheet, where in (("Noted", "A1:A2"), ("It's drawn", "A2 A2:F41"), ("Plain", "J10")):
        last = list(book[sheet].conditional_formatting)[-1]
        assert sorted(str(last.sqref).split()) == where.split()
        assert last.rules[0].dxf.fill.bgColor.rgb == "FFFFD966"
        assert last.rules[0].priority == 3
    assert book["Noted"]["A1"].comment.text == "theirs"
    assert book["It's drawn"]["A2"].comment.text.count("Expected") == 2
    assert book["Plain"]["J10"].comment.text.startswith("4. differs: =text & <3>")


def test_check_finds_nothing_new(rich: Path, annotated: Path, with_sheet: Path) -> None:
    assert check(rich) == check(annotated) == check(with_sheet) == []


def test_a_copy_can_be_annotated_again(annotated: Path, tmp_path: Path) -> None:
    annotate(annotated, findings(), tmp_path / "again.xlsx")
    assert check(tmp_path / "again.xlsx") == []
    assert openpyxl.load_workbook(tmp_path / "again.xlsx").sheetnames[-1] == "Findings 2"
    assert parts(annotated)[NOTE] == parts(tmp_path / "again.xlsx")[NOTE]


def test_prefixes_and_missing_lists(rich: Path, tmp_path: Path) -> None:
    """Sheets and styles with a prefix on each tag, a byte order mark, and no differential formats."""
    changed = parts(rich)
    for name in ("xl/styles.xml", SHEETS[2]):
        text = re.sub(r"<dxfs.*?</dxfs>|<ext.*</extLst>|<conditionalF.*</conditionalFormatting>", "",
                      changed[name].decode())  # fmt: skip
        text = re.sub(r"<(/?)(\w)", r"<\1x:\2", text).replace("xmlns=", "xmlns:x=")
        changed[name] = b"\xef\xbb\xbf" + text.encode()
    for name in SHEETS[:2]:  # their formats have gone
        text = re.sub(r"<conditionalF.*</conditionalFormatting>", "", changed[name].decode())
        changed[name] = text.encode()
    book = tmp_path / "prefixed.xlsx"
    with zipfile.ZipFile(book, "w") as archive:
        for name, data in changed.items():
            archive.writestr(name, data)
    annotate(book, findings(), tmp_path / "out.xlsx")
    assert set(check(tmp_path / "out.xlsx")) == set(check(book))
    plain = openpyxl.load_workbook(tmp_path / "out.xlsx")["Plain"]
    assert plain.conditional_formatting["J10"][0].dxf.fill.bgColor.rgb == "FFFFD966"
    assert plain["J10"].comment


@pytest.mark.libreoffice
def test_libreoffice_opens_the_copy(annotated: Path, with_sheet: Path, tmp_path: Path) -> None:
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    command = ["soffice", profile, "--headless", "--convert-to", "xlsx", "--outdir", str(tmp_path / "saved")]
    subprocess.run([*command, str(annotated), str(with_sheet)], check=True, capture_output=True, timeout=120)
    saved = openpyxl.load_workbook(tmp_path / "saved" / annotated.name)
    assert saved.sheetnames == ["Noted", "It's drawn", "Plain", "Findings"]
    assert len(saved["It's drawn"]._charts) == 1
    assert "Expected" in saved["It's drawn"]["A2"].comment.text
    assert saved["Noted"]["A1"].comment.text == "theirs"
    rules = [r for f in saved["Plain"].conditional_formatting if "J10" in f.sqref for r in f.rules]
    assert rules[0].dxf.fill.bgColor.rgb == "FFFFD966"
    values = openpyxl.load_workbook(tmp_path / "saved" / annotated.name, data_only=True)["Plain"]
    assert [values.cell(r, 3).value for r in (1, 2, 3)] == [6, 2, 4]
    assert len(openpyxl.load_workbook(tmp_path / "saved" / with_sheet.name).sheetnames) == 4


def test_hostile_sheets_are_marked_soon_or_refused(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "small.xlsx") as work:
        work.add_worksheet("Plain").merge_range("A1:B1", "")
    merges = b"".join(b'<mergeCell ref="A%d:B%d"/>' % (i, i) for i in range(1, 200_001))
    for name, part, old, new, error in (
        ("merges", SHEETS[0], b'<mergeCell ref="A1:B1"/>', merges, ""),
        ("bare", "xl/_rels/workbook.xml.rels", b"/styles", b"/nothing", ""),
        ("foreign", SHEETS[0], b'encoding="UTF-8"', b'encoding="latin-1"', "not in UTF-8"),
        ("styles", "xl/styles.xml", b'encoding="UTF-8"', b'encoding="latin-1"', "not in UTF-8"),
        ("cut", SHEETS[0], b"</worksheet>", b"", "not well-formed"),
    ):
        book, out = tmp_path / f"{name}.xlsx", tmp_path / f"{name}-out.xlsx"
        with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as archive:
            for each, data in parts(tmp_path / "small.xlsx").items():
                assert each != part or old in data
                archive.writestr(each, data.replace(old, new, 1) if each == part else data)
        began = time.process_time()
        if error:
            with pytest.raises(WorkbookError, match=error):
                annotate(book, findings(), out)
            assert not out.exists()
        else:
            annotate(book, findings(), out)
            assert set(check(out)) == set(check(book))
            assert openpyxl.load_workbook(out, read_only=True).sheetnames == ["Plain", "Findings"]
        assert time.process_time() - began < 4
