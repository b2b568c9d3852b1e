"""Pictures of digits as MNIST would hold them, arrays, and the built-in handwriting."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sheetconv.data.handwriting import _distance, _table, digits
from sheetconv.data.image import array_input, digit_from_image, random_input
from sheetconv.data.strokes import SKELETONS
from sheetconv.errors import DataError, UsageError


def drawn() -> np.ndarray:
    """A seven, white on black, off centre in 200×300."""
    page = np.zeros((200, 300), np.uint8)
    page[40:52, 180:240] = 255
    for y in range(52, 150):
        x = 235 - (y - 52) // 2
        page[y, x - 12 : x] = 255
    return page


def save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def test_a_digit_is_cropped_scaled_and_centred(tmp_path: Path) -> None:
    digit = digit_from_image(save(tmp_path / "a.png", drawn()))
    rows, columns = np.flatnonzero(digit.any(1)), np.flatnonzero(digit.any(0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert (digit.shape, digit.min(), digit.max()) == ((28, 28), 0.0, 1.0)
    mass = digit / digit.sum()
    assert abs((mass.sum(1) * np.arange(0.5, 28)).sum() - 14) <= 0.51
    assert abs((mass.sum(0) * np.arange(0.5, 28)).sum() - 14) <= 0.51


def test_ink_colour_and_alpha_do_not_matter(tmp_path: Path) -> None:
    page = drawn()
    plain = digit_from_image(save(tmp_path / "light.png", page))
    black = np.zeros((*page.shape, 4), np.uint8)
    black[..., 3] = page
    white = black.copy()
    white[..., :3] = 255
    blue = np.stack([255 - page, 255 - page, np.full_like(page, 255)], -1)
    for name, values in (("dark", 255 - page), ("black", black), ("white", white), ("blue", blue)):
        same = digit_from_image(save(tmp_path / f"{name}.png", values))
        assert np.abs(same - plain).max() < 0.02, name
    assert np.abs(digit_from_image(save(tmp_path / "a.jpg", page)) - plain).mean() < 0.02


def test_pictures_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no image file"):
        digit_from_image(tmp_path / "missing.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(DataError, match="not an image that can be read"):
        digit_from_image(tmp_path / "text.png")
    with pytest.raises(DataError, match="blank"):
        digit_from_image(save(tmp_path / "white.png", np.full((30, 30), 255, np.uint8)))
    with pytest.raises(DataError, match="too large"):
        digit_from_image(save(tmp_path / "huge.png", np.zeros((8001, 8001), np.uint8)))


def test_arrays(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(2, 6)
    np.save(tmp_path / "a.npy", values)
    assert np.array_equal(array_input(tmp_path / "a.npy", (2, 6)), values)
    with pytest.raises(DataError, match=r"shape \(2, 6\); the network needs \(1, 6\)"):
        array_input(tmp_path / "a.npy", (1, 6))
    np.save(tmp_path / "nan.npy", np.array([[np.nan]]))
    with pytest.raises(DataError, match="not finite"):
        array_input(tmp_path / "nan.npy", (1, 1))
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot read"):
        array_input(tmp_path / "o.npy", (1, 1))
    picture = save(tmp_path / "p.png", drawn())
    assert array_input(picture, (3, 32, 32)).shape == (3, 32, 32)
    with pytest.raises(UsageError, match="cannot fill"):
        array_input(picture, (2, 6))
    assert np.array_equal(random_input((2, 3), 5), random_input((2, 3), 5))


def test_handwriting_is_seeded_and_placed_as_mnist() -> None:
    images, labels = digits(600, 4)
    again, _ = digits(600, 4)
    assert np.array_equal(images, again)
    assert not np.array_equal(images, digits(600, 5)[0])
    assert set(labels) == set(range(10))
    places = np.arange(28)
    mass = images.astype(float) / images.sum((1, 2), keepdims=True, dtype=float)
    assert abs((mass.sum(2) @ places).mean() - 14) < 0.1
    assert abs((mass.sum(1) @ places).mean() - 14) < 0.1
    for axis in (1, 2):  # moved by whole pixels, so half a pixel at most, but where the paper ends
        off = np.abs(mass.sum(axis) @ places - 14)
        assert np.quantile(off, 0.98) < 0.51
        assert off.max() < 1.5
    tall, wide = ((images > 0).any(axis).sum(1) for axis in (2, 1))
    assert np.median(np.maximum(tall, wide)) == np.maximum(tall, wide).max() == 20


def test_styles_share_their_class_by_weight() -> None:
    bounds = _table().bounds
    assert np.array_equal(bounds[np.cumsum([len(SKELETONS[d]) for d in range(10)]) - 1], np.arange(1, 11))
    assert (np.diff(bounds) > 0).all()
    first = [text.partition("*")[2] for text in SKELETONS[0][:2]]
    assert bounds[1] / bounds[0] == pytest.approx((float(first[0]) + float(first[1])) / float(first[0]))


def test_lines_pass_through_the_points_of_their_styles() -> None:
    table = _table()
    places = np.split(table.curves @ table.points, 4, axis=1)[0]
    for number, text in enumerate(text for texts in SKELETONS.values() for text in texts):
        words = text.partition("*")[0].replace("|", " ").split()
        points = np.array([word.split(",") for word in words], float) / 100
        gaps = np.hypot(*(points[:, None] - places[number]).transpose(2, 0, 1)).min(1)
        assert gaps.max() < 0.06, text


def test_a_line_is_at_the_distance_from_it() -> None:
    """A straight stroke from (10, 4) to (10, 15): the distance beside its middle is the horizontal one."""
    places = np.stack([np.full(60, 10.0), np.linspace(4, 15, 60)], -1)[None].astype(np.float32)
    distance = _distance(places, np.full((1, 60), 11 / 59, np.float32))[0]
    assert np.abs(distance[9, 6:15] - np.abs(np.arange(6, 15) - 10)).max() < 0.05


def test_a_nearest_mean_tells_the_classes_apart() -> None:
    images, labels = digits(3000, 1)
    other, truth = digits(500, 2)
    means = np.stack([images[labels == d].mean(0).ravel() for d in range(10)])
    guess = ((other.reshape(500, 1, -1) - means) ** 2).sum(-1).argmin(1)
    assert (guess == truth).mean() > 0.7


def test_labels_that_are_no_digits() -> None:
    assert digits(0, 1)[0].shape == (0, 28, 28)
    with pytest.raises(UsageError, match="whole numbers from 0 to 9"):
        digits(1, 0, np.array([10]))
    with pytest.raises(UsageError, match="whole numbers"):
        digits(2, 0, np.array([1]))
