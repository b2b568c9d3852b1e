"""3×3 convolutions by Winograd's algorithm over torch's own: forward and backward of one layer, in turns.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/convolutions.py [--images 256] [--rounds 7]
"""

import argparse
import statistics
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from turns import alternating

from sheetconv.train.extras.memory import keep_memory
from sheetconv.train.extras.winograd import conv3x3, tile

LAYERS = [  # input channels, output channels, grid
    (24, 24, 12), (32, 32, 12), (32, 64, 12), (48, 96, 12), (64, 64, 12), (64, 128, 12), (64, 64, 13), (64, 128, 13),
    (64, 64, 6), (96, 96, 6), (128, 128, 6), (128, 128, 7), (64, 64, 3), (128, 128, 3),
]  # fmt: skip


def both_ways(conv: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> Callable[[], object]:
    """Values and both gradients."""
    slope = torch.randn_like(conv(x, weight))
    return lambda: torch.autograd.grad(conv(x, weight), (x, weight), slope)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    last = torch.channels_last
    print("| channels | grid | tile | torch ms | Winograd ms | times as fast |")
    print("|---|---|---|---|---|---|")
    for channels, out, size in LAYERS:
        x = torch.randn(given.images, channels, size, size).contiguous(memory_format=last).requires_grad_()
        weight = torch.randn(out, channels, 3, 3).contiguous(memory_format=last).requires_grad_()
        works = both_ways(lambda x, w: F.conv2d(x, w, padding=1), x, weight), both_ways(conv3x3, x, weight)
        plain, fast = alternating(*works, rounds=given.rounds)
        ratio = statistics.median(a / b for a, b in zip(plain, fast, strict=True))
        print(
            f"| {channels} → {out} | {size}×{size} | {tile(size)}×{tile(size)} | {1e3 * statistics.median(plain):.1f} |"
            f" {1e3 * statistics.median(fast):.1f} | {ratio:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
