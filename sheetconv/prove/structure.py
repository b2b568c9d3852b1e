"""The leg by structure: the formulas in the file against those that the manifest's tensors have, all cells.

Equal texts are equal formulas; where a program has spelt a formula anew, its normal form must be the same.
Formulas of tensors come from expressions; those that an operator's rule gives anew from the manifest count as
the rule's, the others must be shown to equal their operators at points (`sheetconv.prove.points`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sheetconv.compile.rebuild import rebuilt
from sheetconv.errors import SheetconvError
from sheetconv.formulas.normal import Normal, spelling
from sheetconv.formulas.source import Source
from sheetconv.graph.expr import _FUNCTIONS, Call, Entry, Expr, Read, substitute, transform, walk
from sheetconv.graph.plain import plain
from sheetconv.graph.tensor import Tensor
from sheetconv.prove.account import with_formulas
from sheetconv.prove.cells import Sheets, address, pick
from sheetconv.prove.reference import MISFITS
from sheetconv.sheet.formula import Printer
from sheetconv.sheet.layout import Place
from sheetconv.sheet.manifest import Manifest
from sheetconv.xlsx.address import cell, quoted

_CALLED = re.compile(r"([A-Za-z_][\w.]*)\(")
_TEXT = re.compile(r'"(?:[^"]|"")*"')
_WRITTEN = {
    *_FUNCTIONS,
    "SUM",
    "SUMPRODUCT",
    "AVERAGE",
    "INDEX",
    "MATCH",
    "COUNT",
    "COUNTIF",
    "ROUND",
    "TEXT",
} - {"RAND"}
"""Functions that the compiler writes; a proven formula uses no others."""


@dataclass
class Mismatch:
    """A cell whose formula is another than the manifest's tensors give."""

    where: str
    tensor: str
    found: str
    expected: str

    def __str__(self) -> str:
        strange = [f for f in functions(self.found) if f not in functions(self.expected)]
        named = f" ({', '.join(strange)}: not a function of this formula)" if strange else ""
        return f"{self.where} of {self.tensor} has ={self.found[:120]} where ={self.expected[:120]} belongs{named}"


@dataclass
class Structure:
    """What was compared: cells whose formulas match, cells in all, the first mismatches, and where rules hold."""

    cells: int = 0
    matched: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    wrong: dict[Tensor, int] = field(default_factory=dict)
    by_rule: set[Tensor] = field(default_factory=set)
    without: list[Tensor] = field(default_factory=list)
    """Tensors for which there is no formula to compare with."""

    @property
    def holds(self) -> bool:
        """Whether every formula is the one that belongs there."""
        return self.matched == self.cells and not self.without

    def detail(self) -> str:
        """What was found, in one line."""
        if self.mismatches:
            more = f"{self.cells - self.matched:,} of {self.cells:,} formulas differ"
            return f"{self.mismatches[0]} ({more})"
        if self.without:
            return f"the manifest gives no formula for {self.without[0].name}"
        return f"{self.matched:,} of {self.cells:,} formulas are those of the operators, in normal form"


def functions(formula: str) -> list[str]:
    """Functions that a formula calls, in order, once each."""
    return list(dict.fromkeys(name.upper() for name in _CALLED.findall(_TEXT.sub("", formula))))


def structure(manifest: Manifest, sheets: Sheets, source: Source, most: int = 20) -> Structure:
    """Compare every formula cell of every tensor, note and text; keeps the first `most` mismatches."""
    result = Structure()
    rules = _Rules(manifest)
    normal = Normal(source)
    for place in with_formulas(manifest):
        rule = rules.expr(place.tensor)
        if place.tensor.expr is None and rule is not None:
            place.tensor.expr = rule
        if place.tensor.expr is None:
            result.without.append(place.tensor)
            continue
        if _copies(place.tensor) or (
            rule is not None and plain(rule, place.tensor.axes) == plain(place.tensor.expr, place.tensor.axes)
        ):
            result.by_rule.add(place.tensor)
        _compare(result, manifest, sheets, normal, place, most)
    _texts(result, manifest, sheets, normal)
    return result


def _copies(tensor: Tensor) -> bool:
    """Whether a tensor copies another, element by element, by its formula and by its operator."""
    operation, expr = tensor.operation, tensor.expr
    if operation is None or operation.target != "aten.alias.default" or not isinstance(expr, Read):
        return False
    return (
        operation.arguments == (expr.tensor,) and expr.at == tensor.axes and expr.tensor.shape == tensor.shape
    )


