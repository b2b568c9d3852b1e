"""Whether network, loss and data fit together, seen before the first step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sheetconv.errors import SheetconvError, TrainingError
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner


class Check(Callback):
    """Runs two images through network and loss before the fit; a misfit is a `TrainingError` that says which.

    It looks at loaders that offer a `sample` (`ResidentLoader`), without touching any random state.
    """

    order = -99

    def before_fit(self, learn: Learner) -> None:
        """Look at the training data's first images."""
        loader = learn.dls.train if learn.dls.train is not None else learn.dls.valid
        if not hasattr(loader, "sample"):
            return
        x, y = loader.sample(2)
        preds = self._guarded(f"the network cannot take images of {_sizes(x)}", learn, lambda: learn.model(x))
        if loader.target == "label":
            _fits_classes(preds, loader.n_classes)
        elif preds.shape != x.shape:
            raise TrainingError(
                f"the network gives {_sizes(preds)} for images of {_sizes(x)}; both must agree"
            )
        what = f"the loss cannot be computed from outputs of {_sizes(preds)}"
        loss = self._guarded(what, learn, lambda: learn.loss_func(preds, y))
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise TrainingError("the loss function must give a single number per batch")

    @staticmethod
    def _guarded(what: str, learn: Learner, action: Any) -> Any:
        mode = learn.model.training
        learn.model.eval()  # leaves batch norm's averages and dropout's generator alone
        try:
            with torch.no_grad():
                return action()
        except SheetconvError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(f"{what}: {reason}") from error
        finally:
            learn.model.train(mode)


def _fits_classes(preds: Any, classes: int) -> None:
    if not isinstance(preds, Tensor) or preds.ndim != 2:
        shape = _sizes(preds) if isinstance(preds, Tensor) else type(preds).__name__
        raise TrainingError(f"a classifier gives one number per class for each image, not {shape}")
    if preds.shape[1] < classes:
        raise TrainingError(f"the data has {classes} classes, the network only {preds.shape[1]} outputs")


def _sizes(x: Tensor) -> str:
    return "×".join(map(str, x.shape[1:]))
