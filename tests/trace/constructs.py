"""Every construct of references that programs write, with what each reads: stated by hand, written by three programs.

All formulas stand in column R of the sheet "It's here", one below the other from row 21; every sheet has numbers
in A1:D6. Sheets in order: Data, It's here, Größe 2, Third. The table Pix is Data!H1:J5 with headers (x, y y,
z#1), three rows of data and a totals row; the table Near is 'It''s here'!T20:U99 with headers "left" and "right".
"""

from typing import NamedTuple

HERE, WIDE = "It's here", "Größe 2"
SHEETS = ("Data", HERE, WIDE, "Third")
COLUMN, FIRST_ROW = 17, 20
NAMES = {
    "Kernel": "'It''s here'!$A$1:$B$2",
    "Alias": "Kernel",
    "Both": "Data!$A$1,Data!$C$3",
    "Rows": "OFFSET(Data!$A$1,0,0,3,1)",
    "Picked": "INDEX(Data!$A$1:$B$6,0,2)",
    "Größer": "'Größe 2'!$B$2",
    "LongWay": "FarOne+FarTwo",
    "FarOne": "Third!$C$1",
    "FarTwo": "FarOne*'It''s here'!$D$1",
}
LOOPS = {"Loop": "Loop+1", "Ping": "Pong", "Pong": "Ping*2"}
LOCAL = {("Third", "Mine"): "Third!$D$4", (HERE, "Mine"): "'It''s here'!$D$5"}


class Construct(NamedTuple):
    """A formula (without =), what it reads, a word of the note that it causes.

    `office` says how LibreOffice 7.4 sees it: "" the same, "more" a superset (it names whole columns, and both
    sides of an intersection), "less" only the ends of a range that is computed, "never" nothing: it cannot
    read the formula, or does not follow the name.
    """

    formula: str
    reads: str
    note: str = ""
    office: str = ""


