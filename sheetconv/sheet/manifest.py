"""The manifest: what the workbook holds, for machines, as JSON on a hidden sheet.

A hidden sheet survives what other programs drop (custom parts, properties). One cell holds at most 32,767
characters, so the text is cut into pieces down column A. It names tensors, their cells, and torch operators
with their arguments; nothing in it is code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.errors import LimitError, WorkbookError
from sheetconv.graph.index import IntArray
from sheetconv.graph.plain import expression, plain
from sheetconv.graph.tensor import Graph, Operation, Tensor
from sheetconv.sheet.layout import Place
from sheetconv.xlsx.address import MAX_COLUMNS, MAX_ROWS
from sheetconv.xlsx.cells import Book

SHEET = "_sheetconv"
SCHEMA = 1
PIECE = 30_000
MAX_TENSORS = 20_000
MAX_ELEMENTS = 64_000_000
MAX_WHOLE = 2**53
"""The greatest whole number up to which a cell holds every one."""


def check_size(graph: Graph) -> None:
    """Raise `LimitError` for a workbook that would be larger than one that we read back; before it is written."""
    elements = sum(t.size for t in graph)
    if elements > MAX_ELEMENTS or len(graph.tensors) > MAX_TENSORS:
        raise LimitError(
            f"the workbook would hold {elements:,} numbers in {len(graph.tensors):,} tensors; sheetconv writes at most "
            f"{MAX_ELEMENTS:,} in {MAX_TENSORS:,}. Choose a smaller network or input"
        )


MOST_EXPRESSION = 100_000
"""Characters of an expression that the manifest keeps; a longer one (large tables) is made anew from its rule."""


@dataclass
class Manifest:
    """A graph with the place of each tensor that has cells, and facts about the workbook."""

    graph: Graph
    places: dict[Tensor, Place]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[Tensor] = field(default_factory=list)
    """Tensors that mirror no operator (sizes, counts, differences): they have an expression and a place."""
    texts: list[tuple[str, int, int, str]] = field(default_factory=list)
    """Formulas beside the tensors (captions, the predicted class): sheet, row, column, formula."""
    choices: list[tuple[str, int, int, str, list[Any]]] = field(default_factory=list)
    """What may be typed into selectors: sheet, row, column, kind (list, whole, decimal), values or bounds."""


def _table(table: IntArray) -> Any:
    steps = np.diff(table)
    if len(table) and table[0] == 0 and (len(steps) == 0 or (steps == steps[0]).all()):
        return {"count": len(table), "step": int(steps[0]) if len(steps) else 0}
    return [int(v) for v in table]


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return {"tensor": value.name}
    if isinstance(value, Operation):
        return {"call": value.target, "arguments": [_plain(a) for a in value.arguments]}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def dump(manifest: Manifest) -> list[str]:
    """The manifest as pieces of text, one for each cell."""
    entries = [_entry(tensor, manifest) for tensor in manifest.graph]
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "facts": manifest.facts,
        "inputs": [t.name for t in manifest.graph.inputs],
        "outputs": [t.name for t in manifest.graph.outputs],
        "tensors": entries,
        "notes": [_entry(note, manifest) for note in manifest.notes],
        "texts": manifest.texts,
        "choices": manifest.choices,
    }
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return [text[i : i + PIECE] for i in range(0, len(text), PIECE)]


def _entry(tensor: Tensor, manifest: Manifest) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": tensor.name,
        "kind": tensor.kind,
        "shape": tensor.shape,
        "layer": tensor.layer,
        "operator": tensor.operator,
        "module": tensor.module,
    }
    if tensor.state_shape != tensor.shape:
        entry["state_shape"] = tensor.state_shape
    if tensor.within is not None:
        entry["whole"] = tensor.within
    if tensor.operation is not None:
        entry["operation"] = _plain(tensor.operation)
    place = manifest.places.get(tensor)
    if place is not None and tensor.expr is not None:
        written = plain(tensor.expr, tensor.axes)
        if len(json.dumps(written)) < MOST_EXPRESSION:
            entry["formula"] = written
    if place is not None:
        entry |= {
            "sheet": place.sheet,
            "row": place.row,
            "column": place.column,
            "rows": [_table(t) for t in place.rows],
            "columns": [_table(t) for t in place.columns],
            "margin": place.margin,
            "plane_axes": place.plane_axes,
        }
    return entry


def write(book: Any, manifest: Manifest) -> None:
    """Add the hidden sheet with the manifest to a workbook, after all other sheets are filled."""
    manifest.texts = [*manifest.texts, *_formulas(book)]
    manifest.choices = [*manifest.choices, *_choices(book)]
    hidden = book.add_worksheet(SHEET)
    for row, piece in enumerate(dump(manifest)):
        hidden.write_string(row, 0, piece)
    hidden.very_hidden()


def _formulas(book: Any) -> list[tuple[str, int, int, str]]:
    """The formulas that were written one by one, beside those of tensors."""
    return [
        (sheet.get_name(), row, column, cell.formula)
        for sheet in book.worksheets()
        for row, cells in sheet.table.items()
        for column, cell in cells.items()
        if type(cell).__name__ == "Formula"
    ]


def _choices(book: Any) -> Iterator[tuple[str, int, int, str, list[Any]]]:
    """What the validations allow, for the first cell of each."""
    for sheet in book.worksheets():
        for rule in sheet.validations:
            row, column, *_ = rule["cells"][0]
            kind, value = rule["validate"], rule["value"]
            if kind == "list" and isinstance(value, list):
                yield sheet.get_name(), row, column, kind, [str(v) for v in value]
            elif kind in ("whole", "decimal") and rule["criteria"] == "between":
                yield sheet.get_name(), row, column, kind, [float(value), float(rule["maximum"])]


def load(text: str, path: Any) -> Manifest:
    """The manifest from its text; raises `WorkbookError` where it is damaged."""
    try:
        data = json.loads(text, parse_constant=_not_finite)
        if data["schema"] != SCHEMA:
            raise WorkbookError(
                f"{path}: the manifest has schema {data['schema']!r}, this sheetconv reads {SCHEMA}; "
                "build the workbook again"
            )
        return _read(data)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        RecursionError,
        OverflowError,
    ) as error:
        raise WorkbookError(
            f"{path}: the manifest on sheet {SHEET} is damaged ({error!r:.80}); build the workbook again"
        ) from error


def _not_finite(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _read(data: Mapping[str, Any]) -> Manifest:
    entries = data["tensors"]
    if len(entries) > MAX_TENSORS:
        raise ValueError("too many tensors")
    tensors: dict[str, Tensor] = {}
    places: dict[Tensor, Place] = {}
    elements = 0
    notes: list[Tensor] = []
    for entry in [*entries, *data.get("notes", [])]:
        shape = _sizes(entry["shape"])
        elements += math.prod(shape)
        if elements > MAX_ELEMENTS or entry["kind"] not in ("input", "parameter", "activation"):
            raise ValueError("sizes or kinds out of bounds")
        tensor = Tensor(
            str(entry["name"]),
            shape,
            entry["kind"],
            module=str(entry["module"]),
            operator=str(entry["operator"]),
            layer=str(entry["layer"]),
        )
        tensor.state_shape = _sizes(entry.get("state_shape", shape))
        if "whole" in entry:
            tensor.whole, tensor.within = True, _bounds(entry["whole"])
        if math.prod(tensor.state_shape) != tensor.size or tensor.name in tensors:
            raise ValueError(f"tensor {tensor.name} is inconsistent")
        if "formula" in entry:
            tensor.expr = expression(entry["formula"], tensor.axes, tensors)
        if len(tensors) >= len(entries):
            notes.append(tensor)
        elif "operation" in entry:
            tensor.operation = _operation(entry["operation"], tensors)
        elif tensor.kind == "activation":
            raise ValueError(f"tensor {tensor.name} has no operation")
        tensors[tensor.name] = tensor
        if "sheet" in entry:
            places[tensor] = _place(entry, tensor)
        elif tensor.kind != "activation":
            raise ValueError(f"tensor {tensor.name} has no cells")
        else:
            tensor.view = True
    texts = [
        (str(sheet), int(row), int(column), str(text)) for sheet, row, column, text in data.get("texts", [])
    ]
    choices = [
        (
            str(sheet),
            int(row),
            int(column),
            str(kind),
            [str(v) if kind == "list" else float(v) for v in values],
        )
        for sheet, row, column, kind, values in data.get("choices", [])
    ]
    graph = Graph(
        list(tensors.values())[: len(entries)],
        [tensors[n] for n in data["inputs"]],
        [tensors[n] for n in data["outputs"]],
    )
    return Manifest(graph, places, dict(data["facts"]), notes, texts, choices)


def _sizes(values: Any) -> tuple[int, ...]:
    sizes = tuple(int(v) for v in values)
    if len(sizes) > 8 or any(not 0 < s <= MAX_ELEMENTS for s in sizes):
        raise ValueError("a size is out of bounds")
    return sizes


def _bounds(value: Any) -> tuple[int, int]:
    """The least and the greatest whole number of an input."""
    low, high = (int(v) for v in value)
    if not -MAX_WHOLE <= low <= high <= MAX_WHOLE:
        raise ValueError("bounds of whole numbers are out of order")
    return low, high


def _operation(value: Any, tensors: Mapping[str, Tensor]) -> Operation:
    def resolve(item: Any) -> Any:
        if isinstance(item, dict):
            return tensors[item["tensor"]] if "tensor" in item else _operation(item, tensors)
        if isinstance(item, list):
            return [resolve(i) for i in item]
        if item is None or isinstance(item, bool | int | float | str):
            return item
        raise ValueError("an argument is of no known kind")

    return Operation(str(value["call"]), tuple(resolve(a) for a in value["arguments"]))


def _place(entry: Mapping[str, Any], tensor: Tensor) -> Place:
    def table(value: Any, size: int) -> IntArray:
        if isinstance(value, dict):
            if int(value["count"]) != size or abs(int(value["step"])) > MAX_ROWS:
                raise ValueError("a table of addresses is out of bounds")
            return np.arange(size, dtype=np.int64) * int(value["step"])
        found = np.array([int(v) for v in value], dtype=np.int64)
        if len(found) != size:
            raise ValueError("a table of addresses is of another length")
        return found

    rows = [table(v, s) for v, s in zip(entry["rows"], tensor.shape, strict=True)]
    columns = [table(v, s) for v, s in zip(entry["columns"], tensor.shape, strict=True)]
    top, left, bottom, right = (int(m) for m in entry["margin"])
    place = Place(
        str(entry["sheet"]),
        tensor,
        rows,
        columns,
        (top, left, bottom, right),
        int(entry["row"]),
        int(entry["column"]),
        tuple(int(a) for a in entry["plane_axes"]),
    )
    r0, c0, r1, c1 = place.box()
    if r0 < 0 or c0 < 0 or r1 >= MAX_ROWS or c1 >= MAX_COLUMNS:
        raise ValueError(f"cells of {tensor.name} are beyond the sheet")
    return place


def read_manifest(book: Book, path: Path) -> Manifest:
    """The manifest of an open workbook; raises `WorkbookError` when it is not ours or damaged."""
    if SHEET not in book.sheet_names:
        raise WorkbookError(
            f"{path} was not written by sheetconv (it has no sheet {SHEET}); build-workbook makes one"
        )
    cells = book.cells(SHEET)
    extent = cells.extent
    if extent is None or extent[2] > 10_000:
        raise WorkbookError(f"{path}: the manifest on sheet {SHEET} is damaged; build the workbook again")
    pieces = [cells.value(row, 0) for row in range(extent[2] + 1)]
    return load("".join(str(p) for p in pieces if p is not None), path)
