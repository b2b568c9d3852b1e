"""The effective receptive field: how much each pixel contributes to a unit (Luo, Li, Urtasun and Zemel, 2016).

Two maps of the image, channels added up. *Paths* counts how often a pixel occurs in the sums that the unit is made
of; it depends on the layers alone. *Gradient* is the size of ∂unit/∂pixel with the network's weights, averaged
over images. Pixels near the centre occur in more sums, so both fade towards the border of the field, about like a
Gaussian, whose width and fit are measured by moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from sheetconv.compile.reference import run
from sheetconv.errors import DataError, UsageError
from sheetconv.formulas.paths import flat_unit, path_counts
from sheetconv.graph.expr import FloatArray
from sheetconv.graph.tensor import Tensor
from sheetconv.inspect.fields.boxes import Box, boxes_of, spatial
from sheetconv.inspect.fields.network import TracedNetwork


@dataclass(frozen=True)
class Say:
    """How a map of a field is spread.

    Attributes:
        inner: share, 0 … 1, within the box of half the height and half the width around the field's centre.
        even: what that share would be if all pixels had the same say (about a quarter).
        centre, sigma: mean place and standard deviation along each axis, in pixels.
        fit: R² of the Gaussian with these; None where the map is flat.
    """

    inner: float
    even: float
    centre: tuple[float, ...]
    sigma: tuple[float, ...]
    fit: float | None


@dataclass(frozen=True)
class Images:
    """What the gradient is averaged over: (K, *input shape without batch), and where it comes from."""

    pixels: FloatArray
    source: str


@dataclass
class Effective:
    """The effective field of one unit: maps of the image's places (H, W) or (L,), summed over channels."""

    layer: str
    unit: tuple[int, ...]
    box: Box
    paths: FloatArray
    gradient: FloatArray
    images: Images
    active: int
    """Number of images in which the unit has a gradient at all (a ReLU that is off has none)."""

    @cached_property
    def say(self) -> dict[str, Say | None]:
        """Measures of the two maps; None for a map that is 0 everywhere."""
        return {"paths": measure(self.paths, self.box), "gradient": measure(self.gradient, self.box)}


def effective(network: TracedNetwork, layer: Tensor, unit: tuple[int, ...], images: Images) -> Effective:
    """The effective field of one unit (batch axis first). Raises `UsageError` for one that sees padding only."""
    counts = path_counts(network.graph, layer, unit).get(network.pixels)
    axes = spatial(network.pixels)
    others = tuple(a for a in range(len(network.pixels.shape)) if a not in axes)
    box = None
    if counts is not None:
        box = boxes_of((counts > 0).reshape(1, -1), network.pixels.shape, axes)[0]
    if counts is None or box is None:
        raise UsageError(f"unit {','.join(map(str, unit[1:]))} of {layer.name} sees padding only")
    gradients = [np.abs(_gradient(network, layer, unit, image)) for image in images.pixels]
    mean = np.mean(gradients, axis=0)
    active = sum(bool(g.any()) for g in gradients)
    return Effective(layer.name, unit[1:], box, counts.sum(others), mean.sum(others), images, active)


def _gradient(network: TracedNetwork, layer: Tensor, unit: tuple[int, ...], image: FloatArray) -> FloatArray:
    values: dict[Tensor, torch.Tensor] = {
        t: torch.from_numpy(np.asarray(v, float)).reshape(t.state_shape) for t, v in network.values.items()
    }
    x = torch.from_numpy(image.reshape(network.pixels.state_shape).copy()).requires_grad_()
    values[network.pixels] = x
    with torch.enable_grad():
        for tensor in _needed(network, layer):
            assert tensor.operation is not None
            values[tensor] = run(tensor.operation, values)
        (found,) = torch.autograd.grad(
            values[layer].reshape(-1)[flat_unit(layer, unit)], x, allow_unused=True, materialize_grads=True
        )
    return np.asarray(found.numpy().reshape(network.pixels.shape))


