"""Anything else that formulas compute of cells: elements gathered from tensors, and arithmetic on them.

Terms of a sum (or of a maximum) that are written alike become one term with an axis more, summed over that axis; so
a product of two computed matrices, a window with a law of its own or a table looked up are a line each.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from sheetconv.inspect.recover.cells import CellKind, Ids
from sheetconv.inspect.recover.reader import Formula, Match, SheetReader, per_cell
from sheetconv.inspect.recover.tensors import Numbers, RecoveredLayer, RecoveredTensor
from sheetconv.inspect.recover.values import Factor, Poly, PolyCall, Unrecognised

_FUNCTIONS = {
    "EXP": "torch.exp({0})",
    "LN": "torch.log({0})",
    "SQRT": "torch.sqrt({0})",
    "TANH": "torch.tanh({0})",
    "SIN": "torch.sin({0})",
    "COS": "torch.cos({0})",
    "SINH": "torch.sinh({0})",
    "COSH": "torch.cosh({0})",
    "ATAN": "torch.atan({0})",
    "ABS": "torch.abs({0})",
    "SIGN": "torch.sign({0})",
    "INT": "torch.floor({0})",
    "ERF": "torch.erf({0})",
    "1/": "(1 / ({0}))",
    "()": "({0})",
    "^": "(({0}) ** ({1}))",
    "IF": "torch.where(({0}) != 0, {1}, {2})",
    "NOT": "(({0}) == 0).double()",
    "AND": "(({0}) != 0).double()",
    "OR": "(({0}) != 0).double()",
}
_COMPARE = {">": ">", ">=": ">=", "<": "<", "<=": "<=", "=": "==", "<>": "!="}
_EXTREME = {"MAX": ("amax", "maximum", "-torch.inf"), "MIN": ("amin", "minimum", "torch.inf")}


@dataclass(frozen=True, eq=False)
class GatherStep:
    """A piece of the computation: cells, numbers, or a function of other pieces.

    Arrays have the map's n cells as their first axis and one axis for each sum that they stand in. `name` is
    ``cells``, ``numbers``, ``+``, ``*``, a function's, or ``sum``, ``MAX``, ``MIN`` over the last axis.
    """

    name: str
    of: tuple[GatherStep, ...] = ()
    array: np.ndarray = field(default_factory=lambda: np.empty(0))

    def alike(self) -> tuple[object, ...]:
        """Equal for pieces that can be stacked."""
        return self.name, self.array.shape, *(s.alike() for s in self.of)


def recognise(formula: Formula, reader: SheetReader) -> Match:
    """All cells of a map, by gathering; a layer of its own."""
    step = _poly(formula.poly, formula.count)
    writing = _GatherWriting(formula, reader)
    code = _matrix(step, writing) or _shaped(writing.code(step), formula)
    if not writing.tensors:
        raise Unrecognised("it reads no map and no image")
    return Match(formula, ("gathered", int(formula.ids[0])), writing, partial(_build, code))


def matrix(formula: Formula, reader: SheetReader) -> Match:
    """A product of two matrices, or a dense layer on the rows of one. Raises `Unrecognised` for anything else."""
    if formula.count < 2 or len(formula.poly.terms) < 2:
        raise Unrecognised("")
    writing = _GatherWriting(formula, reader)
    code = _matrix(_poly(formula.poly, formula.count), writing)
    if not code or not writing.tensors:
        raise Unrecognised("")
    return Match(formula, ("matrix", int(formula.ids[0])), writing, partial(_build, code))


def _full(formula: Formula) -> bool:
    """Whether the map's cells are a rectangle in row order."""
    rows, columns = formula.shape
    at = formula.positions
    return formula.count == rows * columns and bool(
        (at[:, 0] * columns + at[:, 1] == np.arange(len(at))).all()
    )


def _shaped(code: str, formula: Formula) -> str:
    if not _full(formula) or formula.count == 1:
        return code
    return f"({code}).reshape(-1, 1, {formula.shape[0]}, {formula.shape[1]})"


