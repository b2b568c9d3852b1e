"""What an area is, in words: in our workbooks layer, tensor and role, elsewhere what its cells hold.

Our workbooks carry a manifest that says where each tensor's cells are; a *plane* is the rectangle of one
channel, its *margin* the blank cells around it that windows reach into (padding). Indices count from 0, as in
torch. A workbook without a manifest, or with a damaged one, is described by its cells alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sheetconv.errors import WorkbookError
from sheetconv.formulas import box_sets as region
from sheetconv.formulas.cell_index import CellIndex
from sheetconv.formulas.cell_range import Area
from sheetconv.formulas.source import Cell, Source
from sheetconv.graph.tensor import Tensor
from sheetconv.sheet.layout import Place
from sheetconv.sheet.manifest import SHEET

_FORMULA = 50


@dataclass(frozen=True)
class NamedPart:
    """A rectangle of cells that are one thing.

    Attributes:
        area: the cells.
        role: input, kernel, weight, bias, parameter, activation, padding; in cells that belong to no tensor
            text, numbers, formulas, blank, or mixed.
        layer, tensor: names from the manifest, "" elsewhere.
        where: which part of the tensor, such as "channel 0, rows 3–5, columns 0–2"; a formula elsewhere.
    """

    area: Area
    role: str
    layer: str = ""
    tensor: str = ""
    where: str = ""

    def words(self) -> str:
        """One line for a reader."""
        if not self.tensor:
            return f"{self.role}  {self.where}".rstrip()
        name = {"padding": f"padding of {self.tensor}", "input": f"input {self.tensor}"}.get(self.role)
        if self.role == "input" and self.tensor == "input":
            name = "input"
        if name is None:
            name = (
                f"{self.role} {self.tensor}"
                if self.role == "activation"
                else f"{self.role} of {self.layer or self.tensor}"
            )
        return ", ".join(filter(None, (name, self.where)))


@dataclass(frozen=True)
class _Plane:
    tensor: Tensor
    place: Place
    index: tuple[int, ...]


class CellNames:
    """Names for areas of one workbook."""

    def __init__(self, source: Source):
        self.source = source
        self._planes: dict[str, tuple[list[_Plane], np.ndarray]] = {}
        self.places = _places(source)
        for tensor, place in self.places.items():
            planes, boxes = self._planes.setdefault(place.sheet, ([], region.EMPTY))
            found = place.planes()
            planes += [_Plane(tensor, place, index) for index, _ in found]
            boxes = np.concatenate([boxes, np.array([box for _, box in found], np.int64).reshape(-1, 4)])
            self._planes[place.sheet] = planes, boxes

    @property
    def ours(self) -> bool:
        """Whether the workbook has a manifest."""
        return bool(self.places)

    def parts(self, area: Area) -> list[NamedPart]:
        """An area cut along the tensors' planes and margins, in sheet order; the parts cover it, disjoint."""
        planes, boxes = self._planes.get(area.sheet, ([], region.EMPTY))
        if not planes:
            return [self._other(area)]
        left = np.array([area[1:]], np.int64)
        found: list[NamedPart] = []
        for margin in (False, True):
            for number in self._hit(planes, boxes, left, margin):
                plane = planes[number]
                box = _with_margin(boxes[number], plane.place) if margin else boxes[number]
                inside = region.clipped(left, (int(box[0]), int(box[1]), int(box[2]), int(box[3])))
                for piece in inside.tolist():
                    found.append(self._part(Area(area.sheet, *piece), plane, boxes[number], margin))
                left = region.difference(left, inside)
        found += [self._other(Area(area.sheet, *piece)) for piece in left.tolist()]
        return sorted(found, key=lambda part: part.area)

    def blocks(
        self, sheet: str, box: tuple[int, int, int, int]
    ) -> list[tuple[tuple[int, int, int, int], str]]:
        """Planes of tensors, margins included, that meet a rectangle of a sheet; the first carries the name."""
        planes, boxes = self._planes.get(sheet, ([], region.EMPTY))
        r0, c0, r1, c1 = box
        found, named = [], set()
        for plane, (top, left, bottom, right) in zip(planes, boxes.tolist(), strict=True):
            if top <= r1 and bottom >= r0 and left <= c1 and right >= c0:
                tensor = plane.tensor
                wide = right - left > 5 and tensor.name not in named
                named.add(tensor.name)
                a, b, c, d = plane.place.margin
                found.append(((top - a, left - b, bottom + c, right + d), tensor.name if wide else ""))
        return found

    def _hit(self, planes: list[_Plane], boxes: np.ndarray, left: np.ndarray, margin: bool) -> Iterator[int]:
        if not len(boxes) or not len(left):
            return
        r0, c0, r1, c1 = region.bounds(left)
        around = boxes
        if margin:
            edges = np.array([p.place.margin for p in planes], np.int64)
            around = boxes + edges * np.array([-1, -1, 1, 1])
        hit = (around[:, 0] <= r1) & (around[:, 2] >= r0) & (around[:, 1] <= c1) & (around[:, 3] >= c0)
        yield from np.flatnonzero(hit).tolist()

    def _part(self, area: Area, plane: _Plane, box: np.ndarray, margin: bool) -> NamedPart:
        tensor = plane.tensor
        where = "" if margin else _where(area, plane, (int(box[0]), int(box[1])))
        return NamedPart(area, "padding" if margin else role(tensor), tensor.layer, tensor.name, where)

    def _other(self, area: Area) -> NamedPart:
        """Cells that belong to no tensor, by what they hold."""
        grid = self.source.grid(self.source.number(area.sheet))
        if area.size == 1:
            return self._cell(area, grid)
        inside = grid.inside(area[1:])
        inside = inside[grid.filled[inside]]
        if not len(inside):
            return NamedPart(area, "blank")
        computed, missing = int((grid.owner[inside] >= 0).sum()), area.size - len(inside)
        blank = f"{missing:,} blank" if missing else ""
        if computed == len(inside):
            text = self._formula((area.sheet, *grid.position(int(inside[0]))))
            return NamedPart(area, "formulas", where=f"{text}, {blank}" if blank else text)
        if computed:
            return NamedPart(
                area,
                "mixed",
                where=f"{computed:,} formulas, {len(inside) - computed:,} typed{', ' * bool(blank)}{blank}",
            )
        known = grid.cells.numbers_at(grid.listed_many(inside))
        texts = int(np.isnan(known).sum())
        if texts == len(known):
            return NamedPart(area, "text", where=blank)
        said = ", ".join(filter(None, (f"{texts:,} texts" if texts else "", blank)))
        return NamedPart(area, "numbers", where=said)

    def _cell(self, area: Area, grid: CellIndex) -> NamedPart:
        """One cell (a long trace has a million of them, so without arrays)."""
        key = (area.row0 << 14) | area.column0
        index = bisect_left(grid.view, key)
        if index == len(grid.view) or grid.view[index] != key or not grid.filled[index]:
            return NamedPart(area, "blank")
        if grid.owner[index] >= 0:
            return NamedPart(area, "formula", where=self._formula(area[:3]))
        value = grid.cells.value(area.row0, area.column0)
        return (
            NamedPart(area, "text", where=repr(value)[:_FORMULA])
            if isinstance(value, str)
            else NamedPart(area, "number")
        )

    def _formula(self, cell: Cell) -> str:
        text = self.source.formula(cell) or ""
        return text if len(text) <= _FORMULA else text[: _FORMULA - 1] + "…"


