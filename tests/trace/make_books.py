"""Make the kept workbooks of `books/`: the constructs as openpyxl, XlsxWriter and LibreOffice write them.

Run: python tests/trace/make_books.py (needs LibreOffice and its Python's uno). The files are kept so that the
tests read what these programs really wrote, whatever versions are installed.
"""

import random
import sys
from pathlib import Path

import openpyxl
import xlsxwriter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.formula import ArrayFormula
from openpyxl.worksheet.table import Table, TableColumn
from xlsxwriter.utility import xl_range, xl_range_abs, xl_rowcol_to_cell

sys.path.insert(0, str(Path(__file__).parent))
from constructs import COLUMN, CONSTRUCTS, FIRST_ROW, HERE, LOCAL, LOOPS, MODERN, NAMES, SHEETS

BOOKS = Path(__file__).with_name("books")


def with_xlsxwriter(path: Path) -> None:
    """All constructs, a spill, an array, tables, a cycle; cached values 0."""
    work = xlsxwriter.Workbook(path)
    sheets = {name: work.add_worksheet(name) for name in SHEETS}
    for sheet in sheets.values():
        for row in range(6):
            sheet.write_row(row, 0, [row * 4 + column for column in range(4)])
    columns = [{"header": "x", "total_function": "sum"}, {"header": "y y", "total_function": "max"}]
    data = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    sheets["Data"].add_table(
        "H1:J5", {"name": "Pix", "columns": [*columns, {"header": "z#1"}], "data": data, "total_row": True}
    )
    here = sheets[HERE]
    near = [[r, r + 1] for r in range(FIRST_ROW, 99)]
    here.add_table(
        "T20:U99", {"name": "Near", "columns": [{"header": "left"}, {"header": "right"}], "data": near}
    )
    for name, text in (NAMES | LOOPS).items():
        work.define_name(name, "=" + text)
    for (sheet, name), text in LOCAL.items():
        work.define_name(f"'{sheet}'!{name}", "=" + text)  # the package wants the apostrophe as it is
    for row, construct in enumerate((CONSTRUCTS | MODERN).values(), FIRST_ROW):
        here.write_formula(row, COLUMN, "=" + construct.formula, None, 0)
    here.write_array_formula("K1:L2", "{=A1:B2*2}", None, 0)
    here.write_array_formula("K4", "{=SUM(A1:B2*C1:D2)}", None, 0)
    here.write_dynamic_array_formula("N1:N3", "=A1:A3*2", None, 0)
    third = sheets["Third"]
    for cell, text in {"G1": "=G2+A1", "G2": "=G3", "G3": "=G1", "G4": "=G3", "F1": "=Mine"}.items():
        third.write_formula(cell, text, None, 0)
    work.close()


def with_openpyxl(path: Path) -> None:
    """The constructs that the package writes itself; no cached values."""
    work = openpyxl.Workbook()
    sheets = {name: work.create_sheet(name) for name in SHEETS}
    del work["Sheet"]
    for sheet in sheets.values():
        for row in range(6):
            sheet.append([row * 4 + column for column in range(4)])
    data = sheets["Data"]
    for r, values in enumerate([["x", "y y", "z#1"], [1, 2, 3], [4, 5, 6], [7, 8, 9], [12, 15, None]]):
        for c, value in enumerate(values):
            data.cell(r + 1, 8 + c, value)
    table = Table(displayName="Pix", ref="H1:J5", totalsRowCount=1)
    table.tableColumns = [TableColumn(id=i, name=n) for i, n in enumerate(("x", "y y", "z#1"), 1)]
    data.add_table(table)
    here = sheets[HERE]
    here["T20"], here["U20"] = "left", "right"
    for row in range(FIRST_ROW, 99):
        here.cell(row + 1, 20, row)
        here.cell(row + 1, 21, row + 1)
    here.add_table(Table(displayName="Near", ref="T20:U99"))
    for name, text in (NAMES | LOOPS).items():
        work.defined_names[name] = DefinedName(name, attr_text=text)
    for (sheet, name), text in LOCAL.items():
        sheets[sheet].defined_names[name] = DefinedName(name, attr_text=text)
    for row, construct in enumerate((CONSTRUCTS | MODERN).values(), FIRST_ROW):
        here.cell(row + 1, COLUMN + 1, "=" + construct.formula)
    here["K1"] = ArrayFormula("K1:L2", "=A1:B2*2")
    here["K4"] = ArrayFormula("K4", "=SUM(A1:B2*C1:D2)")
    here["N1"] = ArrayFormula("N1:N3", "=A1:A3*2")
    third = sheets["Third"]
    for cell, text in {"G1": "=G2+A1", "G2": "=G3", "G3": "=G1", "G4": "=G3", "F1": "=Mine"}.items():
        third[cell] = text
    work.save(path)


