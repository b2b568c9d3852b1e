"""Hooks on a network's layers: what goes through them, how large it is; and LSUV, which sets it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sheetconv.errors import TrainingError


class Hooks:
    """Calls `function(name, module, input, output)` after each forward pass of the given layers.

    `layers` is a network, of which all layers that hold no other are meant, or only those of the types `kinds`; or
    (name, module) pairs as `model.named_modules()` gives. A context manager: the hooks are removed at its end, also
    after an error.
    """

    def __init__(
        self,
        layers: nn.Module | Iterable[tuple[str, nn.Module]],
        function: Callable[[str, nn.Module, Any, Any], None],
        kinds: type[nn.Module] | tuple[type[nn.Module], ...] | None = None,
    ) -> None:
        def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
            return lambda module, args, output: function(name, module, args[0] if args else None, output)

        found: Iterable[tuple[str, nn.Module]]
        if isinstance(layers, nn.Module):
            found = leaves(layers) if kinds is None else of_kind(layers, kinds)
        else:
            found = layers
        self._handles = [module.register_forward_hook(hook(name)) for name, module in found]

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


def of_kind(
    model: nn.Module, kinds: type[nn.Module] | tuple[type[nn.Module], ...]
) -> list[tuple[str, nn.Module]]:
    """The layers of those types, with their names."""
    return [(name, m) for name, m in model.named_modules() if isinstance(m, kinds)]


def is_activation(module: nn.Module) -> bool:
    """Whether `module` is one of torch's activation functions, or a layer of one's own that learns nothing."""
    own = not type(module).__module__.startswith("torch.") and not any(module.children())
    return type(module).__module__.endswith("modules.activation") or (own and not any(module.parameters()))


def lsuv_init(
    model: nn.Module, x: Tensor, tolerance: float = 0.02, rounds: int = 10, after_activation: bool = True
) -> dict[str, float]:
    """Layer-sequential unit-variance initialisation (Mishkin and Matas, 2015) on the batch `x` (N, …).

    Each convolution and dense layer gets an orthogonal weight and a zero bias; then, in the order of
    computation, the weight is divided until what it gives has a standard deviation of 1 ± `tolerance`: after the
    activation function that follows directly, where one does, or of the layer itself (everywhere without
    `after_activation`). Returns the standard deviations reached, by layer. Raises `TrainingError` where an output is
    constant.
    """
    spread: dict[str, float] = {}

    def look(name: str, module: nn.Module, before: Any, output: Tensor) -> None:
        spread[name] = output.float().std().item()

    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            pairs = _followed(model, x)
            with Hooks([(name, seen if after_activation else layer) for name, layer, seen in pairs], look):
                for _, layer, _ in pairs:
                    start = torch.empty_like(layer.weight, memory_format=torch.contiguous_format)
                    layer.weight.copy_(nn.init.orthogonal_(start))  # torch's fails where channels lie last
                    if layer.bias is not None:
                        layer.bias.zero_()
                for name, layer, _ in pairs:
                    _scale_layer(name, layer, lambda: model(x), spread, tolerance, rounds)
    finally:
        model.train(mode)
    return spread


def _followed(model: nn.Module, x: Tensor) -> list[tuple[str, Any, nn.Module]]:
    """Convolutions and dense layers in the order of computation, each with the activation right after it or itself."""
    order: list[tuple[str, nn.Module]] = []
    with Hooks(model, lambda name, module, before, output: order.append((name, module))):
        model(x)
    following: list[nn.Module] = [*(module for _, module in order[1:]), nn.Identity()]
    return [
        (name, layer, after if is_activation(after) else layer)
        for (name, layer), after in zip(order, following, strict=True)
        if isinstance(layer, (nn.modules.conv._ConvNd, nn.Linear))
    ]


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
