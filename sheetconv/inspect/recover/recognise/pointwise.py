"""Cell by cell: activations, additions of maps, scaling, masks, and anything else with one result per cell.

The expression is written as torch code: what moves with the cell is a tensor, what stays is a number (typed)
or a unit of a vector; a sum or maximum over all of a vector is a reduction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from sheetconv.inspect.recover.activations import strip, wrap
from sheetconv.inspect.recover.cells import CellKind, Ids
from sheetconv.inspect.recover.reader import Formula, Match, SheetReader, per_cell, planes, vector
from sheetconv.inspect.recover.recognise.pool import times
from sheetconv.inspect.recover.tensors import Numbers, RecoveredLayer, RecoveredTensor
from sheetconv.inspect.recover.values import Factor, Poly, PolyCall, Unrecognised

_FUNCTIONS = {
    "EXP": "torch.exp({0})",
    "LN": "torch.log({0})",
    "SQRT": "torch.sqrt({0})",
    "TANH": "torch.tanh({0})",
    "ABS": "torch.abs({0})",
    "SIGN": "torch.sign({0})",
    "ERF": "torch.erf({0})",
    "1/": "(1 / ({0}))",
    "()": "({0})",
    "^": "({0}) ** ({1})",
    ">": "(({0}) > ({1}))",
    ">=": "(({0}) >= ({1}))",
    "<": "(({0}) < ({1}))",
    "<=": "(({0}) <= ({1}))",
    "=": "(({0}) == ({1}))",
    "<>": "(({0}) != ({1}))",
    "IF": "torch.where({0}, {1}, {2})",
}
_LOGICAL = {">", ">=", "<", "<=", "=", "<>"}
_MOST_TERMS = 8


@dataclass
class _Writing:
    """Code being written for one map: tensors used, the channel of each, numbers that may differ by channel."""

    formula: Formula
    reader: SheetReader
    spatial: bool | None = None
    tensors: list[int] = field(default_factory=list)
    channels: list[int | None] = field(default_factory=list)
    places: list[Ids | None] = field(default_factory=list)
    numbers: list[Ids] = field(default_factory=list)


def recognise(formula: Formula, reader: SheetReader) -> Match:
    """One result for each cell of a map, or of a vector."""
    writing = _Writing(formula, reader)
    inner, activations = strip(formula.poly)
    code = wrap(_poly(inner, writing), activations)
    if not writing.tensors:
        raise Unrecognised("it reads no map and no image")
    if writing.spatial:
        planar = "map", code, tuple(writing.tensors), formula.shape
        return Match(formula, planar, writing, partial(_build_planes, code))
    moving = [p for p in writing.places if p is not None]
    key = "vector", code, tuple(writing.tensors), len(moving)
    return Match(formula, key, writing, partial(_build_vector, code))


def _poly(poly: Poly, writing: _Writing) -> str:
    rest, parts = _reductions(poly, writing)
    if len(rest.terms) > _MOST_TERMS:
        raise Unrecognised("")
    for term in rest.terms:
        factors = [_factor(f, writing) for f in term.factors]
        if not factors:
            parts.append(repr(term.coefficient))
            continue
        product = factors[0]
        for factor in factors[1:]:
            below = factor.startswith("(1 / (") and factor.endswith("))")
            product += f" / ({factor[6:-2]})" if below else f" * {factor}"
        if abs(term.coefficient) != 1:
            product += times(abs(term.coefficient))
        parts.append("-" + product if term.coefficient < 0 else product)
    return " + ".join(parts).replace("+ -", "- ") if parts else "0.0"


def _reductions(poly: Poly, writing: _Writing) -> tuple[Poly, list[str]]:
    """Take out the sum over all of a vector, if the poly has one."""
    still = [
        t
        for t in poly.terms
        if len(t.factors) == 1
        and not isinstance(t.factors[0], PolyCall)
        and writing.formula.count > 1
        and (per_cell(t.factors[0], writing.formula.count) == t.factors[0].flat[0]).all()
    ]
    ids = [int(t.factors[0].flat[0]) for t in still if not isinstance(t.factors[0], PolyCall)]
    whole = _whole(ids, writing.reader)
    if whole is None or len({t.coefficient for t in still}) > 1:
        return poly, []
    rest = Poly(tuple(t for t in poly.terms if t not in still))
    sum_ = f"{_operand(whole, None, None, writing)}.sum(1, keepdim=True)"
    factor = still[0].coefficient
    return rest, [sum_ if factor == 1 else f"{factor!r} * {sum_}"]


def _whole(ids: list[int], reader: SheetReader) -> int | None:
    """The vector that the cells are, all of it; None otherwise."""
    if len(ids) < 2:
        return None
    owner, _ = reader.tensors.find(np.array(ids))
    index = int(owner[0])
    if index < 0 or (owner != index).any() or reader.tensor(index).spatial:
        return None
    return index if sorted(ids) == sorted(reader.tensor(index).ids.tolist()) else None


def _factor(factor: Factor, writing: _Writing) -> str:
    if not isinstance(factor, PolyCall):
        return _cell(per_cell(factor, writing.formula.count), writing)
    if factor.name in ("MAX", "MIN"):
        return _extreme(factor, writing)
    if factor.name not in _FUNCTIONS:
        raise Unrecognised(f"{factor.name} is not read")
    parts = [_poly(p, writing) for p in factor.of]
    if factor.name == "IF":
        condition = factor.of[0].call if len(factor.of) == 3 else None
        if condition is None or condition.name not in _LOGICAL or not writing.tensors:
            raise Unrecognised("a condition that is not read")
        like = _operand(writing.tensors[0], writing.channels[0], writing.places[0], writing)
        for k in (1, 2):  # numbers in the tensor's own type
            plain = factor.of[k].constant is not None
            parts[k] = (
                f"torch.full_like({like}, {parts[k]})" if plain else f"{parts[k]} + torch.zeros_like({like})"
            )
    if len(parts) != _FUNCTIONS[factor.name].count("{"):
        raise Unrecognised(f"{factor.name} with {len(parts)} arguments")
    return _FUNCTIONS[factor.name].format(*parts)


def _extreme(call: PolyCall, writing: _Writing) -> str:
    ids = [p.cell for p in call.of]
    if all(i is not None and (i == i.flat[0]).all() for i in ids) and writing.formula.count > 1:
        whole = _whole([int(i.flat[0]) for i in ids if i is not None], writing.reader)
        if whole is not None:
            name = "amax" if call.name == "MAX" else "amin"
            return f"{_operand(whole, None, None, writing)}.{name}(1, keepdim=True)"
    if len(call.of) == 2:
        name, bound = ("clamp_min" if call.name == "MAX" else "clamp_max"), [p.constant for p in call.of]
        if (bound[0] is None) != (bound[1] is None):
            k = 0 if bound[0] is not None else 1
            return f"({_poly(call.of[1 - k], writing)}).{name}({bound[k]!r})"
        return f"torch.{'maximum' if call.name == 'MAX' else 'minimum'}({', '.join(_poly(p, writing) for p in call.of)})"
    raise Unrecognised("")


def _cell(ids: Ids, writing: _Writing) -> str:
    """A cell as a factor: part of a tensor if it moves (or the map has one cell), else a number."""
    reader, formula = writing.reader, writing.formula
    owner, flat = reader.tensors.find(ids)
    still = formula.count > 1 and (ids == ids[0]).all()
    if (owner < 0).all():
        kinds = reader.cells.kinds(ids)
        if (kinds == CellKind.FORMULA).any():
            raise Unrecognised("it reads cells that belong to no map and no image")
        if (kinds != CellKind.NUMBER).all():
            return "0.0"
        return _number(ids, writing)
    index = int(owner[owner >= 0][0])
    if (owner != index).any():
        raise Unrecognised("it reads several tensors at once")
    tensor = reader.tensor(index)
    if still:
        _shape(False if not tensor.spatial else writing.spatial, writing)
        return _operand(index, None, flat[:1], writing)
    if (tensor.spatial and formula.count > 1) or (tensor.spatial and tensor.ids.shape[1:] == (1, 1)):
        channels, rest = np.divmod(flat, tensor.ids.shape[1] * tensor.ids.shape[2])
        y, x = np.divmod(rest, tensor.ids.shape[2])
        same = (y == formula.positions[:, 0]) & (x == formula.positions[:, 1])
        if same.all() and len(set(channels.tolist())) == 1:
            _shape(True, writing)
            cut = "" if tensor.ids.shape[1:] == formula.shape else "[:, :, :{}, :{}]".format(*formula.shape)
            return _operand(index, int(channels[0]), None, writing) + cut
    _shape(False, writing)
    return _operand(index, None, flat, writing)


def _shape(spatial: bool | None, writing: _Writing) -> None:
    if spatial is None:
        return
    if writing.spatial not in (None, spatial):
        raise Unrecognised("it mixes planes and vectors")
    writing.spatial = spatial


def _operand(index: int, channel: int | None, places: Ids | None, writing: _Writing) -> str:
    writing.tensors.append(index)
    writing.channels.append(channel)
    writing.places.append(places)
    return f"<{len(writing.tensors) - 1}>"


def _number(ids: Ids, writing: _Writing) -> str:
    """Typed numbers of the expression, one for each cell: they become a buffer."""
    writing.numbers.append(ids)
    return f"«{len(writing.numbers) - 1}»"


def _inputs(matches: list[Match], reader: SheetReader) -> tuple[list[RecoveredTensor], dict[int, int]]:
    order = list(dict.fromkeys(matches[0].data.tensors))
    return [reader.tensor(t) for t in order], {t: k for k, t in enumerate(order)}


def _build_planes(code: str, matches: list[Match], reader: SheetReader) -> tuple[Ids, RecoveredLayer]:
    inputs, where = _inputs(matches, reader)
    matches.sort(key=lambda m: next((c for c in m.data.channels if c is not None), 0))
    first: _Writing = matches[0].data
    for k, tensor in enumerate(first.tensors):
        chosen = [m.data.channels[k] for m in matches]
        every = chosen == list(range(reader.tensor(tensor).ids.shape[0]))
        cut = "" if every else f"[:, {chosen}]"
        if first.channels[k] is None:  # one cell of a plane, the same for all of a map
            still = [int(m.data.places[k][0]) for m in matches]
            cut = f".flatten(1)[:, {still}, None, None]"
        code = code.replace(f"<{k}>", f"{{{where[tensor]}}}" + cut)
    parameters: dict[str, Numbers] = {}
    rows, columns = matches[0].formula.shape
    for k in range(len(first.numbers)):
        chosen_ids = [m.data.numbers[k] for m in matches]
        if all((ids == chosen_ids[0][0]).all() for ids in chosen_ids):
            held = Numbers.of(chosen_ids[0][0])
        elif all((ids == ids[0]).all() for ids in chosen_ids):
            held = Numbers.of(np.array([ids[0] for ids in chosen_ids])[:, None, None])
        else:
            held = Numbers.zeros(len(matches), rows, columns)
            for c, match in enumerate(matches):
                at = match.formula.positions
                held.add((c * rows + at[:, 0]) * columns + at[:, 1], chosen_ids[c], 1.0)
        name = f"number{len(parameters) + 1}"
        parameters[name] = held
        code = code.replace(f"«{k}»", "{self}_" + name)
    return planes(matches), RecoveredLayer(_kind(code), inputs, code, parameters=parameters)


def _build_vector(code: str, matches: list[Match], reader: SheetReader) -> tuple[Ids, RecoveredLayer]:
    inputs, where = _inputs(matches, reader)
    first: _Writing = matches[0].data
    for k, tensor in enumerate(first.tensors):
        places = [m.data.places[k] for m in matches]
        held = reader.tensor(tensor)
        source = f"{{{where[tensor]}}}" + (".flatten(1)" if held.spatial else "")
        if all(p is not None for p in places):
            still = matches[0].formula.count > 1 and len(places[0]) == 1
            if still and len(matches) > 1:
                raise Unrecognised("maps that each use a number of another layer")
            chosen = places[0].tolist() if still else np.concatenate(places).tolist()
            if chosen != list(range(held.ids.size)):
                source += f"[:, {chosen}]"
        code = code.replace(f"<{k}>", source)
    parameters: dict[str, Numbers] = {}
    for k in range(len(first.numbers)):
        ids = np.concatenate([m.data.numbers[k] for m in matches])
        name = f"number{k + 1}"
        parameters[name] = Numbers.of(ids[0] if (ids == ids[0]).all() else ids)
        code = code.replace(f"«{k}»", "{self}_" + name)
    return vector(matches), RecoveredLayer(_kind(code), inputs, code, parameters=parameters)


def _kind(code: str) -> str:
    names: dict[str, Callable[[str], bool]] = {
        "relu": lambda c: c.startswith("F.relu("),
        "exp": lambda c: c.startswith("torch.exp("),
        "sigmoid": lambda c: c.startswith("torch.sigmoid("),
        "tanh": lambda c: c.startswith("torch.tanh("),
        "sum": lambda c: "} + {" in c,
    }
    return next((name for name, fits in names.items() if fits(code)), "pointwise")
