"""The normal form of formulas: two cells whose formulas have the same normal form compute the same function.

Constants are folded, sums and products flattened and put in order, a difference is a sum with a negative term,
a quotient a product with a reciprocal, ranges are resolved to the rectangles that they name, spellings
(``_xlfn.``, quotation marks around sheets, blanks, a plus sign in front) are gone. The form is a nested tuple,
to be compared and counted, never computed. What the parser does not read has no normal form.
"""

from __future__ import annotations

import re
from typing import Any

from sheetconv.errors import LimitError
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Cell, Source
from sheetconv.formulas.syntax import Apply, Node, NumberNode, Skeletons, Slot, TextNode

Form = tuple[Any, ...]

_ANY_ORDER = {"SUM", "SUMPRODUCT", "MAX", "MIN", "AVERAGE", "=", "<>"}
_TURNED = {">": "<", ">=": "<="}
_SAME = {"STDEVP": "STDEV.P", "VARP": "VAR.P", "STDEV": "STDEV.S", "VAR": "VAR.S"}
_QUOTED = re.compile(r"'([A-Za-z_][A-Za-z_]{3,}[A-Za-z0-9_]*)'!")
_SPILL = re.compile(r"[A-Za-z]\$?\d+#")
_TEXT = re.compile(r'"[^"]*"')
_SPACE = re.compile(r"\s+")


def spelling(formula: str) -> str:
    """A formula with its commonest spellings made one, cheaply: equal texts are equal formulas."""
    text = formula.removeprefix("=")
    if "'" in text:
        text = _QUOTED.sub(r"\1!", text)
    if '"' not in text and "'" not in text and " " in text:
        text = _SPACE.sub(lambda m: " " if _meets(text, *m.span()) else "", text)
    return text


def _meets(text: str, start: int, end: int) -> bool:
    """Whether a blank may be an operator: the intersection of what stands on both sides."""
    return (
        start > 0 and end < len(text) and text[start - 1] not in "(,+-*/=<>" and text[end] not in "),+-*/=<>"
    )


class Normal:
    """Normal forms of the formulas of one workbook."""

    def __init__(self, source: Source):
        self._skeletons = Skeletons(source)
        self._known: dict[tuple[str, tuple[Area, ...]], Form | None] = {}

    def form(self, cell: Cell, formula: str) -> Form | None:
        """The normal form of a formula as it stands in a cell; None where the parser does not read it."""
        if "@" in formula or _spills(formula):  # one cell of a range; the cells that a formula spills into
            return None
        try:
            skeleton, slots = self._skeletons.split(cell, formula)
        except LimitError:
            return None
        key = skeleton.text, slots
        if key not in self._known:
            tree = skeleton.tree
            self._known[key] = None if tree is None else _form(tree, slots)
        return self._known[key]


def _spills(formula: str) -> bool:
    """Whether a formula reads what another spills: ``A1#``."""
    return "#" in formula and _SPILL.search(_TEXT.sub("", formula)) is not None


def _form(node: Node, slots: tuple[Area, ...]) -> Form:
    match node:
        case NumberNode(value):
            return "number", value
        case TextNode(value):
            return "text", value
        case Slot(index):
            return "cells", *slots[index]
        case Apply("+" | "-" | "*" | "1/"):
            return _arithmetic(node, slots)
        case Apply(name, of):
            return _apply(_SAME.get(name, name), [_form(n, slots) for n in of])
        case _:  # a LAMBDA handed to a function
            return "lambda", node, *slots


def _apply(name: str, of: list[Form]) -> Form:
    if name in _TURNED:
        return _TURNED[name], of[1], of[0]
    if name == "SUM" and any(f[0] == "SUM" for f in of):
        of = [g for f in of for g in (f[1:] if f[0] == "SUM" else (f,))]
    return name, *(sorted(of, key=repr) if name in _ANY_ORDER else of)


def _arithmetic(node: Apply, slots: tuple[Area, ...]) -> Form:
    """A sum or a product, flat: ("+", constant, (factor, term)…) or ("*", constant, factors…)."""
    if node.name in ("+", "-"):
        constant, terms = 0.0, []
        for factor, term in _terms(node, slots, 1.0):
            if term is None:
                constant += factor
            else:
                terms.append((factor, term))
        terms.sort(key=repr)
        if not terms:
            return "number", constant
        if constant == 0 and len(terms) == 1:
            return _product(*terms[0])
        return "+", constant, *terms
    constant, form = _factored(node, slots)
    return _product(constant, form)


def _product(constant: float, form: Form | None) -> Form:
    if form is None or constant == 0:
        return "number", constant
    if constant == 1:
        return form
    return ("*", constant, *form[2:]) if form[0] == "*" else ("*", constant, form)


def _terms(node: Node, slots: tuple[Area, ...], sign: float) -> list[tuple[float, Form | None]]:
    """Terms of a sum as (constant factor, form); form None for a constant alone."""
    if isinstance(node, Apply) and node.name == "+":
        return [t for n in node.of for t in _terms(n, slots, sign)]
    if isinstance(node, Apply) and node.name == "-":
        return _terms(node.of[0], slots, -sign)
    constant, form = _factored(node, slots)
    if form is not None and form[0] == "+" and sign * constant in (1.0, -1.0):
        scale = sign * constant
        inner: list[tuple[float, Form | None]] = [(scale * f, t) for f, t in form[2:]]
        return [*inner, (scale * form[1], None)]
    return [(sign * constant, form)]


def _factored(node: Node, slots: tuple[Area, ...]) -> tuple[float, Form | None]:
    """A node as constant × form; form None where the node is a constant."""
    constant = 1.0
    factors: list[Form] = []
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, NumberNode):
            constant *= here.value
        elif isinstance(here, Apply) and here.name == "*":
            waiting += here.of
        elif isinstance(here, Apply) and here.name == "-":
            constant = -constant
            waiting.append(here.of[0])
        elif isinstance(here, Apply) and here.name == "1/":
            constant, factors = _divided(here.of[0], slots, constant, factors)
        else:
            form = _form(here, slots)
            if form[0] == "number":
                constant *= form[1]
            elif form[0] == "*":
                constant *= form[1]
                factors += form[2:]
            else:
                factors.append(form)
    if not factors:
        return constant, None
    factors.sort(key=repr)
    return constant, factors[0] if len(factors) == 1 else ("*", 1.0, *factors)


def _divided(
    node: Node, slots: tuple[Area, ...], constant: float, factors: list[Form]
) -> tuple[float, list[Form]]:
    below, form = _factored(node, slots)
    if below == 0:
        return constant, [*factors, ("1/", ("number", 0.0))]
    if form is None:
        return constant / below, factors
    return constant / below, [*factors, ("1/", form)]
