"""How many photographs of handwritten digits are read right: kinds of photograph × images.

usage: python tests/benchmarks/photos.py ../shared/data/mnist [--split test] [--count 60] [--seed 0] [KIND ...]

The digits are MNIST's; the reader is `sheetconv.data.photo`, the network the shipped simple CNN, whose count on
the raw images stands in the first line. Parameters were chosen with `--split train`.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from photographs import WORDS, photograph

from sheetconv.data.folder import open_path
from sheetconv.data.image import digit_from_image
from sheetconv.errors import DataError
from sheetconv.models import load_model, shipped

COMBINED = (
    "shadow lines",
    "pencil lines",
    "pencil grid",
    "pencil shadow grid",
    "blue grid vignette",
    "edge lines",
    "edge pencil shadow",
    "ballpoint margin shadow",
    "felt grid hand",
    "red yellow crumpled",
    "chalk vignette perspective",
    "perspective lines shadow",
    "table grid pencil",
    "tilt lines pencil",
    "small lines shadow",
    "gloss grid perspective",
    "kraft felt hand",
    "dim pencil vignette",
    "blurred lines vignette",
    "tiny grid shadow",
    "reverse blue hand",
)


def guesses(blobs: list[bytes], net: torch.nn.Module) -> list[int | None]:
    """What the network says for each photograph, None where the reader refuses it."""
    found: list[int | None] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "photo.jpg"
        for blob in blobs:
            file.write_bytes(blob)
            try:
                pixels = digit_from_image(file)
            except DataError:
                found.append(None)
                continue
            with torch.no_grad():
                found.append(int(net(torch.tensor(pixels, dtype=torch.float32)[None, None]).argmax()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("kinds", nargs="*")
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    reader = open_path(options.data, options.split)
    rows = list(range(options.first, options.first + options.count))
    labels, images = reader.read_labels()[0][rows], reader.read_images(rows)
    net, _ = load_model("simple-cnn", shipped("simple-cnn"))
    net.eval()
    with torch.no_grad():
        raw = net(torch.tensor(images[:, None] / 255, dtype=torch.float32)).argmax(1).numpy()
    print(f"raw images: {(raw == labels).sum()} of {len(labels)}")
    worst = 1.0
    for kind in options.kinds or [*WORDS, *COMBINED]:
        blobs = [
            photograph(image, kind, (options.seed, row)) for row, image in zip(rows, images, strict=True)
        ]
        started = time.perf_counter()
        found = guesses(blobs, net)
        seconds = (time.perf_counter() - started) / len(rows)
        right = sum(g == label for g, label in zip(found, labels, strict=True))
        wrong = [
            f"{row}:{label}→{'-' if g is None else g}"
            for row, g, label in zip(rows, found, labels, strict=True)
            if g != label
        ]
        print(f"{kind:28} {right:3} of {len(rows)}  {seconds:.2f} s  {' '.join(wrong)}", flush=True)
        worst = min(worst, right / len(rows))
    print(f"worst {worst:.0%}")
    sys.exit(worst < 0.95)


if __name__ == "__main__":
    main()
