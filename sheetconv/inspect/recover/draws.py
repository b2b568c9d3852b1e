"""Other numbers for the typed cells that a recovered module reads, and which of them its outputs depend on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sheetconv.inspect.recover.cells import CellKind, Ids
from sheetconv.inspect.recover.network import RecoveredNetwork

_SMALLEST = 0.05


def draws(network: RecoveredNetwork, seed: int = 0) -> Iterator[tuple[Ids, np.ndarray]]:
    """Sets of numbers for all typed cells of inputs and parameters: (cells (n,), values (n,)).

    The first has all numbers positive, the second both signs, no zeros and no two alike; each group of cells (an
    image, a weight) keeps its scale, so that layers stay in range. The third shuffles what stands in each group,
    for labels and switches whose own values matter.
    """
    groups = [ids for ids in _groups(network) if len(ids)]
    if not groups:
        return
    ids = np.concatenate(groups)
    _, first = np.unique(ids, return_index=True)
    for kind in ("positive", "signed", "shuffled"):
        random = np.random.default_rng([seed, len(kind)])
        values = np.concatenate([_drawn(network.cells.values(g), kind, random) for g in groups])
        yield ids[first], values[first]


def _groups(network: RecoveredNetwork) -> list[Ids]:
    found = [t.ids.ravel() for t in network.inputs]
    found += [n.cells() for t in network.layers if t.layer for n in t.layer.parameters.values()]
    kept = np.array(sorted(network.cells.kept), np.int64)
    typed = (np.unique(ids[network.cells.kinds(ids) == CellKind.NUMBER]) for ids in found)
    return [np.setdiff1d(ids, kept) for ids in typed]


def _drawn(values: np.ndarray, kind: str, random: np.random.Generator) -> np.ndarray:
    if kind == "shuffled":
        return random.permutation(values)
    scale = float(np.abs(values).max(initial=0)) or 1.0
    drawn: np.ndarray = random.uniform(_SMALLEST, 1, values.shape) * scale
    if kind == "signed" or values.min() < 0:
        drawn *= random.choice([-1.0, 1.0], values.shape)
    return drawn


def depends(network: RecoveredNetwork) -> dict[str, list[str]]:
    """For each output (a layer that none reads), names of the inputs that it depends on."""
    reads: dict[int, set[int]] = {}
    for tensor in network.tensors:
        inputs = tensor.layer.inputs if tensor.layer else []
        reads[id(tensor)] = set().union({id(t) for t in inputs}, *(reads.get(id(t), set()) for t in inputs))
    inner = {id(t) for held in network.layers if held.layer for t in held.layer.inputs}
    return {
        tensor.name: [t.name for t in network.inputs if id(t) in reads[id(tensor)]]
        for tensor in network.layers
        if id(tensor) not in inner
    }