def _build(code: str, matches: list[Match], reader: SheetReader) -> tuple[Ids, RecoveredLayer]:
    writing: _GatherWriting = matches[0].data
    formula = matches[0].formula
    inputs = [reader.tensor(t) for t in writing.tensors]
    kind = "matmul" if " @ " in code else "dense" if writing.module else "gathered"
    layer = RecoveredLayer(kind, inputs, code, writing.module, writing.numbers, indices=writing.indices)
    return formula.lattice[None] if _full(formula) and formula.count > 1 else formula.ids, layer


# --- from a normal form to pieces ---------------------------------------------------------------------


def _poly(poly: Poly, count: int) -> GatherStep:
    groups: dict[object, list[GatherStep]] = defaultdict(list)
    for term in poly.terms:
        factors = [_factor(f, count) for f in term.factors]
        step = GatherStep("*", (_numbers(term.coefficient, count), *factors))
        groups[step.alike()].append(step)
    parts = [_simple(g[0]) if len(g) == 1 else GatherStep("sum", (_stack(g),)) for g in groups.values()]
    if not parts:
        return _numbers(0.0, count)
    return parts[0] if len(parts) == 1 else GatherStep("+", tuple(parts))


def _simple(step: GatherStep) -> GatherStep:
    """A product without its factor 1."""
    if len(step.of) > 1 and (step.of[0].array == 1).all():
        return step.of[1] if len(step.of) == 2 else GatherStep("*", step.of[1:])
    return step.of[0] if len(step.of) == 1 else step


def _numbers(value: float, count: int) -> GatherStep:
    return GatherStep("numbers", array=np.full(count, value))


def _factor(factor: Factor, count: int) -> GatherStep:
    if not isinstance(factor, PolyCall):
        return GatherStep("cells", array=per_cell(factor, count))
    of = [_poly(p, count) for p in factor.of]
    if factor.name in _EXTREME and len(of) > 2:
        groups: dict[object, list[GatherStep]] = defaultdict(list)
        for step in of:
            groups[step.alike()].append(step)
        of = [g[0] if len(g) == 1 else GatherStep(factor.name, (_stack(g),)) for g in groups.values()]
        while len(of) > 2:
            of = [GatherStep(factor.name, (of[0], of[1])), *of[2:]]
        if len(of) == 1:
            return of[0]
    if factor.name in ("AND", "OR"):
        name = "*" if factor.name == "AND" else "+"
        return GatherStep(factor.name, (GatherStep(name, tuple(GatherStep("AND", (s,)) for s in of)),))
    if factor.name not in _FUNCTIONS and factor.name not in _COMPARE and factor.name not in _EXTREME:
        raise Unrecognised(f"{factor.name} is not read")
    if factor.name == "IF" and len(of) == 2:
        of.append(_numbers(0.0, count))
    wanted = 2 if factor.name in _COMPARE else _FUNCTIONS.get(factor.name, "").count("{") or len(of)
    if len(of) != wanted:
        raise Unrecognised(f"{factor.name} with {len(of)} arguments")
    return GatherStep(factor.name, tuple(of))


def _stack(steps: list[GatherStep]) -> GatherStep:
    """Pieces that are alike as one, with an axis more behind the map's own."""
    of = tuple(_stack(list(group)) for group in zip(*(s.of for s in steps), strict=True))
    array = (
        np.stack([s.array for s in steps], 1)
        if steps[0].array.ndim and steps[0].array.size
        else steps[0].array
    )
    return GatherStep(steps[0].name, of, array)


# --- from pieces to torch -----------------------------------------------------------------------------


