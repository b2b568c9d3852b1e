"""Every rule of `check` is broken once in a sound workbook and found there; what we write breaks none."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import xlsxwriter
from click.testing import CliRunner

from sheetconv.building import Request, build
from sheetconv.cli import main
from sheetconv.inspect.check import check
from sheetconv.inspect.check.formula import faults
from tests.prove.books import altered

SHEET = "xl/worksheets/sheet1.xml"
Change = Callable[[str], str]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small workbook with one of everything that is checked."""
    path = tmp_path_factory.mktemp("check") / "sound.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet, other = book.add_worksheet("Sums"), book.add_worksheet("a1")
        sheet.write_row(0, 0, [1.5, 2, 3])
        sheet.write_formula(1, 0, "=SUM(A1:C1)", book.add_format({"bold": True, "font_color": "red"}), 6.5)
        sheet.write_formula(1, 1, "='a1'!A1*2", None, 0)
        sheet.write_string(2, 0, "text")
        sheet.write_url(2, 1, "internal:'a1'!A1", string="there")
        sheet.merge_range("A5:B6", "merged")
        sheet.data_validation("A1", {"validate": "list", "source": ["1", "2"]})
        sheet.conditional_format("A1:C1", {"type": "2_color_scale"})
        book.define_name("net_all", "='a1'!$A$1")
        other.write_number(0, 0, 1)
    return path


def replaced(old: str, new: str) -> Change:
    def change(text: str) -> str:
        assert old in text, old
        return text.replace(old, new, 1)

    return change


def moved(element: str, before: str) -> Change:
    """The element stands before another one of its sheet."""

    def change(text: str) -> str:
        found = re.search(rf"<{element}[ >].*?</{element}>", text, re.S)
        assert found
        return text.replace(found[0], "").replace(f"<{before}", f"{found[0]}<{before}", 1)

    return change


F = "<f>SUM(A1:C1)</f>"
FAULTS: dict[str, tuple[str, str, Change, str]] = {
    "last characters": ("long-formula", SHEET, replaced(F, f"<f>{'1+' * 4096}1</f>"), "A2"),
    "256 arguments": ("many-arguments", SHEET, replaced(F, f"<f>SUM({','.join('1' * 256)})</f>"), "A2"),
    "syntax": ("syntax", SHEET, replaced(F, "<f>SUM(A1:C1</f>"), "A2"),
    "two operands": ("syntax", SHEET, replaced(F, "<f>A1 2</f>"), "A2"),
    "nothing": ("syntax", SHEET, replaced(F, "<f></f>"), "A2"),
    "depth": ("deep-formula", SHEET, replaced(F, f"<f>{'(' * 65}1{')' * 65}</f>"), "A2"),
    "text in formula": ("long-string", SHEET, replaced(F, f'<f>LEN("{"x" * 256}")</f>'), "A2"),
    "beyond": ("reference", SHEET, replaced(F, "<f>A1048577</f>"), "A2"),
    "beyond columns": ("reference", SHEET, replaced(F, "<f>XFE1</f>"), "A2"),
    "no quotes": ("unquoted-sheet", SHEET, replaced("'a1'!A1*2", "a1!A1*2"), "B2"),
    "rows swapped": ("order", SHEET, replaced('<row r="1"', '<row r="4"'), ""),
    "cell twice": ("order", SHEET, replaced('<c r="B1"', '<c r="A1"'), "A1"),
    "cells swapped": ("order", SHEET, replaced('<c r="A1"', '<c r="D1"'), "B1"),
    "foreign row": ("order", SHEET, replaced('<c r="B1"', '<c r="B7"'), "B7"),
    "no address": ("address", SHEET, replaced('<c r="B1"', '<c r="1B"'), "1B"),
    "shared elsewhere": ("shared-other-sheet", SHEET, replaced(F, "<f t=\"shared\" ref=\"A2:B2\" si=\"0\">'a1'!A1</f>"), "A2"),
    "orphan": ("shared-orphan", SHEET, replaced(F, '<f t="shared" si="3"/>'), "A2"),
    "NaN": ("number", SHEET, replaced("<v>6.5</v>", "<v>NaN</v>"), "A2"),
    "infinite": ("number", SHEET, replaced("<v>6.5</v>", "<v>inf</v>"), "A2"),
    "comma": ("number", SHEET, replaced("<v>6.5</v>", "<v>6,5</v>"), "A2"),
    "style": ("style", SHEET, replaced('<c r="A1"', '<c r="A1" s="77"'), "A1"),
    "string": ("string", SHEET, replaced('<c r="A3" t="s"><v>0', '<c r="A3" t="s"><v>99'), "A3"),
    "text": ("long-text", SHEET, replaced('<c r="A3" t="s"><v>0', f'<c r="A3" t="str"><v>{"x" * 32768}'), "A3"),
    "merge": ("merge", SHEET, replaced('<mergeCell ref="A5:B6"/>', '<mergeCell ref="A5:B6"/><mergeCell ref="B6:C7"/>'), ""),
    "list": ("long-validation", SHEET, replaced('"1,2"', f'"{"x" * 256}"'), "A1"),
    "link": ("long-link", SHEET, replaced("'a1'!A1\"", f"{'x' * 2080}\""), "B3"),
    "formats late": ("element-order", SHEET, moved("conditionalFormatting", "sheetData"), ""),
    "row": ("limit", SHEET, replaced('<row r="5"', '<row r="1048577"'), ""),
    "column": ("limit", SHEET, replaced('<c r="C1"', '<c r="XFE1"'), "XFE1"),
    "32 characters": ("sheet-name", "xl/workbook.xml", replaced('"Sums"', f'"{"x" * 32}"'), ""),
    "slash": ("sheet-name", "xl/workbook.xml", replaced('"Sums"', '"a/b"'), ""),
    "same name": ("sheet-name", "xl/workbook.xml", replaced('"Sums"', '"A1"'), ""),
    "address": ("name", "xl/workbook.xml", replaced("net_all", "fc1"), ""),
    "name without quotes": ("unquoted-sheet", "xl/workbook.xml", replaced("'a1'!$A$1", "a1!$A$1"), ""),
    "type": ("content-type", "[Content_Types].xml", replaced("/xl/theme/theme1.xml", "/xl/theme/gone.xml"), ""),
    "relation": ("relation", "xl/_rels/workbook.xml.rels", replaced("styles.xml", "gone.xml"), ""),
    "same id": ("relation", "xl/_rels/workbook.xml.rels", replaced('Id="rId2"', 'Id="rId1"'), ""),
    "font": ("element-order", "xl/styles.xml", lambda t: re.sub(r"<b/>(.*?)(<color [^>]*/>)", r"\2<b/>\1", t, count=1), ""),
    "formats": ("limit", "xl/styles.xml", lambda t: re.sub(r"(<cellXfs[^>]*>)", r"\1" + "<xf/>" * 65_490, t), ""),
}  # fmt: skip


