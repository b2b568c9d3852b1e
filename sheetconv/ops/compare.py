"""Comparisons, and the choice that hangs on one: 1 where it holds, 0 where not (never TRUE or FALSE in a cell)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Binary, Expr, as_expr, call
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.arithmetic import operand
from sheetconv.ops.registry import Build, example, rule

_SIGNS = {"eq": "=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def holds(sign: str, left: Expr, right: Expr) -> Expr:
    """1 where `left` stands in the relation `sign` to `right`, else 0."""
    return call("IF", Binary(sign, left, right), 1, 0)


@rule(*(f"aten.{name}.{kind}" for name in _SIGNS for kind in ("Tensor", "Scalar")), kind="compare")
def compare(build: Build, a: Tensor, b: Any) -> Tensor:
    """1 where a ∘ b holds, else 0 (torch's truth values, as the numbers that cells hold)."""
    sign = _SIGNS[build.target.split(".")[1]]
    build.title = f"Compare {sign}"
    out = build.axes()
    return build.emit(out, holds(sign, operand(build, out, a), operand(build, out, b)), signed=False)


@rule("aten.where.self", kind="where")
def where(build: Build, condition: Tensor, a: Any, b: Any) -> Tensor:
    """a in the cells where the condition is not 0, else b."""
    build.title = "Where"
    out = build.axes()
    untrue = Binary("=", operand(build, out, condition), as_expr(0))
    return build.emit(out, call("IF", untrue, operand(build, out, b), operand(build, out, a)))


class _Threshold(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = (x >= 0.5).to(x.dtype) * x + (x == x.amax((2, 3), keepdim=True)).to(x.dtype)
        return torch.where(x < 0, x * 0.1, kept) + (x > 1) * 2 + (x <= x[:, :, :1])


@example("comparisons and where", (1, 2, 3, 4))
def _threshold() -> nn.Module:
    return _Threshold()
