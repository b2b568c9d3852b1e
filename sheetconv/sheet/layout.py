"""Where every element of every tensor lies on the sheet.

Vocabulary: a *plane* is the rectangle of cells of one channel; a *tile* is a plane with its title and its
margin; a *band* is the strip of columns that one layer takes, its parameters at the left and its result at
the right. The address of an element is a sum of one table per axis:
row = Σ over axes a of rows[a][index[a]], and likewise for columns. Two arrangements of feature maps:

* teaching: channel planes one below the other, which reads as images;
* stacked: row y·C + c, so that a window over all channels is one rectangle (wide layers).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from sheetconv.errors import LimitError
from sheetconv.graph.expr import tensors_read
from sheetconv.graph.index import IntArray
from sheetconv.graph.tensor import Graph, Tensor, margins
from sheetconv.xlsx.address import MAX_COLUMNS, MAX_ROWS

FIRST_SHELF = 2  # rows above it: title, choice of the image, legend
TITLE_ROWS = 3  # a layer's name, operator and shape
PAPER = 1.41  # width of a landscape page to its height
NAME_SIZE, TEXT_SIZE = 22, 14  # points of a layer's name, and of its operator and shape
GAP = 1  # blank cells between tiles
STACK_FROM = 16  # channels from which feature maps are stacked, if they are large
STACK_CELLS = 4096
STACKED_TALLEST = 600  # rows that a column of stacked kernels may take before it wraps
TALLEST = 150  # rows that a column of weight tiles may take before it wraps


@dataclass
class Place:
    """The cells of one tensor: per axis a table of row and of column offsets, from (row, column).

    `margin` is the blank border that windows reach into: (top, left, bottom, right) of every plane.
    """

    sheet: str
    tensor: Tensor
    rows: list[IntArray]
    columns: list[IntArray]
    margin: tuple[int, int, int, int] = (0, 0, 0, 0)
    row: int = 0
    column: int = 0
    plane_axes: tuple[int, ...] = ()

    def cells(self) -> tuple[IntArray, IntArray]:
        """Rows and columns of all elements, each of the tensor's shape."""
        return self._sum(self.rows, self.row), self._sum(self.columns, self.column)

    def _sum(self, tables: list[IntArray], start: int) -> IntArray:
        total = np.full((1,) * len(tables), start, dtype=np.int64)
        for axis, table in enumerate(tables):
            shape = [1] * len(tables)
            shape[axis] = len(table)
            total = total + table.reshape(shape)
        return total

    def offset(self, axis: int, index: IntArray, *, columns: bool = False) -> IntArray:
        """The offset that an index along an axis makes; beyond the bounds the table goes on in even steps."""
        table = (self.columns if columns else self.rows)[axis]
        size = len(table)
        if size == 0 or (index.min(initial=0) >= 0 and index.max(initial=0) < size):
            return np.asarray(table[index])
        step = int(table[1] - table[0]) if size > 1 else self._step(axis, columns)
        low, high = np.minimum(index, 0), np.maximum(index - (size - 1), 0)
        return np.asarray(table[np.clip(index, 0, size - 1)] + (low + high) * step)

    def _step(self, axis: int, columns: bool) -> int:
        """The step along an axis of length 1, which the tables do not show."""
        last = len(self.rows) - 1
        if columns:
            return int(axis == last and len(self.rows) > 2)
        if axis == last - 1 and len(self.rows) > 2:
            return len(self.rows[1]) if self.stacked else 1
        return int(axis == last and len(self.rows) <= 2)

    @property
    def stacked(self) -> bool:
        """Whether channels are interleaved row by row."""
        return len(self.rows) == 4 and len(self.rows[1]) > 1 and int(self.rows[1][1]) == 1

    def planes(self) -> list[tuple[tuple[int, ...], tuple[int, int, int, int]]]:
        """Every plane as (index along the other axes, (row0, column0, row1, column1))."""
        rows, columns = self.cells()
        lead = [a for a in range(rows.ndim) if a not in self.plane_axes]
        found = []
        for index in np.ndindex(*(rows.shape[a] for a in lead)):
            at: list[int | slice] = [slice(None)] * rows.ndim
            for axis, i in zip(lead, index, strict=True):
                at[axis] = i
            r, c = rows[tuple(at)], columns[tuple(at)]
            found.append((index, (int(r.min()), int(c.min()), int(r.max()), int(c.max()))))
        return found

    def box(self) -> tuple[int, int, int, int]:
        """The rectangle around all planes, without margin."""
        rows, columns = self.cells()
        return int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max())

    @property
    def height(self) -> int:
        """Rows from the first to the last element."""
        r0, _, r1, _ = self.box()
        return r1 - r0 + 1

    @property
    def width(self) -> int:
        """Columns from the first to the last element."""
        _, c0, _, c1 = self.box()
        return c1 - c0 + 1


