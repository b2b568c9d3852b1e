"""A formula as an expression tree, with its references taken out: what it does, and where it reads.

Cells filled from one another share a *skeleton* (the text without its addresses) and differ in their *slots*
(the addresses). A skeleton is parsed once, whatever the number of its cells. openpyxl's Tokenizer gives
tokens only, as `sheetconv.xlsx.tokens` does, and leaves the grouping of operators to its caller; hence the
small parser here. Chains of one operator are flat, so only nesting makes a tree deep; the depth is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Union

from sheetconv.errors import LimitError
from sheetconv.formulas import tables
from sheetconv.formulas.addresses import plain_addresses
from sheetconv.formulas.cell_range import Area
from sheetconv.xlsx.tokens import Token, box, is_address, is_name, tokens

if TYPE_CHECKING:
    from sheetconv.formulas.source import Cell, Source

MOST_CHARACTERS = 8192
MOST_DEPTH = 100
MOST_NODES = 50_000
_DEEPEST_NAMES = 16
"""Spreadsheet programs take formulas of 8,192 characters and functions nested 64 deep."""


@dataclass(frozen=True)
class NumberNode:
    """A number written in the formula (TRUE and FALSE are 1 and 0)."""

    value: float


@dataclass(frozen=True)
class TextNode:
    """A text in quotation marks, or anything else that no number comes from (an error value)."""

    value: str


@dataclass(frozen=True)
class Slot:
    """A reference: its place in the skeleton's list of slots."""

    index: int


@dataclass(frozen=True)
class Apply:
    """A function, or an operator of several operands.

    `name` is the function's name in capitals, or one of ``+`` (terms), ``*`` (factors), ``-`` (negated),
    ``1/`` (reciprocal), ``^``, ``&``, ``=``, ``<>``, ``<``, ``<=``, ``>``, ``>=``, ``{}`` (rows of an array),
    ``;`` (cells of one row).
    """

    name: str
    of: tuple[Node, ...]


@dataclass(frozen=True)
class Lambda:
    """A function of its own: names of its parameters, and what it computes."""

    names: tuple[str, ...]
    body: Node


Node = Union[NumberNode, TextNode, Slot, Apply, "Variable", "Lambda"]


@dataclass(frozen=True)
class Variable:
    """A variable of LET or LAMBDA; none is left in a finished tree."""

    name: str


class Unreadable(Exception):
    """The formula uses something that this parser does not know; the message says what."""


@dataclass
class FormulaPattern:
    """What cells filled from one another have in common: the text with ``§`` for each reference."""

    text: str
    pieces: tuple[Token | int, ...]

    @cached_property
    def tree(self) -> Node | None:
        """The expression; None where the formula uses what the parser does not know."""
        try:
            return finished(_Parser(self.pieces).parse())
        except (Unreadable, RecursionError):  # the depth is bounded; the latter is a second fence
            return None


@dataclass(frozen=True)
class _ParsePlan:
    """What texts share that differ in their addresses only: the pattern, and each slot's sheet and corners."""

    pattern: FormulaPattern
    slots: tuple[tuple[str, int, int], ...]

    def applied(self, corners: list[tuple[int, int]]) -> tuple[FormulaPattern, tuple[Area, ...]]:
        found = []
        for sheet, a, b in self.slots:
            (r0, c0), (r1, c1) = corners[a], corners[b]
            found.append(Area(sheet, r0 if r0 < r1 else r1, c0 if c0 < c1 else c1, max(r0, r1), max(c0, c1)))
        return self.pattern, tuple(found)


