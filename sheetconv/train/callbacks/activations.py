"""What the activations look like while training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sheetconv.train.callback import Callback
from sheetconv.train.hooks import Hooks, leaves
from sheetconv.train.learner import Learner


class ActivationStats(Callback):
    """Mean, standard deviation and share near zero of each layer's output, for every training batch.

    `layers` are names of the model's modules; by default every layer that is an activation function, and
    where there is none, every layer. The figures stay on the device until `stats` is asked for.
    """

    order = 0
    run_only = True

    def __init__(self, layers: list[str] | None = None, near: float = 1e-5) -> None:
        self.layers, self.near = layers, near
        self._figures: dict[str, list[Tensor]] = {}
        self._hooks: Hooks | None = None

    def before_fit(self, learn: Learner) -> None:
        """Hook the layers."""
        chosen = self._chosen(learn.model)
        self._figures = {name: [] for name, _ in chosen}
        self._hooks = Hooks(chosen, self._look)

    def _chosen(self, model: nn.Module) -> list[tuple[str, nn.Module]]:
        if self.layers is not None:
            return [(name, model.get_submodule(name)) for name in self.layers]
        all_leaves = leaves(model)
        active = [(n, m) for n, m in all_leaves if type(m).__module__.endswith("modules.activation")]
        return active or all_leaves

    @torch.no_grad()
    def _look(self, name: str, module: nn.Module, before: Any, output: Any) -> None:
        if module.training and isinstance(output, Tensor):
            x = output.detach().float()
            small = (x.abs() <= self.near).float().mean()
            self._figures[name].append(torch.stack([x.mean(), x.std(), small]))

    def cleanup_fit(self, learn: Learner) -> None:
        """Unhook the layers."""
        if self._hooks:
            self._hooks.remove()
            self._hooks = None

    @property
    def stats(self) -> dict[str, Tensor]:
        """By layer float32 (batches, 3) on the CPU: mean, standard deviation, share near zero."""
        return {n: torch.stack(f).cpu() if f else torch.zeros(0, 3) for n, f in self._figures.items()}

    def plot(self, axes: Any) -> None:
        """Draw mean, deviation and share over the batches on three matplotlib `axes`, a line per layer."""
        titles = ("mean", "standard deviation", "share near zero")
        for column, (side, title) in enumerate(zip(axes, titles, strict=True)):
            for name, figures in self.stats.items():
                side.plot(figures[:, column], linewidth=0.8, label=name)
            side.set_title(title)
            side.set_xlabel("batch")
        axes[-1].legend(fontsize="small")
