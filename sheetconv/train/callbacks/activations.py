"""What the activations look like while training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sheetconv.train.callback import Callback
from sheetconv.train.hooks import Hooks, is_activation, leaves, of_kind
from sheetconv.train.learner import Learner
from sheetconv.train.show import grid

BINS, LARGEST = 40, 10.0  # of the histograms of magnitudes


class ActivationStats(Callback):
    """Mean, standard deviation, share near zero and histogram of each layer's output, for every training batch.

    `layers` are names of the model's modules, or a type or types of them; by default every layer that is an
    activation function, one's own among them, and where there is none, every layer. The figures stay on the device
    until they are asked for.
    """

    order = 0
    run_only = True
    largest = LARGEST

    def __init__(
        self,
        layers: list[str] | type[nn.Module] | tuple[type[nn.Module], ...] | None = None,
        near: float = 1e-5,
    ) -> None:
        self.layers, self.near = layers, near
        self._figures: dict[str, list[Tensor]] = {}
        self._counts: dict[str, list[Tensor]] = {}
        self._hooks: Hooks | None = None

    def before_fit(self, learn: Learner) -> None:
        """Hook the layers."""
        chosen = self._chosen(learn.model)
        self._figures = {name: [] for name, _ in chosen}
        self._counts = {name: [] for name, _ in chosen}
        self._hooks = Hooks(chosen, self._look)

    def _chosen(self, model: nn.Module) -> list[tuple[str, nn.Module]]:
        if isinstance(self.layers, list):
            return [(name, model.get_submodule(name)) for name in self.layers]
        if self.layers is not None:
            return of_kind(model, self.layers)
        active = [(n, m) for n, m in leaves(model) if is_activation(m)]
        return active or leaves(model)

    @torch.no_grad()
    def _look(self, name: str, module: nn.Module, before: Any, output: Any) -> None:
        if module.training and isinstance(output, Tensor):
            x = output.detach().float()
            small = (x.abs() <= self.near).float().mean()
            self._figures[name].append(torch.stack([x.mean(), x.std(), small]))
            self._counts[name].append(torch.histc(x.abs(), BINS, 0, LARGEST))

    def cleanup_fit(self, learn: Learner) -> None:
        """Unhook the layers."""
        if self._hooks:
            self._hooks.remove()
            self._hooks = None

    @property
    def stats(self) -> dict[str, Tensor]:
        """By layer float32 (batches, 3) on the CPU: mean, standard deviation, share near zero."""
        return {n: torch.stack(f).cpu() if f else torch.zeros(0, 3) for n, f in self._figures.items()}

    @property
    def histograms(self) -> dict[str, Tensor]:
        """By layer float32 (batches, 40) on the CPU: how many magnitudes lie in each fortieth of 0…10."""
        return {n: torch.stack(c).cpu() if c else torch.zeros(0, BINS) for n, c in self._counts.items()}

    def plot(self, axes: Any) -> None:
        """Draw mean, deviation and share over the batches on three matplotlib `axes`, a line per layer."""
        titles = ("mean", "standard deviation", "share near zero")
        for column, (side, title) in enumerate(zip(axes, titles, strict=True)):
            for name, figures in self.stats.items():
                side.plot(figures[:, column], linewidth=0.8, label=name)
            side.set_title(title)
            side.set_xlabel("batch")
        axes[-1].legend(fontsize="small")

    def plot_stats(self) -> Any:
        """A figure with the means, deviations and shares near zero over the batches."""
        figure, axes = grid(3, 3, 4)
        self.plot(axes)
        return figure

    def color_dim(self) -> Any:
        """A figure per layer of its histograms as colours: batches across, magnitudes upwards, counts as brightness."""
        figure, axes = grid(len(self._counts))
        for axis, (name, counts) in zip(axes, self.histograms.items(), strict=True):
            axis.imshow(counts.T.log1p().numpy(), origin="lower", aspect="auto", cmap="viridis")
            axis.set_title(f"layer {name}", fontsize=8)
            axis.set_axis_off()
        return figure

    def dead_chart(self) -> Any:
        """A figure per layer of the share of outputs in the lowest fortieth, which is nearly zero, over the batches."""
        figure, axes = grid(len(self._counts))
        for axis, (name, counts) in zip(axes, self.histograms.items(), strict=True):
            axis.plot(counts[:, 0] / counts.sum(1).clamp(min=1), linewidth=0.8)
            axis.set_ylim(0, 1)
            axis.set_title(f"layer {name}", fontsize=8)
        return figure