class Skeletons:
    """Splits the formulas of a workbook into skeletons and slots, each skeleton made once."""

    def __init__(self, source: Source):
        self.source = source
        self._known: dict[str, FormulaPattern] = {}
        self._plans: dict[tuple[str, str], _ParsePlan | None] = {}
        self._names = {name.lower(): text for name, text in source.book.defined_names.items()}
        self._local = {(s, n.lower()): text for (s, n), text in source.book.local_names.items()}
        self._sheets = {name.lower(): name for name in source.sheets}

    def split(self, cell: Cell, formula: str) -> tuple[FormulaPattern, tuple[Area, ...]]:
        """The skeleton of a cell's formula and the areas in its slots.

        Names are read for what they stand for: a fixed area is a slot, any other formula (a constant, a LAMBDA)
        takes the name's place in parentheses. Raises `LimitError` for a formula longer than any program takes.
        """
        if len(formula) > MOST_CHARACTERS + 1:
            where = Area(*cell, *cell[1:])
            raise LimitError(
                f"{where}: a formula of {len(formula):,} characters; spreadsheet programs take {MOST_CHARACTERS:,}"
            )
        addresses = plain_addresses(formula)
        if addresses is None:
            return self._split(cell, formula)
        key = cell[0], addresses.rest
        if key not in self._plans:
            pattern, slots = self._split(cell, formula)
            self._plans[key] = self._plan(pattern, formula, cell, len(addresses.corners))
            return pattern, slots
        plan = self._plans[key]
        return plan.applied(addresses.corners) if plan else self._split(cell, formula)

    def _plan(self, pattern: FormulaPattern, formula: str, cell: Cell, corners: int) -> _ParsePlan | None:
        """How the slots follow from the addresses; None where names, columns or tables are among them."""
        found: list[tuple[str, int, int]] = []
        at = 0
        for token in tokens(formula.removeprefix("=")):
            if token.kind == "area":
                sheet, last = self._sheet(token.sheet, cell[0]), at + token.text.count(":")
                if sheet is None or token.spill:
                    return None
                found.append((sheet, at, last))
                at = last + 1
            elif (
                is_address(token)
                or token.kind in ("name", "table")
                or (token.kind == "function" and self._meaning(token.text[:-1], token, cell[0], ()))
            ):
                return None
        return _ParsePlan(pattern, tuple(found)) if at == corners else None

    def _split(self, cell: Cell, formula: str) -> tuple[FormulaPattern, tuple[Area, ...]]:
        pieces: list[Token | int] = []
        slots: list[Area] = []
        text: list[str] = []
        for piece in self._resolved(tokens(formula.removeprefix("=")), cell, ()):
            if isinstance(piece, Token):
                pieces.append(piece)
                text.append(f"{piece.sheet}!{piece.text}" if piece.sheet else piece.text.upper())
                continue
            area, name = piece
            text.append("§" if area.sheet == cell[0] else f"{area.sheet}!§")
            text.append(f"({name})" if name else "")
            pieces.append(len(slots))
            slots.append(area)
        key = "".join(text)
        if key not in self._known:
            self._known[key] = FormulaPattern(key, tuple(pieces))
        try:
            self._known[key].tree  # noqa: B018  (so that a bottomless formula is reported with its cell)
        except LimitError as error:
            raise LimitError(f"{Area(*cell, *cell[1:])}: {error}") from error
        return self._known[key], tuple(slots)

    def _resolved(
        self, found: Iterable[Token], cell: Cell, names: tuple[str, ...]
    ) -> Iterator[Token | tuple[Area, str]]:
        """Tokens, references as (area, name or ""); `names` are those within whose text they stand."""
        for token in found:
            if token.kind == "space":
                continue
            area = self._area(token, cell, moving=bool(names))
            if area is not None:
                yield area, token.text.upper() if is_name(token) else ""
                continue
            called = token.kind == "function"
            text = self._meaning(token.text[:-1] if called else token.text, token, cell[0], names)
            if text is None:
                yield token
                continue
            yield Token("other", "(")
            yield from self._resolved(tokens(text), cell, (*names, token.text.upper()))
            yield from (Token("other", ")"), *([Token("other", "(")] if called else []))

    def _meaning(self, name: str, token: Token, sheet: str, names: tuple[str, ...]) -> str | None:
        """Text of a defined name that is to be read in its place; None for anything else."""
        if not (is_name(token) or token.kind == "function") or len(names) >= _DEEPEST_NAMES:
            return None
        if token.text.upper() in names:
            return None
        scope = self._sheet(token.sheet, sheet)
        text = self._local.get((scope or sheet, name.lower()), self._names.get(name.lower()))
        return text if text and len(text) < MOST_CHARACTERS else None

    def _area(self, token: Token, cell: Cell, moving: bool = False) -> Area | None:
        sheet = cell[0]
        if token.spill:
            inner = self._area(Token(token.kind, token.text, token.sheet), cell, moving)
            spill = self.source.cells(inner.sheet).arrays.get((inner.row0, inner.column0)) if inner else None
            return Area(inner.sheet, *spill) if inner and spill else inner
        if is_address(token):
            name = self._sheet(token.sheet, sheet)
            found = box(token)
            bounds = found.moved(*cell[1:]) if moving else found.bounds
            if name is None or token.kind == "area":
                return Area(name, *bounds) if name else None
            return self.source.used(Area(name, *bounds)) or Area(name, *bounds[:2], *bounds[:2])
        if is_name(token):
            return self._named(token, sheet)
        if token.kind == "table":
            return self._table(token, cell)
        return None

    def _table(self, token: Token, cell: Cell) -> Area | None:
        name, _, inside = token.text.partition("[")
        table, part = self.source.table(name, cell), tables.parse_part("[" + inside)
        found = tables.areas(table, part, cell[1])[0] if table and part else []
        return found[0] if len(found) == 1 else None

    def _sheet(self, prefix: str | None, here: str) -> str | None:
        if prefix is None:
            return here
        plain = prefix[1:-1].replace("''", "'") if prefix.startswith("'") else prefix
        return self._sheets.get(plain.lower())

    def _named(self, token: Token, sheet: str) -> Area | None:
        """The area of a name that stands for one fixed area; None for any other."""
        scope = self._sheet(token.sheet, sheet)
        text = self._local.get((scope or sheet, token.text.lower()), self._names.get(token.text.lower()))
        found = list(tokens(text)) if text is not None and len(text) < 300 else []
        if len(found) != 1 or not is_address(found[0]) or not all(box(found[0]).fixed):
            return None
        name = self._sheet(found[0].sheet, sheet)
        return Area(name, *box(found[0]).bounds) if name else None


