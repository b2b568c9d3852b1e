"""Optimisers by name: torch's own, Muon for networks with convolutions, full-matrix Adam for very small ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sheetconv.errors import UsageError
from sheetconv.train.extras.full_adam import FullMatrixAdam
from sheetconv.train.grouped import ByGroup

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(ByGroup):
    """Muon (Jordan et al., 2024) for parameters of two axes and more, Adam for the others.

    torch's own `Muon` takes matrices only; here a kernel (O, I, kH, kW) counts as the matrix (O, I·kH·kW). Its
    momentum, made nearly orthogonal by five Newton-Schulz steps, is the update, scaled by √max(1, rows /
    columns) as torch's is. Biases and norms learn with Adam at `lr * adam_ratio`. `weight_decay` is decoupled
    and for the matrices alone. Kernels of one shape are treated in one batched product.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        steps: int = 5,
        adam_ratio: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-7,
    ) -> None:
        if not lr >= 0 or not 0 <= momentum < 1:
            raise UsageError(f"Muon needs lr >= 0 and momentum in 0…1, not {lr} and {momentum}")
        every = [p for p in params if p.requires_grad]
        matrices = [p for p in every if p.ndim >= 2]
        others = [p for p in every if p.ndim < 2]
        common = {"momentum": momentum, "nesterov": nesterov, "steps": steps, "eps": eps}
        groups: list[dict[str, Any]] = []
        if matrices:
            groups.append({"params": matrices, "muon": True, "lr": lr, "weight_decay": weight_decay})
        if others:
            groups.append({"params": others, "muon": False, "lr": lr * adam_ratio, "adam_betas": betas})
        super().__init__(groups, common | {"lr": lr, "weight_decay": 0.0})

    def update(self, group: dict[str, Any]) -> None:
        """Update the parameters of `group` that have a gradient."""
        found = [p for p in group["params"] if p.grad is not None]
        (self._matrices if group["muon"] else self._adam)(group, found)

    def _matrices(self, group: dict[str, Any], params: list[Tensor]) -> None:
        same: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        for p in params:
            kept = self.state[p]
            if not kept:
                kept["momentum"] = torch.zeros_like(p)
            average, grad = kept["momentum"], _grad(p)
            average.lerp_(grad, 1 - group["momentum"])
            update = grad.lerp(average, group["momentum"]) if group["nesterov"] else average
            flat = update.flatten(1)
            same.setdefault(tuple(flat.shape), []).append((p, flat))
        for shape, pairs in same.items():
            updates = orthogonal(torch.stack([flat for _, flat in pairs]), group["steps"], group["eps"])
            rate = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
            for (p, _), update in zip(pairs, updates, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.view_as(p).to(p.dtype), alpha=-rate)

    def _adam(self, group: dict[str, Any], params: list[Tensor]) -> None:
        if not params:
            return
        first, second = group["adam_betas"]
        for p in params:
            if not self.state[p]:
                self.state[p] = {"mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
        group["count"] = count = group.get("count", 0) + 1
        grads = [_grad(p) for p in params]
        means, squares = ([self.state[p][name] for p in params] for name in ("mean", "square"))
        torch._foreach_lerp_(means, grads, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, grads, grads, 1 - second)
        bottom = torch._foreach_sqrt(squares)
        torch._foreach_div_(bottom, (1 - second**count) ** 0.5)
        torch._foreach_add_(bottom, group["eps"])
        torch._foreach_addcdiv_(params, means, bottom, -group["lr"] / (1 - first**count))


def _grad(p: Tensor) -> Tensor:
    assert p.grad is not None
    return p.grad


def orthogonal(matrices: Tensor, steps: int = 5, eps: float = 1e-7) -> Tensor:
    """The (B, R, C) matrices with their singular values brought near 1: the quintic Newton-Schulz iteration.

    Each step multiplies X from the left by a polynomial of X·Xᵀ; the product of those polynomials is iterated
    instead, R×R numbers only, which for kernels (C = 9·R and the like) takes less than half the time. In float32.
    """
    a, b, c = _NEWTON_SCHULZ
    x = matrices.float()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    gram = x @ x.mT
    one = torch.eye(x.shape[1], device=x.device)
    product = one.expand_as(gram)
    for _ in range(steps):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) + a * one
        product = factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    return x.mT if tall else x


OPTIMISERS: dict[str, Callable[..., Any]] = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "muon": Muon,
    "full-adam": FullMatrixAdam,
}


def optimiser(name: str, **settings: Any) -> Callable[..., Any]:
    """The optimiser called `name` as the Learner's `opt_func`, with `settings` (weight_decay …) of its own.

    Raises `UsageError` for an unknown name.
    """
    if name not in OPTIMISERS:
        raise UsageError(f"unknown optimiser {name!r}; choose one of {', '.join(OPTIMISERS)}")
    return partial(OPTIMISERS[name], **settings)
