"""Softmax: EXP(x)/SUM(EXP(all x)), with or without the maximum subtracted, or the exponentials in cells."""

from __future__ import annotations

import numpy as np

from sheetconv.inspect.recover.cells import Ids
from sheetconv.inspect.recover.reader import Formula, Match, SheetReader, per_cell, vector
from sheetconv.inspect.recover.tensors import RecoveredLayer, RecoveredTensor
from sheetconv.inspect.recover.values import Factor, Poly, PolyCall, Unrecognised


def recognise(formula: Formula, reader: SheetReader) -> Match:
    """All units of a vector, or some, each over the sum of all; or each over the sum of its row or column."""
    terms = formula.poly.terms
    if len(terms) != 1 or terms[0].coefficient != 1 or len(terms[0].factors) != 2 or formula.count < 2:
        raise Unrecognised("")
    below = next((f for f in terms[0].factors if isinstance(f, PolyCall) and f.name == "1/"), None)
    above = next(f for f in terms[0].factors if f is not below)
    if below is None:
        raise Unrecognised("")
    mine = _raised(above, formula, reader)
    others = []
    for term in below.of[0].terms:
        if len(term.factors) != 1 or term.coefficient != 1:
            raise Unrecognised("")
        others.append(_raised(term.factors[0], formula, reader))
    owner, flat = reader.tensors.find(mine)
    index = int(owner[0])
    if (owner != index).any() or index < 0 or not others:
        raise Unrecognised("")
    tensor = reader.tensor(index)
    whole = np.array_equal(flat, np.arange(tensor.ids.size))
    everything = np.stack(others, 1)
    code = _code(tensor, mine, everything) if whole else _part(flat, mine, everything)

    def build(matches: list[Match], _: SheetReader) -> tuple[Ids, RecoveredLayer]:
        ids = matches[0].formula.ids.reshape(tensor.ids.shape) if "{0}, " in code else vector(matches[:1])
        return ids, RecoveredLayer("softmax", [tensor], code)

    return Match(formula, ("softmax", int(formula.ids[0])), None, build)


def _raised(factor: Factor, formula: Formula, reader: SheetReader) -> Ids:
    """The cells x of ``EXP(x)``, written here or in cells of their own; shape (n,)."""
    if isinstance(factor, PolyCall):
        if factor.name != "EXP" or len(factor.of) != 1:
            raise Unrecognised("")
        return per_cell(_exponent(factor.of[0]), formula.count)
    owner, flat = reader.tensors.find(per_cell(factor, formula.count))
    layer = reader.tensor(int(owner[0])).layer if owner[0] >= 0 and (owner == owner[0]).all() else None
    if layer is None or layer.expression not in ("torch.exp({0})", "torch.exp({0}.flatten(1))"):
        raise Unrecognised("")
    found: Ids = layer.inputs[0].ids.ravel()[flat]
    return found


def _part(flat: np.ndarray, mine: Ids, everything: np.ndarray) -> str:
    """Some units of a layer over the sum of the same units."""
    if not np.array_equal(np.sort(everything, 1), np.broadcast_to(np.sort(mine), (len(mine), len(mine)))):
        raise Unrecognised("a softmax over other cells than its own")
    return f"F.softmax({{0}}.flatten(1)[:, {flat.tolist()}], 1)"


def _code(tensor: RecoveredTensor, mine: Ids, everything: np.ndarray) -> str:
    """Over all of a layer, or over the rows or the columns of its plane; `everything` has the others (n, T)."""
    others = np.sort(everything, 1)
    if others.shape[1] == len(mine) and (others == np.sort(mine)).all():
        return f"F.softmax({'{0}.flatten(1)' if tensor.spatial else '{0} '.strip()}, 1)"
    if tensor.spatial and tensor.ids.shape[0] == 1:
        plane = tensor.ids[0]
        for axis, lines in ((3, np.sort(plane, 1)[:, None, :]), (2, np.sort(plane, 0).T[None, :, :])):
            whole = np.broadcast_to(lines, (*plane.shape, lines.shape[-1])).reshape(plane.size, -1)
            if np.array_equal(others, whole):
                return f"F.softmax({{0}}, {axis})"
    raise Unrecognised("a softmax over part of a layer")


def _exponent(poly: Poly) -> Ids:
    """The cell in ``x`` or ``x - MAX(…)``: a shift by one number for all changes nothing."""
    plain = [t for t in poly.terms if len(t.factors) == 1 and not isinstance(t.factors[0], PolyCall)]
    calls = [t.factors[0] for t in poly.terms if len(t.factors) == 1 and isinstance(t.factors[0], PolyCall)]
    if (
        len(plain) == 1
        and plain[0].coefficient == 1
        and len(plain) + len(calls) == len(poly.terms)
        and len(calls) <= 1
    ):
        factor = plain[0].factors[0]
        if not isinstance(factor, PolyCall) and all(
            isinstance(c, PolyCall) and c.name == "MAX" for c in calls
        ):
            return factor
    raise Unrecognised("")
