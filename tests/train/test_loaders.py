"""Batches from resident tensors and from any dataset; what cannot be trained on is refused in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sheetconv.data.sources import ImageData
from sheetconv.errors import TrainingError, UsageError
from sheetconv.train.loaders import DataLoaders, ResidentLoader

IMAGES = np.arange(10 * 4 * 6, dtype=np.uint8).reshape(10, 4, 6)
LABELS = np.arange(10, dtype=np.int64) % 3


def test_unshuffled_batches_are_the_images_divided_by_255() -> None:
    batches = list(ResidentLoader(IMAGES, LABELS, 4))
    assert [tuple(x.shape) for x, _ in batches] == [(4, 1, 4, 6), (4, 1, 4, 6), (2, 1, 4, 6)]
    assert np.array_equal(torch.cat([x for x, _ in batches])[:, 0].numpy(), (IMAGES / np.float32(255)))
    assert torch.cat([y for _, y in batches]).tolist() == LABELS.tolist()


def test_shuffling_serves_each_image_once_with_its_label_in_an_order_of_its_seed() -> None:
    loader = ResidentLoader(IMAGES, LABELS, 4, shuffle=True, seed=5)
    first, second = ([(x[0, 0, 0, 0].item(), int(y[0])) for x, y in batches(loader)] for _ in range(2))
    pairs = {(v / 255, k) for v, k in zip(IMAGES[:, 0, 0].astype(np.float32), LABELS, strict=True)}
    assert len(set(first)) == 10
    assert {(round(a, 5), b) for a, b in first} == {(round(float(a), 5), int(b)) for a, b in pairs}
    assert first != second
    again = ResidentLoader(IMAGES, LABELS, 4, shuffle=True, seed=5)
    assert [(x[0, 0, 0, 0].item(), int(y[0])) for x, y in batches(again)] == first


def batches(loader: ResidentLoader) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Single images."""
    return [(x[i : i + 1], y[i : i + 1]) for x, y in loader for i in range(len(x))]


def test_shuffling_goes_on_from_a_kept_state() -> None:
    loader = ResidentLoader(IMAGES, LABELS, 4, shuffle=True)
    list(loader)
    state = loader.state_dict()
    wanted = torch.cat([y for _, y in loader])
    other = ResidentLoader(IMAGES, LABELS, 4, shuffle=True, seed=77)
    other.load_state_dict(state)
    assert torch.equal(torch.cat([y for _, y in other]), wanted)


