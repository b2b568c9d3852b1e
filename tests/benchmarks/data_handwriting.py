"""The built-in handwriting: its speed, and how its measures compare with those of MNIST's training images.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/data_handwriting.py [../shared/data/mnist] [--sheet digits.png]

Speed is images per second of CPU time on one core, the median of nine turns. With MNIST's folder, a table gives
for each class the 5th, 50th and 95th percentile of the measures by which the generator's medians were set
(training images only). `--sheet` writes a picture of 20 digits a class, to see whether they read at a glance.
"""

import argparse
import statistics
import time

import numpy as np
from PIL import Image

from sheetconv.data.handwriting import digits
from sheetconv.data.sources import open_dataset

MEASURES = ("ink", "width / height", "slant", "grey share")


def speed(n: int = 5000, turns: int = 9) -> float:
    """Images per second of CPU time, after a first call that prepares the styles."""
    digits(n, 0)
    spent = []
    for turn in range(turns):
        start = time.process_time()
        digits(n, turn)
        spent.append(time.process_time() - start)
    return n / statistics.median(spent)


def measures(images: np.ndarray) -> np.ndarray:
    """(4, N): ink in full pixels, ratio of the spreads in x and y, slant in x per y, grey among inked pixels."""
    ink, places = images.astype(np.float64) / 255, np.arange(28)
    mass = ink.sum((1, 2))
    down, across = ink.sum(2) / mass[:, None], ink.sum(1) / mass[:, None]
    x, y = across @ places, down @ places
    var_x, var_y = across @ places**2 - x**2, down @ places**2 - y**2
    covariance = np.einsum("nij,i,j->n", ink, places, places) / mass - x * y
    inked = images > 0
    grey = (inked & (images < 250)).sum((1, 2)) / inked.sum((1, 2))
    return np.stack([mass, np.sqrt(var_x / var_y), -covariance / var_y, grey])


def compare(folder: str, n: int = 20_000) -> None:
    """Print MNIST's percentiles beside ours."""
    mnist = open_dataset(folder, "train")
    ours, labels = digits(n, 99)
    pairs = ((measures(mnist.images[:n]), mnist.labels[:n]), (measures(ours), labels))
    for number, name in enumerate(MEASURES):
        for digit in range(10):
            cells = [np.percentile(values[number][kinds == digit], [5, 50, 95]) for values, kinds in pairs]
            texts = [" ".join(f"{value:7.2f}" for value in cell) for cell in cells]
            print(f"{name:15} {digit}   MNIST {texts[0]}   built-in {texts[1]}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mnist", nargs="?")
    parser.add_argument("--sheet")
    args = parser.parse_args()
    print(f"{speed():,.0f} images a second of CPU time")
    if args.mnist:
        compare(args.mnist)
    if args.sheet:
        images, _ = digits(200, 5, np.repeat(np.arange(10), 20))
        rows = images.reshape(10, 20, 28, 28).transpose(0, 2, 1, 3).reshape(280, 560)
        Image.fromarray(255 - rows).resize((1120, 560), Image.Resampling.LANCZOS).save(args.sheet)


if __name__ == "__main__":
    main()