def _needed(network: TracedNetwork, layer: Tensor) -> list[Tensor]:
    wanted = {layer}
    for tensor in reversed(network.graph.tensors):
        if tensor in wanted and tensor.kind == "activation" and tensor.operation is not None:
            wanted |= set(tensor.operation.tensors())
    return [t for t in network.graph if t in wanted and t.kind == "activation"]


def centre_unit(layer: Tensor) -> tuple[int, ...]:
    """The unit in the middle of a layer's first channel, batch axis first."""
    spatial_axes = len(layer.shape) - 2
    return (0, 0, *(s // 2 for s in layer.shape[2:]))[: 2 + spatial_axes] if len(layer.shape) > 1 else (0,)


def measure(values: FloatArray, box: Box) -> Say | None:
    """How a map (H, W) or (L,) is spread over the field `box`; None where it is 0 everywhere."""
    field = values[tuple(slice(a, b + 1) for a, b in box)]
    total = field.sum()
    if not total > 0:
        return None
    places = list(np.meshgrid(*(np.arange(a, b + 1) for a, b in box), indexing="ij"))
    centre = tuple(float((field * p).sum() / total) for p in places)
    sigma = tuple(
        float(np.sqrt((field * (p - c) ** 2).sum() / total)) for p, c in zip(places, centre, strict=True)
    )
    weights = np.ones_like(field)
    for p, (a, b) in zip(places, box, strict=True):
        weights = weights * _inside((a + b) / 2, (b - a + 1) / 2, p)
    inner = float((field * weights).sum() / total)
    return Say(inner, float(weights.mean()), centre, sigma, _fit(field, places, centre, sigma))


def _inside(centre: float, size: float, place: np.ndarray) -> np.ndarray:
    """Which part of each pixel lies within the interval of `size` around `centre`."""
    low, high = centre - size / 2, centre + size / 2
    return np.asarray(np.clip(np.minimum(place + 0.5, high) - np.maximum(place - 0.5, low), 0, 1))


def _fit(
    field: FloatArray, places: list[np.ndarray], centre: tuple[float, ...], sigma: tuple[float, ...]
) -> float | None:
    spread = ((field - field.mean()) ** 2).sum()
    if spread <= 1e-12 * (field**2).sum():
        return None
    exponent = np.zeros_like(field)
    for p, c, s in zip(places, centre, sigma, strict=True):
        if s > 0:
            exponent -= (p - c) ** 2 / (2 * s * s)
    gaussian = np.exp(exponent)
    height = (field * gaussian).sum() / (gaussian**2).sum()
    return float(1 - ((field - height * gaussian) ** 2).sum() / spread)


def images_for(network: TracedNetwork, dataset: str | None, count: int) -> Images:
    """Images of the size that the network takes: the dataset asked for, else MNIST or the built-in handwriting.

    Random numbers where no dataset is given and those do not fit (said in `source`). Raises `DataError` for a
    dataset that is not there or does not fit.
    """
    shape = network.pixels.shape[1:]
    fits_digits = shape == (1, 28, 28)
    if dataset is None and not fits_digits:
        noise = np.random.default_rng(0).random((count, *shape))
        sizes = "×".join(map(str, shape))
        return Images(
            noise, f"{count} images of random numbers (seed 0), since no dataset was named for {sizes}"
        )
    from sheetconv.data.pick import pick

    picked: Any = pick(dataset, others=count - 1)
    found = picked.images if picked.images.ndim == 4 else picked.images[:, None]
    if found.shape[1:] != tuple(shape):
        given, wanted = ("×".join(map(str, s)) for s in (found.shape[1:], shape))
        raise DataError(
            f"the images of {picked.source} are {given}, the network takes {wanted}; name another --dataset"
        )
    return Images(found[:count], f"{len(found[:count])} images of {picked.source}")
