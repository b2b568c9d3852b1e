"""Choosing among initialisations by a short trial of each: with very few channels, luck decides how far one gets.

The lesson's autoencoder has 2 channels at its widest: a filter that starts out useless stays so. Of five seeds the
best had a fifth less error than the worst after one epoch of Fashion-MNIST; on handwriting three of eight learned
nothing in half an epoch. How long a trial must be differs: with full-adam the order of eight starts after half an
epoch said nothing about the end, that after three epochs did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from sheetconv.train.assemble import make_learner
from sheetconv.train.prepare import Data, prepare_net
from sheetconv.train.recipes import Recipe
from sheetconv.train.state import random_kept

IMAGES, APART = 27_000, 1000  # images of an epoch of a trial; distance of the seeds of two trials


def best_start(
    recipe: Recipe, seed: int, data: Data, device: torch.device, amp: str, say: Callable[[str], None]
) -> nn.Module:
    """The untrained network that did best on the validation images after a short fit of its own.

    A fit is `recipe.trial_epochs` epochs of the first `IMAGES` training images. `recipe.trials` networks are drawn
    from `seed` and numbers `APART`; the global random state is left as it was.
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
        f" {recipe.trial_epochs * len(short.train.images):,} images, the others {', '.join(f'{v:.4f}' for v in sorted(losses)[1:])}"
    )
    return prepare_net(recipe, seeds[best], data)


def _trial(recipe: Recipe, start: int, data: Data, device: torch.device, amp: str) -> float:
    with random_kept():
        torch.manual_seed(start)
        quick = replace(recipe, epochs=recipe.trial_epochs)
        learn = make_learner(quick, prepare_net(recipe, start, data), data, start, device, amp)
        learn.fit(quick.epochs)
    return learn.history[-1]["valid_loss"]
