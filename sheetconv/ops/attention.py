"""Scaled dot-product attention: scores, their softmax, and the mix of values, each in cells of its own."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from sheetconv.graph.expr import Aggregate, Expr, Number, Select
from sheetconv.graph.index import Index, Var
from sheetconv.graph.tensor import Operation, Tensor
from sheetconv.ops.arithmetic import operand
from sheetconv.ops.dense import in_rows
from sheetconv.ops.registry import Build, Given, called, example, rule
from sheetconv.ops.softmax import exponentials

# What stands for minus infinity: its exponential is 0, and a cell can hold it.
MASKED = -1e30


def _lower(scores: torch.Tensor) -> torch.Tensor:
    hidden = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(hidden, MASKED)


@rule("causal", kind="mask", own=_lower, linear=torch.tril)
def causal(build: Build, x: Tensor) -> Tensor:
    """Scores of what comes later become very small (−10³⁰, for minus infinity)."""
    build.title = "Only what came before"
    out = build.axes()
    *_, i, j = out.axes
    return build.emit(out, Select(j < i + 1, x.at(*out.axes), Number(MASKED)))


def _paths(
    q: Any, k: Any, v: Any, mask: Any = None, dropout: float = 0, causal: bool = False, *_: Any
) -> Any:
    scores = q.sum(-1, keepdim=True) + k.sum(-1).unsqueeze(-2)
    scores = scores + mask if isinstance(mask, torch.Tensor) else scores
    scores = scores.tril() if causal else scores
    weights = scores + scores.sum(-1, keepdim=True)
    return weights.sum(-1, keepdim=True) + v.sum(-2, keepdim=True)


@rule("aten.scaled_dot_product_attention.default", kind="attention", linear=_paths)
def attention(
    build: Build,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    dropout: float,
    is_causal: bool,
    scale: float | None,
    gqa: bool,
) -> Tensor:
    """softmax(q · kᵀ · scale + mask) · v; the map of weights shows what each position looks at."""
    if dropout:
        raise build.refuse("attention with dropout has no rule; call eval()")
    if gqa and k.shape[-3] != q.shape[-3]:
        raise build.refuse("attention with fewer heads of keys has no rule; repeat the keys")
    build.title = f"Attention, {q.shape[-3]} heads" if len(q.shape) > 3 else "Attention"
    if mask is not None and mask.whole:
        mask = _added(build, mask)
        build.arguments = (q, k, v, mask, *build.arguments[4:])
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
    scores = _scores(build, q, k, factor, mask, is_causal)
    exp = exponentials(build, scores, len(scores.shape) - 1)
    weights = _weights(build, exp, scores)
    values = in_rows(build, v)
    out = build.axes()
    *lead, i, j = out.axes
    other = Var("l", v.shape[-2])
    reads = (weights.at(*lead, i, other), values.at(*_lead(values, lead), j, other))
    return build.emit(out, Aggregate("SUMPRODUCT", reads, (other,)))


def _lead(t: Tensor, lead: Any) -> list[Any]:
    own = t.shape[:-2]
    return [0 if s == 1 else a for s, a in zip(own, lead[len(lead) - len(own) :], strict=True)]


def _added(build: Build, mask: Tensor) -> Tensor:
    """A mask of truth values as one to add: 0 where it may be seen, very small where not."""
    operation = Operation("aten.mul.Tensor", (Operation("aten.rsub.Scalar", (mask, 1, 1)), MASKED))
    return build.step("mask", mask.shape, operation, lambda t: (1 - operand(build, t, mask)) * MASKED)


def _scores(
    build: Build, q: Tensor, k: Tensor, factor: float, mask: Tensor | None, is_causal: bool
) -> Tensor:
    flipped = Operation("aten.transpose.int", (k, -2, -1))
    operation = Operation("aten.mul.Tensor", (Operation("aten.matmul.default", (q, flipped)), factor))
    if mask is not None:
        operation = Operation("aten.add.Tensor", (operation, mask, 1))
    if is_causal:
        operation = Operation("causal", (operation,))

    def formula(t: Tensor) -> Expr:
        *lead, i, j = t.axes
        e = Var("e", q.shape[-1])
        reads = (q.at(*_lead(q, lead), i, e), k.at(*_lead(k, lead), j, e))
        expr: Expr = Aggregate("SUMPRODUCT", reads, (e,)) * factor
        if mask is not None:
            expr = expr + operand(build, t, mask)
        return Select(j < i + 1, expr, Number(MASKED)) if is_causal else expr

    lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], mask.shape[:-2] if mask is not None else ())
    return build.step("scores", (*lead, q.shape[-2], k.shape[-2]), operation, formula)


def _weights(build: Build, exp: Tensor, scores: Tensor) -> Tensor:
    def formula(t: Tensor) -> Expr:
        at: list[Index] = [*t.axes[:-1], Var("k", t.shape[-1])]
        return exp.at(*t.axes) / Aggregate("SUM", (exp.at(*at),), (at[-1],))  # type: ignore[arg-type]

    operation = Operation("aten.softmax.int", (scores, -1, None))
    tensor = build.step("weights", scores.shape, operation, formula)
    tensor.signed = False
    return tensor


class _Causal(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = nn.functional.scaled_dot_product_attention
        seen = torch.ones(4, 4, dtype=torch.bool).tril(1)
        nearness = -(torch.arange(4.0)[:, None] - torch.arange(4.0)).abs().to(x.dtype)
        plain = f(x, x, x, is_causal=True) + f(x, x, x, attn_mask=seen, scale=0.3)
        return plain + f(x, x, x[:, :1], attn_mask=nearness)


@example("attention, causal and with masks", (1, 2, 4, 3))
def _masks() -> nn.Module:
    return _Causal()


class _SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.attention(x, x, x)[0]
        return found


@example("multi-head attention", (1, 4, 6))
def _heads() -> nn.Module:
    return _SelfAttention()


called("causal", Given((2, 3, 3)))
