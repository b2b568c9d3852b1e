"""Paths through a network: from a unit back to every earlier cell that it can see, and how often.

The cells of a captured graph are the nodes, and an edge leads from each cell to every cell that its formula
reads inside the bounds of a tensor (never to padding, which has no cells, nor to parameters). A *path* is a
chain of edges. A cell is *lit* when at least one path leads from it to the unit: these are the cells where the
gradient of the linearised network is not zero (all weights one, every non-linearity replaced by a linear map),
and the number of paths is that gradient's value where a formula reads each cell once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sheetconv.errors import UsageError
from sheetconv.graph.expr import precedents
from sheetconv.graph.index import IntArray, Var
from sheetconv.graph.tensor import Graph, Tensor

_AT_ONCE = 4_000_000


def lit(graph: Graph, tensor: Tensor, unit: Sequence[int]) -> dict[Tensor, np.ndarray]:
    """Which cells of every earlier tensor can change one unit.

    Args:
        graph: a captured network (`sheetconv.compile.capture.capture`).
        tensor: one of its tensors.
        unit: the unit's index in ``tensor.shape``, batch axis first: ``(0, c, i, j)``.

    Returns for every earlier tensor with cells that the unit depends on (the input among them, `tensor` itself
    not) a boolean array of the tensor's shape. Raises `UsageError` for a unit outside the tensor.
    """
    return {t: n > 0 for t, n in path_counts(graph, tensor, unit).items()}


def path_counts(graph: Graph, tensor: Tensor, unit: Sequence[int]) -> dict[Tensor, np.ndarray]:
    """How many paths lead from each cell of every earlier tensor to one unit; arguments as in `lit`.

    Returns float64 arrays of the tensors' shapes (whole numbers, exact up to 2⁵³): for the input, how often each
    pixel occurs in the sums that the unit is made of.
    """
    counts = {tensor: np.zeros(tensor.size)}
    counts[tensor][flat_unit(tensor, unit)] = 1.0
    for current in reversed(graph.tensors[: graph.tensors.index(tensor) + 1]):
        if current not in counts or current.kind != "activation":
            continue
        cells = np.flatnonzero(counts[current])
        for source, which, read in edges(current, cells):
            into = counts.setdefault(source, np.zeros(source.size))
            into += np.bincount(read, weights=counts[current][which], minlength=source.size)
    del counts[tensor]
    return {t: counts[t].reshape(t.shape) for t in graph.tensors if t in counts}


def flat_unit(tensor: Tensor, unit: Sequence[int]) -> int:
    """A unit's number in C order; raises `UsageError` where it is not a unit of the tensor."""
    inside = len(unit) == len(tensor.shape) and all(
        0 <= i < s for i, s in zip(unit, tensor.shape, strict=True)
    )
    if not inside:
        sizes = "×".join(map(str, tensor.shape))
        raise UsageError(f"{','.join(map(str, unit))} is not a unit of {tensor.name}, whose shape is {sizes}")
    return int(np.ravel_multi_index(tuple(unit), tensor.shape)) if tensor.shape else 0


def edges(tensor: Tensor, cells: IntArray | None = None) -> Iterator[tuple[Tensor, IntArray, IntArray]]:
    """What cells of a tensor read directly: (source, cell numbers (n,), numbers of the cells read (n,)).

    `cells` are flat numbers (all when None). Parameters and cells outside the source's bounds are left out; each
    pair of cells comes once, however often the formula names it. Comes in portions that bound the memory.
    """
    for portion in _portions(tensor, cells):
        found: dict[Tensor, list[IntArray]] = {}
        for source, which, read in portion:
            found.setdefault(source, []).append(which * source.size + read)
        for source, pairs in found.items():
            once = np.unique(np.concatenate(pairs))
            yield source, once // source.size, once % source.size


def reads(tensor: Tensor) -> Iterator[tuple[Tensor, IntArray, IntArray]]:
    """The same for all cells of a tensor as its formulas name them, pairs more than once; cell numbers ascend."""
    for portion in _portions(tensor, None):
        yield from portion


def _portions(
    tensor: Tensor, cells: IntArray | None
) -> Iterator[Iterator[tuple[Tensor, IntArray, IntArray]]]:
    if tensor.expr is None:
        return
    chosen = np.arange(tensor.size) if cells is None else np.asarray(cells, np.int64)
    window = sum(len(at) for _, _, at in precedents(tensor.expr, _env(tensor, chosen[:1])))
    step = max(1, _AT_ONCE // max(window, 1))
    for start in range(0, len(chosen), step):
        yield _read(tensor, chosen[start : start + step])


def _read(tensor: Tensor, part: IntArray) -> Iterator[tuple[Tensor, IntArray, IntArray]]:
    assert tensor.expr is not None
    for source, which, at in precedents(tensor.expr, _env(tensor, part)):
        if source.kind != "parameter":
            inside = ((at >= 0) & (at < np.array(source.shape, np.int64))).all(1)
            flat = np.ravel_multi_index(tuple(at[inside].T), source.shape) if at.shape[1] else 0
            yield source, part[which[inside]], np.broadcast_to(flat, (int(inside.sum()),))


def _env(tensor: Tensor, cells: IntArray) -> dict[Var, IntArray]:
    at = np.unravel_index(cells, tensor.shape) if tensor.shape else ()
    return dict(zip(tensor.axes, at, strict=True))