class _Parser:
    """Precedence climbing over tokens; the methods are named for what they read."""

    def __init__(self, pieces: tuple[Token | int, ...]):
        self.pieces, self.at, self.depth = pieces, 0, 0

    def parse(self) -> Node:
        node = self.comparison()
        if self.at < len(self.pieces):
            raise Unreadable(f"{self.peek()!r} was not expected")
        return node

    def peek(self) -> str:
        """Text of the next token if it is a sign, else empty."""
        piece = self.pieces[self.at] if self.at < len(self.pieces) else 0
        return piece.text if isinstance(piece, Token) and piece.kind == "other" else ""

    def take(self, *signs: str) -> str:
        found = self.peek()
        if found and found in signs:
            self.at += 1
            return found
        return ""

    def comparison(self) -> Node:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise LimitError(f"a formula nested more than {MOST_DEPTH} deep; spreadsheet programs take 64")
        node = self.joined()
        for _ in range(MOST_DEPTH):
            sign = self.take("=", "<", ">")
            if not sign:
                break
            sign += self.take("=", ">") if sign == "<" else self.take("=") if sign == ">" else ""
            node = Apply(sign, (node, self.joined()))
        self.depth -= 1
        return node

    def joined(self) -> Node:
        parts = [self.sum()]
        while self.take("&"):
            parts.append(self.sum())
        return parts[0] if len(parts) == 1 else Apply("&", tuple(parts))

    def sum(self) -> Node:
        terms = [self.product()]
        while sign := self.take("+", "-"):
            term = self.product()
            terms.append(Apply("-", (term,)) if sign == "-" else term)
        return terms[0] if len(terms) == 1 else Apply("+", tuple(terms))

    def product(self) -> Node:
        factors = [self.power()]
        while sign := self.take("*", "/"):
            factor = self.power()
            factors.append(Apply("1/", (factor,)) if sign == "/" else factor)
        return factors[0] if len(factors) == 1 else Apply("*", tuple(factors))

    def power(self) -> Node:
        node = self.signed()
        for _ in range(MOST_DEPTH):
            if not self.take("^"):
                break
            node = Apply("^", (node, self.signed()))
        return node

    def signed(self) -> Node:
        negative = False
        while sign := self.take("+", "-", "@"):
            negative ^= sign == "-"
        node = self.called(self.operand())
        if self.take(":"):
            node = Apply(":", (node, self.called(self.operand())))
        while self.take("%"):
            node = Apply("*", (node, NumberNode(0.01)))
        return Apply("-", (node,)) if negative else node

    def called(self, node: Node) -> Node:
        """``LAMBDA(x, …)(argument)``: the call carried out."""
        while isinstance(node, Lambda) and self.take("("):
            node = applied(node, self.arguments())
        return node

    def operand(self) -> Node:
        if self.at >= len(self.pieces):
            raise Unreadable("the formula ends too early")
        piece = self.pieces[self.at]
        self.at += 1
        if isinstance(piece, int):
            return Slot(piece)
        if piece.kind == "number":
            return _number(piece.text)
        if piece.kind == "string":
            return TextNode(piece.text[1:-1])
        if piece.kind == "error":
            return TextNode(piece.text)
        if piece.kind == "name" and piece.text.upper() in ("TRUE", "FALSE"):
            return NumberNode(float(piece.text.upper() == "TRUE"))
        if piece.kind == "function":
            return _meant(_plain_name(piece.text), self.arguments())
        if piece.kind in ("name", "area") and is_name(piece) and piece.sheet is None:
            return Variable(piece.text.lower())
        if piece.text == "(":
            node = self.comparison()
            if not self.take(")"):
                raise Unreadable("a parenthesis is left open")
            return node
        if piece.text == "{":
            return self.array()
        raise Unreadable(f"{piece.text[:40]!r} is not read")

    def arguments(self) -> tuple[Node, ...]:
        found: list[Node] = []
        if self.take(")"):
            return ()
        while True:
            if self.peek() in (",", ";", ")"):
                found.append(NumberNode(0.0))  # an argument left out
            else:
                found.append(self.comparison())
            if self.take(")"):
                return tuple(found)
            if not self.take(",", ";"):
                raise Unreadable("arguments are not separated")

    def array(self) -> Node:
        rows: list[list[Node]] = [[]]
        while True:
            rows[-1].append(self.signed())
            if self.take("}"):
                return Apply("{}", tuple(Apply(";", tuple(row)) for row in rows))
            if self.take(";"):
                rows.append([])
            elif not self.take(","):
                raise Unreadable("an array constant is left open")


