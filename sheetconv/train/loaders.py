"""Batches: sliced from a uint8 tensor that lives on the device, or collated by torch's own loader."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from sheetconv.data.sources import ImageData
from sheetconv.errors import TrainingError, UsageError

_VALID = ("valid", "validation", "val", "test")


class ResidentLoader:
    """Batches (x, y) of images that live on one device: x float32 (B, C, H, W), y int64 (B,).

    `images` are uint8 (N, H, W) or (N, H, W, C) and become 0…1, or (x - mean) / std of that where given (a
    number per channel). With `shuffle` they are put in a new order once an epoch, by a generator of `seed`
    that lives on the CPU, so that every device sees the same order; a last batch of one image, on which
    batch normalisation fails, is then left out. `target="image"` yields (x, x), for autoencoders.

    Raises `TrainingError` for no images, a single one to train on, labels that are out of range or do not
    fit in number; `UsageError` for a batch size below 1.
    """

    def __init__(
        self,
        images: np.ndarray | Tensor,
        labels: np.ndarray | Tensor,
        batch_size: int = 256,
        *,
        shuffle: bool = False,
        seed: int = 0,
        device: torch.device | str = "cpu",
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        target: str = "label",
        n_classes: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"a batch cannot hold {batch_size} images; give 1 or more")
        if target not in ("label", "image"):
            raise UsageError(f"unknown target {target!r}; choose label or image")
        self.images, self.labels = _images(images), _tensor(labels)
        self.batch_size, self.shuffle, self.target = batch_size, shuffle, target
        self.generator = torch.Generator().manual_seed(seed)
        self._rank, self._world = 0, 1
        self._chosen: Tensor | None = None
        self.rows = torch.empty(0, dtype=torch.int64)
        self._scale = _scale(mean, std, self.image_shape[0])
        self.n_classes = _classes(self.labels, len(self.images), n_classes)
        if shuffle and len(self.images) < 2:
            raise TrainingError("one image is too little to train on; give at least 2")
        self.to(device)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def device(self) -> torch.device:
        """Where the images live."""
        return self.images.device

    def to(self, device: torch.device | str) -> ResidentLoader:
        """Move the images there."""
        self.images, self.labels = self.images.to(device), self.labels.to(device)
        if self._scale:
            self._scale = (self._scale[0].to(device), self._scale[1].to(device))
        return self

    def shard(self, rank: int, world: int) -> None:
        """Serve only every `world`-th image from `rank` on: the same number of batches in each process."""
        if len(self.images) < world:
            raise TrainingError(f"{len(self.images)} images cannot be shared by {world} processes")
        self._rank, self._world = rank, world

    def choose(self, rows: Tensor | None) -> None:
        """Serve only the images of these rows (K,) from the next epoch on, all of them with None."""
        if rows is not None and self._world > 1:
            raise UsageError(
                "images can be chosen in one process only, since all need the same number of batches"
            )
        if rows is not None and not len(rows):
            raise TrainingError("no image was chosen to train on")
        self._chosen = rows

    @property
    def n_images(self) -> int:
        """Images served per epoch."""
        # a training shard leaves the remainder out: processes that step together need the same batches
        n = len(self.images if self._chosen is None else self._chosen)
        n = n // self._world if self.shuffle else len(range(self._rank, n, self._world))
        return n - 1 if self.shuffle and n > 1 and n % self.batch_size == 1 else n

    def __len__(self) -> int:
        return -(-self.n_images // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels, rows = self._arranged()
        size = self.batch_size
        for start in range(0, self.n_images, size):
            self.rows = rows[start : start + size]
            x = self.pixels(images[start : start + size])
            yield x, (x if self.target == "image" else labels[start : start + size])

    def _arranged(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images, labels and row numbers in the order of this epoch."""
        count, chosen = len(self.images), self._chosen
        if chosen is None and not self.shuffle:  # views, no copies
            shard = slice(self._rank, None, self._world)
            return self.images[shard], self.labels[shard], torch.arange(count, device=self.device)[shard]
        rows = torch.arange(count, device=self.device) if chosen is None else chosen.to(self.device)
        if self.shuffle:
            rows = rows[torch.randperm(len(rows), generator=self.generator).to(self.device)]
        rows = rows[self._rank :: self._world][: self.n_images]
        return self.images[rows], self.labels[rows], rows

    def pixels(self, images: Tensor) -> Tensor:
        """float32 (B, C, H, W) as the network is given them, of uint8 (B, C, H, W)."""
        x = images / 255
        return x if self._scale is None else x.sub_(self._scale[0]).mul_(self._scale[1])

    def sample(self, n: int) -> tuple[Tensor, Tensor]:
        """The first `n` images and their targets, unshuffled; the order of epochs is not touched."""
        x = self.pixels(self.images[:n])
        return x, (x if self.target == "image" else self.labels[:n])

    def state_dict(self) -> dict[str, Tensor]:
        """The state of the generator that shuffles."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on shuffling from `state`."""
        self.generator.set_state(state["generator"].cpu())


