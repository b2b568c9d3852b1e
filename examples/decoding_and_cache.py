"""Why the GPU idled: images decoded whenever they are asked for, against images decoded once (lesson: L21).

    python examples/decoding_and_cache.py [--dataset mnist] [--workers 2] [--limit 10000]

The lesson's loader turns a PNG into a tensor for every item of every epoch. Here the same epochs run from
it, with worker processes too, and from a tensor that holds all decoded images.
"""

import argparse
import io
import time
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import Dataset

from sheetconv.data.sources import ImageData, open_dataset
from sheetconv.nets import simple_cnn
from sheetconv.train.callbacks import Device, Timer
from sheetconv.train.devices import choose_device
from sheetconv.train.learner import Learner
from sheetconv.train.loaders import DataLoaders


class Png(Dataset):
    """Dictionaries of a tensor (1, H, W) and a label; the image is decoded each time."""

    features = ("image", "label")

    def __init__(self, data: ImageData) -> None:
        self.blobs, self.labels = [_png(image) for image in data.images], data.labels

    def __len__(self) -> int:
        return len(self.blobs)

    def __getitem__(self, i: int) -> dict[str, Any]:
        pixels = np.array(Image.open(io.BytesIO(self.blobs[i])))
        return {"image": torch.from_numpy(pixels)[None] / 255, "label": int(self.labels[i])}


def _png(image: np.ndarray) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "PNG")
    return packed.getvalue()


def epoch(name: str, dls: DataLoaders, device: torch.device) -> float:
    """Time one epoch of the lesson's network, and say how much of it went on waiting for images."""
    torch.manual_seed(0)
    learn = Learner(simple_cnn(), dls, F.cross_entropy, 0.1, [Device(device), Timer()])
    learn.fit(1, valid=False)
    row = learn.history[0]
    line = f"{name:26} {row['seconds']:6.2f} s   {row['images_per_s']:9,.0f} images/s"
    print(f"{line}   {row['waiting']:6.1%} waiting for images")
    return row["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="builtin")
    parser.add_argument("--limit", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=0, help="also time the lesson's loader with workers")
    options = parser.parse_args()
    device = choose_device()
    begin = time.perf_counter()
    data = open_dataset(options.dataset, "train")
    how = "mapped from the cache" if data.cached else "decoded and kept for the next time"
    print(f"{data.source}: {how} in {time.perf_counter() - begin:.3f} s; training on {device}")
    data.images, data.labels = data.images[: options.limit], data.labels[: options.limit]

    resident = DataLoaders.from_dd({"train": data}, device=device)
    epoch("warming up", resident, device)
    png = Png(data)
    slow = epoch("decoded when asked for", DataLoaders.from_dd({"train": png}), device)
    if options.workers:
        dls = DataLoaders.from_dd({"train": png}, num_workers=options.workers)
        epoch(f"the same, {options.workers} workers", dls, device)
    fast = epoch("decoded once, resident", resident, device)
    print(f"the resident tensor is {slow / fast:.1f} times as fast")


if __name__ == "__main__":
    main()
