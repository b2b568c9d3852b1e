"""What the handwriting is worth: the simple CNN trained on it alone, judged on real MNIST.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/data_handwriting.py ../shared/data/mnist --split train
The default split for looking and tuning is MNIST's train; its test split is for the final figure only.
"""

import argparse
import time

import torch
from torch.nn import functional as F

from sheetconv.data.sources import open_dataset
from sheetconv.nets import seeded


def tensors(name: str, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    data = open_dataset(name, split)
    return (torch.from_numpy(data.images)[:, None].float() / 255 - 0.13) / 0.31, torch.from_numpy(data.labels)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mnist")
    parser.add_argument("--split", default="train")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = tensors("builtin", "train")
    net = seeded("simple-cnn", args.seed)
    steps = args.epochs * (len(x) // 256)
    optimiser = torch.optim.AdamW(net.parameters(), 2e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-2, steps)
    start = time.perf_counter()
    for _ in range(args.epochs):
        for rows in torch.randperm(len(x)).split(256)[: len(x) // 256]:
            loss = F.cross_entropy(net(x[rows]), y[rows], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    spent = time.perf_counter() - start
    for name, split in (("builtin", "test"), (args.mnist, args.split)):
        images, labels = tensors(name, split)
        with torch.no_grad():
            guess = torch.cat([net(part).argmax(1) for part in images.split(5000)])
        share = 100 * (guess == labels).float().mean().item()
        by_class = [round(100 * (guess[labels == d] == d).float().mean().item(), 1) for d in range(10)]
        print(
            f"seed {args.seed}, {args.epochs} epochs, {spent:.0f}s: {share:.2f}% of {name} {split} {by_class}"
        )


if __name__ == "__main__":
    main()
