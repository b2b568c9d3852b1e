"""Augmentation of whole batches where they lie: float (N, C, H, W) in, the same shape out, each image its own draw.

Random numbers come from torch's global generator of the batch's device; nothing waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sheetconv.errors import UsageError

Transform = Callable[[Tensor], Tensor]


def random_shift(pixels: int = 1, mode: str = "constant") -> Transform:
    """Shift each image by up to `pixels` whole pixels either way; `mode` fills as torch's `pad` does.

    This is also the random crop of a padded image (mode "reflect" for photographs).
    """
    if pixels < 1:
        raise UsageError(f"a shift needs 1 pixel or more, not {pixels}")

    def transform(x: Tensor) -> Tensor:
        n, height, width = len(x), *x.shape[2:]
        padded = F.pad(x, (pixels,) * 4, mode=mode)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (N, C, 2p+1, 2p+1, H, W), a view
        draw = torch.randint(0, 2 * pixels + 1, (2, n), device=x.device)
        return windows[torch.arange(n, device=x.device), :, draw[0], draw[1]]

    return transform


random_crop = random_shift


def random_flip(p: float = 0.5) -> Transform:
    """Mirror an image left to right with probability `p`."""

    def transform(x: Tensor) -> Tensor:
        chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < p
        return torch.where(chosen, x.flip(3), x)

    return transform


def random_erase(
    p: float = 0.5, area: tuple[float, float] = (0.02, 0.2), value: float | None = None
) -> Transform:
    """Fill one rectangle of an image with probability `p` (Zhong et al., 2017, "Random Erasing").

    It takes a share of the area drawn from `area`, with sides in a ratio of 1:3 to 3:1; it is filled with
    `value`, or with normal noise of the batch's mean and standard deviation where None.
    """

    def transform(x: Tensor) -> Tensor:
        n, height, width = len(x), *x.shape[2:]
        draw = torch.rand(5, n, 1, 1, device=x.device)
        size = (area[0] + (area[1] - area[0]) * draw[0]) * height * width
        ratio = torch.exp((2 * draw[1] - 1) * math.log(3.0))
        high, wide = (size * ratio).sqrt().clamp(1, height), (size / ratio).sqrt().clamp(1, width)
        top, left = draw[2] * (height - high), draw[3] * (width - wide)
        rows = torch.arange(height, device=x.device).view(1, -1, 1)
        columns = torch.arange(width, device=x.device).view(1, 1, -1)
        inside = (rows >= top) & (rows < top + high) & (columns >= left) & (columns < left + wide)
        inside = (inside & (draw[4] < p))[:, None]
        fill = torch.randn_like(x) * x.std() + x.mean() if value is None else torch.full_like(x, value)
        return torch.where(inside, fill, x)

    return transform


def random_affine(
    degrees: float = 10.0, scale: float = 0.1, shear: float = 0.0, shift: float = 0.0, stretch: float = 0.0
) -> Transform:
    """Turn, scale, shear, stretch and shift each image, bilinearly, with 0 outside.

    Draws are uniform: up to `degrees` either way; a factor of up to 1 ± `scale`, with the width's own of 1 ±
    `stretch`; a slant of up to `shear` (its tangent); up to `shift` pixels.
    """

    def transform(x: Tensor) -> Tensor:
        n, height, width = len(x), *x.shape[2:]
        draw = 2 * torch.rand(6, n, device=x.device) - 1
        angle, size, slant = draw[0] * math.radians(degrees), 1 + scale * draw[1], shear * draw[2]
        wide = size * (1 + stretch * draw[3])
        cos, sin = angle.cos(), angle.sin()
        first = torch.stack([cos / wide, (slant * cos - sin) / wide, shift * draw[4] * 2 / width], 1)
        second = torch.stack([sin / size, (slant * sin + cos) / size, shift * draw[5] * 2 / height], 1)
        grid = F.affine_grid(torch.stack([first, second], 1), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid.to(x.dtype), align_corners=False)

    return transform


def flip(x: Tensor) -> Tensor:
    """All images mirrored left to right."""
    return x.flip(3)


def shifted(dy: int, dx: int) -> Transform:
    """All images moved down by `dy` and right by `dx` pixels, 0 moving in."""

    def transform(x: Tensor) -> Tensor:
        return F.pad(x, (dx, -dx, dy, -dy))

    return transform
