"""One kernel over one digit, four ways, and what each takes on the devices at hand (lesson: L4, L5).

    python examples/convolution_speed.py [--dataset mnist] [--limit 1000]

`--limit` is the number of images of the batch at the end.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sheetconv.data.sources import open_dataset
from sheetconv.nets.lesson import TOP_EDGE


def apply_kernel(image: Tensor, row: int, column: int, kernel: Tensor) -> Tensor:
    """The sum of products of the 3×3 window around one pixel: one cell of the spreadsheet."""
    return (image[row - 1 : row + 2, column - 1 : column + 2] * kernel).sum()


def loop(image: Tensor, kernel: Tensor) -> Tensor:
    """Every window in turn: (28, 28) to (26, 26)."""
    inside = range(1, len(image) - 1)
    return torch.stack([torch.stack([apply_kernel(image, i, j, kernel) for j in inside]) for i in inside])


def im2col(image: Tensor, kernel: Tensor) -> Tensor:
    """All windows as columns of one 9×676 matrix, then one matrix product (Chellapilla and others, 2006)."""
    columns = F.unfold(image[None, None], 3)[0]
    return (kernel.reshape(1, -1) @ columns).view(len(image) - 2, -1)


def conv2d(image: Tensor, kernel: Tensor) -> Tensor:
    """torch's own."""
    return F.conv2d(image[None, None], kernel[None, None])[0, 0]


def seconds(work: Callable[[], object], device: torch.device, times: int) -> float:
    """Median seconds of one call, the device waited for."""
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device.type, lambda: None)
    spent = []
    for turn in range(times + 1):
        start = time.perf_counter()
        work()
        wait()
        if turn:
            spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def devices() -> list[torch.device]:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [torch.device("cpu"), *(torch.device(name) for name, found in there.items() if found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="builtin")
    parser.add_argument("--limit", type=int, default=256)
    options = parser.parse_args()
    data = open_dataset(options.dataset, "test")
    images = torch.from_numpy(data.images[: options.limit].copy()).float() / 255
    for device in devices():
        image, kernel = images[0].to(device), torch.tensor(TOP_EDGE, device=device)
        wanted = loop(image, kernel)
        first = None
        print(f"{device}: one {len(image)}×{len(image)} image, one 3×3 kernel")
        for way, times in ((loop, 5), (im2col, 200), (conv2d, 200)):
            assert torch.allclose(way(image, kernel), wanted, atol=1e-5)
            spent = seconds(lambda: way(image, kernel), device, times)  # noqa: B023
            first = first or spent
            print(
                f"  {way.__name__:7} {spent * 1e6:10.1f} µs   {first / spent:6.0f} times as fast as the loop"
            )
        batch, kernels = images[:, None].to(device), torch.randn(4, 1, 3, 3, device=device)
        spent = seconds(lambda: F.conv2d(batch, kernels), device, 20)  # noqa: B023
        shape = "×".join(map(str, F.conv2d(batch, kernels).shape))
        print(
            f"  a batch of {len(batch)} against 4 kernels ({shape}): {spent * 1e6 / len(batch):.1f} µs an image"
        )


if __name__ == "__main__":
    main()
