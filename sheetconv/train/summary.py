"""A network layer by layer: shapes, parameters, multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sheetconv.train.hooks import leaves


@dataclass
class LayerRow:
    """One layer: its name and kind, the shape of its output without the batch axis, and its costs per image."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass
class Summary:
    """All layers in the order of computation, and the totals (of the whole network, per image)."""

    rows: list[LayerRow]
    parameters: int
    multiply_adds: int

    def __str__(self) -> str:
        head = ("layer", "kind", "output", "parameters", "multiply-adds")
        lines = [
            (r.name, r.kind, "×".join(map(str, r.shape)), f"{r.parameters:,}", f"{r.multiply_adds:,}")
            for r in self.rows
        ]
        total = ("total", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}")
        table = [head, *lines, total]
        widths = [max(len(row[i]) for row in table) for i in range(len(head))]
        return "\n".join(
            "  ".join(
                cell.rjust(w) if i > 2 else cell.ljust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        )


def summary(model: nn.Module, image_shape: tuple[int, ...]) -> Summary:
    """Run one image of zeros (C, H, W) through `model` and note every layer.

    Multiply-adds are those of convolutions and matrix products (half of the operations that torch's own
    counter counts), also where the network calls them as functions. The model is left as it was.
    """
    from torch.utils.flop_counter import FlopCounterMode

    rows: list[LayerRow] = []
    counter = FlopCounterMode(display=False)
    before: dict[str, int] = {}

    def start(name: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            before[name] = counter.get_total_flops()

        return hook

    def end(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
            spent = (counter.get_total_flops() - before[name]) // 2
            own = sum(p.numel() for p in module.parameters())
            rows.append(LayerRow(name or "(model)", type(module).__name__, shape, own, spent))

        return hook

    mode, device = model.training, next((p.device for p in model.parameters()), torch.device("cpu"))
    handles = [m.register_forward_pre_hook(start(n)) for n, m in leaves(model)]
    handles += [m.register_forward_hook(end(n)) for n, m in leaves(model)]
    model.eval()
    try:
        with torch.no_grad(), counter:
            model(torch.zeros(1, *image_shape, device=device))
    finally:
        model.train(mode)
        for handle in handles:
            handle.remove()
    parameters = sum(p.numel() for p in model.parameters())
    return Summary(rows, parameters, counter.get_total_flops() // 2)
