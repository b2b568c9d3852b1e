"""What one asks a Learner beside training: its layers, a learning rate."""

from __future__ import annotations

from typing import Any

from torch import nn

from sheetconv.errors import UsageError
from sheetconv.train.loaders import DataLoaders


class Looking:
    """The questions as methods of the `Learner`; the answers are in `summary` and `callbacks.lr_finder`."""

    model: nn.Module
    dls: DataLoaders
    cbs: list[Any]

    def __repr__(self) -> str:
        weights = sum(p.numel() for p in self.model.parameters())
        names = ", ".join(type(cb).__name__ for cb in self.cbs) or "none"
        return f"<Learner of {type(self.model).__name__} with {weights:,} parameters; callbacks: {names}>"

    def summary(self, image_shape: tuple[int, int, int] | None = None) -> Any:
        """The layers with shapes, parameters and multiply-adds for an image (C, H, W), by default the data's.

        Raises `UsageError` where neither says how large an image is.
        """
        from sheetconv.train.summary import summary

        shape = image_shape or getattr(self.dls.train or self.dls.valid, "image_shape", None)
        if shape is None:
            raise UsageError("the size of an image is not known; give summary((channels, height, width))")
        return summary(self.model, shape)

    def lr_find(self, start: float = 1e-5, end: float = 10.0, steps: int = 100, axes: Any = None) -> Any:
        """Search a learning rate and draw the curve, on `axes` or on a figure that a notebook shows.

        Gives the `LRCurve`, whose `suggestion` is the rate and whose `figure` the picture; the learner is left as it
        was. Raises `TrainingError` where no rate makes the loss fall.
        """
        from sheetconv.train.callbacks.lr_finder import lr_find
        from sheetconv.train.show import grid

        curve = lr_find(self, start, end, steps)  # type: ignore[arg-type]
        if axes is None:
            _, (axes,) = grid(1, side=4)
        curve.plot(axes)
        curve.figure = axes.figure
        return curve
