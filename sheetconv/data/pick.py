"""The digit for a workbook: which image, from where, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sheetconv.data.sources import BuiltinReader, DataSource, find
from sheetconv.errors import DataError, UsageError, printable

if TYPE_CHECKING:
    from sheetconv.data.photo import Steps

DEFAULT_INDEX = 7  # the lesson's "3" in MNIST's training images
PLAINEST = 506  # a "7" of the built-in training images that both digit networks are surest of and the eye too


@dataclass
class Picked:
    """Images for a workbook, the chosen one first.

    `images` float64 in 0…1, (K, H, W) for grey or (K, C, H, W) for colour; `labels` are class numbers, None
    where unknown; `captions` are a line each; `source` names the data; `reason` says why it was taken; `steps` are
    those of reading picture files.
    """

    images: np.ndarray
    labels: list[int | None]
    captions: list[str]
    source: str
    reason: str
    steps: list[Steps] = field(default_factory=list)


def pick(
    dataset: str | None = None,
    split: str = "train",
    index: int | None = None,
    digit: int | None = None,
    image: Path | Sequence[Path] | None = None,
    others: int = 9,
    nth: int | None = None,
    label_column: str | None = None,
) -> Picked:
    """Choose an image by number, by class (the first of it), or from a file, and up to `others` more.

    By default: training image 7 of MNIST where it is cached or can be reached, else the built-in
    handwriting. Raises `UsageError` for options that exclude each other, `DataError` for what is not there.
    """
    files = [image] if isinstance(image, Path) else list(image or ())
    options = (("--index", index), ("--digit", digit), ("--image", files or None))
    given = [name for name, value in options if value is not None]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} exclude each other; give one")
    if nth is not None and not files:
        raise UsageError("--nth chooses among the digits of a picture; give --image too")
    if files:
        if dataset is not None:
            raise UsageError("--image and --dataset exclude each other; give one")
        return _from_files(files, max(0, others + 1 - len(files)), nth)
    if dataset is not None:
        return _from_source(find(dataset, split, label_column), split, index, digit, others, "as asked for")
    try:
        source, reason = find("mnist", split), "no dataset was given: MNIST is at hand"
    except DataError:
        source, reason = (
            find("builtin", split),
            "no dataset was given and MNIST is neither cached nor reachable",
        )
    return _from_source(source, split, index, digit, others, reason)


def _from_source(
    source: DataSource, split: str, index: int | None, digit: int | None, others: int, reason: str
) -> Picked:
    labels, names = source.labels()
    if index is None and digit is None and source.reader.__class__ is BuiltinReader and split == "train":
        index = PLAINEST
    chosen = _chosen(labels, names, index, digit, source.source)
    rows = [chosen, *_others(labels, chosen, others)]
    pixels = source.reader.read_images(rows).astype(np.float64) / 255
    if pixels.ndim == 4:
        pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    kinds = [int(labels[row]) for row in rows]
    word = {"train": "training"}.get(split, split)
    captions = [f"{word} image {row}: {names[kind]}" for row, kind in zip(rows, kinds, strict=True)]
    return Picked(pixels, list(kinds), captions, source.source, reason)


def _chosen(labels: np.ndarray, names: list[str], index: int | None, digit: int | None, where: str) -> int:
    if digit is not None:
        found = np.flatnonzero(labels == digit)
        if not len(found):
            raise DataError(f"{where} has no image of class {digit}; its classes are 0 to {len(names) - 1}")
        return int(found[0])
    if index is None:
        return min(DEFAULT_INDEX, len(labels) - 1)
    if not 0 <= index < len(labels):
        raise DataError(
            f"{where} has {len(labels):,} images, so there is no image {index}; give 0 to {len(labels) - 1}"
        )
    return index


def _others(labels: np.ndarray, chosen: int, count: int) -> list[int]:
    """The first image of each other class, then whatever comes first, up to `count`."""
    _, firsts = np.unique(labels, return_index=True)
    rows = [int(row) for row in firsts if labels[row] != labels[chosen]]
    more = (row for row in range(min(len(labels), 2 * count + 2)) if row != chosen and row not in rows)
    return [*rows, *more][: max(0, count)]


def _from_files(paths: list[Path], others: int, nth: int | None) -> Picked:
    from sheetconv.data.image import read_image

    steps = [read_image(path, nth) for path in paths]
    images = np.stack([step.digit for step in steps])
    labels: list[int | None] = [None] * len(paths)
    captions = [printable(path.name) for path in paths]
    if others:
        rest = pick("builtin", "train", digit=0, others=others - 1)
        images = np.concatenate([images, rest.images])
        labels += rest.labels
        captions += [f"built-in handwriting, {caption}" for caption in rest.captions]
    names = ", ".join(captions[: len(paths)])
    source = f"the image{'s' * (len(paths) > 1)} {names}"
    return Picked(images, labels, captions, source, "as asked for", steps)