def parsed(pieces: Sequence[Token | int]) -> Node:
    """The tree of tokens, references given as numbers of slots. Raises `Unreadable`, `LimitError`."""
    return _Parser(tuple(pieces)).parse()


def _number(text: str) -> NumberNode:
    try:
        return NumberNode(float(text))
    except ValueError as error:
        raise Unreadable(f"{text!r} is no number") from error


def _meant(name: str, of: tuple[Node, ...]) -> Node:
    """A function's node; LET is carried out, LAMBDA kept as a function, what spills and ``@`` name as it is."""
    if name == "LAMBDA" and of:
        return Lambda(tuple(_variable(n) for n in of[:-1]), of[-1])
    if name == "LET" and len(of) % 2:
        body = of[-1]
        for name_node, value in reversed(list(zip(of[:-1:2], of[1:-1:2], strict=True))):
            body = substituted(body, {_variable(name_node): value})
        return body
    if name in ("ANCHORARRAY", "_SPILL") and len(of) == 1:
        return of[0]
    return Apply("@" if name == "SINGLE" else name, of)


def _variable(node: Node) -> str:
    if not isinstance(node, Variable):
        raise Unreadable("a variable was expected")
    return node.name


def applied(function: Lambda, arguments: Sequence[Node]) -> Node:
    """What a LAMBDA computes of arguments. Raises `Unreadable` where there are too many or too few."""
    if len(arguments) != len(function.names):
        raise Unreadable("a LAMBDA with another number of arguments")
    return substituted(function.body, dict(zip(function.names, arguments, strict=True)))


def substituted(node: Node, values: Mapping[str, Node]) -> Node:
    """The tree with variables replaced. Raises `Unreadable` where it grows beyond all measure."""
    left = [MOST_NODES]

    def replaced(here: Node, bound: Mapping[str, Node]) -> Node:
        left[0] -= 1
        if left[0] < 0:
            raise Unreadable("LET and LAMBDA make it too long")
        if isinstance(here, Variable):
            return bound.get(here.name, here)
        if isinstance(here, Apply):
            return Apply(here.name, tuple(replaced(n, bound) for n in here.of))
        if isinstance(here, Lambda):
            inner = {k: v for k, v in bound.items() if k not in here.names}
            return Lambda(here.names, replaced(here.body, inner))
        return here

    return replaced(node, values)


def finished(node: Node) -> Node:
    """The tree, if no variable is free in it; raises `Unreadable`."""
    waiting: list[tuple[Node, frozenset[str]]] = [(node, frozenset())]
    for _ in range(MOST_NODES):
        if not waiting:
            return node
        here, bound = waiting.pop()
        if isinstance(here, Variable) and here.name not in bound:
            raise Unreadable(f"the name {here.name!r} stands for nothing that is read")
        if isinstance(here, Apply):
            waiting += [(n, bound) for n in here.of]
        elif isinstance(here, Lambda):
            waiting.append((here.body, bound | set(here.names)))
    raise Unreadable("too long")


def _plain_name(text: str) -> str:
    """``_xlfn.STDEV.P(`` → ``STDEV.P``."""
    name = text[:-1].upper()
    for prefix in ("_XLFN.", "_XLWS.", "_XLUDF."):
        name = name.removeprefix(prefix)
    return name


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        yield here
        if isinstance(here, Apply):
            waiting += reversed(here.of)
        elif isinstance(here, Lambda):
            waiting.append(here.body)
