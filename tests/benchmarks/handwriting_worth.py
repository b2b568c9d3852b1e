"""What the built-in handwriting is worth: networks trained on it alone, judged on real MNIST.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/handwriting_worth.py ../shared/data/mnist --net simple --seeds 0 1 2

No image is seen twice: each epoch draws its own. No pixel of MNIST is used for training, nor to stop early. While
looking and tuning, `--split train` (the default) judges on MNIST's training images; `--split test` is for the final
figure only. `--errors FILE` writes a sheet of misread images, `true>guess` below each, which shows what writing
styles are missing.
"""

import argparse
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F

from sheetconv.data.handwriting import digits
from sheetconv.data.sources import open_dataset
from sheetconv.nets import simple_cnn
from sheetconv.nets.norm import strided_cnn
from sheetconv.train.optimisers import Muon

BATCH = 256


def strided() -> nn.Module:
    """The strided CNN, narrowed to 92,000 parameters and 2.7 million multiply-adds."""
    return strided_cnn((16, 48, 64, 96))


@dataclass(frozen=True)
class Settings:
    """Muon's highest rate (a tenth of it for biases and norms), for a ramp up over a fifth and down to nothing."""

    lr: float
    epochs: int
    images: int = 60_000
    smoothing: float = 0.1


NETS = {"simple": (simple_cnn, Settings(0.05, 8)), "strided": (strided, Settings(0.02, 5))}


def inputs(images: np.ndarray) -> Tensor:
    """(N, 1, 28, 28) with about mean 0 and standard deviation 1."""
    return (torch.from_numpy(images)[:, None].float() / 255 - 0.13) / 0.31


def train(net: nn.Module, how: Settings, seed: int) -> None:
    """Train on handwriting drawn for each epoch from `seed`."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    batches = how.images // BATCH
    steps = how.epochs * batches
    optimiser = Muon(net.parameters(), how.lr)
    shape = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / (0.2 * steps), (steps - step) / (0.8 * steps))
    )
    net.train()
    for epoch in range(how.epochs):
        images, labels = digits(batches * BATCH, (3, seed, epoch))
        for rows in np.split(np.arange(len(images)), batches):
            guess = net(inputs(images[rows]))
            loss = F.cross_entropy(guess, torch.from_numpy(labels[rows]), label_smoothing=how.smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            shape.step()


def guesses(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """The classes (N,) that `net` reads."""
    net.eval()
    with torch.no_grad():
        return torch.cat([net(inputs(part)).argmax(1) for part in np.array_split(images, 200)]).numpy()


def error_sheet(images: np.ndarray, labels: np.ndarray, guess: np.ndarray, path: str, most: int = 40) -> None:
    """Up to `most` misread images of each class, a row a class."""
    sheet = Image.new("L", (most * 60, 10 * 70), 90)
    draw = ImageDraw.Draw(sheet)
    for digit in range(10):
        wrong = np.random.default_rng(digit).permutation(np.flatnonzero((labels == digit) & (guess != digit)))
        for column, row in enumerate(sorted(wrong[:most], key=lambda row: guess[row])):
            picture = Image.fromarray(255 - images[row]).resize((56, 56), Image.Resampling.LANCZOS)
            sheet.paste(picture, (column * 60, digit * 70))
            draw.text((column * 60, digit * 70 + 56), f"{digit}>{guess[row]}", fill=255)
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mnist")
    parser.add_argument("--net", choices=NETS, default="simple")
    parser.add_argument("--split", choices=("train", "test"), nargs="+", default=["train"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--images", type=int, default=60_000, help="drawn for each epoch")
    parser.add_argument("--errors", help="write a sheet of the first split's misread images here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    make, usual = NETS[args.net]
    how = Settings(args.lr or usual.lr, args.epochs or usual.epochs, args.images)
    shares: dict[str, list[float]] = {split: [] for split in args.split}
    for seed in args.seeds:
        torch.manual_seed(seed)
        net = make()
        size = sum(p.numel() for p in net.parameters())
        start, cpu = time.perf_counter(), time.process_time()
        train(net, how, seed)
        spent, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(f"{args.net} ({size:,} parameters), {how}, seed {seed}: {spent:.0f} s, {cpu:.0f} s of CPU time")
        for split in args.split:
            real = open_dataset(args.mnist, split)
            guess = guesses(net, real.images)
            shares[split].append(100 * float((guess == real.labels).mean()))
            classes = " ".join(f"{100 * (guess[real.labels == d] == d).mean():.1f}" for d in range(10))
            print(f"  {shares[split][-1]:.2f}% of MNIST {split}; per class {classes}", flush=True)
            if args.errors and split == args.split[0]:
                error_sheet(real.images, real.labels, guess, args.errors)
    for split, values in shares.items():
        print(f"median {statistics.median(values):.2f}% of {split}, {min(values):.2f} to {max(values):.2f}")


if __name__ == "__main__":
    main()