CONSTRUCTS = {
    "cell": Construct("A1", "A1"),
    "block": Construct("SUM(A1:B2)", "A1:B2"),
    "backwards": Construct("SUM(B2:A1)", "A1:B2"),
    "fixed": Construct("$A$1+B$2+$C3", "A1 B2 C3"),
    "other sheet": Construct("SUM(Data!A1:B2)", "Data!A1:B2"),
    "quoted sheet": Construct("SUM('It''s here'!A1:B2)", "A1:B2"),
    "unicode sheet": Construct("SUM('Größe 2'!A1:B2)", "'Größe 2'!A1:B2"),
    "lower case": Construct("sum(a1:b2,data!c3)", "A1:B2 Data!C3"),
    "name": Construct("SUM(Kernel)", "A1:B2"),
    "name of a name": Construct("SUM(alias)", "A1:B2"),
    "name of a union": Construct("SUM(Both)", "Data!A1 Data!C3"),
    "name with INDEX": Construct("SUM(Picked)", "Data!A1:B6"),
    "unicode name": Construct("Größer*2", "'Größe 2'!B2"),
    "names twice": Construct("LongWay+FarTwo", "Third!C1 D1"),
    "local name": Construct("Mine", "D5"),
    "local name elsewhere": Construct("Third!Mine", "Third!D4"),
    "name with OFFSET": Construct("SUM(Rows)", "Data!A1", "OFFSET"),
    "name of itself": Construct("Loop+A3", "A3", "refers to itself", "never"),
    "names of each other": Construct("Ping+A3", "A3", "refers to itself", "never"),
    "unknown name": Construct("Nowhere+A3", "A3", "not defined"),
    "whole columns": Construct("SUM(Third!B:C)", "Third!B1:C6", office="more"),
    "whole row": Construct("SUM(Third!$2:3)", "Third!A2:G3", office="more"),
    "3-D": Construct("SUM(Data:Third!B2)", "Data!B2 B2 'Größe 2'!B2 Third!B2"),
    "3-D quoted": Construct("SUM('It''s here:Größe 2'!A1:A2)", "A1:A2 'Größe 2'!A1:A2", office="never"),
    "union": Construct("SUM((A1,C3))", "A1 C3"),
    "meet": Construct("SUM(A1:C3 B2:D4)", "B2:C3", office="more"),
    "meet of names": Construct("SUM(Kernel B1:B6)", "B1:B2", office="more"),
    "colon": Construct("SUM(A1:INDEX(B1:B6,3))", "A1:B6", office="less"),
    "colon both": Construct("SUM(INDEX(A1:A6,2):INDEX(C1:C6,4))", "A1:C6", office="less"),
    "colon of a name": Construct("SUM(Kernel:D5)", "A1:D5"),
    "choose": Construct("SUM(CHOOSE(A6,A1:A2,B1:B2):C3)", "A6 A1:C3", office="less"),
    "if": Construct("SUM(IF(A1>0,B1:B2,C1:C2))", "A1 B1:B2 C1:C2"),
    "string": Construct('IF(A1="B2:C3",D4,"""D5""")', "A1 D4"),
    "error": Construct("IF(ISNA(#N/A),A1,B1)", "A1 B1"),
    "array constant": Construct("SUM({1,2;3,4}*A1:B2)", "A1:B2"),
    "looks like cells": Construct("LOG10(A1)+SUM(1E+3,1E5,B1)", "A1 B1"),
    "INDIRECT A1": Construct('INDIRECT("A1")+A2', "A2", "INDIRECT"),
    "INDIRECT R1C1": Construct('INDIRECT("R1C1",FALSE)+A2', "A2", "INDIRECT"),
    "OFFSET": Construct("SUM(OFFSET(A1,1,1,2,2))+A2", "A1 A2", "OFFSET"),
    "colon to OFFSET": Construct("SUM(A1:OFFSET(A1,2,B1))", "A1 B1", "OFFSET"),
    "blank": Construct("SUM(E1:F6)", "E1:F6"),
    "table column": Construct("SUM(Pix[y y])", "Data!I2:I4"),
    "table span": Construct("SUM(Pix[[x]:[y y]])", "Data!H2:I4"),
    "table escape": Construct("SUM(Pix[z'#1])", "Data!J2:J4"),
    "table headers": Construct("COUNTA(Pix[#Headers])", "Data!H1:J1", office="never"),
    "table header": Construct("Pix[[#Headers],[y y]]", "Data!I1"),
    "table totals": Construct("SUM(Pix[[#Totals],[x]:[y y]])", "Data!H5:I5"),
    "table all": Construct("COUNTA(Pix[#All])", "Data!H1:J5", office="never"),
    "table data and totals": Construct("COUNTA(Pix[[#Data],[#Totals],[x]])", "Data!H2:H4 Data!H5"),
    "table data": Construct("SUM(Pix[])", "Data!H2:J4"),
    "table this row": Construct("Near[[#This Row],[left]]*2", "T{row}"),
    "table this row span": Construct("SUM(Near[[#This Row],[left]:[right]])", "T{row}:U{row}"),
    "unknown column": Construct("SUM(Pix[w])+A1", "A1", "no column"),
    "unknown sheet": Construct("SUM(Nosuch!A1)+A2", "A2", "does not exist"),
    "other book": Construct("[1]Sheet1!A1+A4", "A4", "another workbook"),
    "deleted": Construct("SUM(#REF!)+A2", "A2"),
    "long": Construct("+".join(["A1", "B1"] * 1000), "A1 B1"),
    "deep": Construct("(" * 60 + "A1" + ")" * 60, "A1"),
}
MODERN = {  # what LibreOffice 7.4 does not know
    "let": Construct("_xlfn.LET(_xlpm.a1x,A1:A3,_xlpm.b,2,SUM(_xlpm.a1x)*_xlpm.b+C1)", "A1:A3 C1"),
    "lambda": Construct("_xlfn.LAMBDA(_xlpm.x,_xlpm.x+A1)(B1)", "A1 B1", office="never"),
    "spill": Construct("SUM(_xlfn.ANCHORARRAY(N1))", "N1:N3", office="less"),
    "single": Construct("_xlfn.SINGLE(A1:A6)", "A1:A6"),
}
