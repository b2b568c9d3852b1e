"""The tensors found so far: which cells hold them, and which tensor a cell belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sheetconv.inspect.recover.cells import Cells, Ids


@dataclass(eq=False)
class RecoveredTensor:
    """Cells that hold a tensor: `ids` of shape (C, H, W), planes, or (U,), a vector.

    `layer` computes it; None for an input (typed numbers, or formulas taken as given).
    """

    name: str
    ids: Ids
    layer: RecoveredLayer | None = None
    note: str = ""

    @property
    def spatial(self) -> bool:
        """Whether it has planes."""
        return self.ids.ndim == 3


@dataclass(eq=False)
class Numbers:
    """Numbers of a module as cells of the workbook give them: an array of constants and of cells times factors."""

    constant: np.ndarray
    at: list[np.ndarray] = field(default_factory=list)
    ids: list[Ids] = field(default_factory=list)
    times: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def zeros(cls, *shape: int) -> Numbers:
        """All zero."""
        return cls(np.zeros(shape))

    @classmethod
    def of(cls, ids: Ids) -> Numbers:
        """The cells themselves, in their shape."""
        found = cls.zeros(*ids.shape)
        found.add(np.arange(ids.size), ids.ravel(), 1.0)
        return found

    def add(self, at: np.ndarray, ids: Ids, times: float) -> None:
        """Add cells times a factor at flat places (both (n,))."""
        self.at.append(np.asarray(at, np.int64).ravel())
        self.ids.append(np.asarray(ids, np.int64).ravel())
        self.times.append(np.full(self.at[-1].size, times))

    def cells(self) -> Ids:
        """The cells that the numbers come from."""
        return np.concatenate(self.ids) if self.ids else np.empty(0, np.int64)

    def values(self, cells: Cells) -> np.ndarray:
        """The numbers as the cells stand, float64."""
        found = self.constant.astype(np.float64).ravel().copy()
        if self.ids:
            product = np.concatenate(self.times) * cells.values(self.cells())
            np.add.at(found, np.concatenate(self.at), product)
        return found.reshape(self.constant.shape)


@dataclass(eq=False)
class RecoveredLayer:
    """One step of the network.

    Attributes:
        kind: conv, dense, pool, pointwise …: the stem of its name.
        inputs: tensors that it reads.
        expression: Python of the step, with ``{0}``, ``{1}`` … for the inputs and ``{self}`` for the module.
        module: the constructor of its module, or "".
        parameters: numbers of the module (weight, bias), or of buffers where there is no module.
        indices: arrays of whole numbers (buffers): which elements a step gathers.
        doubtful: cells of the output whose formulas read something beyond the input.
    """

    kind: str
    inputs: list[RecoveredTensor]
    expression: str
    module: str = ""
    parameters: dict[str, Numbers] = field(default_factory=dict)
    doubtful: list[int] = field(default_factory=list)
    indices: dict[str, np.ndarray] = field(default_factory=dict)


class Tensors:
    """All tensors, in the order of computing, with a look-up by cell."""

    def __init__(self) -> None:
        self.all: list[RecoveredTensor] = []
        self._ids = np.empty(0, np.int64)
        self._owner = np.empty(0, np.int64)
        self._flat = np.empty(0, np.int64)

    def add(self, tensors: list[RecoveredTensor]) -> None:
        """Take in more tensors; a cell stays with the first that holds it."""
        ids, owner, flat = [self._ids], [self._owner], [self._flat]
        for tensor in tensors:
            ids.append(tensor.ids.ravel())
            owner.append(np.full(tensor.ids.size, len(self.all)))
            flat.append(np.arange(tensor.ids.size))
            self.all.append(tensor)
        joined = np.concatenate(ids)
        self._ids, first = np.unique(joined, return_index=True)
        self._owner, self._flat = np.concatenate(owner)[first], np.concatenate(flat)[first]

    def find(self, ids: Ids) -> tuple[np.ndarray, np.ndarray]:
        """Index of the tensor that holds each cell (-1: none) and its place in it, flattened; same shape."""
        if not len(self._ids):
            return np.full(ids.shape, -1), np.zeros(ids.shape, np.int64)
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        there = self._ids[at] == ids
        return np.where(there, self._owner[at], -1), np.where(there, self._flat[at], 0)
