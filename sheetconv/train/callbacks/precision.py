"""Mixed precision and gradient clipping."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sheetconv.errors import UsageError
from sheetconv.train.callback import Callback
from sheetconv.train.devices import map_tensors
from sheetconv.train.learner import Learner

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class MixedPrecision(Callback):
    """The network computes in `bf16` or `fp16` where torch deems it safe; the loss and the weights stay float32.

    With fp16 the loss is scaled so that small gradients do not vanish; they are unscaled before clipping.
    Scaling looks at the gradients each step, so with fp16 (and only with it) a step waits for the device.
    """

    order = -40

    def __init__(self, precision: str = "bf16") -> None:
        if precision not in _TYPES:
            raise UsageError(f"unknown precision {precision!r}; choose bf16 or fp16")
        self.precision, self.dtype = precision, _TYPES[precision]
        self._open: Any = None
        self.scaler: Any = None

    def before_fit(self, learn: Learner) -> None:
        """Make the scaler on the model's device."""
        self._kind = next(learn.model.parameters()).device.type
        self.scaler = torch.amp.GradScaler(self._kind, enabled=self.dtype == torch.float16)

    def before_batch(self, learn: Learner) -> None:
        """Switch to the lower precision."""
        self._open = torch.autocast(self._kind, self.dtype)
        self._open.__enter__()

    def after_predict(self, learn: Learner) -> None:
        """Back to float32, the predictions too."""
        self._close()
        learn.preds = map_tensors(lambda t: t.float() if t.is_floating_point() else t, learn.preds)

    def cleanup_batch(self, learn: Learner) -> None:
        """Switch back where the batch was cancelled."""
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None

    def backward(self, learn: Learner) -> None:
        """Compute the gradients of the scaled loss."""
        self.scaler.scale(learn.loss).backward()

    def after_backward(self, learn: Learner) -> None:
        """Unscale the gradients."""
        self.scaler.unscale_(learn.opt)

    def step(self, learn: Learner) -> None:
        """Step unless a scaled gradient overflowed."""
        self.scaler.step(learn.opt)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The scale reached."""
        return self.scaler.state_dict() if self.scaler else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with that scale."""
        if state:
            self.scaler.load_state_dict(state)


class GradientClip(Callback):
    """Scales all gradients down to a common norm of at most `max_norm`."""

    order = 0

    def __init__(self, max_norm: float = 1.0) -> None:
        if not max_norm > 0:
            raise UsageError(f"the gradients' norm must be above 0, not {max_norm}")
        self.max_norm = max_norm

    def after_backward(self, learn: Learner) -> None:
        """Clip."""
        nn.utils.clip_grad_norm_(learn.model.parameters(), self.max_norm)
