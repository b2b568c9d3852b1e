"""Images, kernels, maps and curves as pictures that a notebook shows by itself.

Images are arrays or tensors: (H, W), (1, H, W), (3, H, W) or (H, W, 3), uint8 in 0…255 or numbers that are scaled to
their own range.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sheetconv.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from sheetconv.train.callbacks.activations import ActivationStats
    from sheetconv.train.callbacks.lr_finder import LRCurve

DIVERGING, GREY = "RdBu_r", "gray"  # both are told apart by colour-blind eyes
_MOST = 64


class Picture:
    """A picture: a notebook shows it, `save` writes it; `figure` is matplotlib's, `title` says what it shows."""

    def __init__(self, figure: Figure, title: str = "") -> None:
        self.figure, self.title = figure, title

    def png(self) -> bytes:
        """The picture as the bytes of a PNG file."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        stream = io.BytesIO()
        FigureCanvasAgg(self.figure).print_png(stream)
        return stream.getvalue()

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the PNG. Raises `OutputError` where that is not possible or the file exists without `force`."""
        from sheetconv.files import replacing

        with replacing(Path(path), force=force) as temporary:
            temporary.write_bytes(self.png())
        return Path(path)

    def _repr_png_(self) -> bytes:
        return self.png()

    def __repr__(self) -> str:
        width, height = (round(n * self.figure.dpi) for n in self.figure.get_size_inches())
        return f"<Picture {self.title or 'untitled'}, {width}×{height} pixels>"


def show_image(image: Any, title: str = "", *, size: float = 2.5, signed: bool = False) -> Picture:
    """One image, with a title; `signed` numbers run from blue over white to red.

    >>> show_image(np.eye(3), "a diagonal")
    <Picture a diagonal, 250×250 pixels>
    """
    return show_images([image], [title] if title else None, columns=1, size=size, signed=signed)


