"""What optimisers of our own have in common."""

from __future__ import annotations

from typing import Any

import torch


class ByGroup(torch.optim.Optimizer):
    """An optimiser of ours: a step is `update` of each group of parameters."""

    def update(self, group: dict[str, Any]) -> None:
        """Change the group's parameters; gradients are not recorded."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update all groups; gives the loss of `closure`, where one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self.update(group)
        return loss
