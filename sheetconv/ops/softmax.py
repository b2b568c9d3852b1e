"""Softmax and log-softmax, with the exponentials in cells of their own (as one would teach it)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Aggregate, call
from sheetconv.graph.index import Index, Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.paths import with_all
from sheetconv.ops.registry import Build, example, rule


def _along(t: Tensor, dim: int) -> tuple[list[Index], Var]:
    k = Var("k", t.shape[dim])
    at: list[Index] = list(t.axes)
    at[dim] = k
    return at, k


def exponentials(build: Build, x: Tensor, dim: int) -> Tensor:
    """exp(x − max x), the step that keeps the exponentials from overflowing."""
    shifted = Operation("aten.sub.Tensor", (x, Operation("aten.amax.default", (x, [dim], True))))

    def formula(t: Tensor) -> Any:
        at, k = _along(t, dim)
        return call("EXP", x.at(*t.axes) - Aggregate("MAX", (x.at(*at),), (k,)))

    tensor = build.step("exp", x.shape, Operation("aten.exp.default", (shifted,)), formula)
    tensor.signed = False
    return tensor


@rule("aten.softmax.int", kind="softmax", linear=with_all)
def softmax(build: Build, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """exp(x − max) / Σ exp(x − max)."""
    build.title = "Softmax"
    dim %= len(x.shape)
    exp = exponentials(build, x, dim)
    out = build.axes()
    at, k = _along(out, dim)
    return build.emit(out, exp.at(*out.axes) / Aggregate("SUM", (exp.at(*at),), (k,)), signed=False)


@rule("aten.log_softmax.int", kind="logsoftmax", linear=with_all)
def log_softmax(build: Build, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """x − max − ln Σ exp(x − max)."""
    build.title = "LogSoftmax"
    dim %= len(x.shape)
    exp = exponentials(build, x, dim)
    out = build.axes()
    at, k = _along(out, dim)
    largest = Aggregate("MAX", (x.at(*at),), (k,))
    total = call("LN", Aggregate("SUM", (exp.at(*at),), (k,)))
    return build.emit(out, x.at(*out.axes) - largest - total)


@example("softmax", (1, 6))
def _softmax() -> nn.Module:
    return nn.Softmax(1)


class _PlaneSoftmax(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(x, 1) + torch.softmax(x, -1)


@example("log_softmax and softmax of planes", (1, 3, 2, 4))
def _planes() -> nn.Module:
    return _PlaneSoftmax()