def role(tensor: Tensor) -> str:
    """What a tensor is to its layer."""
    if tensor.kind != "parameter":
        return tensor.kind
    last = tensor.name.rpartition(".")[2]
    if last == "weight":
        return "kernel" if len(tensor.shape) > 2 and tensor.state_shape == tensor.shape else "weight"
    return last if last == "bias" else f"parameter {last}"


def _places(source: Source) -> dict[Tensor, Place]:
    if SHEET not in source.sheets:
        return {}
    from sheetconv.sheet.manifest import read_manifest

    try:
        places = read_manifest(source.book, Path(source.book.path)).places
    except WorkbookError:  # damaged: the cells are there all the same, and are described as in any workbook
        return {}
    return {t: p for t, p in places.items() if p.sheet in source.sheets}


def _with_margin(box: np.ndarray, place: Place) -> np.ndarray:
    found: np.ndarray = box + np.array(place.margin, np.int64) * np.array([-1, -1, 1, 1])
    return found


def _where(area: Area, plane: _Plane, first: tuple[int, int]) -> str:
    """Indices of the part of a plane that lies in `area`."""
    tensor, place = plane.tensor, plane.place
    lead = [a for a in range(len(tensor.shape)) if a not in place.plane_axes]
    words = [
        f"{_axis(tensor, axis)} {index}"
        for axis, index in zip(lead, plane.index, strict=True)
        if tensor.shape[axis] > 1 or (_axis(tensor, axis) == "channel")
    ]
    if place.stacked and len(place.plane_axes) == 3:
        return ", ".join(words)
    for axis in place.plane_axes:
        down = (
            place.rows[axis][-1] != place.rows[axis][0] or place.columns[axis][-1] == place.columns[axis][0]
        )
        table = place.rows[axis] if down else place.columns[axis]
        low, high = (
            (area.row0 - first[0], area.row1 - first[0])
            if down
            else (area.column0 - first[1], area.column1 - first[1])
        )
        hit = np.flatnonzero((table - table[0] >= low) & (table - table[0] <= high))
        if tensor.shape[axis] > 1 and len(hit):
            words.append(f"{_axis(tensor, axis)}{'s' * (len(hit) > 1)} {_span(int(hit[0]), int(hit[-1]))}")
    return ", ".join(words)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"


def _axis(tensor: Tensor, axis: int) -> str:
    rank = len(tensor.shape)
    if tensor.kind == "parameter" and rank >= 2:
        names = ["output", "input channel", "row", "column"]
        return names[axis] if rank == 4 else ["output", "input", "column"][min(axis, 2)]
    if rank == 4:
        return ("image", "channel", "row", "column")[axis]
    if rank == 3:
        return ("image", "channel", "position")[axis]
    if rank == 2:
        return ("image", "unit")[axis]
    return "output" if tensor.kind == "parameter" else "element"