@dataclass
class _GatherWriting:
    """Code being written for one map: tensors used, buffers of numbers and of indices, a module if it needs one."""

    formula: Formula
    reader: SheetReader
    tensors: list[int] = field(default_factory=list)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    indices: dict[str, np.ndarray] = field(default_factory=dict)
    module: str = ""

    def code(self, step: GatherStep, pad: str = "0") -> str:
        """Torch code of a piece; `pad` is what stands for blank cells."""
        if step.name == "cells":
            return self.cells(step.array, pad)
        if step.name == "numbers":
            return self.constant(step.array)
        if step.name == "sum":
            return f"({self.code(_simple(step.of[0]) if step.of[0].name == '*' else step.of[0])}).sum(-1)"
        if step.name in _EXTREME:
            over, of_two, blank = _EXTREME[step.name]
            if len(step.of) == 1:
                return f"({self.code(_simple(step.of[0]), blank)}).{over}(-1)"
            return f"torch.{of_two}({', '.join(self.tensor(s) for s in step.of)})"
        parts = [self.code(s) for s in step.of]
        if step.name == "+":
            return f"({' + '.join(parts)})"
        if step.name == "*":
            return " * ".join(p for p in parts if p != "1.0") or "1.0"
        if step.name in _COMPARE:
            return f"(({parts[0]}) {_COMPARE[step.name]} ({parts[1]})).double()"
        if step.name == "IF":
            parts[1:] = [self.tensor(s) for s in step.of[1:]]
        return _FUNCTIONS[step.name].format(*parts)

    def tensor(self, step: GatherStep) -> str:
        """Code that is a tensor also where the piece is one number."""
        code = self.code(step)
        return f"torch.tensor({code}).double()" if step.name == "numbers" and "{" not in code else code

    def constant(self, values: np.ndarray) -> str:
        if (values == values.flat[0]).all():
            return repr(float(values.flat[0]))
        return self.buffer(Numbers(values))

    def buffer(self, held: Numbers) -> str:
        name = f"number{len(self.numbers) + 1}"
        self.numbers[name] = held
        return "{self}_" + name

    def index(self, at: np.ndarray) -> str:
        name = f"at{len(self.indices) + 1}"
        self.indices[name] = at
        return "{self}_" + name

    def use(self, tensor: int) -> str:
        if tensor not in self.tensors:
            self.tensors.append(tensor)
        return f"{{{self.tensors.index(tensor)}}}"

    def cells(self, ids: Ids, pad: str = "0") -> str:
        """Cells of any shape: elements of tensors, typed numbers, blanks."""
        reader = self.reader
        owner, flat = reader.tensors.find(ids)
        loose = owner < 0
        kinds = reader.cells.kinds(ids[loose])
        if (kinds == CellKind.FORMULA).any():
            raise Unrecognised("it reads cells that belong to no map and no image")
        if loose.all():
            if (kinds == CellKind.NUMBER).any():
                return self.buffer(Numbers.of(ids.flat[0] if (ids == ids.flat[0]).all() else ids))
            return "0.0"
        used = np.unique(owner[~loose]).tolist()
        if len(used) == 1 and not loose.any():
            source, size = f"{self.use(used[0])}.flatten(1)", reader.tensor(used[0]).ids.size
            whole = ids.ndim == 1 and len(ids) == size and (flat == np.arange(size)).all()
            return source if whole else f"{source}[:, {self.index(flat)}]"
        return self._mixed(ids, owner, flat, used, pad)

    def _mixed(self, ids: Ids, owner: np.ndarray, flat: np.ndarray, used: list[int], pad: str) -> str:
        parts, place, start = [], np.zeros(ids.shape, np.int64), 0
        for tensor in used:
            mine = owner == tensor
            place[mine] = start + flat[mine]
            start += self.reader.tensor(tensor).ids.size
            parts.append(f"{self.use(tensor)}.flatten(1)")
        typed = (owner < 0) & (self.reader.cells.kinds(ids) == CellKind.NUMBER)
        if typed.any():
            mine_ids, inverse = np.unique(ids[typed], return_inverse=True)
            place[typed] = start + inverse
            start += len(mine_ids)
            parts.append(f"{self.buffer(Numbers.of(mine_ids))}.expand(len({{0}}), -1)")
        blank = (owner < 0) & ~typed
        place[blank] = start
        source = parts[0] if len(parts) == 1 else f"torch.cat([{', '.join(parts)}], 1)"
        if blank.any():
            source = f"F.pad({source}, (0, 1), value={pad})"
        return f"{source}[:, {self.index(place)}]"


