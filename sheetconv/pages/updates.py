"""What an optimiser does with a gradient: the formula of a cell, and torch's operators for the same.

Symbols: `w` parameters and `g` their gradient, both (2,); `b` the momentum buffer, `m` and `v` the running means
of gradients and of their squares. The definitions are those of `torch.optim`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sheetconv.graph.expr import Expr, call
from sheetconv.graph.tensor import Operation, Tensor


def op(name: str, *arguments: Any) -> Operation:
    """An operator of torch by its short name: ``mul.Tensor``."""
    return Operation(f"aten.{name}", arguments)


def _power(base: Expr, exponent: int) -> Expr:
    return call("POWER", base, exponent)


@dataclass(frozen=True)
class Scalar:
    """One number of the sheet: an element of a tensor (K,)."""

    tensor: Tensor
    index: int = 0

    @property
    def cell(self) -> Expr:
        """As a formula reads it."""
        return self.tensor.at(self.index)

    @property
    def value(self) -> Tensor | Operation:
        """As torch reads it, of shape (1,)."""
        if self.tensor.shape == (1,):
            return self.tensor
        return op("slice.Tensor", self.tensor, 0, self.index, self.index + 1)


@dataclass(frozen=True)
class Step:
    """One row: its number (from 0), the settings that hold in it, and how it adds tensors (2,) to a column."""

    number: int
    settings: Mapping[str, Scalar]
    add: Callable[[str, Callable[[Tensor], Expr], Operation], Tensor]

    def __getitem__(self, setting: str) -> Scalar:
        return self.settings[setting]


@dataclass(frozen=True)
class Update:
    """An optimiser: the settings and the memory it has, and its step from (w, g, memory) to (new w, new memory)."""

    settings: tuple[str, ...]
    memory: tuple[str, ...]
    step: Callable[[Step, Tensor, Tensor, Mapping[str, Tensor]], Tensor]


def _plain(row: Step, w: Tensor, g: Tensor, memory: Mapping[str, Tensor]) -> Tensor:
    rate = row["rate"]
    return row.add(
        "w",
        lambda t: w.at(*t.axes) - rate.cell * g.at(*t.axes),
        op("sub.Tensor", w, op("mul.Tensor", g, rate.value)),
    )


def _buffer(row: Step, g: Tensor, memory: Mapping[str, Tensor]) -> Tensor:
    before, momentum = memory["b"], row["momentum"]
    return row.add(
        "b",
        lambda t: momentum.cell * before.at(*t.axes) + g.at(*t.axes),
        op("add.Tensor", op("mul.Tensor", before, momentum.value), g),
    )


def _momentum(row: Step, w: Tensor, g: Tensor, memory: Mapping[str, Tensor]) -> Tensor:
    return _plain(row, w, _buffer(row, g, memory), memory)


def _nesterov(row: Step, w: Tensor, g: Tensor, memory: Mapping[str, Tensor]) -> Tensor:
    b, rate, momentum = _buffer(row, g, memory), row["rate"], row["momentum"]
    ahead = op("add.Tensor", g, op("mul.Tensor", b, momentum.value))
    return row.add(
        "w",
        lambda t: w.at(*t.axes) - rate.cell * (g.at(*t.axes) + momentum.cell * b.at(*t.axes)),
        op("sub.Tensor", w, op("mul.Tensor", ahead, rate.value)),
    )


def _mean(row: Step, key: str, share: Scalar, g: Tensor, before: Tensor, *, squared: bool) -> Tensor:
    """A running mean of gradients or of their squares: share × before + (1 − share) × new."""

    def formula(t: Tensor) -> Expr:
        new = g.at(*t.axes) * g.at(*t.axes) if squared else g.at(*t.axes)
        return share.cell * before.at(*t.axes) + (1 - share.cell) * new

    new = op("mul.Tensor", g, g) if squared else g
    fresh = op("mul.Tensor", new, op("rsub.Scalar", share.value, 1.0))
    return row.add(key, formula, op("add.Tensor", op("mul.Tensor", before, share.value), fresh))


def _rmsprop(row: Step, w: Tensor, g: Tensor, memory: Mapping[str, Tensor]) -> Tensor:
    v = _mean(row, "v", row["beta2"], g, memory["v"], squared=True)
    rate, epsilon = row["rate"], row["epsilon"]
    spread = op("add.Tensor", op("sqrt.default", v), epsilon.value)
    return row.add(
        "w",
        lambda t: w.at(*t.axes) - rate.cell * g.at(*t.axes) / (call("SQRT", v.at(*t.axes)) + epsilon.cell),
        op("sub.Tensor", w, op("div.Tensor", op("mul.Tensor", g, rate.value), spread)),
    )


def _adam(row: Step, w: Tensor, g: Tensor, memory: Mapping[str, Tensor]) -> Tensor:
    return _adam_from(row, w, g, memory, lambda t: w.at(*t.axes), w)


def _adamw(row: Step, w: Tensor, g: Tensor, memory: Mapping[str, Tensor]) -> Tensor:
    """Weight decay apart from the gradient: w shrinks by rate × decay, then Adam's step."""
    rate, decay = row["rate"], row["decay"]
    shrunk = op("mul.Tensor", w, op("rsub.Scalar", op("mul.Tensor", rate.value, decay.value), 1.0))
    return _adam_from(row, w, g, memory, lambda t: w.at(*t.axes) * (1 - rate.cell * decay.cell), shrunk)


def _adam_from(
    row: Step,
    w: Tensor,
    g: Tensor,
    memory: Mapping[str, Tensor],
    start: Callable[[Tensor], Expr],
    started: Tensor | Operation,
) -> Tensor:
    beta1, beta2, rate, epsilon = (row[s] for s in ("beta1", "beta2", "rate", "epsilon"))
    m = _mean(row, "m", beta1, g, memory["m"], squared=False)
    v = _mean(row, "v", beta2, g, memory["v"], squared=True)
    n = row.number + 1

    def formula(t: Tensor) -> Expr:
        mean = m.at(*t.axes) / (1 - _power(beta1.cell, n))
        spread = call("SQRT", v.at(*t.axes) / (1 - _power(beta2.cell, n))) + epsilon.cell
        return start(t) - rate.cell * mean / spread

    def unbiased(tensor: Tensor, beta: Scalar) -> Operation:
        return op("div.Tensor", tensor, op("rsub.Scalar", op("pow.Tensor_Scalar", beta.value, n), 1.0))

    spread = op("add.Tensor", op("sqrt.default", unbiased(v, beta2)), epsilon.value)
    moved = op("div.Tensor", op("mul.Tensor", unbiased(m, beta1), rate.value), spread)
    return row.add("w", formula, op("sub.Tensor", started, moved))


UPDATES: dict[str, Update] = {
    "sgd": Update(("rate",), (), _plain),
    "momentum": Update(("rate", "momentum"), ("b",), _momentum),
    "nesterov": Update(("rate", "momentum"), ("b",), _nesterov),
    "rmsprop": Update(("rate", "beta2", "epsilon"), ("v",), _rmsprop),
    "adam": Update(("rate", "beta1", "beta2", "epsilon"), ("m", "v"), _adam),
    "adamw": Update(("rate", "beta1", "beta2", "epsilon", "decay"), ("m", "v"), _adamw),
}
