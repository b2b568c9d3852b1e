"""Hooks on a network's layers: what goes through them, how large it is; and LSUV, which sets it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sheetconv.errors import TrainingError


class Hooks:
    """Calls `function(name, module, input, output)` after each forward pass of the given layers.

    `layers` are (name, module) pairs as `model.named_modules()` gives. A context manager: the hooks are
    removed at its end, also after an error.
    """

    def __init__(
        self, layers: Iterable[tuple[str, nn.Module]], function: Callable[[str, nn.Module, Any, Any], None]
    ) -> None:
        def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
            return lambda module, args, output: function(name, module, args[0] if args else None, output)

        self._handles = [module.register_forward_hook(hook(name)) for name, module in layers]

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __enter__(self) -> Hooks:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def leaves(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers that hold no other layer, with their names; the model itself where it is one."""
    return [(name, m) for name, m in model.named_modules() if not any(m.children())]


def lsuv_init(model: nn.Module, x: Tensor, tolerance: float = 0.02, rounds: int = 10) -> dict[str, float]:
    """Layer-sequential unit-variance initialisation (Mishkin and Matas, 2015) on the batch `x` (N, …).

    Each convolution and dense layer gets an orthogonal weight and a zero bias; then, in the order of
    computation, the weight is divided until its output has a standard deviation of 1 ± `tolerance`.
    Returns the standard deviations reached, by layer. Raises `TrainingError` where an output is constant.
    """
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, (nn.modules.conv._ConvNd, nn.Linear))]
    order: list[str] = []
    spread: dict[str, float] = {}

    def look(name: str, module: nn.Module, before: Any, output: Tensor) -> None:
        if name not in spread:
            order.append(name)
        spread[name] = output.float().std().item()

    named, mode = dict(layers), model.training
    model.eval()
    try:
        with torch.no_grad(), Hooks(layers, look):
            for _, layer in layers:
                start = torch.empty_like(layer.weight, memory_format=torch.contiguous_format)
                layer.weight.copy_(
                    nn.init.orthogonal_(start)
                )  # torch's fails where channels lie last in memory
                if layer.bias is not None:
                    layer.bias.zero_()
            model(x)
            for name in list(order):
                _scale_layer(name, named[name], lambda: model(x), spread, tolerance, rounds)
    finally:
        model.train(mode)
    return spread


def _scale_layer(
    name: str, layer: Any, forward: Callable[[], Any], spread: dict[str, float], tolerance: float, rounds: int
) -> None:
    for _ in range(rounds):
        forward()
        if not spread[name] > 1e-12:
            raise TrainingError(
                f"the output of layer {name} is constant on this batch; give it varied inputs"
            )
        if abs(spread[name] - 1) <= tolerance:
            return
        layer.weight.div_(spread[name])
    forward()