@dataclass
class Band:
    """One layer from (row, column) on, the parameters first: `width` columns, `height` rows with titles."""

    tensor: Tensor
    parameters: list[Tensor]
    width: int
    height: int
    row: int = 0
    column: int = 0
    fresh: bool = False
    """Whether it begins a shelf of its own."""


@dataclass
class Layout:
    """All places by tensor, and the bands from left to right."""

    places: dict[Tensor, Place] = field(default_factory=dict)
    bands: list[Band] = field(default_factory=list)
    rows: int = 0
    columns: int = 0

    def move(self, rows: int, columns: int) -> None:
        """Set everything down and to the right, where a page has other things before it."""
        for band in self.bands:
            band.row += rows
            band.column += columns
        for place in self.places.values():
            place.row += rows
            place.column += columns
        self.rows += rows
        self.columns += columns


def is_stacked(tensor: Tensor) -> bool:
    """Whether a feature map is wide enough for the stacked arrangement."""
    if len(tensor.shape) != 4 or tensor.kind == "parameter":
        return False
    channels = tensor.shape[1]
    return channels >= STACK_FROM and (tensor.size >= STACK_CELLS or channels > 2 * STACK_FROM)


def _steps(count: int, step: int = 1) -> IntArray:
    return np.arange(count, dtype=np.int64) * step


def _zeros(count: int) -> IntArray:
    return np.zeros(count, dtype=np.int64)


def _activation(tensor: Tensor, sheet: str, margin: list[tuple[int, int]], kernel_rows: int) -> Place:
    """A result: planes downwards, stacked planes, a (C, L) matrix, or a column of features."""
    shape = tensor.shape
    rank = len(shape)
    if rank <= 2:
        rows = [_zeros(s) for s in shape[:-1]] + [_steps(s) for s in shape[-1:]]
        columns = [_steps(s) for s in shape[:-1]] + [_zeros(s) for s in shape[-1:]]
        top, bottom = margin[-1] if rank else (0, 0)
        return Place(sheet, tensor, rows, columns, (top, 0, bottom, 0), plane_axes=tuple(range(rank)))
    if is_stacked(tensor):
        channels = shape[1]
        (top, bottom), (left, right) = margin[2], margin[3]
        rows = [_zeros(shape[0]), _steps(channels), _steps(shape[2], channels), _zeros(shape[3])]
        columns = [_zeros(shape[0]), _zeros(channels), _zeros(shape[2]), _steps(shape[3])]
        edge = (top * channels, left, bottom * channels, right)
        return Place(sheet, tensor, rows, columns, edge, plane_axes=(1, 2, 3))
    (top, bottom), (left, right) = margin[-2], margin[-1]
    pitch = max(shape[-2] + top + bottom, kernel_rows) + GAP + 1
    rows, columns = [], []
    step = pitch
    for size in reversed(shape[:-2]):
        rows.insert(0, _steps(size, step))
        columns.insert(0, _zeros(size))
        step *= size
    rows += [_steps(shape[-2]), _zeros(shape[-1])]
    columns += [_zeros(shape[-2]), _steps(shape[-1])]
    return Place(sheet, tensor, rows, columns, (top, left, bottom, right), plane_axes=(rank - 2, rank - 1))