def _matrix(step: GatherStep, writing: _GatherWriting) -> str:
    """``A @ B``, times a number, plus what stands beside it; "" where the piece is no product of matrices."""
    formula = writing.formula
    parts = list(step.of) if step.name == "+" else [step]
    sums = [
        p for p in parts if p.name == "sum" and [s.name for s in p.of[0].of] == ["numbers", "cells", "cells"]
    ]
    if len(sums) != 1 or not _full(formula):
        return ""
    rows, columns = formula.shape
    times, one, two = (s.array.reshape(rows, columns, -1) for s in sums[0].of[0].of)
    if not (times == times.flat[0]).all():
        return ""
    for left, right in ((one, two), (two, one)):
        if (left == left[:, :1]).all() and (right == right[:1]).all():
            break
    else:
        return ""
    rest = [p for p in parts if p is not sums[0]]
    product = _linear(left[:, 0], right[0].T, writing, rest)
    if not product:
        rest_code = [f"({writing.code(p)}).reshape(-1, {rows}, {columns})" for p in rest]
        product = f"{_plane(left[:, 0], writing)} @ {_plane(right[0].T, writing)}"
    else:
        rest_code = []
    scale = float(times.flat[0])
    if scale != 1:
        if writing.module:
            return ""
        product = f"({product}) * {scale!r}"
    return f"({' + '.join([product, *rest_code])}).reshape(-1, 1, {rows}, {columns})"


def _linear(left: Ids, right: Ids, writing: _GatherWriting, rest: list[GatherStep]) -> str:
    """A dense layer on the rows of a computed matrix: its weights typed (T, W), a typed bias for each column."""
    cells = writing.reader.cells
    if (cells.kinds(right) != CellKind.NUMBER).any() or (writing.reader.tensors.find(left)[0] < 0).any():
        return ""
    rows, columns = len(left), right.shape[1]
    bias = None
    if rest:
        array = rest[0].array.reshape(rows, columns) if rest[0].name == "cells" else None
        if len(rest) > 1 or array is None or (array != array[:1]).any():
            return ""
        if (cells.kinds(array) != CellKind.NUMBER).any():
            return ""
        bias = array[0]
    if (writing.reader.tensors.find(right)[0] >= 0).any():
        return ""
    source = _plane(left, writing)
    writing.numbers = {"weight": Numbers.of(right.T)} | (
        {"bias": Numbers.of(bias)} if bias is not None else {}
    )
    writing.module = f"nn.Linear({len(right)}, {columns}{'' if bias is not None else ', bias=False'})"
    return f"{{self}}({source})"


def _plane(ids: Ids, writing: _GatherWriting) -> str:
    """A matrix of cells: a plane of a tensor, transposed or cut where need be, or gathered."""
    owner, flat = writing.reader.tensors.find(ids)
    index = int(owner.flat[0])
    if index >= 0 and (owner == index).all():
        tensor: RecoveredTensor = writing.reader.tensor(index)
        if tensor.spatial:
            _, height, width = tensor.ids.shape
            channel, place = np.divmod(flat, height * width)
            row, column = np.divmod(place, width)
            for turned, r, c in ((False, row, column), (True, row.T, column.T)):
                if (channel == channel.flat[0]).all() and _cut(r, c):
                    code = f"{writing.use(index)}[:, {channel.flat[0]}"
                    if r.shape != (height, width):
                        code += f", {r[0, 0]}:{r[-1, 0] + 1}, {c[0, 0]}:{c[0, -1] + 1}"
                    return code + "]" + (".transpose(1, 2)" if turned else "")
    return writing.cells(ids)


def _cut(row: np.ndarray, column: np.ndarray) -> bool:
    """Whether rows and columns are those of a rectangle, in order."""
    down, right = np.arange(row.shape[0])[:, None], np.arange(row.shape[1])
    return bool((row == row[0, 0] + down).all() and (column == column[0, 0] + right).all())
