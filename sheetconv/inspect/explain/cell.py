"""One cell taken apart: what is done to the sum, the sum's terms, the share of each input channel, and the check.

The numbers are those that the file remembers. They are checked: the terms must add up, and what the formula makes
of them must be the number that the file has for the cell.
"""

from __future__ import annotations

from collections.abc import Sequence

from sheetconv.errors import UsageError
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.member import member
from sheetconv.formulas.source import Cell, Source
from sheetconv.formulas.syntax import Apply, Node, NumberNode, Skeletons, Slot
from sheetconv.formulas.tensor_elements import TensorElements
from sheetconv.formulas.values import Unknown, Values, evaluate, number
from sheetconv.inspect.explain.result import Explanation, Group, misfits
from sheetconv.inspect.explain.terms import Decomposition, Factor, Term, reads
from sheetconv.xlsx.tokens import box, is_address, tokens

_CHOICES = ("INDEX", "CHOOSE")
_CURVES = ("EXP", "LN", "SQRT", "ABS", "TANH", "ATAN", "SIN", "COS", "1/")


class Explainer:
    """Takes cells of an open workbook apart."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.values = Values(source)
        self.names = TensorElements(source)
        self._skeletons = Skeletons(source)
        self._fixed: dict[Cell, set[Area]] = {}

    def explain(self, cell: Cell) -> Explanation:
        """Take a cell apart. Raises `UsageError` where no formula stands."""
        here = Area(*cell, *cell[1:])
        formula = self.source.formula(cell)
        if formula is None:
            raise UsageError(f"{here} holds no formula; there is nothing to take apart")
        value = self.values.value(cell)
        found = Explanation(here, self.names.element(cell), formula, value)
        found.reads = list(self.source.precedents(cell).areas)
        found.problems += self._missing(found)
        try:
            self._take_apart(cell, formula, found)
        except Unknown as error:
            found.kind, found.terms, found.steps, found.result = "reads", [], [], None
            found.problems.append(f"not taken apart: the formula holds {error}")
        if found.value is None and found.result is not None and self.values.engine:
            found.value = found.result  # where the engine has no number, as some have for arrays
        found.groups = self._groups(cell, found.terms)
        found.problems += misfits(found)
        return found

    def parsed(self, cell: Cell) -> tuple[Node, tuple[Area, ...]]:
        """The tree of a cell's formula and the areas of its references; raises `Unknown`."""
        anchor = self.source.anchor(cell)
        skeleton, slots = self._skeletons.split(anchor, self.source.formula(cell) or "")
        if skeleton.tree is None:
            raise Unknown("something that is not read (only its references are)")
        area = self.source.cells(cell[0]).arrays.get(anchor[1:])
        self.values.here = cell
        if area is None or area[:2] == area[2:]:
            return skeleton.tree, slots
        own = list(slots)
        return member(skeleton.tree, own, cell[1] - area[0], cell[2] - area[1]), tuple(own)

    def signal(self, cell: Cell, term: Term) -> Factor | None:
        """The factor of a term that carries the picture: a pixel or an activation, not a weight.

        Without a manifest it is the factor that is computed, else the one that the formula does not hold fast with
        ``$`` or by a name, else the first.
        """
        elements = [self.names.element(f.cell) for f in term.factors]
        if any(elements):
            carrying = [
                f for f, e in zip(term.factors, elements, strict=True) if e is None or e.role != "weight"
            ]
            return carrying[0] if carrying else None
        computed = [f for f in term.factors if self.source.formula(f.cell) is not None]
        fixed = self._fixed_areas(cell)
        moving = [f for f in term.factors if not any(f.area.meet(a) for a in fixed)]
        if computed or moving or len(term.factors) > 1:
            return [*computed, *moving, *term.factors][0]
        return None

    def name(self, cell: Cell) -> str:
        """``relu1[0,3,4]`` in our workbooks, else the address."""
        element = self.names.element(cell)
        return str(element) if element else str(Area(*cell, *cell[1:]))

    # --- inside -----------------------------------------------------------------------------------

    def _take_apart(self, cell: Cell, formula: str, found: Explanation) -> None:
        node, slots = self.parsed(cell)
        parts = Decomposition(slots, self.values)
        found.result = number(node, slots, self.values)
        inner = self._peeled(node, parts, found)
        if isinstance(inner, list):
            found.terms = inner
        else:
            found.terms = parts.terms(inner)
            if found.kind == "sum":
                found.kind = _kind(inner, found.terms, parts.opaque)
        found.opaque = parts.opaque
        found.total = sum(t.product for t in found.terms)
        found.steps.reverse()

    def _peeled(self, node: Node, parts: Decomposition, found: Explanation) -> Node | list[Term]:
        """Follow what is done to the sum from the outside in; returns the sum, or the terms themselves."""
        while isinstance(node, Apply):
            if node.name in ("MAX", "MIN"):
                bounded = _bound(node)
                if bounded is None:
                    return self._largest(node, parts, found)
                limit, node = bounded
                found.steps.append(self._cut(limit, node, parts, found, "MAX" if limit[0] else "MIN"))
            elif (inner := _relu(node, parts.slots)) is not None:
                found.steps.append(self._cut((True, 0.0), inner, parts, found, "MAX"))
                node = inner
            elif (inner := _sigmoid(node)) is not None:
                inside, outside = (number(n, parts.slots, parts.values) for n in (inner, node))
                found.steps.append(f"1/(1+EXP(−{inside:.9g})) = {outside:.9g}: the sigmoid")
                found.kind = "sigmoid" if found.kind == "sum" else found.kind
                node = inner
            elif node.name == "IF" and len(node.of) == 3:
                holds = number(node.of[0], parts.slots, parts.values) != 0
                found.steps.append(
                    f"the condition {'holds' if holds else 'does not hold'}: the {'first' if holds else 'second'} choice counts"
                )
                node = node.of[1 if holds else 2]
            elif node.name in _CURVES and len(node.of) == 1:
                inside = number(node.of[0], parts.slots, parts.values)
                outside = number(node, parts.slots, parts.values)
                label = "1 / " if node.name == "1/" else node.name
                found.steps.append(f"{label}({inside:.9g}) = {outside:.9g}")
                found.kind = "curve"
                node = node.of[0]
            else:
                shares = self._softmax(node, parts)
                if shares is None:
                    break
                found.kind, total = "softmax", sum(t.product for t in shares)
                found.steps.append(
                    f"this cell's part divided by the sum of {len(shares)}: {found.result:.9g} of 1"
                )
                found.steps.append(f"the sum of all is {total:.9g}")
                return shares
        return node

    def _cut(
        self, limit: tuple[bool, float], node: Node, parts: Decomposition, found: Explanation, name: str
    ) -> str:
        inside, (lower, bound) = number(node, parts.slots, parts.values), limit
        passes = inside > bound if lower else inside < bound
        if lower and bound == 0 and found.kind == "sum":
            found.kind = "relu"
            return f"MAX(0, {inside:.9g}): " + (
                "above 0, it passes" if passes else "not above 0, the ReLU cuts it off"
            )
        return f"{name}({bound:g}, {inside:.9g}): " + ("it passes" if passes else f"it is held at {bound:g}")

    def _largest(self, node: Apply, parts: Decomposition, found: Explanation) -> list[Term]:
        terms = [t for part in node.of for t in parts.elements(part).present()]
        if not terms:
            raise Unknown(f"{node.name} of cells without numbers")
        winner = (max if node.name == "MAX" else min)(terms, key=lambda t: t.product)
        found.kind = node.name.lower() if found.kind == "sum" else found.kind
        others = ", ".join(f"{t.product:.6g}" for t in terms[:16]) + (", …" if len(terms) > 16 else "")
        which = self.name(winner.factors[0].cell) if winner.factors else "a number in the formula"
        equal = sum(1 for t in terms if t.product == winner.product)
        which += f" ({equal} are equal, the first counts)" if equal > 1 else ""
        found.steps.append(
            f"the {'largest' if node.name == 'MAX' else 'smallest'} of {len(terms)} ({others}) is {which}"
        )
        return [winner]

    def _softmax(self, node: Apply, parts: Decomposition) -> list[Term] | None:
        """Terms of the sum that a cell of its own is divided by; None for any other product."""
        if node.name != "*" or len(node.of) != 2:
            return None
        below = node.of[1]
        if not isinstance(node.of[0], Slot):
            return self._exponentials(node, parts)
        if not (isinstance(below, Apply) and below.name == "1/" and isinstance(below.of[0], Apply)):
            return None
        total, own = below.of[0], parts.slots[node.of[0].index]
        if total.name != "SUM" or not any(own.meet(area) == own for area in reads(total, parts.slots)):
            return None
        return parts.terms(total)

    def _exponentials(self, node: Apply, parts: Decomposition) -> list[Term] | None:
        """``EXP(x)/SUM(EXP(range))``: each cell of the range with its exponential as the term."""
        above, below = node.of
        if not (
            isinstance(above, Apply)
            and above.name == "EXP"
            and isinstance(below, Apply)
            and below.name == "1/"
        ):
            return None
        total = below.of[0]
        if not (isinstance(total, Apply) and total.name in ("SUM", "SUMPRODUCT") and len(total.of) == 1):
            return None
        each = total.of[0]
        if not (isinstance(each, Apply) and each.name == "EXP"):
            return None
        cells, own = reads(each, parts.slots), reads(above, parts.slots)
        if not cells or not own or own[0].meet(cells[0]) != own[0]:
            return None
        values = evaluate(each, parts.slots, parts.values)
        area = cells[0]
        if values.shape != (area.row1 - area.row0 + 1, area.column1 - area.column0 + 1):
            return None
        return [
            Term(1.0, (Factor((area.sheet, area.row0 + r, area.column0 + c), float(values[r, c])),), area)
            for r in range(values.shape[0])
            for c in range(values.shape[1])
        ]

    def _missing(self, found: Explanation) -> list[str]:
        problems = []
        if self.values.engine:
            problems.append(f"the file has no values for its formulas; {self.values.engine} computed them")
        elif found.value is None:
            problems.append(
                f"{found.cell} has no value in the file; open it in a spreadsheet program and save it"
            )
        for area in found.reads:
            used = self.source.used(area)
            if used is None or used.size > 100_000:
                continue
            formulas, sheet = self.source.formulas(area.sheet), self.source.cells(area.sheet)
            gone = [
                (r, c)
                for r in range(used.row0, used.row1 + 1)
                for c in range(used.column0, used.column1 + 1)
                if (r, c) in formulas and sheet.value(r, c) is None and not self.values.engine
            ]
            if gone:
                first = Area(area.sheet, *gone[0], *gone[0])
                problems.append(
                    f"{len(gone)} formula cells that it reads have no value in the file, {first} the first; they count as 0"
                )
        return problems

    def _fixed_areas(self, cell: Cell) -> set[Area]:
        """Areas that a formula holds fast: with ``$`` in front of rows and columns, or by a name."""
        anchor = self.source.anchor(cell)
        if anchor not in self._fixed:
            formula = self.source.formula(cell) or ""
            loose = {box(t).bounds for t in tokens(formula) if is_address(t) and not all(box(t).fixed)}
            self._fixed[anchor] = {a for a in self.source.precedents(cell).areas if a[1:] not in loose}
        return self._fixed[anchor]

    def _groups(self, cell: Cell, terms: list[Term]) -> list[Group]:
        sums: dict[str, list[float]] = {}
        for term in terms:
            sums.setdefault(self._group(cell, term), []).append(term.product)
        size = sum(abs(v) for values in sums.values() for v in values) or 1.0
        return [
            Group(name, len(values), sum(values), sum(map(abs, values)) / size)
            for name, values in sums.items()
        ]

    def _group(self, cell: Cell, term: Term) -> str:
        if not term.factors:
            return "numbers in the formula"
        factor = self.signal(cell, term)
        if factor is None:
            element = self.names.element(term.factors[0].cell)
            return element.tensor if element else str(term.range)
        element = self.names.element(factor.cell)
        if element is None:
            return str(term.range if term.range and factor.area.meet(term.range) else factor.area)
        return f"{element.tensor} channel {element.index[0]}" if len(element.index) > 1 else element.tensor


