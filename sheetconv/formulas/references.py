"""What one formula reads, from its text: an evaluator of references, never of values.

References can be computed: ``A1:INDEX(B:B,3)``, ``A1:C3 B2:D4`` (where they meet), ``(A1,C3)``, a name, a
table's column, LET's variables. The evaluator keeps, for each open bracket, what the part read so far may
refer to; whatever is used as a value counts as read. No recursion over the formula, so nesting costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sheetconv.formulas import tables
from sheetconv.formulas.cell_range import Area
from sheetconv.xlsx.tokens import Token, box, is_address, is_name, tokens

if TYPE_CHECKING:
    from sheetconv.formulas.source import Source

Cell = tuple[str, int, int]
"""(sheet, row, column), zero-based."""
FIXED, WHOLE = 15, 16
"""Bits of `Piece.mask`: the four bounds do not move with the cell; cut to the used part of the sheet."""
DEEPEST_NAMES = 64
PLACES = {"ROW", "COLUMN", "ROWS", "COLUMNS"}
"""Functions that ask where a reference stands, and read no cell."""
_UNKNOWABLE = {"INDIRECT", "OFFSET"}
_GIVES_REFERENCE = {
    "INDEX": lambda i: i == 0,
    "CHOOSE": lambda i: i > 0,
    "IF": lambda i: i > 0,
    "IFS": lambda i: i % 2 == 1,
    "SWITCH": lambda i: i > 1,
    "IFERROR": lambda i: True,
    "IFNA": lambda i: True,
    "XLOOKUP": lambda i: i in (2, 3),
    "SINGLE": lambda i: i == 0,
    "ANCHORARRAY": lambda i: i == 0,
    "LET": lambda i: True,  # only the last one; the others are dropped when their comma comes
}


class Piece(NamedTuple):
    """An area as it stands for one cell; `mask` says which bounds are fixed (1, 2, 4, 8: row0 … column1)."""

    area: Area
    mask: int


Pieces = list[Piece]


@dataclass
class LambdaFrame:
    """An open bracket: the function before it ("" for a plain one), its arguments so far."""

    function: str = ""
    argument: int = 0
    result: Pieces = field(default_factory=list)
    meet: Pieces | None = None
    """Left side of an intersection."""
    span: Pieces | None = None
    """The reference just read; None: nothing, or a value."""
    joining: bool = False
    """A colon stands behind `span`."""
    variable: str = ""
    bound: dict[str, Pieces] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    """Places of the first tokens of its arguments."""


@dataclass
class ReferenceReading:
    """What reading a formula gave.

    Attributes:
        cell: where the formula stands (for an array formula its first cell).
        pieces: what it reads, in order.
        notes: what cannot be known from the text.
        movable: the pieces of a copy of this formula elsewhere are these, moved as their masks say.
    """

    cell: Cell
    pieces: Pieces = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    movable: bool = True
    names: tuple[str, ...] = ()
    known_names: dict[tuple[str, str], Pieces] = field(default_factory=dict)


def read(source: Source, text: str, cell: Cell) -> ReferenceReading:
    """Read the formula `text` as it stands in `cell`."""
    reading = ReferenceReading(cell)
    _Evaluator(source, reading).run(text)
    return reading


class _Evaluator:
    def __init__(self, source: Source, reading: ReferenceReading, shifted: bool = False):
        self.source, self.reading, self.shifted = source, reading, shifted
        self.frames = [LambdaFrame()]
        self.tokens: list[Token] = []
        self.at = 0

    def run(self, text: str) -> None:
        self.tokens = found = [t for t in tokens(text) if t.kind != "space"]
        for self.at, (token, following) in enumerate(zip(found, [*found[1:], None], strict=True)):
            self._step(token, following)
        while len(self.frames) > 1:
            self._close()
        self._commit([*self.frames[0].result, *self._finish(self.frames[0])])

    def _step(self, token: Token, following: Token | None) -> None:
        frame = self.frames[-1]
        if token.kind == "function":
            self._open(token)
        elif token.kind in ("string", "error", "number"):
            self._operand(None)
        elif token.kind == "other":
            self._mark(token.text, frame)
        elif (
            frame.function in ("LET", "LAMBDA")
            and token.kind == "name"
            and following is not None
            and following.text == ","
            and (frame.function == "LAMBDA" or frame.argument % 2 == 0)
        ):
            frame.variable = token.text.lower()
            if frame.function == "LAMBDA":
                frame.bound[frame.variable] = []
        else:
            self._operand(self._pieces(token))

    def _mark(self, text: str, frame: LambdaFrame) -> None:
        if text in "({":
            self.frames.append(LambdaFrame())
        elif text in ")}":
            self._close()
        elif text in ",;":
            self._argument(frame)
        elif text == ":":
            frame.joining = frame.span is not None
        elif text == "#" and frame.span is not None:
            frame.span = [self._spilled(p) for p in frame.span]
        elif text != "@":
            self._commit(self._finish(frame))

    def _open(self, token: Token) -> None:
        name = token.text[:-1].upper()
        short = name.rpartition(".")[2] if name.startswith("_XL") else name
        if short in _UNKNOWABLE:
            self.reading.notes.append(f"{short} names its cells only when it is computed: untraceable")
        elif self.source.has_name(token.text[:-1], self.reading.cell[0]):  # a LAMBDA with a name
            self._commit(self._name(Token("name", token.text[:-1], token.sheet)) or [])
        self.frames.append(LambdaFrame(short, starts=[self.at + 1]))

    def _close(self) -> None:
        if len(self.frames) == 1:
            return
        frame = self.frames[-1]
        if frame.function == "LET":
            frame.variable = ""
        self._argument(frame)
        self.frames.pop()
        result = frame.result
        if frame.function == "INDEX" and len(result) == 1:
            result = self._one_cell(frame, result[0])
        if frame.function == "ANCHORARRAY":  # how files write A1#
            result = [self._spilled(p) for p in result]
        self._operand(result or None)

    def _argument(self, frame: LambdaFrame) -> None:
        found = self._finish(frame)
        gives = _GIVES_REFERENCE.get(frame.function)
        if frame.variable and frame.function == "LET" and frame.argument % 2:
            frame.bound[frame.variable], frame.variable = found, ""
            self._commit(found)
        elif not frame.function or (gives and gives(frame.argument)):
            frame.result += found  # a plain bracket: a union
        elif frame.function not in PLACES:
            self._commit(found)
        frame.argument += 1
        frame.starts.append(self.at + 1)

    def _one_cell(self, frame: LambdaFrame, piece: Piece) -> Pieces:
        """The cell that INDEX picks where its position follows from the formula's own place, by ROW() and the like."""
        from sheetconv.formulas.places import whole_number

        ends = [*(start - 1 for start in frame.starts[1:]), self.at]
        parts = [self.tokens[a:b] for a, b in zip(frame.starts[1:], ends[1:], strict=False) if a < b]
        if not any(t.kind == "function" and t.text[:-1].upper() in PLACES for part in parts for t in part):
            return [piece]
        at = [whole_number(part, self.reading.cell) for part in parts]
        _, r0, c0, r1, c1 = piece.area
        if None in at or not 1 <= len(at) <= 2 or 0 in at:
            return [piece]
        row, column = (
            (at[0] or 0, at[1] or 0) if len(at) == 2 else (1, at[0] or 0) if r0 == r1 else (at[0] or 0, 1)
        )
        row, column = r0 + row - 1, c0 + column - 1
        if not (r0 <= row <= r1 and c0 <= column <= c1):
            return [piece]
        self.reading.movable = False
        return [Piece(Area(piece.area.sheet, row, column, row, column), FIXED)]

    def _operand(self, pieces: Pieces | None) -> None:
        frame = self.frames[-1]
        if pieces is None:  # a value, or something unknown as in A1:OFFSET(…)
            self._commit(self._finish(frame))
        elif frame.joining and frame.span is not None:
            frame.span, frame.joining = self._joined(frame.span, pieces), False
        else:
            if frame.span is not None:
                frame.meet = frame.span if frame.meet is None else self._met(frame.meet, frame.span)
            frame.span = pieces

    def _finish(self, frame: LambdaFrame) -> Pieces:
        """The reference that ends here; the frame is ready for the next one."""
        found = frame.span or []
        if frame.meet is not None:
            found = self._met(frame.meet, found) if frame.span is not None else frame.meet
        frame.meet = frame.span = None
        frame.joining = False
        return found

    def _commit(self, pieces: Pieces) -> None:
        self.reading.pieces += pieces

    def _derived(self, area: Area, *parts: Piece) -> Piece:
        """An area computed from others: it moves with the cell in a way of its own, unless all are fixed."""
        if any(p.mask & FIXED != FIXED for p in parts):
            self.reading.movable = False
        return Piece(area, FIXED)

    def _joined(self, left: Pieces, right: Pieces) -> Pieces:
        """``left:right``; where a side may be one of several areas, the rectangle around all of them."""
        sheets = {p.area.sheet for p in (*left, *right)}
        if len(sheets) != 1:
            return left + right
        parts = [self._cut(p) for p in (*left, *right)]
        around = parts[0].area
        for part in parts[1:]:
            b = part.area
            around = Area(around.sheet, min(around[1], b[1]), min(around[2], b[2]), max(around[3], b[3]), max(around[4], b[4]))  # fmt: skip
        return [self._derived(around, *parts)]

    def _met(self, left: Pieces, right: Pieces) -> Pieces:
        return [self._derived(found, a, b) for a in left for b in right if (found := a.area.meet(b.area))]

    def _cut(self, piece: Piece) -> Piece:
        if not piece.mask & WHOLE:
            return piece
        used = self.source.used(piece.area)
        return Piece(used or piece.area, piece.mask & FIXED)

    def _spilled(self, piece: Piece) -> Piece:
        return self._derived(self.source.spill(piece.area), piece)

    # --- operands ---------------------------------------------------------------------------------

    def _pieces(self, token: Token) -> Pieces | None:
        if token.sheet and "[" in token.sheet:
            link = self.source.link(token.sheet)
            if link is not None:
                self.reading.notes.append(f"link to another workbook, not followed: {link}!{token.text}")
                return None
            token = Token(token.kind, token.text, None, token.spill)  # [0]!name: this workbook
        if is_address(token):
            return self._address(token)
        if is_name(token):
            return self._variable(token) if token.sheet is None else self._name(token)
        return self._table(token) if token.kind == "table" else None

    def _sheets(self, prefix: str | None) -> list[str]:
        if prefix is None:
            return [self.reading.cell[0]]
        found = self.source.sheets_named(prefix)
        if not found:
            self.reading.notes.append(f"sheet {prefix} does not exist")
        return found

    def _address(self, token: Token) -> Pieces:
        found = box(token)
        mask = sum(1 << i for i, fixed in enumerate(found.fixed) if fixed)
        bounds = found.bounds
        if self.shifted:
            bounds = found.moved(self.reading.cell[1], self.reading.cell[2])
            self.reading.movable &= mask == FIXED
        whole = WHOLE if token.kind != "area" else 0
        pieces = [Piece(Area(sheet, *bounds), mask | whole) for sheet in self._sheets(token.sheet)]
        return [self._spilled(p) for p in pieces] if token.spill else pieces

    def _variable(self, token: Token) -> Pieces | None:
        key = token.text.lower()
        for frame in reversed(self.frames):
            if key in frame.bound:
                return list(frame.bound[key]) or None
        return None if key.startswith("_xl") else self._name(token)

    def _name(self, token: Token) -> Pieces | None:
        scope = self._sheets(token.sheet)[:1]
        if not scope:
            return None
        key, reading = token.text.lower(), self.reading
        text = self.source.name(token.text, scope[0])
        if text is None:
            if key in self.source.tables:
                return self._table(Token("table", token.text + "[]"))
            reading.notes.append(f"name {token.text} is not defined")
            return None
        if (scope[0], key) in reading.known_names:
            return reading.known_names[scope[0], key] or None
        if key in reading.names:
            reading.notes.append(f"name {token.text} refers to itself")
            return None
        if len(reading.names) >= DEEPEST_NAMES:
            reading.notes.append(
                f"name {token.text}: names within names beyond {DEEPEST_NAMES} are not followed"
            )
            return None
        return self._body(key, scope[0], text) or None

    def _body(self, key: str, scope: str, text: str) -> Pieces:
        """What a name stands for; read once for each formula, however often names use it."""
        outer = self.reading
        inner = ReferenceReading(outer.cell, names=(*outer.names, key), known_names=outer.known_names)
        _Evaluator(self.source, inner, shifted=True).run(text)
        pieces = list(dict.fromkeys(inner.pieces))
        outer.notes += [n for n in dict.fromkeys(inner.notes) if n not in outer.notes]
        outer.movable &= inner.movable
        outer.known_names[scope, key] = pieces
        return pieces

    def _table(self, token: Token) -> Pieces | None:
        name, _, inside = token.text.partition("[")
        table = self.source.table(name, self.reading.cell)
        part = tables.parse_part("[" + inside)
        if table is None or part is None:
            what = (
                f"table {name or token.text} does not exist"
                if table is None
                else f"{token.text} makes no sense"
            )
            self.reading.notes.append(what)
            return None
        found, missing = tables.areas(table, part, self.reading.cell[1])
        if missing:
            self.reading.notes.append(f"table {name or token.text} {missing}")
        if "#this row" in part.rows or not name:
            self.reading.movable = False
        return [Piece(area, FIXED) for area in found] or None
