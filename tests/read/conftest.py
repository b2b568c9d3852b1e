"""Workbooks written by hand, byte for byte, for the tests of reading."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
STYLES = (
    f'<styleSheet xmlns="{MAIN}"><fonts count="1"><font><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="1"><fill><patternFill patternType="none"/></fill></fills>'
    '<borders count="1"><border/></borders>'
    '<cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="1"><xf xfId="0"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)

MakeBook = Callable[..., Path]


def sheet_xml(cells: Mapping[str, object]) -> str:
    """A sheet from {address: number, text, or "=formula"}; addresses row by row. Formulas remember 999."""
    rows: dict[str, list[str]] = {}
    for address, value in cells.items():
        number = address.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        if isinstance(value, str) and value.startswith("="):
            cell = f'<c r="{address}"><f>{escape(value[1:])}</f><v>999</v></c>'
        elif isinstance(value, str):
            cell = f'<c r="{address}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
        else:
            cell = f'<c r="{address}"><v>{value!r}</v></c>'
        rows.setdefault(number, []).append(cell)
    body = "".join(f'<row r="{number}">{"".join(row)}</row>' for number, row in rows.items())
    return f'<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData></worksheet>'


def write_book(
    path: Path,
    sheets: Mapping[str, str | Mapping[str, object]],
    *,
    names: str = "",
    calc: str = "",
    styles: str = STYLES,
) -> Path:
    """Write a small complete .xlsx; a sheet is its XML or its cells (see `sheet_xml`)."""
    ids = range(1, len(sheets) + 1)
    listed = "".join(
        f'<sheet name={quoteattr(s)} sheetId="{i}" r:id="r{i}"/>' for i, s in enumerate(sheets, 1)
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{TYPE}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{TYPE}.styles+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{i}.xml" ContentType="{TYPE}.worksheet+xml"/>'
            for i in ids
        )
        + "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{REL}"><sheets>{listed}</sheets>'
        f"{names}{calc}</workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        + "".join(
            f'<Relationship Id="r{i}" Type="{REL}/worksheet" Target="worksheets/sheet{i}.xml"/>' for i in ids
        )
        + f'<Relationship Id="rs" Type="{REL}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": styles,
    }
    for i, sheet in zip(ids, sheets.values(), strict=True):
        parts[f"xl/worksheets/sheet{i}.xml"] = sheet if isinstance(sheet, str) else sheet_xml(sheet)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in parts.items():
            file.writestr(name, text)
    return path


@pytest.fixture(scope="session")
def make_book() -> MakeBook:
    """`write_book`: (path, {sheet: cells or XML}) → path of a small .xlsx written by hand."""
    return write_book
