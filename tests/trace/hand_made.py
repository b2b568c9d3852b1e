"""Two-layer networks as teachers build them by hand: many layouts, with and without planted mistakes.

``python tests/trace/hand_made.py FOLDER`` writes one workbook for each style and each mistake. The numbers that
a sheet should show come from torch on the same pixels and weights, never from the formulas.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import openpyxl
import torch
import xlsxwriter
from openpyxl.worksheet.formula import ArrayFormula
from torch.nn import functional as F
from xlsxwriter.utility import xl_range, xl_range_abs, xl_rowcol_to_cell

from sheetconv.formulas.cell_range import Area, quoted
from sheetconv.xlsx.a1 import cell_name

EDGES = (
    [[1, 1, 1], [0, 0, 0], [-1, -1, -1]],
    [[1, 0, -1], [1, 0, -1], [1, 0, -1]],
)
MISTAKES = {
    "wide": {"too-large"},
    "tall": {"too-large"},
    "label": {"wrong-size"},
    "denominator": {"denominator"},
    "stray": {"stray-value"},
    "formula": {"differs"},
    "constant": {"differs"},
    "text": {"text-number"},
    "blank": {"reads-blank", "empty-area"},
}
"""Each mistake that can be planted, and the checks of which one must find it."""


@dataclass(frozen=True)
class Style:
    """How somebody writes a network sheet."""

    size: int = 12
    sums: str = "cse"  # cse, sumproduct, star, terms
    writer: str = "xlsxwriter"  # xlsxwriter, openpyxl
    kernels: str = "right"  # right, sheet, names
    relu: str = "fused"  # fused, if, map
    pool: str = "max"  # max, average
    spaced: bool = True  # pooled cells in every second row and column
    bias: str = "none"  # none, fused (inside the rectifier's sum)
    padding: int = 0
    zeros: bool = False  # the margin holds typed zeros
    stride: int = 1
    logits: int = 1
    softmax: bool = False
    numbered: bool = False  # 0, 1, 2 … along the edges of the image
    title: str = "{name}: {rows}x{columns}"
    dropout: bool = False
    downwards: bool = False  # layers one below the other instead of side by side
    trained: bool = False  # random kernels instead of edges
    flat: str = "block"  # block: a sum over each pooled map; mmult: one array formula over a column


@dataclass
class Made:
    """A workbook and what is known of it: torch's numbers, and where mistakes were planted."""

    path: Path
    expected: dict[str, np.ndarray] = field(default_factory=dict)
    places: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)
    planted: dict[str, Area] = field(default_factory=dict)


class Paper:
    """Cells by sheet: a number, a text, a formula, or an array formula; written by one library or the other."""

    def __init__(self) -> None:
        self.cells: dict[str, dict[tuple[int, int], object]] = {"Net": {}}
        self.names: dict[str, str] = {}

    def put(self, sheet: str, row: int, column: int, what: object) -> None:
        self.cells.setdefault(sheet, {})[row, column] = what

    def block(self, sheet: str, row: int, column: int, values: np.ndarray) -> Area:
        for (i, j), value in np.ndenumerate(values):
            self.put(sheet, row + i, column + j, float(value))
        return Area(sheet, row, column, row + values.shape[0] - 1, column + values.shape[1] - 1)

    def save(self, path: Path, writer: str) -> None:
        (self._xlsxwriter if writer == "xlsxwriter" else self._openpyxl)(path)

    def _xlsxwriter(self, path: Path) -> None:
        with xlsxwriter.Workbook(path) as work:
            for name, cells in self.cells.items():
                sheet = work.add_worksheet(name)
                for (row, column), what in sorted(cells.items()):
                    if isinstance(what, tuple):
                        area, text = what
                        sheet.write_array_formula(*area, text)
                    elif isinstance(what, str) and what.startswith("="):
                        sheet.write_formula(row, column, what)
                    elif isinstance(what, str):
                        sheet.write_string(row, column, what)
                    else:
                        sheet.write_number(row, column, what)
            for name, text in self.names.items():
                work.define_name(name, "=" + text)

    def _openpyxl(self, path: Path) -> None:
        work = openpyxl.Workbook()
        work.remove(work.active)
        for name, cells in self.cells.items():
            sheet = work.create_sheet(name)
            for (row, column), what in sorted(cells.items()):
                if isinstance(what, tuple):
                    (r0, c0, r1, c1), text = what
                    what = ArrayFormula(f"{cell_name(r0, c0)}:{cell_name(r1, c1)}", text)
                cell = sheet.cell(row + 1, column + 1, what)
                if isinstance(what, str) and not what.startswith("="):
                    cell.data_type = "s"
        for name, text in self.names.items():
            work.defined_names[name] = openpyxl.workbook.defined_name.DefinedName(name, attr_text=text)
        work.save(path)