def network(path: Path) -> None:
    """A two-layer network by hand on one sheet: filled formulas, CSE arrays, pooled cells in every second place."""
    work = xlsxwriter.Workbook(path)
    sheet = work.add_worksheet("Net")
    pick = random.Random(4)
    for row in range(14):
        sheet.write_row(row, 0, [pick.randint(0, 9) for _ in range(14)])
    for k in (0, 5):
        for row in range(3):
            sheet.write_row(k + row, 16, [pick.choice((-1, 0, 1)) for _ in range(3)])
    for row in range(12):
        for column in range(12):
            window, kernel = xl_range(row, column, row + 2, column + 2), xl_range_abs(0, 16, 2, 18)
            sheet.write_formula(row, 21 + column, f"=MAX(0,SUMPRODUCT({window},{kernel}))")
            window, kernel = xl_range(row, 21 + column, row + 2, 23 + column), xl_range_abs(5, 16, 7, 18)
            if row < 10 and column < 10:
                at = xl_rowcol_to_cell(20 + row, column)
                sheet.write_array_formula(f"{at}:{at}", f"{{=SUM({window}*{kernel})}}")
    for row in range(0, 10, 2):
        for column in range(0, 10, 2):
            sheet.write_formula(
                20 + row, 15 + column, f"=MAX({xl_range(20 + row, column, 21 + row, column + 1)})"
            )
    sheet.write_array_formula("AE21:AI22", "{=TRANSPOSE(P21:Q25)}")
    sheet.write_formula("AE25", "=AVERAGE(P21:X29)+SUM(AE21:AI22)")
    work.close()


def by_libreoffice(source: Path, path: Path) -> None:
    """Opened and saved by LibreOffice: shared formulas and arrays in its dialect."""
    from sheetconv.engines.libreoffice import ENGINE

    path.unlink(missing_ok=True)
    ENGINE.save_recalculated(source, path)


def with_macros(path: Path, folder: Path) -> None:
    """A .xlsm whose project is not even a valid one: nobody may try to run it."""
    project = folder / "vbaProject.bin"
    project.write_bytes(b"not a project")
    work = xlsxwriter.Workbook(path)
    work.add_vba_project(project)
    sheet = work.add_worksheet("S")
    sheet.write("A1", 2)
    sheet.write_formula("B1", "=A1*2", None, 4)
    work.close()
    project.unlink()


if __name__ == "__main__":
    BOOKS.mkdir(exist_ok=True)
    with_xlsxwriter(BOOKS / "xlsxwriter.xlsx")
    with_openpyxl(BOOKS / "openpyxl.xlsx")
    network(BOOKS / "network.xlsx")
    by_libreoffice(BOOKS / "xlsxwriter.xlsx", BOOKS / "libreoffice.xlsx")
    by_libreoffice(BOOKS / "network.xlsx", BOOKS / "libreoffice-network.xlsx")
    with_macros(BOOKS / "macros.xlsm", BOOKS)