def _tensor(values: np.ndarray | Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values
    with warnings.catch_warnings():  # a mapped cache file is read-only, and nothing here writes to it
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(values)


def _images(images: np.ndarray | Tensor) -> Tensor:
    """uint8 (N, C, H, W), contiguous."""
    found = _tensor(images)
    if found.dtype != torch.uint8 or found.ndim not in (3, 4):
        raise TrainingError(
            f"images must be uint8 (N, H, W) or (N, H, W, C), not {found.dtype} with {found.ndim} axes"
        )
    if not found.numel():
        raise TrainingError("the dataset has no images; choose another one or a larger --limit")
    return found[:, None] if found.ndim == 3 else found.permute(0, 3, 1, 2).contiguous()


def _classes(labels: Tensor, n_images: int, n_classes: int | None) -> int:
    if labels.shape != (n_images,) or labels.is_floating_point():
        raise TrainingError(
            f"{n_images:,} images need as many whole-numbered labels, not {tuple(labels.shape)} of {labels.dtype}"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (n_classes is not None and high >= n_classes):
        bad = low if low < 0 else high
        row = int((labels == bad).nonzero()[0])
        limit = f"0…{n_classes - 1}" if n_classes else "0 or more"
        raise TrainingError(f"the label of image {row} is {bad}; expected {limit}")
    return n_classes or high + 1


def _scale(mean: Any, std: Any, channels: int) -> tuple[Tensor, Tensor] | None:
    if mean is None and std is None:
        return None
    shift = torch.tensor(0.0 if mean is None else mean, dtype=torch.float32).reshape(-1, 1, 1)
    spread = torch.tensor(1.0 if std is None else std, dtype=torch.float32).reshape(-1, 1, 1)
    if len(shift) not in (1, channels) or len(spread) not in (1, channels) or not bool((spread > 0).all()):
        raise UsageError(f"mean and std need one number per channel ({channels}), and std above 0")
    return shift, 1 / spread


@dataclass(repr=False)
class DataLoaders:
    """The loader to train on and the loader to validate on (None where there is nothing to validate on).

    Raises `TrainingError` where the two have images of different shapes.
    """

    train: Any
    valid: Any = None

    def __post_init__(self) -> None:
        shapes = [getattr(loader, "image_shape", None) for loader in (self.train, self.valid)]
        if None not in shapes and shapes[0] != shapes[1]:
            sizes = ["×".join(map(str, shape or ())) for shape in shapes]
            raise TrainingError(
                f"training images are {sizes[0]} (channels×height×width), those to validate on {sizes[1]};"
                " both need one size and kind"
            )

    def __repr__(self) -> str:
        sizes = [
            f"{len(dl):,} batches" if hasattr(dl, "__len__") else "?" for dl in (self.train, self.valid) if dl
        ]
        return (
            f"<DataLoaders: {sizes[0]} to train on, {sizes[1] if len(sizes) > 1 else 'none'} to validate on>"
        )

    def _repr_png_(self) -> bytes:
        from sheetconv.notebook.pictures import show_batch

        return show_batch(self.valid if self.valid is not None else self.train).png()

    @classmethod
    def from_dd(cls, dd: Mapping[str, Any], batch_size: int = 256, **kwargs: Any) -> DataLoaders:
        """Loaders of a dictionary of datasets: `train`, and `valid`, `validation`, `val` or `test`.

        `ImageData` becomes a `ResidentLoader`, any other dataset torch's `DataLoader`, whose dictionaries
        are collated to tuples in the order of the dataset's features; `kwargs` go to these. Raises
        `TrainingError` where there is no training data.
        """
        if "train" not in dd:
            raise TrainingError(f"the dataset has no split 'train'; it has: {', '.join(dd) or 'none'}")
        name = next((name for name in _VALID if name in dd), None)
        train = _loader(dd["train"], batch_size, True, kwargs)
        return cls(train, None if name is None else _loader(dd[name], batch_size, False, kwargs))


def _loader(data: Any, batch_size: int, shuffle: bool, kwargs: dict[str, Any]) -> Iterable:
    if isinstance(data, ImageData):
        names = {"n_classes": len(data.class_names)}
        return ResidentLoader(data.images, data.labels, batch_size, **{"shuffle": shuffle} | names | kwargs)
    if not len(data):
        raise TrainingError("the dataset has no images; choose another one")
    collate = collate_dict(data) if hasattr(data, "features") else default_collate
    return DataLoader(data, batch_size, **{"shuffle": shuffle, "collate_fn": collate} | kwargs)


@dataclass
class collate_dict:
    """Collate dictionaries to a tuple of tensors in the order of the dataset's features."""

    data: Any

    def __post_init__(self) -> None:
        self._get = itemgetter(*self.data.features)
        self.data = None

    def __call__(self, items: list[dict[str, Any]]) -> Any:
        """The collated batch."""
        return self._get(default_collate(items))