def test_normalising_and_colour() -> None:
    colour = np.stack([IMAGES, IMAGES // 2, 255 - IMAGES], 3)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    x, _ = next(iter(ResidentLoader(colour, LABELS, 10, mean=mean, std=std)))
    wanted = (colour / 255.0 - np.array(mean)) / np.array(std)
    assert np.allclose(x.numpy(), wanted.transpose(0, 3, 1, 2), atol=1e-6)
    with pytest.raises(UsageError, match="one number per channel"):
        ResidentLoader(colour, LABELS, mean=(0.1, 0.2))


def test_an_autoencoder_gets_its_input_as_target() -> None:
    x, y = next(iter(ResidentLoader(IMAGES, LABELS, 4, target="image")))
    assert x is y


def test_shares_of_two_processes_are_disjoint_and_equal_in_number() -> None:
    seen = []
    for rank in range(2):
        loader = ResidentLoader(IMAGES[:9], LABELS[:9], 2, shuffle=True, seed=1)
        loader.shard(rank, 2)
        assert len(list(loader)) == len(loader) == 2
        loader.load_state_dict(ResidentLoader(IMAGES, LABELS, seed=1).state_dict())  # the order anew
        seen += [round(x[0, 0, 0, 0].item() * 255) for x, _ in batches(loader)]
    assert len(seen) == len(set(seen)) == 8
    valid = [ResidentLoader(IMAGES[:9], LABELS[:9], 2) for _ in range(2)]
    for rank, loader in enumerate(valid):
        loader.shard(rank, 2)
    assert sum(loader.n_images for loader in valid) == 9


def test_a_single_image_left_over_is_not_trained_on() -> None:
    assert [len(x) for x, _ in ResidentLoader(IMAGES[:9], LABELS[:9], 4, shuffle=True)] == [4, 4]
    assert [len(x) for x, _ in ResidentLoader(IMAGES[:9], LABELS[:9], 4)] == [4, 4, 1]


@pytest.mark.parametrize(
    ("images", "labels", "settings", "message"),
    [
        (IMAGES[:0], LABELS[:0], {}, "has no images"),
        (IMAGES[:1], LABELS[:1], {"shuffle": True}, "one image is too little"),
        (IMAGES, LABELS + 1, {"n_classes": 3}, "the label of image 2 is 3; expected 0…2"),
        (IMAGES, LABELS - 1, {}, "the label of image 0 is -1; expected 0 or more"),
        (IMAGES, LABELS[:5], {}, "10 images need as many whole-numbered labels"),
        (IMAGES.astype(np.float32), LABELS, {}, "must be uint8"),
        (IMAGES[0], LABELS, {}, "must be uint8"),
    ],
)
def test_data_that_cannot_be_trained_on(
    images: np.ndarray, labels: np.ndarray, settings: dict, message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        ResidentLoader(images, labels, **settings)


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot hold 0 images"):
        ResidentLoader(IMAGES, LABELS, 0)


def test_images_to_train_and_validate_on_must_have_one_shape() -> None:
    with pytest.raises(TrainingError, match=r"training images are 1×4×6 .* to validate on 1×4×5"):
        DataLoaders(ResidentLoader(IMAGES, LABELS), ResidentLoader(IMAGES[:, :, :5].copy(), LABELS))
    colour = np.stack([IMAGES] * 3, 3)
    with pytest.raises(TrainingError, match=r"1×4×6 .* 3×4×6"):
        DataLoaders(ResidentLoader(IMAGES, LABELS), ResidentLoader(colour, LABELS))


def image_data(n: int) -> ImageData:
    return ImageData(IMAGES[:n], LABELS[:n], ["a", "b", "c"], "here", "0", False)


def test_from_a_dictionary_of_decoded_datasets() -> None:
    dls = DataLoaders.from_dd({"train": image_data(10), "test": image_data(4)}, 4)
    assert isinstance(dls.train, ResidentLoader)
    assert dls.train.shuffle
    assert not dls.valid.shuffle
    assert (dls.train.n_images, dls.valid.n_images, dls.valid.n_classes) == (10, 4, 3)
    with pytest.raises(TrainingError, match="no split 'train'; it has: test"):
        DataLoaders.from_dd({"test": image_data(4)})


class Items:
    """A dataset of dictionaries, as the hub's library gives them."""

    features = ("image", "label")

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> dict:
        return {"label": int(LABELS[i]), "image": torch.from_numpy(IMAGES[i])[None] / 255, "more": 0}


def test_from_a_dictionary_of_any_datasets_the_lesson_s_way() -> None:
    dls = DataLoaders.from_dd({"train": Items(10), "validation": Items(4)}, 4, num_workers=0)
    x, y = next(iter(dls.valid))
    assert torch.equal(x, next(iter(ResidentLoader(IMAGES, LABELS, 4)))[0])
    assert y.tolist() == LABELS[:4].tolist()
    with pytest.raises(TrainingError, match="no images"):
        DataLoaders.from_dd({"train": Items(0)})


@pytest.mark.shared_data
def test_the_hub_s_own_dataset_gives_the_same_batches_as_the_resident_one(shared_data: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from sheetconv.data.sources import find

    found = datasets.load_dataset(str(shared_data / "mnist"), split="test").select(range(8))
    found = found.with_transform(
        lambda rows: rows | {"image": [torch.from_numpy(np.array(i))[None] / 255 for i in rows["image"]]}
    )
    x, y = next(iter(DataLoaders.from_dd({"train": found}, 8, shuffle=False).train))
    reader = find(str(shared_data / "mnist"), "test").reader
    wanted = ResidentLoader(reader.read_images(range(8)), reader.read_labels()[0][:8], 8)
    assert torch.equal(x, next(iter(wanted))[0])
    assert y.tolist() == wanted.labels.tolist()
