"""Casts: what changes the numbers has a formula; what only changes how they are stored is nothing here."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Binary, Expr, Negative, as_expr, call
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.paths import passes
from sheetconv.ops.registry import Build, Given, called, example, rule

_HALF = ("float16", "bfloat16")


def truncated(x: Expr) -> Expr:
    """Towards zero (a spreadsheet's INT goes down)."""
    return call("IF", Binary("<", x, as_expr(0)), Negative(call("INT", Negative(x))), call("INT", x))


@rule("aten.trunc.default", "aten.fix.default", kind="trunc", linear=passes)
def trunc(build: Build, x: Tensor) -> Tensor:
    """The whole part."""
    build.title = "Whole part"
    out = build.axes()
    return build.emit(out, truncated(x.at(*out.axes)), signed=x.signed)


@rule(
    "aten.to.dtype",
    "aten._to_copy.default",
    "prims.convert_element_type.default",
    kind="same",
)
def cast(build: Build, x: Tensor, dtype: Any = None, *options: Any) -> Tensor:
    """To whole numbers: the whole part; to truth values: 1 where it is not 0; to float32 or float64: as it is."""
    if dtype in _HALF or (dtype or "").startswith(("complex", "float8")):
        raise build.refuse(f"rounding to {dtype} has no formula")
    if dtype == "bool":
        build.title = "Is not 0"
        out = build.axes()
        there = call("IF", Binary("=", x.at(*out.axes), as_expr(0)), 0, 1)
        return build.emit(out, there, operation=Operation("aten.ne.Scalar", (x, 0)), signed=False)
    if dtype is not None and "int" in dtype and not x.whole:
        build.target, build.arguments = "aten.trunc.default", (x,)
        return trunc(build, x)
    build.title = "Same"
    tensor = build.view(x, lambda *axes: axes)
    tensor.operation = Operation("aten.alias.default", (x,))
    return tensor


class _Casts(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole = (x * 10).to(torch.int32) * 1.0 + (x * -3).long()
        return whole + (x - x[..., :1]).to(torch.bool).to(x.dtype).to(torch.int64)


@example("casts", (1, 2, 3))
def _casts() -> nn.Module:
    return _Casts()


called("aten.fix.default", Given((2, 3)))