def build(path: Path, style: Style, mistakes: tuple[str, ...] = (), seed: int = 3) -> Made:
    """Write one workbook; raises `KeyError` for an unknown mistake."""
    return _Builder(path, style, mistakes, seed).build()


class _Builder:
    """The steps of `build`; each layer method places its blocks and gives their areas."""

    def __init__(self, path: Path, style: Style, mistakes: tuple[str, ...], seed: int):
        assert set(mistakes) <= set(MISTAKES)
        self.style, self.mistakes = style, mistakes
        self.paper, self.made = Paper(), Made(path)
        self.random = np.random.default_rng(seed)
        self.top, self.left = 4, 2

    def build(self) -> Made:
        s = self.style
        pixels = self._digit()
        weights1 = self._weights((2, 1, 3, 3)) if s.trained else np.array(EDGES, float)[:, None]
        weights2, bias1, bias2 = self._weights((2, 2, 3, 3)), self._weights((2,)), self._weights((2,))
        self.paper.put("Net", 0, 0, "A small network, built by hand")
        image = self._image(pixels)
        conv1 = self._conv("conv1", [image], weights1, bias1, s.padding, s.stride)
        conv2 = self._conv("conv2", conv1, weights2, bias2, 0, 1)
        pooled = self._pool("pool", conv2)
        rows, columns = self._shape(conv2)
        dense = self._weights((s.logits, 2, rows // 2, columns // 2))
        self._dense(pooled, dense)
        self._mean(pooled)
        if s.dropout:
            self._dropout(pooled[0])
        self.paper.save(self.made.path, s.writer)
        self._torch(pixels, weights1, weights2, bias1, bias2, dense)
        return self.made

    # pixels and weights

    def _digit(self) -> np.ndarray:
        """A drawn loop and stroke with soft edges: values from 0 to 1."""
        n = self.style.size
        y, x = np.mgrid[0:n, 0:n] / (n - 1)
        ring = np.abs(np.hypot(x - 0.5, (y - 0.34) * 1.2) - 0.22)
        stroke = np.hypot(
            np.clip(y - 0.4, 0, None) * 0 + x - 0.7 + 0.3 * (y - 0.4), np.clip(0.4 - y, 0, None)
        )
        distance = np.minimum(ring, stroke)
        return np.round(np.clip(1.2 - 9 * distance, 0, 1), 3)

    def _weights(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.round(self.random.normal(0, 0.5, shape), 3)

    # blocks

    def _next(self, rows: int, columns: int) -> tuple[int, int]:
        """Top left of the next layer's blocks."""
        at = self.top, self.left
        if self.style.downwards:
            self.top += rows + 6
        else:
            self.left += columns + 6
        return at

    def _channel(self, at: tuple[int, int], index: int, rows: int, columns: int) -> tuple[int, int]:
        gap = 4
        return (
            (at[0], at[1] + index * (columns + gap))
            if self.style.downwards
            else (at[0] + index * (rows + gap), at[1])
        )

    def _title(
        self, row: int, column: int, name: str, rows: int, columns: int, *, wrong: bool = False
    ) -> None:
        if wrong:
            rows, columns = rows + 2, columns + 2
            self.made.planted["label"] = Area("Net", row, column, row, column)
        self.paper.put("Net", row, column, self.style.title.format(name=name, rows=rows, columns=columns))

    def _image(self, pixels: np.ndarray) -> Area:
        s, n = self.style, self.style.size
        margin = s.padding
        row, column = self._next(n + 2 * margin, n + 2 * margin)
        row, column = row + margin, column + margin
        if margin and s.zeros:
            framed = np.pad(pixels, margin)
            self.paper.block("Net", row - margin, column - margin, framed)
        area = self.paper.block("Net", row, column, pixels)
        if s.numbered:
            for k in range(n):
                self.paper.put("Net", row - 1, column + k, float(k))
                self.paper.put("Net", row + k, column - 1, float(k))
        self._title(row - margin - 2, column, "image", n, n)
        if "text" in self.mistakes:
            self.paper.put("Net", row + 4, column + 5, f"{pixels[4, 5]:g}")
            self.made.planted["text"] = Area("Net", row + 4, column + 5, row + 4, column + 5)
        return area

    def _shape(self, blocks: list[Area]) -> tuple[int, int]:
        return blocks[-1].row1 - blocks[-1].row0 + 1, blocks[-1].column1 - blocks[-1].column0 + 1

    def _kernel(self, name: str, at: tuple[int, int], values: np.ndarray) -> str:
        """Place a weight block; give the reference that formulas use."""
        if self.style.kernels == "right":
            area = self.paper.block("Net", *at, values)
            self.paper.put("Net", at[0] - 1, at[1], name)
            return xl_range_abs(*area[1:])
        row = 1 + 7 * sum(1 for text in self.paper.cells.get("Weights", {}).values() if isinstance(text, str))
        self.paper.put("Weights", row - 1, 0, name)
        area = self.paper.block("Weights", row, 0, values)
        reference = f"{quoted('Weights')}!{xl_range_abs(*area[1:])}"
        if self.style.kernels == "names":
            self.paper.names[name.replace(" ", "_")] = reference
            return name.replace(" ", "_")
        return reference

    def _place_of(self, reference: str) -> tuple[str, int, int]:
        text = self.paper.names.get(reference, reference)
        sheet, _, cells = text.rpartition("!")
        first = cells.replace("$", "").split(":")[0]
        cell = openpyxl.utils.cell.coordinate_from_string(first)
        column = openpyxl.utils.column_index_from_string(cell[0]) - 1
        return sheet.strip("'") or "Net", cell[1] - 1, column

    def _sum(self, window: tuple[int, int, int, int], kernel: str, shape: tuple[int, int]) -> str:
        kind = self.style.sums
        if kind == "terms":
            sheet, row, column = self._place_of(kernel)
            prefix = "" if sheet == "Net" else f"{sheet}!"
            return "+".join(
                f"{cell_name(window[0] + i, window[1] + j)}*{prefix}"
                f"{xl_rowcol_to_cell(row + i, column + j, True, True)}"
                for i, j in np.ndindex(*shape)
            )
        text = xl_range(*window)
        if kind == "sumproduct":
            return f"SUMPRODUCT({text},{kernel})"
        return f"{'SUMPRODUCT' if kind == 'star' else 'SUM'}({text}*{kernel})"

    def _formula(self, row: int, column: int, text: str) -> None:
        array = self.style.sums == "cse" and "SUM(" in text
        self.paper.put("Net", row, column, ((row, column, row, column), "=" + text) if array else "=" + text)

    def _conv(
        self, name: str, inputs: list[Area], weights: np.ndarray, bias: np.ndarray, padding: int, stride: int
    ) -> list[Area]:
        s = self.style
        rows, columns = self._shape(inputs)
        rows, columns = (rows + 2 * padding - 3) // stride + 1, (columns + 2 * padding - 3) // stride + 1
        last = name == "conv2"
        wide, tall = last and "wide" in self.mistakes, last and "tall" in self.mistakes
        kernels_at = self._next(8, 5 * weights.shape[1] + 2) if s.kernels == "right" else (0, 0)
        at = (
            self._next(2 * rows + 4, columns + 1)
            if not s.downwards
            else self._next(rows + 1, 2 * columns + 4)
        )
        maps = []
        for o in range(len(weights)):
            kernels = []
            for c in range(weights.shape[1]):
                place = kernels_at[0] + 6 * o, kernels_at[1] + 5 * c
                kernels.append(self._kernel(f"{name} kernel {o} {c}", place, weights[o, c]))
            offset = ""
            if s.bias == "fused":
                place = (kernels_at[0] + 6 * o, kernels_at[1] + 5 * weights.shape[1])
                sheet = "Net" if s.kernels == "right" else "Weights"
                if sheet == "Weights":
                    place = (6 * len(self.paper.cells["Weights"]) + 200, 8)
                self.paper.put(sheet, *place, float(bias[o]))
                prefix = "" if sheet == "Net" else "Weights!"
                offset = "+" + prefix + xl_rowcol_to_cell(*place, True, True)
            row, column = self._channel(at, o, rows + 1, columns + 1)
            self._title(
                row - 1,
                column,
                f"{name} ({o})",
                rows,
                columns,
                wrong="label" in self.mistakes and name == "conv1" and o == 1,
            )
            wider, taller = columns + (wide and o == 1), rows + (tall and o == 1)
            for i, j in np.ndindex(taller, wider):
                parts = []
                for area, kernel in zip(inputs, kernels, strict=True):
                    r, c = area.row0 - padding + stride * i, area.column0 - padding + stride * j
                    parts.append(self._sum((r, c, r + 2, c + 2), kernel, (3, 3)))
                text = "+".join(parts) + offset
                if s.relu == "fused":
                    text = f"MAX(0,{text})"
                elif s.relu == "if":
                    text = f"IF({text}>0,{text},0)"
                self._formula(row + i, column + j, text)
            maps.append(Area("Net", row, column, row + rows - 1, column + columns - 1))
            if wider > columns:
                self.made.planted["wide"] = Area(
                    "Net", row, column + columns, row + rows - 1, column + columns
                )
            if taller > rows:
                self.made.planted["tall"] = Area("Net", row + rows, column, row + rows, column + columns - 1)
            self._plant(name, o, kernels, row, column)
        if s.relu == "map":
            maps = self._rectified(name, maps)
        self.made.places[name] = [
            (m.sheet, m.row0 + i, m.column0 + j) for m in maps for i, j in np.ndindex(rows, columns)
        ]
        return maps

    def _plant(self, name: str, o: int, kernels: list[str], row: int, column: int) -> None:
        if name == "conv1" and o == 0:
            sheet, r, c = self._place_of(kernels[0])
            if "stray" in self.mistakes:
                self.paper.put(sheet, r + 1, c + 1, 1.1)
                self.made.planted["stray"] = Area(sheet, r + 1, c + 1, r + 1, c + 1)
        if name == "conv2" and o == 0 and "blank" in self.mistakes:
            sheet, r, c = self._place_of(kernels[1])
            del self.paper.cells[sheet][r + 2, c + 1]
            self.made.planted["blank"] = Area(sheet, r + 2, c + 1, r + 2, c + 1)
        if name == "conv1" and o == 1:
            if "formula" in self.mistakes:
                kept = self.paper.cells["Net"][row + 3, column + 3]
                self.paper.put("Net", row + 3, column + 2, kept)
                if isinstance(kept, tuple):
                    self.paper.put("Net", row + 3, column + 2, ((row + 3, column + 2) * 2, kept[1]))
                self.made.planted["formula"] = Area("Net", row + 3, column + 2, row + 3, column + 2)
            if "constant" in self.mistakes:
                self.paper.put("Net", row + 2, column + 4, 0.77)
                self.made.planted["constant"] = Area("Net", row + 2, column + 4, row + 2, column + 4)

    def _rectified(self, name: str, maps: list[Area]) -> list[Area]:
        rows, columns = self._shape(maps)
        at = (
            self._next(2 * rows + 4, columns)
            if not self.style.downwards
            else self._next(rows, 2 * columns + 4)
        )
        found = []
        for o, area in enumerate(maps):
            row, column = self._channel(at, o, rows, columns)
            self._title(row - 1, column, f"ReLU {name} ({o})", rows, columns)
            for i, j in np.ndindex(rows, columns):
                self._formula(row + i, column + j, f"MAX(0,{cell_name(area.row0 + i, area.column0 + j)})")
            found.append(Area("Net", row, column, row + rows - 1, column + columns - 1))
        return found

    def _pool(self, name: str, maps: list[Area]) -> list[Area]:
        rows, columns = (n // 2 for n in self._shape(maps))
        step = 2 if self.style.spaced else 1
        high, wide = (rows - 1) * step + 1, (columns - 1) * step + 1
        at = self._next(2 * high + 4, wide) if not self.style.downwards else self._next(high, 2 * wide + 4)
        function = "MAX" if self.style.pool == "max" else "AVERAGE"
        found = []
        for o, area in enumerate(maps):
            row, column = self._channel(at, o, high, wide)
            self._title(row - 1, column, f"{self.style.pool}-pool ({o})", rows, columns)
            for i, j in np.ndindex(rows, columns):
                window = xl_range(
                    area.row0 + 2 * i, area.column0 + 2 * j, area.row0 + 2 * i + 1, area.column0 + 2 * j + 1
                )
                self._formula(row + step * i, column + step * j, f"{function}({window})")
            found.append(Area("Net", row, column, row + high - 1, column + wide - 1))
        self.made.places[name] = [
            (m.sheet, m.row0 + step * i, m.column0 + step * j)
            for m in found
            for i, j in np.ndindex(rows, columns)
        ]
        return found

    def _dense(self, pooled: list[Area], weights: np.ndarray) -> None:
        s = self.style
        step = 2 if s.spaced else 1
        if s.flat == "mmult":
            logits = self._mmult(pooled, weights)
        else:
            spread = np.zeros((*weights.shape[:2], *self._shape(pooled)))
            spread[:, :, ::step, ::step] = weights
            high, wide = spread.shape[2:]
            at = self._next(1, 2 * wide + 4)
            logits = []
            for u in range(s.logits):
                parts = []
                for c, area in enumerate(pooled):
                    row, column = at[0] + u * (high + 3), at[1] + c * (wide + 2)
                    if s.spaced:
                        for i, j in np.ndindex(weights.shape[2], weights.shape[3]):
                            self.paper.put("Net", row + 2 * i, column + 2 * j, float(weights[u, c, i, j]))
                    else:
                        self.paper.block("Net", row, column, spread[u, c])
                    block = xl_range(row, column, row + high - 1, column + wide - 1)
                    self.paper.put("Net", row - 1, column, f"weights of unit {u}, map {c}")
                    function = "SUM" if s.sums == "cse" else "SUMPRODUCT"
                    joint = "," if s.sums in ("sumproduct", "terms") else "*"
                    parts.append(f"{function}({xl_range(*area[1:])}{joint}{block})")
                place = (at[0] + u, at[1] + 2 * wide + 5)
                self._formula(*place, "+".join(parts))
                logits.append(("Net", *place))
            self.left = max(self.left, at[1] + 2 * wide + 10)
            self.paper.put("Net", at[0] - 1, at[1] + 2 * wide + 5, "logits")
        self.made.places["dense"] = logits
        if s.softmax:
            rows = [r for _, r, _ in logits]
            column = logits[0][2]
            for _, row, _ in logits:
                cells = f"${cell_name(rows[0], column)[: -len(str(rows[0] + 1))]}${rows[0] + 1}"
                last = f"${cell_name(rows[-1], column)[: -len(str(rows[-1] + 1))]}${rows[-1] + 1}"
                self.paper.put("Net", row, column + 2, f"=EXP({cell_name(row, column)})")
                e0, e1 = (
                    xl_rowcol_to_cell(rows[0], column + 2, True, True),
                    xl_rowcol_to_cell(rows[-1], column + 2, True, True),
                )
                self.paper.put("Net", row, column + 4, f"={cell_name(row, column + 2)}/SUM({e0}:{e1})")
                assert cells
                assert last
            self.made.places["softmax"] = [("Net", r, column + 4) for r in rows]

    def _mmult(self, pooled: list[Area], weights: np.ndarray) -> list[tuple[str, int, int]]:
        """The pooled cells copied to a column, the weights as a matrix, one array formula for all units."""
        count = weights[0].size
        at = self._next(count, weights.shape[0] + count + 8)
        for k, (_, row, column) in enumerate(self.made.places["pool"]):
            self.paper.put("Net", at[0] + k, at[1], f"={cell_name(row, column)}")
        self.paper.put("Net", at[0] - 1, at[1], "flat")
        matrix = self.paper.block("Net", at[0], at[1] + 3, weights.reshape(len(weights), -1))
        self.paper.put("Net", at[0] - 1, at[1] + 3, f"dense weights {len(weights)}x{count}")
        column = at[1] + count + 6
        area = (at[0], column, at[0] + len(weights) - 1, column)
        text = f"=MMULT({xl_range(*matrix[1:])},{xl_range(at[0], at[1], at[0] + count - 1, at[1])})"
        self.paper.put("Net", at[0], column, (area, text))
        return [("Net", at[0] + u, column) for u in range(len(weights))]

    def _mean(self, pooled: list[Area]) -> None:
        """Global average pooling, as somebody writes it who does not know AVERAGE."""
        count = len(self.made.places["pool"]) // 2
        wrong = "denominator" in self.mistakes
        row, column = self._next(1, 6)
        self.paper.put("Net", row - 1, column, "averages")
        for c, area in enumerate(pooled):
            number = count + 20 if wrong and c == 0 else count
            self.paper.put("Net", row + 2 * c, column, f"=SUM({xl_range(*area[1:])})/{number}")
            if wrong and c == 0:
                self.made.planted["denominator"] = Area("Net", row, column, row, column)
        self.made.places["mean"] = [("Net", row, column), ("Net", row + 2, column)]

    def _dropout(self, pooled: Area) -> None:
        """A second sheet with random numbers, a threshold, a mask, and the share of zeros."""
        rows, columns = (
            n // (2 if self.style.spaced else 1) + self.style.spaced for n in self._shape([pooled])
        )
        step = 2 if self.style.spaced else 1
        self.paper.put("Dropout", 0, 0, "p")
        self.paper.put("Dropout", 0, 1, 0.3)
        for i, j in np.ndindex(rows, columns):
            self.paper.put("Dropout", 3 + i, 1 + j, "=RAND()")
            self.paper.put("Dropout", 3 + i, 4 + columns + j, f"=IF({cell_name(3 + i, 1 + j)}<$B$1,0,1)")
            source = cell_name(pooled.row0 + step * i, pooled.column0 + step * j)
            text = f"=Net!{source}*{cell_name(3 + i, 4 + columns + j)}/(1-$B$1)"
            self.paper.put("Dropout", 3 + i, 7 + 2 * columns + j, text)
        mask = xl_range(3, 4 + columns, 2 + rows, 3 + 2 * columns)
        self.paper.put("Dropout", 5 + rows, 0, "zeros")
        self.paper.put("Dropout", 5 + rows, 1, f"=COUNTIF({mask},0)")
        self.paper.put("Dropout", 6 + rows, 0, "rate")
        self.paper.put("Dropout", 6 + rows, 1, f"=B{6 + rows}/{rows * columns}")

    # what torch says

    def _torch(self, pixels, weights1, weights2, bias1, bias2, dense) -> None:  # type: ignore[no-untyped-def]
        s = self.style
        w1, w2, wd, x = (torch.from_numpy(a) for a in (weights1, weights2, dense, pixels))
        b1, b2 = (torch.from_numpy(b) if s.bias == "fused" else None for b in (bias1, bias2))
        one = F.relu(F.conv2d(x[None, None], w1, b1, stride=s.stride, padding=s.padding))
        two = F.relu(F.conv2d(one, w2, b2))
        pool = F.max_pool2d(two, 2) if s.pool == "max" else F.avg_pool2d(two, 2)
        logits = pool.flatten(1) @ wd.flatten(1).T
        self.made.expected = {
            "conv1": one.numpy().ravel(),
            "conv2": two.numpy().ravel(),
            "pool": pool.numpy().ravel(),
            "dense": logits.numpy().ravel(),
            "mean": pool.mean((2, 3)).numpy().ravel(),
        }
        if s.softmax:
            self.made.expected["softmax"] = logits.softmax(1).numpy().ravel()


BASE = Style()
STYLES: dict[str, Style] = {
    "lesson": replace(BASE, size=28, dropout=True),
    "sumproduct": replace(
        BASE, sums="sumproduct", logits=10, softmax=True, numbered=True, title="{name} {rows} by {columns}"
    ),
    "terms": replace(BASE, sums="terms", writer="openpyxl", relu="if", spaced=False),
    "star-down": replace(
        BASE,
        sums="star",
        downwards=True,
        pool="average",
        bias="fused",
        spaced=False,
        title="{name} {rows}×{columns}",
    ),
    "names": replace(BASE, sums="sumproduct", kernels="names", writer="openpyxl", trained=True, logits=3),
    "other-sheet": replace(BASE, kernels="sheet", relu="map", title="{name} (2 ch) {rows} x {columns}"),
    "padded": replace(BASE, sums="sumproduct", padding=1, stride=2, size=20, trained=True, spaced=False),
    "zeros": replace(BASE, padding=1, zeros=True, sums="star", bias="fused", relu="map", writer="openpyxl"),
    "terms-strided": replace(
        BASE, sums="terms", padding=1, stride=2, zeros=True, size=16, relu="if", logits=2
    ),
    "mmult": replace(BASE, flat="mmult", logits=10, sums="sumproduct", spaced=False, softmax=True),
}


def variants() -> Iterator[tuple[str, Style, tuple[str, ...]]]:
    """Every style without mistakes, with each one, and with the lesson's four together."""
    for name, style in STYLES.items():
        yield name, style, ()
        yield name, style, ("wide", "label", "denominator", *(() if style.trained else ("stray",)))
        for mistake in MISTAKES:
            if mistake != "stray" or not style.trained:
                yield name, style, (mistake,)


if __name__ == "__main__":
    for name, style, mistakes in variants():
        build(Path(sys.argv[1], "-".join([name, *mistakes]) + ".xlsx"), style, mistakes)
