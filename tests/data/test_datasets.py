"""Datasets that the tests write themselves, in every form, and what goes wrong with them."""

import gzip
import io
import json
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sheetconv.data import decode as decoding
from sheetconv.data.decode import decode
from sheetconv.data.pick import pick
from sheetconv.data.readers import read_idx
from sheetconv.data.sources import find, open_dataset
from sheetconv.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache but the test's own, and a hub that is a closed local port."""
    monkeypatch.setenv("SHEETCONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def random_images(n: int = 12, size: tuple[int, ...] = (9, 7)) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, *size)).astype(np.uint8)


def png(image: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def write_parquet(path: Path, blobs: list, labels: list, names: list[str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pa.array(
        [{"bytes": b, "path": None} for b in blobs], pa.struct({"bytes": pa.binary(), "path": pa.string()})
    )
    table = pa.table({"image": image, "label": pa.array(labels, pa.int64())})
    if names:
        features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
    return path


def png_with_filters(image: np.ndarray, kinds: list[int]) -> bytes:
    """An encoder straight from the PNG specification, with a chosen filter in each row."""
    height, width = image.shape
    rows, above = b"", [0] * width
    for y in range(height):
        row, kind, out = [int(v) for v in image[y]], kinds[y % len(kinds)], []
        for x in range(width):
            a, b, c = (row[x - 1] if x else 0), above[x], (above[x - 1] if x else 0)
            p = a + b - c
            near = min(((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c)))[2]
            out.append((row[x] - [0, a, b, (a + b) // 2, near][kind]) % 256)
        rows += bytes([kind, *out])
        above = row

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kinds", [[0], [1], [2], [3], [4], [0, 1, 2, 3, 4], [4, 3, 4, 2, 1]])
def test_every_filter_is_undone_without_pillow(kinds: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    images = random_images(5)
    blobs = [png_with_filters(image, kinds[i % 2 :] or kinds) for i, image in enumerate(images)]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(blobs[0]))), images[0])
    monkeypatch.setattr(decoding, "_pillow", lambda *_: pytest.fail("the fast way was not taken"))
    assert np.array_equal(decode(blobs), images)


def test_other_kinds_of_files_mix_with_plain_ones() -> None:
    images = random_images(4)
    assert np.array_equal(
        decode([png(images[0]), png(images[1], "BMP"), png(images[2]), png(images[3], "TIFF")]), images
    )
    colour = random_images(90, (5, 6, 3))
    assert np.array_equal(decode([png(image) for image in colour]), colour)


def test_images_that_cannot_be_used_are_named() -> None:
    good = png(random_images()[0])
    with pytest.raises(DataError, match="image 1 is 4×3 pixels, the first one 7×9"):
        decode([good, png(random_images(1, (3, 4))[0])])
    with pytest.raises(DataError, match="image 1 is in colour"):
        decode([good, png(random_images(1, (9, 7, 3))[0])])
    with pytest.raises(DataError, match="image 1 is not an image"):
        decode([good, b"nothing"])
    with pytest.raises(DataError, match="image 1 is damaged"):
        decode([good, good[:50]])
    bomb = bytearray(good)
    bomb[16:24] = struct.pack(">II", 100_000, 100_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    with pytest.raises(DataError, match="image 0 has far too many pixels"):
        decode([bytes(bomb)])


def test_parquet_is_cached_and_mapped(tmp_path: Path) -> None:
    images, labels = random_images(), list(range(3)) * 4
    write_parquet(
        tmp_path / "d/train-00000-of-00001.parquet", [png(i) for i in images], labels, ["a", "b", "c"]
    )
    first, again = (open_dataset(str(tmp_path / "d"), "train") for _ in range(2))
    assert (first.cached, again.cached) == (False, True)
    for data in (first, again):
        assert np.array_equal(data.images, images)
        assert data.labels.tolist() == labels
        assert data.class_names == ["a", "b", "c"]
    with pytest.raises(DataError, match=r"no split 'test'; it has: train"):
        open_dataset(str(tmp_path / "d"), "test")


@pytest.mark.parametrize("harm", ["cut", "header", "zeros", "empty"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, harm: str) -> None:
    images = random_images(64)
    path = write_parquet(tmp_path / "x.parquet", [png(i) for i in images], [0, 1] * 32)
    open_dataset(str(path), "train")
    (kept,) = (tmp_path / "cache").glob("*.safetensors")
    body = kept.read_bytes()
    harmed = {
        "cut": body[:-100],
        "header": b"\xff" * 8 + body[8:],
        "zeros": body[:-1000] + bytes(1000),
        "empty": b"",
    }[harm]
    kept.write_bytes(harmed)
    data = open_dataset(str(path), "train")
    assert not data.cached
    assert np.array_equal(data.images, images)
    assert open_dataset(str(path), "train").cached


def test_a_changed_dataset_is_decoded_again(tmp_path: Path) -> None:
    images = random_images()
    path = write_parquet(tmp_path / "x.parquet", [png(i) for i in images], [0] * 12)
    open_dataset(str(path), "train")
    write_parquet(path, [png(255 - i) for i in images], [0] * 12)
    assert np.array_equal(open_dataset(str(path), "train").images, 255 - images)


_OPEN_AND_SUM = """
import json, sys
import numpy as np
from sheetconv.data.sources import open_dataset
data = open_dataset(sys.argv[1], "train")
print(json.dumps([data.cached, int(data.images.astype(np.int64).sum())]))
"""


def test_two_processes_at_once_decode_once(tmp_path: Path) -> None:
    images = random_images(3000, (28, 28))
    path = write_parquet(tmp_path / "x.parquet", [png(i) for i in images], [0, 1, 2] * 1000)
    command = [sys.executable, "-c", _OPEN_AND_SUM, str(path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    got = sorted(json.loads(process.communicate(timeout=50)[0].splitlines()[-1]) for process in both)
    total = int(images.astype(np.int64).sum())
    assert got == [[False, total], [True, total]]


def test_a_cache_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SHEETCONV_CACHE", str(tmp_path / "file"))
    path = write_parquet(tmp_path / "x.parquet", [png(i) for i in random_images()], [0] * 12)
    assert len(open_dataset(str(path), "train").images) == 12
    assert "not kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [([0, 5], ["a", "b"], "image 1 is 5; expected 0…1"), ([0, -1], None, "image 1 is -1")],
)
def test_labels_out_of_range(
    tmp_path: Path, labels: list[int], names: list[str] | None, message: str
) -> None:
    path = write_parquet(tmp_path / "x.parquet", [png(i) for i in random_images(2)], labels, names)
    with pytest.raises(DataError, match=message):
        open_dataset(str(path), "train")


def test_empty_missing_unreadable_and_without_columns(tmp_path: Path) -> None:
    empty = write_parquet(tmp_path / "empty.parquet", [], [])
    with pytest.raises(DataError, match="is empty"):
        open_dataset(str(empty), "train")
    with pytest.raises(DataError, match="row 1 holds no image"):
        open_dataset(
            str(write_parquet(tmp_path / "n.parquet", [png(random_images()[0]), None], [0, 1])), "train"
        )
    with pytest.raises(DataError, match="there is no dataset at"):
        open_dataset(str(tmp_path / "nowhere"), "train")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        open_dataset(str(tmp_path / "bad.parquet"), "train")
    pq.write_table(pa.table({"label": [1]}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"no image \(bytes\) column; its columns: label"):
        open_dataset(str(tmp_path / "c.parquet"), "train")
    (tmp_path / "hollow").mkdir()
    with pytest.raises(DataError, match="holds no dataset"):
        open_dataset(str(tmp_path / "hollow"), "train")
    part = write_parquet(tmp_path / "p/train-00000-of-00002.parquet", [png(random_images()[0])], [0])
    with pytest.raises(DataError, match="1 of 2 parts"):
        open_dataset(str(part.parent), "train")


def test_class_folders_number_alike_in_both_splits(tmp_path: Path) -> None:
    images = random_images(3)
    for place, image in zip(("train/cat", "train/dog", "test/dog"), images, strict=True):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "1.png").write_bytes(png(image))
    train, test = (open_dataset(str(tmp_path), split) for split in ("train", "test"))
    assert train.class_names == test.class_names == ["cat", "dog"]
    assert train.labels.tolist() == [0, 1]
    assert test.labels.tolist() == [1]
    assert np.array_equal(test.images[0], images[2])


@pytest.mark.parametrize("packed", [False, True])
def test_idx_round_trip(tmp_path: Path, packed: bool) -> None:
    images, labels = random_images(), np.arange(12, dtype=np.uint8) % 3
    for name, values in (("t10k-images-idx3-ubyte", images), ("t10k-labels-idx1-ubyte", labels)):
        body = (
            bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()
        )
        (tmp_path / (name + ".gz" * packed)).write_bytes(gzip.compress(body) if packed else body)
    data = open_dataset(str(tmp_path), "test")
    assert np.array_equal(data.images, images)
    assert data.labels.tolist() == labels.tolist()
    (tmp_path / "cut").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]))
    with pytest.raises(DataError, match="says 9 values but holds 1"):
        read_idx(tmp_path / "cut")


def test_no_network_is_said_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.perf_counter()
    with pytest.raises(
        DataError, match=r"ylecun/mnist, split 'train', is not in the hub's cache and the hub cannot"
    ):
        find("mnist", "train")
    monkeypatch.setattr("sheetconv.data.hub._probe", lambda: time.sleep(10) or "")
    with pytest.raises(DataError, match="did not answer"):
        find("someone/something", "train")
    assert time.perf_counter() - start < 5
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="HF_HUB_OFFLINE"):
        find("mnist", "train")


def test_the_hubs_cache_is_used_without_network(tmp_path: Path) -> None:
    place = tmp_path / "hf/hub/datasets--ylecun--mnist/snapshots/abc/mnist/train-00000-of-00001.parquet"
    write_parquet(place, [png(i) for i in random_images(12, (28, 28))], [*list(range(10)), 3, 3])
    picked = pick()
    assert picked.labels[0] == 7
    assert "at hand" in picked.reason
    assert len(picked.images) == 10


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match=r"unknown dataset 'mnits'; give mnist, fashion-mnist, builtin"):
        find("mnits", "train")
    with pytest.raises(UsageError, match="unknown split"):
        find("builtin", "validation")


def test_builtin_picks_agree_with_the_whole() -> None:
    whole = open_dataset("builtin", "test")
    assert whole.images.shape == (10_000, 28, 28)
    assert np.bincount(whole.labels).tolist() == [1000] * 10
    picked = pick("builtin", "test", index=4321, others=2)
    assert np.array_equal(picked.images[0] * 255, whole.images[4321])
    assert picked.labels[0] == whole.labels[4321]


def test_nothing_given_and_no_network_gives_handwriting() -> None:
    picked = pick()
    assert picked.labels[0] == 7
    assert sorted(picked.labels) == list(range(10))
    assert "neither cached nor reachable" in picked.reason


def test_picks_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="--index and --digit exclude"):
        pick("builtin", index=1, digit=2)
    with pytest.raises(UsageError, match="--image and --dataset"):
        pick("builtin", image=Path("x.png"))
    with pytest.raises(DataError, match="has 10,000 images, so there is no image 10000"):
        pick("builtin", "test", index=10_000)
    with pytest.raises(DataError, match="no image of class 12"):
        pick("builtin", digit=12)


@pytest.mark.shared_data
def test_the_lessons_three(shared_data: Path) -> None:
    picked = pick(str(shared_data / "mnist"), "train", index=7)
    assert picked.labels[0] == 3
    assert picked.labels[1:] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    window = picked.images[0][3:6, 14:17]
    assert window[2].sum() - window[0].sum() == pytest.approx(2.984, abs=5e-4)
    assert pick(str(shared_data / "fashion_mnist"), "test").images.shape == (10, 28, 28)