def _kind(node: Node, terms: list[Term], opaque: list[Area]) -> str:
    if opaque and not any(t.factors for t in terms):
        return "curve"
    if isinstance(node, Slot):
        return "copy"
    if isinstance(node, Apply) and node.name in _CHOICES:
        return "choice"
    return "average" if isinstance(node, Apply) and node.name == "AVERAGE" else "sum"


def _relu(node: Apply, slots: Sequence[Area]) -> Node | None:
    """x of ``IF(x>0,x,0)`` and ``IF(x<0,0,x)``; None for any other condition."""
    match node:
        case Apply("IF", (Apply(">" | ">=", (x, NumberNode(0.0))), kept, NumberNode(0.0))):
            return kept if _same(kept, x, slots) else None
        case Apply("IF", (Apply("<" | "<=", (x, NumberNode(0.0))), NumberNode(0.0), kept)):
            return kept if _same(kept, x, slots) else None
    return None


def _same(one: Node, two: Node, slots: Sequence[Area]) -> bool:
    """Whether two nodes are the same formula of the same cells."""
    if isinstance(one, Slot) and isinstance(two, Slot):
        return slots[one.index] == slots[two.index]
    if isinstance(one, Apply) and isinstance(two, Apply):
        fit = one.name == two.name and len(one.of) == len(two.of)
        return fit and all(_same(a, b, slots) for a, b in zip(one.of, two.of, strict=True))
    return one == two


def _sigmoid(node: Apply) -> Node | None:
    """x of ``1/(1+EXP(-x))``."""
    match node:
        case Apply("*", (NumberNode(1.0), Apply("1/", (Apply("+", of),)))):
            pass
        case Apply("1/", (Apply("+", of),)):
            pass
        case _:
            return None
    match of:
        case (NumberNode(1.0), Apply("EXP", (Apply("-", (x,)),))) | (
            Apply("EXP", (Apply("-", (x,)),)),
            NumberNode(1.0),
        ):
            return x
    return None


def _bound(node: Apply) -> tuple[tuple[bool, float], Node] | None:
    """MAX(number, x) or MIN(number, x): (is it a lower bound, the number) and x; None for other forms."""
    numbers = [n for n in node.of if _constant(n) is not None]
    others = [n for n in node.of if _constant(n) is None]
    if len(numbers) != 1 or len(others) != 1:
        return None
    bound = _constant(numbers[0])
    return ((node.name == "MAX", bound), others[0]) if bound is not None else None


def _constant(node: Node) -> float | None:
    if isinstance(node, Apply) and node.name == "-" and isinstance(node.of[0], NumberNode):
        return -node.of[0].value
    return node.value if isinstance(node, NumberNode) else None