def show_images(
    images: Any,
    titles: Sequence[Any] | None = None,
    columns: int | None = None,
    *,
    size: float = 1.2,
    signed: bool = False,
) -> Picture:
    """Images (N, …) side by side, each under its title; at most 64 of them.

    >>> show_images(np.zeros((3, 28, 28)), ["a", "b", "c"])
    <Picture 3 images, 360×150 pixels>
    """
    planes = [_plane(image) for image in list(images)[:_MOST]]
    if not planes:
        raise UsageError("there are no images to show")
    across = min(columns or 8, len(planes))
    rows = -(-len(planes) // across)
    figure = _figure(size * across, (size + 0.3 * (titles is not None and len(planes) > 1)) * rows)
    for number, axis in enumerate(np.ravel(figure.subplots(rows, across, squeeze=False))):
        axis.axis("off")
        if number < len(planes):
            _draw(axis, planes[number], signed)
            if titles is not None:
                axis.set_title(str(titles[number]), fontsize=9)
    name = str(titles[0]) if titles is not None and len(planes) == 1 else f"{len(planes)} images"
    return Picture(figure, name)


def show_batch(loader: Any, count: int = 16, names: Sequence[str] | None = None) -> Picture:
    """The first images of a batch of `loader` (of images (N, C, H, W) and labels), with their classes as titles."""
    images, labels, *_ = next(iter(loader))
    numbers = [int(label) for label in labels[:count]] if getattr(labels, "ndim", 0) == 1 else None
    titles = [names[n] if names else n for n in numbers] if numbers is not None else None
    return show_images(_array(images)[:count], titles)


def show_kernels(layer: Any) -> Picture:
    """The kernels of a layer, or of a weight (out, in, kh, kw): a row for each output channel, red is positive.

    >>> import torch
    >>> show_kernels(torch.nn.Conv2d(1, 4, 3))
    <Picture 4×1 kernels of 3×3, 90×360 pixels>
    """
    weight = _array(getattr(layer, "weight", layer))
    if weight.ndim != 4:
        raise UsageError(f"a weight of {weight.ndim} axes is no set of kernels; give (out, in, kh, kw)")
    out, into, height, width = weight.shape
    out, into = min(out, 32), min(into, 32)
    figure = _figure(0.9 * into, 0.9 * out)
    for (o, i), axis in np.ndenumerate(figure.subplots(out, into, squeeze=False)):
        axis.axis("off")
        _draw(axis, weight[o, i], True, abs(weight).max())
    return Picture(figure, f"{out}×{into} kernels of {height}×{width}")


def show_maps(model: nn.Module, image: Any, layer: str | None = None) -> Picture:
    """The feature maps (C, H, W) of `layer` (a module's name; by default the first convolution) for one image."""
    import torch

    from sheetconv.train.hooks import Hooks

    modules = dict(model.named_modules())
    name = layer if layer is not None else next(n for n, m in modules.items() if "Conv" in type(m).__name__)
    if name not in modules:
        raise UsageError(f"the model has no module {name!r}; it has: {', '.join(n for n in modules if n)}")
    seen: list[np.ndarray] = []
    x = torch.as_tensor(_array(image), dtype=torch.float32)
    x = x.reshape(1, *((1,) * (3 - x.ndim)), *x.shape) if x.ndim < 4 else x[:1]
    with (
        Hooks([(name, modules[name])], lambda _, __, ___, output: seen.append(_array(output)[0])),
        torch.no_grad(),
    ):
        model(x)
    maps = seen[0] if seen[0].ndim == 3 else seen[0].reshape(-1, 1, 1)
    return show_images(maps, [f"channel {i}" for i in range(len(maps))], signed=bool(maps.min() < 0))


def show_learning_rates(curve: LRCurve) -> Picture:
    """The losses of a search for the learning rate (`lr_find`), and what it suggests."""
    figure = _figure(5.5, 3.4)
    curve.plot(figure.subplots())
    return Picture(figure, f"learning rates, suggestion {curve.suggestion:.2g}")


def show_activations(stats: ActivationStats) -> Picture:
    """Activations while training: mean, spread, share near zero; below a histogram of magnitudes over time."""
    histograms = {name: h for name, h in stats.histograms.items() if len(h)}
    rows = 1 + -(-len(histograms) // 3)
    figure = _figure(11, 3 * rows)
    axes = figure.subplots(rows, 3, squeeze=False)
    stats.plot(axes[0])
    for axis in axes[1:].flat:
        axis.axis("off")
    for axis, (name, counts) in zip(axes[1:].flat, histograms.items(), strict=False):
        axis.axis("on")
        shade = np.log1p(_array(counts)).T
        axis.imshow(
            shade, origin="lower", aspect="auto", cmap="magma", extent=(0, len(counts), 0, stats.largest)
        )
        axis.set(title=f"{name}: histogram", xlabel="batch", ylabel="magnitude")
    return Picture(figure, "activations")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=100)


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _plane(image: Any) -> np.ndarray:
    """(H, W) or (H, W, 3) of an image in any of the accepted forms."""
    values = _array(getattr(image, "pixels", image))
    if values.ndim == 3 and values.shape[0] in (1, 3):
        values = values.transpose(1, 2, 0)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[-1] != 3):
        raise UsageError(f"an array of shape {values.shape} is no image; give (H, W), (C, H, W) or (H, W, 3)")
    return values


def _draw(axis: Any, plane: np.ndarray, signed: bool, reach: float | None = None) -> None:
    if signed:
        reach = reach or float(np.abs(plane).max()) or 1.0
        axis.imshow(plane, cmap=DIVERGING, vmin=-reach, vmax=reach)
    elif plane.ndim == 3:
        low, high = float(plane.min()), float(plane.max())
        axis.imshow(plane if plane.dtype == np.uint8 else (plane - low) / ((high - low) or 1))
    else:
        axis.imshow(plane, cmap=GREY, **({"vmin": 0, "vmax": 255} if plane.dtype == np.uint8 else {}))
