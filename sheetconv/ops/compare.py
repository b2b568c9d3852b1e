"""Comparisons, and the choice that hangs on one: 1 where it holds, 0 where not (never TRUE or FALSE in a cell)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Binary, Expr, as_expr, call
from sheetconv.graph.tensor import Tensor
from sheetconv.ops.arithmetic import operand
from sheetconv.ops.paths import chosen, sums
from sheetconv.ops.registry import Build, Given, called, example, rule


def _filled(x: Any, mask: Any, value: Any) -> Any:
    return sums(sums(x, mask), value)


_SIGNS = {"eq": "=", "ne": "≠", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def holds(sign: str, left: Expr, right: Expr) -> Expr:
    """1 where `left` stands in the relation `sign` to `right`, else 0."""
    return call("IF", Binary(sign, left, right), 1, 0)


@rule(
    *(f"aten.{name}.{kind}" for name in _SIGNS for kind in ("Tensor", "Scalar")), kind="compare", linear=sums
)
def compare(build: Build, a: Tensor, b: Any) -> Tensor:
    """1 where a ∘ b holds, else 0 (torch's truth values, as the numbers that cells hold)."""
    sign = _SIGNS[build.target.split(".")[1]]
    build.title = f"Compare {sign}"
    out = build.axes()
    left, right = operand(build, out, a), operand(build, out, b)
    expr = call("IF", Binary("=", left, right), 0, 1) if sign == "≠" else holds(sign, left, right)
    return build.emit(out, expr, signed=False)


@rule(
    "aten.where.self",
    "aten.where.ScalarOther",
    "aten.where.ScalarSelf",
    "aten.where.Scalar",
    kind="where",
    truth=(0,),
    linear=chosen,
)
def where(build: Build, condition: Tensor, a: Any, b: Any) -> Tensor:
    """a in the cells where the condition is not 0, else b."""
    build.title = "Where"
    out = build.axes()
    untrue = Binary("=", operand(build, out, condition), as_expr(0))
    return build.emit(out, call("IF", untrue, operand(build, out, b), operand(build, out, a)))


@rule("aten.masked_fill.Scalar", "aten.masked_fill.Tensor", kind="where", truth=(1,), linear=_filled)
def masked_fill(build: Build, x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """One value where the mask is not 0."""
    build.title = "Fill where masked"
    out = build.axes()
    seen = Binary("=", operand(build, out, mask), as_expr(0))
    return build.emit(out, call("IF", seen, operand(build, out, x), operand(build, out, value)))


class _Threshold(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = (x >= 0.5).to(x.dtype) * x + (x == x.amax((2, 3), keepdim=True)).to(x.dtype)
        return torch.where(x < 0, x * 0.1, kept) + (x > 1) * 2 + (x <= x[:, :, :1])


@example("comparisons and where", (1, 2, 3, 4))
def _threshold() -> nn.Module:
    return _Threshold()


for _name in _SIGNS:
    called(f"aten.{_name}.Scalar", Given((2, 3), 3), 1)
    called(f"aten.{_name}.Tensor", Given((2, 3), 3), Given((1, 3), 3))
called("aten.where.Scalar", Given((2, 3), 2), 1.5, 2.5)
called("aten.where.ScalarSelf", Given((2, 3), 2), 1.5, Given((2, 1)))
called("aten.where.ScalarOther", Given((2, 3), 2), Given((2, 1)), 2.5)
called("aten.masked_fill.Scalar", Given((2, 3)), Given((2, 3), 2), 2.5)
called("aten.masked_fill.Tensor", Given((2, 3)), Given((2, 3), 2), Given(()))
