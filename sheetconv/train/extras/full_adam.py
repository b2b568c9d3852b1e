"""Adam along the principal axes of the gradient, for networks of a few hundred parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from sheetconv.errors import UsageError
from sheetconv.train.devices import lacks
from sheetconv.train.grouped import ByGroup


class FullMatrixAdam(ByGroup):
    """Adam along the principal axes of the gradient instead of one parameter at a time, for very small networks.

    All P parameters are one vector. The covariance of its gradient, a moving average of g·gᵀ, has eigenvectors
    in which gradients are uncorrelated; there Adam's rule is applied, and its step is turned back (SOAP of Vyas
    et al., 2024, with one full matrix instead of two factors per layer). Eigenvectors are found anew every
    `every` steps, five times as often at first, each time with the eigenvalues for Adam's mean squares. Axes whose
    root mean square is less than `eps` of the largest are not stretched further. Nothing moves before `wait`
    gradients are known.

    `betas` are Adam's, `beta` the covariance's; `weight_decay` is decoupled. Raises `UsageError` for more than
    `MOST` parameters: the covariance has P² numbers, its eigenvectors cost P³.
    """

    MOST = 4000

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.015,
        betas: tuple[float, float] = (0.9, 0.99),
        beta: float = 0.998,
        weight_decay: float = 0.0,
        every: int = 50,
        wait: int = 20,
        eps: float = 1e-6,
    ) -> None:
        learned = [p for p in params if p.requires_grad]
        count = sum(p.numel() for p in learned)
        if count > self.MOST:
            raise UsageError(
                f"full-adam computes with the square of the number of parameters, of which it takes up to"
                f" {self.MOST:,}, not {count:,}; choose another optimiser"
            )
        settings = {"lr": lr, "betas": betas, "beta": beta, "weight_decay": weight_decay}
        super().__init__(learned, settings | {"every": every, "wait": wait, "eps": eps})

    def update(self, group: dict[str, Any]) -> None:
        """Update all parameters; one without a gradient counts as having zeros."""
        params: list[Tensor] = group["params"]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
        update = self._step_of(group, self.state[params[0]], torch.cat([g.flatten() for g in grads]))
        for p, part in zip(params, update.split([p.numel() for p in params]), strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.add_(part.view_as(p), alpha=-group["lr"])

    def _step_of(self, group: dict[str, Any], kept: dict[str, Any], grad: Tensor) -> Tensor:
        """The step of all parameters as one vector, (P,), for a learning rate of 1."""
        if not kept:
            kept["mean"], kept["squares"] = torch.zeros_like(grad), torch.zeros_like(grad)
            kept["covariance"] = grad.new_zeros(len(grad), len(grad))
            kept["axes"] = torch.zeros_like(kept["covariance"])
        group["count"] = count = group.get("count", 0) + 1
        first, second = group["betas"]
        kept["mean"].lerp_(grad, 1 - first)
        kept["covariance"].mul_(group["beta"]).addr_(grad, grad, alpha=1 - group["beta"])
        if count < group["wait"]:
            return torch.zeros_like(grad)
        often = group["every"] if count >= 4 * group["every"] else max(1, group["every"] // 5)
        if count == group["wait"] or count % often == 0:
            squares, kept["axes"] = _eigh(kept["covariance"] / (1 - group["beta"] ** count))
            kept["squares"] = squares.clamp(min=0)
        axes, squares = kept["axes"], kept["squares"]
        squares.lerp_((axes.mT @ grad).square(), 1 - second)
        bottom = squares.sqrt() + group["eps"] * squares.max().sqrt() + torch.finfo(grad.dtype).tiny
        return axes @ (axes.mT @ kept["mean"] / (1 - first**count) / bottom)


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors, found on the CPU where the device has no such operator."""
    there = matrix.device
    values, axes = torch.linalg.eigh(matrix.cpu() if lacks(there, "eigenvectors") else matrix)
    return values.to(there), axes.to(there)
