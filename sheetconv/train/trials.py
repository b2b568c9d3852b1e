"""Choosing among initialisations by a short trial of each: with very few channels, luck decides how far one gets.

The lesson's autoencoder has 2 channels at its widest: a filter that starts out useless stays so. Of five seeds the
best had a fifth less error than the worst after one epoch of Fashion-MNIST; on handwriting three of eight learned
nothing in half an epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from sheetconv.train.assemble import make_learner
from sheetconv.train.prepare import Data, prepare_net
from sheetconv.train.recipes import Recipe

IMAGES, APART = 27_000, 1000  # images of a trial; distance of the seeds of two trials


def best_start(
    recipe: Recipe, seed: int, data: Data, device: torch.device, amp: str, say: Callable[[str], None]
) -> nn.Module:
    """The untrained network that did best on the validation images after one short epoch of its own.

    `recipe.trials` are drawn from `seed` and numbers `APART`; the global random state is left as it was.
    """
    seeds = [seed + APART * number for number in range(recipe.trials)]
    if len(seeds) == 1:
        return prepare_net(recipe, seed, data)
    short = replace(
        data, train=replace(data.train, images=data.train.images[:IMAGES], labels=data.train.labels[:IMAGES])
    )
    losses = [_trial(recipe, start, short, device, amp) for start in seeds]
    best = losses.index(min(losses))
    say(
        f"initialisation {best + 1} of {len(seeds)} starts best: validation loss {losses[best]:.4f} after"
        f" {len(short.train.images):,} images, the others {', '.join(f'{v:.4f}' for v in sorted(losses)[1:])}"
    )
    return prepare_net(recipe, seeds[best], data)


def _trial(recipe: Recipe, start: int, data: Data, device: torch.device, amp: str) -> float:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(start)
        quick = replace(recipe, epochs=1)
        learn = make_learner(quick, prepare_net(recipe, start, data), data, start, device, amp)
        learn.fit(1)
    return learn.history[-1]["valid_loss"]
