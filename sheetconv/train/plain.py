"""A plain network for images of any size and kind, and any number of classes: `--model plain`."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from sheetconv.files import replacing

PLAIN = "plain"
FIRST, WIDEST, SMALLEST = 16, 128, 4  # channels at first and at most; the grid that is averaged at last


def plain(channels: int, height: int, width: int, classes: int) -> nn.Sequential:
    """Images (N, channels, height, width) to logits (N, classes).

    Convolutions of stride 2, each with batch normalisation and ReLU, halve the grid until its shorter side is 4 or
    less, doubling the channels from 16 to 128; the mean of every channel goes to a dense layer.
    """
    layers: list[nn.Module] = []
    before, now, side = channels, FIRST, min(height, width)
    while not layers or side > SMALLEST:
        layers += [nn.Conv2d(before, now, 3, 2, 1, bias=False), nn.BatchNorm2d(now), nn.ReLU()]
        before, now, side = now, min(2 * now, WIDEST), -(-side // 2)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def write_plain(path: Path, sizes: list[int]) -> None:
    """Write a Python file whose `net` is the network of those sizes (`plain`'s arguments).

    For `build-workbook --model FILE:net --weights …`.
    """
    channels, height, width, classes = sizes
    text = f'''"""The network of this run: images of {height}×{width} pixels in {channels} channels, {classes} classes."""

from sheetconv.train.plain import plain


def net():
    network = plain({channels}, {height}, {width}, {classes})
    network.input_shape = ({channels}, {height}, {width})
    return network
'''
    with replacing(path, force=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
