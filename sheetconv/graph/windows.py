"""Which way a window runs over a sheet, through views."""

from __future__ import annotations

from sheetconv.graph.expr import Read
from sheetconv.graph.index import Var
from sheetconv.graph.tensor import through_view


def through_all(read: Read) -> Read:
    """The same element, read from a tensor with cells."""
    while read.tensor.view:
        read = through_view(read)
    return read


def directions(read: Read, over: tuple[Var, ...]) -> list[str]:
    """Which way each variable of a window runs over a sheet: across, down, from plane to plane, or skew."""
    tensor, rank = read.tensor, len(read.at)
    flat = tensor.placement in ("columns", "channel") if tensor.kind == "parameter" else rank <= 2
    names = ["down", "across"] if flat else ["across", "down"]
    found = []
    for variable in over:
        axes = [rank - 1 - d for d, index in enumerate(read.at) if variable in index.variables()]
        one = len(axes) == 1
        found.append((names[axes[0]] if axes[0] < 2 else "plane") if one else "skew" if axes else "")
    return [name for name, variable in zip(found, over, strict=True) if variable.size > 1]
