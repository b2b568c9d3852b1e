"""The reconstructions without a network, against numpy's singular values."""

import numpy as np
import pytest
import torch

from sheetconv.train.baselines import baselines
from sheetconv.train.report import binomial_error


def images(n: int, seed: int) -> torch.Tensor:
    """Of seven directions and a little noise, uint8 (n, 1, 6, 6)."""
    directions = np.random.default_rng(0).normal(size=(7, 36))
    random = np.random.default_rng(seed)
    values = 128 + random.normal(size=(n, 7)) @ directions * 15 + random.normal(size=(n, 36))
    return torch.from_numpy(values.clip(0, 255).astype(np.uint8)).reshape(n, 1, 6, 6)


@pytest.mark.parametrize("components", [1, 5, 36, 200])
def test_baselines_are_those_of_numpy(components: int) -> None:
    train, valid = images(300, 1), images(80, 2)
    found = baselines(train, valid, components)
    x, y = (part.flatten(1).double().numpy() / 255 for part in (train, valid))
    assert found.grey == pytest.approx(((y - x.mean()) ** 2).mean())
    assert found.mean == pytest.approx(((y - x.mean(0)) ** 2).mean())
    axes = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:components]
    away = y - x.mean(0)
    assert found.pca == pytest.approx(((away - away @ axes.T @ axes) ** 2).mean(), rel=1e-6, abs=1e-12)
    assert found.components == min(components, 36)


def test_binomial_error_is_the_spread_of_simulated_shares() -> None:
    shares = np.random.default_rng(0).binomial(1000, 0.9, 20_000) / 1000
    assert binomial_error(0.9, 1000) == pytest.approx(shares.std(), rel=0.03)
