"""What a map computes, as a torch layer. Each module recognises one family; the last takes whatever is left.

A recogniser returns a `Match` or raises `Unrecognised`; the first of `ORDER` that knows the formula wins.
"""

from __future__ import annotations

from sheetconv.inspect.recover.reader import Formula, Match, SheetReader
from sheetconv.inspect.recover.recognise import gathered, pointwise, pool, products, softmax
from sheetconv.inspect.recover.values import Unrecognised

LAYERS = (softmax.recognise, pool.recognise, products.recognise)
ORDER = (*LAYERS, gathered.matrix, pointwise.recognise, gathered.recognise)


def recognise(formula: Formula, reader: SheetReader, *, layers_only: bool = False) -> Match:
    """The layer that a map belongs to. Raises `Unrecognised` with the reasons of all recognisers."""
    reasons: list[str] = []
    for recogniser in LAYERS if layers_only else ORDER:
        try:
            return recogniser(formula, reader)
        except Unrecognised as error:
            if str(error):
                reasons.append(str(error))
    raise Unrecognised("; ".join(dict.fromkeys(reasons)) or "it is no layer that is known")
