"""Receptive fields as a table for people and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sheetconv.graph.expr import tensors_read
from sheetconv.graph.tensor import Tensor
from sheetconv.inspect.fields.network import TracedNetwork
from sheetconv.inspect.fields.recurrence import Reach, Reaches, recurrence


@dataclass(frozen=True)
class FieldRow:
    """One layer of the table: its name, operator, shape without the batch axis, and a reach per axis of the image."""

    layer: str
    operator: str
    shape: tuple[int, ...]
    reaches: Reaches

    def as_dict(self) -> dict[str, Any]:
        """For --json: the axes in the order of the image's, ``null`` where there is no one number."""
        return {
            "layer": self.layer,
            "operator": self.operator,
            "shape": list(self.shape),
            "axes": [
                {
                    "size": reach.size,
                    "jump": _jump(reach),
                    "start": reach.start,
                    "padding": reach.window.padding if reach.window else 0,
                    "off_by_at_most": reach.slack,
                    "even": not reach.uneven,
                }
                for reach in self.reaches
            ],
        }


def rows(network: TracedNetwork, layers: Sequence[Tensor] | None = None) -> list[FieldRow]:
    """The table of a network: all its layers, or those given."""
    found = recurrence(network.graph, network.pixels)
    chosen = network.layers() if layers is None else layers
    return [FieldRow(t.name, t.operator, t.shape[1:], _with_fused(network, t, found)) for t in chosen]


def _with_fused(network: TracedNetwork, tensor: Tensor, found: Mapping[Tensor, Reaches]) -> Reaches:
    """Reaches whose window is that of the layer that a ReLU is written into, where it has no cells of its own."""
    reads = tensors_read(tensor.expr) if tensor.expr is not None else []
    inner = [t for t in reads if t in found and network.places and t not in network.places]
    if len(inner) != 1 or len(reads) != 1:
        return found[tensor]
    return tuple(replace(r, window=w.window) for r, w in zip(found[tensor], found[inner[0]], strict=True))


HEADER = ("layer", "operator", "shape", "size", "jump", "start", "padding")


def lines_of(found: Sequence[FieldRow]) -> list[list[str]]:
    """The cells of the table; two numbers (rows×columns) only where the axes differ."""
    cells = []
    for row in found:
        sizes = _both([_size(r) for r in row.reaches])
        jumps = _both(["–" if _jump(r) is None else f"{r.jump:g}" for r in row.reaches])
        starts = _both(["–" if r.uneven else f"{r.start:g}" for r in row.reaches])
        padding = _both([str(r.window.padding if r.window else 0) for r in row.reaches])
        cells.append([row.layer, row.operator, "×".join(map(str, row.shape)), sizes, jumps, starts, padding])
    return cells


def table(found: Sequence[FieldRow]) -> str:
    """The table as text, with what its signs mean."""
    cells = [list(HEADER), *lines_of(found)]
    widths = [max(len(line[k]) for line in cells) for k in range(7)]
    lines = [
        "  ".join(
            c.ljust(w) if k < 2 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    return "\n".join([*lines, *notes_of(found)])


def notes_of(found: Sequence[FieldRow]) -> list[str]:
    """What the numbers and signs of a table mean, a line each."""
    reaches = [r for row in found for r in row.reaches]
    notes = [
        "size, jump and start (the centre of the first unit's field) are in pixels of the input, counted from 0"
    ]
    loose = [r.slack for r in reaches if r.slack and not r.uneven]
    if loose:
        notes.append(
            f"~ cells are repeated or skipped in turn: the box of a unit may lie up to {max(loose):g} pixels off"
        )
    if any(r.uneven for r in reaches):
        notes.append(
            "* the units are not in the order of the image; size is that of all their fields together"
        )
    return notes


def _size(reach: Reach) -> str:
    return f"{reach.size:g}" + ("*" if reach.uneven else "~" if reach.slack else "")


def _jump(reach: Reach) -> float | None:
    """None where every unit has the same field, or units are in another order than pixels."""
    return None if reach.axis is None else reach.jump


def _both(texts: list[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else "×".join(texts)
