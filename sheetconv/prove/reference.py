"""What each cell must hold: torch's operator in float64 on the very numbers that the cell reads.

Every tensor is computed from the values found in the cells of the tensors before it, not from torch's own
chain. So a fault shows in the cell that has it and in no other, rounding does not add up from layer to layer,
and by induction all tensors are right where each is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.compile.budget import check_work
from sheetconv.compile.reference import run
from sheetconv.errors import WorkbookError
from sheetconv.graph.bounds import magnitude
from sheetconv.graph.expr import FloatArray, tensors_read
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.prove.cells import address
from sheetconv.sheet.manifest import Manifest

# What torch raises for arguments that make no sense: only a damaged manifest has such.
MISFITS = (RuntimeError, IndexError, TypeError, ValueError, KeyError, AttributeError, OverflowError)

# Operators whose result for absolute arguments is the sum of the absolute terms.
_ADDING = frozenset(
    f"aten.{name}"
    for name in (
        "conv1d.default", "conv2d.default", "conv3d.default", "linear.default", "matmul.default", "mm.default",
        "bmm.default", "addmm.default", "mean.dim", "mean.default", "sum.dim_IntList", "sum.default",
        "avg_pool2d.default", "adaptive_avg_pool2d.default", "mul.Tensor",
        "alias.default", "clone.default", "reshape.default", "flatten.using_ints", "view.default",
    )
)  # fmt: skip


def close(found: FloatArray | None, expected: FloatArray) -> bool:
    """Whether values agree so well that the expected value itself is scale enough."""
    return found is not None and bool((np.abs(found - expected) <= 1e-13 * np.abs(expected)).all())


@dataclass
class Expected:
    """torch's value of each cell of a tensor, and the scale of its rounding error (both of the tensor's shape)."""

    values: FloatArray
    scale: FloatArray


class Reference:
    """The operators of a manifest, ready to be applied to what engines find."""

    def __init__(
        self,
        manifest: Manifest,
        path: Path,
        device: str,
        typed: Mapping[Tensor, np.ndarray],
        over: Mapping[Tensor, FloatArray],
    ) -> None:
        """`typed` tells, for inputs with a formula, which cells hold a number typed over it, `over` these numbers."""
        check_work(manifest.graph, path)
        self.manifest, self.path, self.device = manifest, path, device
        self.typed, self.over = typed, over
        self.placed = [
            manifest.places[t] for t in manifest.graph if t.operation is not None and t in manifest.places
        ]

    def expected(self, found: Mapping[Tensor, FloatArray]) -> dict[Tensor, Expected]:
        """For every placed tensor with an operator, what its cells must hold given all `found` values.

        `found` has every tensor with cells, typed ones too, NaN where no number stands; what reads a NaN is NaN.
        Raises `WorkbookError` where the operators do not fit the tensors.
        """
        import torch

        values: dict[Tensor, torch.Tensor] = {}
        results: dict[Tensor, Expected] = {}
        with torch.no_grad():
            for tensor in self.manifest.graph:
                if tensor.operation is not None:
                    computed = self._run(tensor, values)
                    if tensor in self.manifest.places:
                        results[tensor] = self._result(tensor, computed, values, found)
                    values[tensor] = computed
                if tensor in found:
                    values[tensor] = torch.from_numpy(np.array(found[tensor], dtype=np.float64)).to(
                        self.device
                    )
                    values[tensor] = values[tensor].reshape(tensor.state_shape)
        for note in self.manifest.notes:
            if note.expr is not None and note in self.manifest.places:
                results[note] = self._note(note, found)
        return results

    def chain(
        self, stored: Mapping[Tensor, FloatArray], wanted: Collection[Tensor]
    ) -> dict[Tensor, FloatArray]:
        """torch's own values of `wanted` and of all that they come from, from the typed ones alone, of each tensor's shape."""
        import torch

        needed, notes = self._needed(wanted)
        values: dict[Tensor, torch.Tensor] = {}
        with torch.no_grad():
            for tensor in self.manifest.graph:
                if tensor not in needed:
                    continue
                if tensor in stored:
                    values[tensor] = torch.from_numpy(stored[tensor].astype(np.float64)).to(self.device)
                    values[tensor] = values[tensor].reshape(tensor.state_shape)
                    continue
                computed = self._run(tensor, values)
                if tensor in self.typed:
                    mask = torch.from_numpy(self.typed[tensor]).to(self.device).reshape(tensor.state_shape)
                    typed = torch.from_numpy(np.nan_to_num(self.over[tensor])).to(self.device)
                    computed = torch.where(mask, typed.reshape(tensor.state_shape), computed)
                values[tensor] = computed
        found = {t: v.cpu().reshape(t.shape).numpy() for t, v in values.items()}
        for note in notes:
            found[note] = self._note(note, found).values
        return found

    def _needed(self, wanted: Collection[Tensor]) -> tuple[set[Tensor], list[Tensor]]:
        """The tensors of the graph that `wanted` come from by operators and formulas, and the notes, in order."""
        needed, waiting = set(), list(wanted)
        while waiting:
            tensor = waiting.pop()
            if tensor in needed:
                continue
            needed.add(tensor)
            waiting += tensor.operation.tensors() if tensor.operation is not None else ()
            waiting += tensors_read(tensor.expr) if tensor.expr is not None else ()
        return needed, [n for n in self.manifest.notes if n in needed and n.expr is not None]

    def scale(self, tensor: Tensor, expected: FloatArray, found: Mapping[Tensor, FloatArray]) -> FloatArray:
        """The scale of rounding errors of a tensor that has an expression, given what it reads."""
        assert tensor.expr is not None
        return np.maximum(magnitude(tensor.expr, tensor.axes, found), np.abs(expected))

    def _run(self, tensor: Tensor, values: Mapping[Tensor, Any]) -> Any:
        import torch

        assert tensor.operation is not None
        try:
            result = run(tensor.operation, values).to(torch.float64)
            return result.reshape(tensor.state_shape)
        except MISFITS as error:
            if any(bool(torch.isnan(values[t]).any()) for t in tensor.operation.tensors()):
                return torch.full(tensor.state_shape, torch.nan, dtype=torch.float64, device=self.device)
            reason = " ".join(str(error).split())[:120]
            raise WorkbookError(
                f"{self.path}: the manifest's operators do not fit its tensors ({tensor.name}: {reason})"
            ) from error

    def _result(
        self, tensor: Tensor, computed: Any, values: Mapping[Tensor, Any], found: Mapping[Tensor, FloatArray]
    ) -> Expected:
        expected: FloatArray = computed.cpu().reshape(tensor.shape).numpy()
        if tensor in self.typed:
            expected = np.where(self.typed[tensor], found[tensor], expected)
        return Expected(expected, self._scale(tensor, expected, values, found))

    def _scale(
        self,
        tensor: Tensor,
        expected: FloatArray,
        values: Mapping[Tensor, Any],
        found: Mapping[Tensor, FloatArray],
    ) -> FloatArray:
        operation = tensor.operation
        assert operation is not None
        if close(found.get(tensor), expected):
            return np.abs(expected)
        nested = any(isinstance(a, Operation) for a in operation.arguments)
        if operation.target in _ADDING and not nested:
            sizes = {t: values[t].abs() for t in operation.tensors()}
            scale: FloatArray = run(operation, sizes).double().cpu().reshape(tensor.shape).abs().numpy()
            return np.maximum(scale, np.abs(expected))
        if tensor.expr is not None and all(t in found for t in tensors_read(tensor.expr)):
            try:
                return np.maximum(magnitude(tensor.expr, tensor.axes, found), np.abs(expected))
            except MISFITS as error:
                raise WorkbookError(
                    f"{self.path}: the formula that the manifest has for {tensor.name} does not fit its tensors"
                ) from error
        largest = float(np.abs(np.nan_to_num(expected)).max(initial=0))
        return np.full(tensor.shape, largest or 1.0)

    def _note(self, note: Tensor, found: Mapping[Tensor, FloatArray]) -> Expected:
        from sheetconv.graph.expr import evaluate

        assert note.expr is not None
        try:
            values = evaluate(note.expr, note.axes, found)
            return Expected(values, np.maximum(magnitude(note.expr, note.axes, found), np.abs(values)))
        except MISFITS as error:
            raise WorkbookError(
                f"{self.path}: the formula that the manifest has for {note.name} does not fit"
            ) from error

    def refuse_random(self, stored: Mapping[Tensor, FloatArray]) -> None:
        """Raise `WorkbookError` while a switch lets a page draw with RAND(): no two calculations agree then."""
        for tensor in self.manifest.graph:
            if tensor.operation is None or tensor.operation.target != "drawn":
                continue
            switch = next(tensor.operation.tensors())
            if switch in stored and float(stored[switch].reshape(-1)[0]) != 0:
                where = address(self.manifest.places[switch], (0,) * len(switch.shape))
                raise WorkbookError(
                    f"{self.path}: {where} is not 0, so {tensor.name} comes from RAND(), new at every calculation, and "
                    "cannot be compared; set the cell to 0 (fixed random numbers) and verify again"
                )