def _compare(
    result: Structure, manifest: Manifest, sheets: Sheets, normal: Normal, place: Place, most: int
) -> None:
    tensor = place.tensor
    expected = Printer(manifest.places, place.sheet).formulas(tensor)
    cells = sheets[place.sheet]
    found = pick(cells.formulas(*place.box()), place).reshape(-1).tolist()
    spread = _spread(sheets, place)
    bad = [
        i
        for i, (f, e) in enumerate(zip(found, expected, strict=True))
        if f is not None and (i in spread or (f[1:] != e and not _same(normal, place, i, f, e)))
    ]
    result.cells += sum(f is not None for f in found)
    result.matched += sum(f is not None for f in found) - len(bad)
    if bad:
        result.wrong[tensor] = len(bad)
    for i in bad[: max(0, most - len(result.mismatches))]:
        result.mismatches.append(
            Mismatch(address(place, _index(place, i)), tensor.name, found[i][1:], expected[i])
        )


def _index(place: Place, number: int) -> tuple[int, ...]:
    import numpy as np

    return tuple(int(i) for i in np.unravel_index(number, place.tensor.shape))


def _same(normal: Normal, place: Place, number: int, found: str, expected: str) -> bool:
    if spelling(found) == spelling(expected):
        return True
    index = _index(place, number)
    rows, columns = place.cells()
    import numpy as np

    rows, columns = np.broadcast_arrays(rows, columns)
    at = (place.sheet, int(rows[index]), int(columns[index]))
    form = normal.form(at, found)
    return form is not None and form == normal.form(at, expected)


def _spread(sheets: Sheets, place: Place) -> set[int]:
    """Elements that an array formula of several cells fills: one formula for all, which no tensor has."""
    import numpy as np

    from sheetconv.prove.cells import _area_keys, keys

    areas = [a for a in sheets[place.sheet].arrays.values() if a[:2] != a[2:]]
    if not areas:
        return set()
    covered = np.concatenate([_area_keys(a) for a in areas])
    return set(np.flatnonzero(np.isin(keys(place).reshape(-1), covered)).tolist())


def _texts(result: Structure, manifest: Manifest, sheets: Sheets, normal: Normal) -> None:
    for sheet, row, column, text in manifest.texts:
        result.cells += 1
        expected = text.removeprefix("=")
        where = f"{quoted(sheet)}!{cell(row, column)}"
        found = sheets[sheet].formula(row, column)
        if found is None:
            result.mismatches.append(Mismatch(where, "a text", "nothing that computes", expected))
        elif spelling(found) == spelling(expected) or _same_form(
            normal, (sheet, row, column), found, expected
        ):
            result.matched += 1
        else:
            result.mismatches.append(Mismatch(where, "a text", found[1:], expected))


def _same_form(normal: Normal, at: tuple[str, int, int], found: str, expected: str) -> bool:
    form = normal.form(at, found)
    return form is not None and form == normal.form(at, expected)


def strange(manifest: Manifest) -> Iterator[str]:
    """Functions in the manifest's own formulas that the compiler never writes: volatile, of the machine, unknown."""
    for tensor in [*manifest.graph, *manifest.notes]:
        for node in walk(tensor.expr) if tensor.expr is not None else ():
            drawn = tensor.operation is not None and tensor.operation.target == "drawn"
            if isinstance(node, Call) and node.function not in _WRITTEN and not drawn:
                yield f"{tensor.name} is computed with {node.function}, which the compiler does not write"
                return
    for sheet, row, column, text in manifest.texts:
        unknown = [f for f in functions(text) if f not in _WRITTEN]
        if unknown:
            yield f"{quoted(sheet)}!{cell(row, column)} uses {unknown[0]}, which the compiler does not write"
            return


class _Rules:
    """What the rules of the operators give, with the layers that have no cells of their own written into their readers."""

    def __init__(self, manifest: Manifest):
        try:
            _, self.made = rebuilt(manifest.graph)
        except (*MISFITS, SheetconvError, AssertionError):
            self.made = {}
        self.back = {new: old for old, new in self.made.items()}
        self.places = manifest.places

    def expr(self, tensor: Tensor) -> Expr | None:
        """The formula that the tensor's operator gives by its rule, reading the manifest's own tensors."""
        new = self.made.get(tensor)
        if new is None or new.expr is None or new.shape != tensor.shape:
            return None
        try:
            expr = substitute(new.expr, dict(zip(new.axes, tensor.axes, strict=True)))
            return self._through(expr, 0)
        except (TypeError, KeyError):
            return None

    def _through(self, expr: Expr, depth: int) -> Expr:
        def resolve(read: Read) -> Expr:
            old = self.back.get(read.tensor)
            if old is not None and old in self.places:
                return Read(old, read.at)
            inner = read.tensor.expr
            if inner is None or depth > 8:
                raise KeyError(read.tensor.name)
            inner = substitute(inner, dict(zip(read.tensor.axes, read.at, strict=True)))
            return self._through(inner, depth + 1)

        return transform(expr, resolve, lambda i: i)


__all__ = ["Entry", "Mismatch", "Structure", "functions", "strange", "structure"]
