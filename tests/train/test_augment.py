"""Augmentation: what may change and what may not."""

import pytest
import torch

from sheetconv.train import augment
from sheetconv.train.callbacks.batch import BatchTransform


def picture(n: int = 64) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(n, 2, 9, 7)


@pytest.mark.parametrize(
    "transform",
    [
        augment.random_shift(2),
        augment.random_crop(2, "reflect"),
        augment.random_flip(),
        augment.random_erase(),
        augment.random_affine(10, 0.1, 0.1, 1.0, 0.1),
        augment.flip,
        augment.shifted(1, -2),
    ],
)
def test_shapes_and_kinds_stay_and_the_input_is_left_alone(transform: augment.Transform) -> None:
    x = picture()
    before = x.clone()
    out = transform(x)
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    assert torch.equal(x, before)
    assert not torch.equal(out, x)


def test_a_shift_is_one_of_all_whole_shifts() -> None:
    x = picture()
    out = augment.random_shift(1)(x)
    shifts = {(dy, dx): augment.shifted(dy, dx)(x) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    found = [[key for key, y in shifts.items() if torch.equal(out[i], y[i])] for i in range(len(x))]
    assert all(len(keys) == 1 for keys in found)
    assert {keys[0] for keys in found} == set(shifts), "all nine occur among 64 images"


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    x = picture(400)
    out = augment.random_flip()(x)
    mirrored = [torch.equal(out[i], x[i].flip(2)) for i in range(400)]
    assert all(m or torch.equal(out[i], x[i]) for i, m in enumerate(mirrored))
    assert 140 < sum(mirrored) < 260


def test_erasing_fills_one_rectangle_of_the_asked_share() -> None:
    x = torch.ones(300, 1, 20, 20)
    out = augment.random_erase(0.5, (0.05, 0.2), value=0.0)(x)
    erased = (out == 0)[:, 0]
    shares = erased.float().mean((1, 2))
    assert 90 < int((shares > 0).sum()) < 210
    assert shares.max() < 0.3
    for mask in erased[shares > 0]:
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns[None]), "not a rectangle"


def test_an_affine_map_of_nothing_is_the_identity_and_turns_by_the_angle() -> None:
    x = picture()
    assert torch.allclose(augment.random_affine(0, 0)(x), x, atol=1e-5)
    line = torch.zeros(200, 1, 21, 21)
    line[:, 0, 10, :] = 1
    out = augment.random_affine(20, 0)(line)[:, 0]
    rows = torch.arange(21.0)
    ends = [(out[:, :, c] * rows).sum(1) / out[:, :, c].sum(1) for c in (4, 16)]
    angles = torch.rad2deg(torch.atan((ends[1] - ends[0]) / 12))
    assert angles.abs().max() < 21
    assert angles.abs().max() > 15
    assert angles.min() < -5 < 5 < angles.max()


def test_an_autoencoder_s_target_is_transformed_with_its_input() -> None:
    class Stand:
        training = True

    stand, x = Stand(), picture()
    stand.batch = (x, x)  # type: ignore[attr-defined]
    BatchTransform(augment.random_flip(1.0)).before_batch(stand)  # type: ignore[arg-type]
    assert torch.equal(stand.batch[0], x.flip(3))  # type: ignore[attr-defined]
    assert stand.batch[1] is stand.batch[0]  # type: ignore[attr-defined]
