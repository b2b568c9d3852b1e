"""The network compiled by torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, Self

import torch

from sheetconv.errors import TrainingError
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner


class Compile(Callback):
    """Computes predictions with a compiled copy of the network's code while it trains; the network itself stays.

    What is compiled is a function that calls the network: `model.compile()` of an `nn.Sequential` leaves all as it
    is, since torch compiles nothing whose first frame is its own. `settings` go to `torch.compile`.
    """

    order = -80  # after Train, whose `predict` it replaces
    run_only = True

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self._forward: Callable[[Any], Any] | None = None

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Captured, but not translated."""
        return cls(backend="eager")

    def before_fit(self, learn: Learner) -> None:
        """Prepare the function; torch compiles it when it is first called."""
        model = learn.model

        def forward(x: Any) -> Any:
            return model(x)

        # of its own code for every fit: torch gives up, without a word, on code that it has compiled eight times
        fresh = FunctionType(forward.__code__.replace(), forward.__globals__, closure=forward.__closure__)
        self._forward = torch.compile(fresh, **self.settings)

    def predict(self, learn: Learner) -> None:
        """Call it. Raises `TrainingError` where this machine cannot compile."""
        assert self._forward is not None
        try:
            learn.preds = self._forward(learn.batch[0])
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(f"torch.compile fails here, so leave --compile out: {reason}") from error

    def cleanup_fit(self, learn: Learner) -> None:
        """Forget it."""
        self._forward = None