def _kernel(weight: Tensor, source: Place, result: Place, sheet: str) -> Place:
    """Kernels: one row of tiles per output channel, as their windows lie in the source."""
    shape = weight.shape
    outputs, inputs = shape[0], shape[1]
    if len(shape) == 3:  # 1-D: the window over (c, x) is a rectangle
        rows = [_steps(outputs, inputs + GAP + 1), _steps(inputs), _zeros(shape[2])]
        columns = [_zeros(outputs), _zeros(inputs), _steps(shape[2])]
        return Place(sheet, weight, rows, columns, plane_axes=(1, 2))
    if source.stacked:
        pitch = inputs * shape[2] + GAP
        per_column = max(1, max(STACKED_TALLEST, result.height) // pitch)
        number = np.arange(outputs, dtype=np.int64)
        rows = [number % per_column * pitch, _steps(inputs), _steps(shape[2], inputs), _zeros(shape[3])]
        across = number // per_column * (shape[3] + GAP)
        columns = [across, _zeros(inputs), _zeros(shape[2]), _steps(shape[3])]
        return Place(sheet, weight, rows, columns, plane_axes=(1, 2, 3))
    follow = not result.stacked and len(result.rows) == 4 and len(result.rows[1]) == outputs
    down = result.rows[1] if follow else _steps(outputs, shape[2] + GAP + 1)
    rows = [down, _zeros(inputs), _steps(shape[2]), _zeros(shape[3])]
    columns = [_zeros(outputs), _steps(inputs, shape[3] + GAP), _zeros(shape[2]), _steps(shape[3])]
    return Place(sheet, weight, rows, columns, plane_axes=(2, 3))


def _parameter(tensor: Tensor, places: dict[Tensor, Place], sheet: str, result: Place) -> Place:
    """A parameter as its `placement` asks, see the functions above and `Build.parameter`."""
    shape = tensor.shape
    if tensor.placement == "kernel" and tensor.partner is not None:
        return _kernel(tensor, places[tensor.partner], result, sheet)
    if tensor.placement == "channel":
        axis = 1 if len(result.rows) > 1 else 0
        rows = [result.rows[axis]] if len(result.rows[axis]) == shape[0] else [_steps(shape[0])]
        return Place(sheet, tensor, rows, [_zeros(shape[0])], plane_axes=(0,) if len(shape) == 1 else ())
    if tensor.placement == "columns":
        return Place(sheet, tensor, [_zeros(shape[0]), _steps(shape[1])], [_steps(shape[0]), _zeros(shape[1])],
                     plane_axes=(0, 1))  # fmt: skip
    if tensor.placement == "planes":
        outputs, planes, height, width = shape
        down = planes * (height + GAP + 1)
        per_column = max(1, TALLEST // down)
        number = np.arange(outputs)
        rows = [number % per_column * down, _steps(planes, height + GAP + 1), _steps(height), _zeros(width)]
        columns = [number // per_column * (width + GAP), _zeros(planes), _zeros(height), _steps(width)]
        return Place(sheet, tensor, rows, columns, plane_axes=(2, 3))
    if len(shape) <= 1:
        return Place(sheet, tensor, [_zeros(s) for s in shape], [_steps(s) for s in shape],
                     plane_axes=tuple(range(len(shape))))  # fmt: skip
    rows, columns = [], []
    step = shape[-2] + GAP + 1
    for size in reversed(shape[:-2]):
        rows.insert(0, _steps(size, step))
        columns.insert(0, _zeros(size))
        step *= size
    rows += [_steps(shape[-2]), _zeros(shape[-1])]
    columns += [_zeros(shape[-2]), _steps(shape[-1])]
    return Place(sheet, tensor, rows, columns, plane_axes=(len(shape) - 2, len(shape) - 1))


def arrange(graph: Graph, sheet: str, breaks: Collection[Tensor] = ()) -> Layout:
    """Lay a graph out: input at the left, layers to the right, parameters before the layer that uses them.

    A network that would be much wider than a page goes on in further *shelves* below, like lines of text; each of
    `breaks` begins one.
    Raises `LimitError` when it does not fit on a sheet.
    """
    reach = margins(graph)
    layout = Layout()
    for tensor in graph.placed():
        if tensor.kind != "parameter":
            layout.bands.append(_band(tensor, layout, reach[tensor], sheet))
            layout.bands[-1].fresh = tensor in breaks
    _shelve(layout)
    if layout.rows > MAX_ROWS or layout.columns > MAX_COLUMNS:
        raise LimitError(
            f"the network needs {layout.rows:,} rows × {layout.columns:,} columns; "
            f"a sheet has {MAX_ROWS:,} × {MAX_COLUMNS:,}. Choose a smaller network or input"
        )
    return layout


def _band(tensor: Tensor, layout: Layout, margin: list[tuple[int, int]], sheet: str) -> Band:
    """A layer and its parameters, laid out as if they stood alone (rows from the layer's name on)."""
    used = [t for t in tensors_read(tensor.expr) if t.kind == "parameter"] if tensor.expr is not None else []
    own = [t for t in used if t not in layout.places]
    kernel_rows = max((p.shape[2] for p in own if p.placement == "kernel" and len(p.shape) == 4), default=0)
    place = _alike(tensor, layout, sheet) or _activation(tensor, sheet, margin, kernel_rows)
    place.row = TITLE_ROWS + 1 + place.margin[0]
    column = 0
    for parameter in own:
        found = _parameter(parameter, layout.places, sheet, place)
        found.row, found.column = place.row, column
        layout.places[parameter] = found
        column += found.width + GAP
    place.column = column + place.margin[1]
    layout.places[tensor] = place
    end = place.column + max(place.width + place.margin[3] + GAP, _title_columns(tensor))
    bottoms = [layout.places[t].box()[2] + layout.places[t].margin[2] for t in (*own, tensor)]
    return Band(tensor, own, width=end + GAP, height=max(bottoms) + 2)


def _alike(tensor: Tensor, layout: Layout, sheet: str) -> Place | None:
    """Cells arranged as those of a parameter that the tensor belongs to (its gradient), if it has one."""
    if tensor.placement != "like" or tensor.partner not in layout.places:
        return None
    own = layout.places[tensor.partner]
    return Place(sheet, tensor, own.rows, own.columns, plane_axes=own.plane_axes)


def _shelve(layout: Layout) -> None:
    """Choose the narrowest page whose shelves are not taller than a sheet of paper, and move the bands there."""
    total = sum(band.width for band in layout.bands)
    widest = max(band.width for band in layout.bands)
    width = widest
    while width < total and _fill(layout.bands, width) * PAPER > width:
        width = min(total, width + 10)
    layout.rows = _fill(layout.bands, width)
    layout.columns = max(band.column + band.width for band in layout.bands) + 1
    for band in layout.bands:
        for tensor in (*band.parameters, band.tensor):
            layout.places[tensor].row += band.row
            layout.places[tensor].column += band.column


def _fill(bands: list[Band], width: int) -> int:
    """Set the bands on shelves of this width, from left to right; returns the rows that they take."""
    top, column, height = FIRST_SHELF, 1, 0
    for band in bands:
        if column > 1 and (band.fresh or column + band.width > width + 1):
            top, column, height = top + height + GAP, 1, 0
        band.row, band.column = top, column
        column += band.width
        height = max(height, band.height)
    return top + height


def _title_columns(tensor: Tensor) -> int:
    """Columns that a layer's name and operator need at their sizes (about 0.8 of a point a character, in pixels)."""
    pixels = max(len(tensor.name) * NAME_SIZE, len(tensor.operator) * TEXT_SIZE) * 0.8
    return int(pixels // 28) + 1


def named_by(tensor: Tensor, index: tuple[int, ...]) -> tuple[int, ...]:
    """What tells a plane's name from the others': its index, without a batch axis of one image."""
    return index[1:] if tensor.kind != "parameter" and tensor.shape[:1] == (1,) else index


def defined_name(tensor: str, index: tuple[int, ...]) -> str:
    """A legal name of a plane: net_conv1_0 (with a prefix, since conv1 and w1 are addresses)."""
    return re.sub(r"[^A-Za-z0-9_]", "_", "_".join(["net", tensor, *map(str, index)]))