def test_a_sound_workbook_has_no_findings(sound: Path) -> None:
    assert check(sound) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_where_it_is(fault: str, sound: Path, tmp_path: Path) -> None:
    rule, part, change, cell = FAULTS[fault]
    found = check(altered(sound, tmp_path / "bad.xlsx", {part: change}))
    assert [f for f in found if f.rule == rule and f.part == part and f.cell == cell], [str(f) for f in found]


@pytest.mark.parametrize(
    "formula",
    [f"{'1+' * 4095}1", "SUM(" + ",".join("1" * 255) + ")", "XFD1048576", "'a1'!A1", "Sums!A1:B2", "-A1%", '"a""b"',
     "SUM((A1:B2,C3))", "INDEX({1,2;3,4},1,2)", "IF(A1<>1,#N/A,T[[#All],[x]])", "LOG10(A1)", "1E-5*$A$1", "A1#"],
)  # fmt: skip
def test_what_programs_take_is_no_finding(formula: str) -> None:
    assert list(faults(formula)) == []


@pytest.mark.parametrize("template", ["conv-example", "lesson", "optimisers"])
def test_what_we_write_keeps_every_rule(template: str, tmp_path: Path) -> None:
    build(Request(tmp_path / "b.xlsx", template, dataset="builtin", digit=3, verify=False))
    assert check(tmp_path / "b.xlsx") == []


def test_the_command(sound: Path, tmp_path: Path) -> None:
    bad = altered(sound, tmp_path / "bad.xlsx", {SHEET: replaced("<v>6.5</v>", "<v>NaN</v>")})
    assert CliRunner().invoke(main, ["check", str(sound)]).exit_code == 0
    done = CliRunner().invoke(main, ["check", str(bad), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.output)[0]["cell"] == "A2"
    assert CliRunner().invoke(main, ["check", str(tmp_path / "none.xlsx")]).exit_code == 1
