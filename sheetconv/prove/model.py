"""The manifest is no judge of itself: the network that the user names, captured anew, against the workbook.

Every operator of the network must be in the manifest with the same arguments, wiring and shapes, and every
parameter cell must hold the module's number (as float32 where the module's is float32).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.errors import SheetconvError
from sheetconv.graph.expr import FloatArray
from sheetconv.graph.tensor import Graph, Operation, Tensor
from sheetconv.prove.cells import address, first
from sheetconv.sheet.manifest import Manifest


def against_model(
    manifest: Manifest, stored: Mapping[Tensor, FloatArray], name: str, weights: Path | None
) -> Iterator[str]:
    """What differs between the workbook and the network called `name` (or ``file.py:name``); nothing when it is the same.

    Raises the errors of loading and capturing.
    """
    from sheetconv.compile.capture import capture
    from sheetconv.models import load_model

    module, shape = load_model(name, weights or _own_weights(name), trusted=True)
    known = {t.name: t for t in manifest.graph}
    inputs = [t for t in manifest.graph if t.kind == "input"]
    shapes = (
        [shape] if shape is not None else list(dict.fromkeys(t.shape[1:] for t in inputs if len(t.shape) > 1))
    )
    failed: SheetconvError | None = None
    for candidate in shapes:
        try:
            graph = capture(module, (1, *candidate))
        except SheetconvError as error:
            failed = error
            continue
        prefixes = _prefixes(graph, known)
        if prefixes:
            for prefix in prefixes:
                yield from _differences(graph, prefix, manifest, stored, known)
            return
    if failed is not None:
        raise failed
    yield f"no part of the workbook has the layers of {name}"


def _own_weights(name: str) -> Path | None:
    """The weights that the template of this name builds its network with."""
    from sheetconv.models import shipped
    from sheetconv.nets import NETS
    from sheetconv.template import load

    if name not in NETS:
        return None
    try:
        template = load(name)
    except SheetconvError:
        return None
    return shipped(template.weights) if template.model == name and template.weights else None


def _prefixes(graph: Graph, known: Mapping[str, Tensor]) -> list[str]:
    """What pages put in front of the names of this network, where most of its tensors are in the workbook."""
    last = graph.outputs[0].name
    found = [k[: -len(last)] for k in known if k == last or k.endswith(f".{last}")]
    need = [t.name for t in graph]
    return [p for p in found if sum(f"{p}{n}" in known for n in need) * 2 > len(need)]


def _differences(
    graph: Graph,
    prefix: str,
    manifest: Manifest,
    stored: Mapping[Tensor, FloatArray],
    known: Mapping[str, Tensor],
) -> Iterator[str]:
    for tensor in graph:
        name = f"{prefix}{tensor.name}"
        mine = known.get(name)
        if mine is None:
            yield f"the network has {tensor.name} ({tensor.operator}), the workbook has not"
        elif mine.state_shape != tensor.state_shape:
            yield f"{name} is {mine.state_shape} in the workbook, {tensor.state_shape} in the network"
        elif tensor.kind == "parameter":
            yield from _parameter(tensor, mine, manifest, stored)
        elif tensor.kind == "activation":
            theirs, ours = _described(tensor.operation, prefix), _described(mine.operation, "")
            if theirs != ours:
                yield f"{name} is {_short(ours)} in the workbook, {_short(theirs)} in the network"
            elif (tensor in graph.outputs) and mine.view and mine not in manifest.places and not tensor.view:
                yield f"{name} has no cells in the workbook"
    computed = {f"{prefix}{t.name}" for t in graph.outputs}
    for name in computed - set(known):
        yield f"the network's output {name} is not in the workbook"


def _described(operation: Any, prefix: str) -> Any:
    """An operation as plain data, tensors by their names in the workbook."""
    if isinstance(operation, Operation):
        return operation.target, *(_described(a, prefix) for a in operation.arguments)
    if isinstance(operation, Tensor):
        return {"tensor": f"{prefix}{operation.name}"}
    if isinstance(operation, list | tuple):
        return [_described(a, prefix) for a in operation]
    return operation


def _short(described: Any) -> str:
    return str(described)[:160]


def _parameter(
    tensor: Tensor, mine: Tensor, manifest: Manifest, stored: Mapping[Tensor, FloatArray]
) -> Iterator[str]:
    if mine.operation is not None or mine not in stored or tensor.values is None:
        yield f"{mine.name} is no typed parameter in the workbook"
        return
    values, wanted = stored[mine], np.asarray(tensor.values, dtype=np.float64).reshape(stored[mine].shape)
    single = np.float32(wanted).astype(np.float64) == wanted
    same = np.where(single, np.float32(values) == np.float32(wanted), values == wanted)
    if not same.all():
        at = first(~same)
        largest = float(np.abs(values - wanted).max())
        yield (
            f"{int((~same).sum()):,} of {same.size:,} cells of {mine.name} are not the network's, the first "
            f"{address(manifest.places[mine], at)}: {float(values[at])!r} for {float(wanted[at])!r} (largest difference {largest:.1e})"
        )
