"""How weights start: He's way, with open ReLUs for networks of very few channels, or with whitened first kernels."""

from __future__ import annotations

import torch
from torch import nn

from sheetconv.errors import TrainingError

_FAINT = 1e-4  # added to variances of grey values in 0…1, so that noise is not enlarged without limit


def initialise(module: nn.Module, how: str, images: torch.Tensor) -> None:
    """Set the weights as a recipe's `init` says, from torch's global generator.

    "kaiming": normal kernels of He et al. (2015) and zero biases, but for the last layer, which keeps torch's
    smaller weights so that training starts from near-equal predictions. "open": the same, then layer by layer
    outputs of mean 1 and standard deviation 1 over `images` (N, C, H, W), so that most ReLUs start open; with
    few channels nothing would pass otherwise (LSUV of Mishkin and Matas, 2015, with a mean as well). "whiten": as
    "kaiming", but the first convolution's kernels are the principal axes of the patches in `images`, each with its
    negative, scaled to outputs of variance 1 and, by its bias, mean 0, and stay as they are (Jordan, "94% on
    CIFAR-10 in 3.29 seconds on a single GPU", 2024): no gradient is needed at the largest grid.

    Raises `TrainingError` for "whiten" where the network does not begin with such a convolution.
    """
    if how == "default":
        return
    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    for layer in layers[:-1]:
        nn.init.kaiming_normal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if how == "open":
        with torch.no_grad():
            for layer in layers[:-1]:
                _open(module, layer, images)
    if how == "whiten":
        _whiten(layers[0] if layers else None, images)


@torch.no_grad()
def _whiten(layer: nn.Module | None, images: torch.Tensor) -> None:
    """Make the kernels of `layer` the principal axes of `images`, with both signs, and keep them from learning."""
    if (
        not isinstance(layer, nn.Conv2d)
        or layer.groups != 1
        or layer.out_channels % 2
        or not 2 <= layer.out_channels <= 2 * layer.weight[0].numel()
    ):
        raise TrainingError(
            "init=whiten needs a network that begins with a convolution of an even number of kernels, at most two for"
            " every number of a patch; give another init, such as --set init=kaiming"
        )
    patches = nn.functional.unfold(images, layer.kernel_size).transpose(1, 2).flatten(0, 1).double()
    mean = patches.mean(0) if layer.bias is not None else torch.zeros_like(patches[0])
    patches -= mean
    variances, axes = torch.linalg.eigh(patches.T @ patches / len(patches))
    scaled = (axes / (variances + _FAINT).sqrt()).T.flip(0)[: layer.out_channels // 2]
    kernels = torch.cat([scaled, -scaled])
    layer.weight.copy_(kernels.view(layer.weight.shape))
    if layer.bias is not None:
        layer.bias.copy_(-kernels @ mean)
    layer.requires_grad_(False)


def _open(module: nn.Module, layer: nn.Module, images: torch.Tensor) -> None:
    """Bring the outputs of `layer` to mean 1 and standard deviation 1 in every channel."""
    assert isinstance(layer, (nn.Conv2d, nn.Linear))
    found: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, output: found.append(output))
    try:
        module(images)
    finally:
        handle.remove()
    channels = found[0].transpose(0, 1).flatten(1)
    spread = channels.std().clamp(min=1e-6)
    layer.weight.div_(spread)
    if layer.bias is not None:
        layer.bias.copy_(1 - (channels.mean(1) - layer.bias) / spread)
