"""Pictures while one works: an image, a grid of them, a function; each gives the figure, which a notebook shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch


def grid(n: int, columns: int | None = None, side: float = 2.5) -> tuple[Any, list[Any]]:
    """A figure and `n` axes in rows of `columns` (by default as square as it gets), each `side` inches wide."""
    from matplotlib.figure import Figure

    columns = columns or math.ceil(math.sqrt(max(1, n)))
    rows = max(1, -(-n // columns))
    figure = Figure(figsize=(side * columns, side * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).reshape(-1)
    for spare in axes[n:]:
        spare.set_axis_off()
    return figure, list(axes[:n])


get_grid = grid  # the name that the lesson's course has for it


def show_image(image: Any, axis: Any = None, title: str = "", **how: Any) -> Any:
    """Draw one image, (H, W), (C, H, W) or (H, W, C), as numbers or a tensor of any device; gives the axes' figure."""
    if axis is None:
        _, (axis,) = grid(1)
    pixels = np.asarray(image.detach().cpu() if isinstance(image, torch.Tensor) else image)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3) and pixels.shape[2] not in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    axis.imshow(pixels, **({"cmap": "gray"} | how))
    axis.set_axis_off()
    axis.set_title(title, fontsize=9)
    return axis.figure


def show_images(
    images: Sequence[Any], titles: Sequence[str] = (), columns: int | None = None, **how: Any
) -> Any:
    """A figure of many images with their titles."""
    figure, axes = grid(len(images), columns, 1.5)
    for number, (image, axis) in enumerate(zip(images, axes, strict=True)):
        show_image(image, axis, titles[number] if number < len(titles) else "", **how)
    return figure


def plot_func(
    function: Callable[[torch.Tensor], torch.Tensor], start: float = -5.0, end: float = 5.0, steps: int = 200
) -> Any:
    """A figure of a function of one number, such as an activation."""
    figure, (axis,) = grid(1, side=3.5)
    x = torch.linspace(start, end, steps)
    with torch.no_grad():
        axis.plot(x, function(x))
    axis.grid(color="0.9")
    axis.axhline(0, color="0.6", linewidth=0.8)
    axis.axvline(0, color="0.6", linewidth=0.8)
    return figure
