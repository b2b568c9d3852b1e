"""Data as other people keep it: read right, or refused in a line that says what to do."""

import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from sheetconv.cli import main
from sheetconv.data.folder import open_path
from sheetconv.data.image import array_input
from sheetconv.data.pick import pick
from sheetconv.data.sources import find, open_dataset
from sheetconv.errors import DataError, UsageError

RNG = np.random.default_rng(5)


def png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def images(count: int = 4) -> np.ndarray:
    return RNG.integers(0, 256, (count, 6, 5), dtype=np.uint8)


def table(path: Path, **columns: list) -> Path:
    blobs = [png(image) for image in images()]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": [{"bytes": blob} for blob in blobs], **columns}), path)
    return path


def idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(head + values.tobytes())


def folders(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(3):
            (root / name / f"{i}.png").write_bytes(png(images(1)[0] // 2 + number))
    return root


def test_deep_and_transparent_pictures_keep_their_values(tmp_path: Path) -> None:
    grey = RNG.integers(0, 65_536, (9, 9)).astype(np.uint16)
    (tmp_path / "deep.png").write_bytes(png(grey))
    assert np.abs(array_input(tmp_path / "deep.png", (1, 9, 9))[0] - grey / 65_535).max() < 1e-6
    clear = np.zeros((9, 9, 4), np.uint8)
    clear[..., 3] = grey >> 8
    (tmp_path / "clear.png").write_bytes(png(clear))
    assert np.abs(array_input(tmp_path / "clear.png", (3, 9, 9)) - (1 - (grey >> 8) / 255)).max() < 1e-6


@pytest.mark.parametrize(
    ("columns", "labels", "names"),
    [
        (
            {"width": [28] * 4, "height": [28] * 4, "label": ["three", "one", "one", "two"]},
            [1, 0, 0, 2],
            "one",
        ),
        ({"image_id": [1000, 1001, 1002, 1003], "category": [2, 0, 1, 1]}, [2, 0, 1, 1], "0"),
        ({"Target": [3, 1, 0, 2]}, [3, 1, 0, 2], "0"),
    ],
)
def test_the_column_of_labels_is_known_by_its_name(
    tmp_path: Path, columns: dict[str, list], labels: list[int], names: str
) -> None:
    found, classes = find(str(table(tmp_path / "train.parquet", **columns)), "train").labels()
    assert found.tolist() == labels
    assert classes[0] == names


def test_a_column_that_nobody_can_guess_is_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path / "train.parquet", row=[9, 8, 7, 6], kind=[0, 1, 1, 0], word=["b", "a", "a", "b"])
    with pytest.raises(DataError, match="Name it with --label-column: row, kind, word"):
        find(str(path), "train").labels()
    for column in ("kind", "word"):
        assert sorted(set(open_dataset(str(path), "train", column).labels)) == [0, 1]
    with pytest.raises(DataError, match="no column 'size' of whole numbers or text; it has: row, kind, word"):
        find(str(path), "train", "size").labels()
    with pytest.raises(UsageError, match="names a column of a table"):
        find("builtin", "train", "kind")


def test_two_data_sets_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    for kind, label in (("digits", 1), ("letters", 2)):
        idx(tmp_path / f"e/emnist-{kind}-train-images-idx3-ubyte", images())
        idx(tmp_path / f"e/emnist-{kind}-train-labels-idx1-ubyte", np.full(4, label, np.uint8))
        table(tmp_path / f"p/{kind}/train-00000-of-00001.parquet", label=[label] * 4)
        table(tmp_path / f"q/{kind}-train.parquet", label=[label] * 4)
    for folder in "epq":
        with pytest.raises(DataError, match=r"holds 2 data sets.*digits.*letters"):
            open_path(tmp_path / folder, "train")
    for one in ("e/emnist-digits", "p/digits", "q/digits-train.parquet"):
        assert set(find(str(tmp_path / one), "train").labels()[0]) == {1}
    assert set(find(str(tmp_path / "p/letters"), "train").labels()[0]) == {2}


def test_shards_of_one_data_set_stay_together(tmp_path: Path) -> None:
    for i in range(2):
        table(tmp_path / f"data/train-0000{i}-of-00002.parquet", label=[i] * 4)
        table(tmp_path / f"loose/part-{i}.parquet", label=[i] * 4)
    assert len(find(str(tmp_path / "data"), "train").labels()[0]) == 8
    assert len(find(str(tmp_path / "loose"), "train").labels()[0]) == 8


def test_packed_without_saying_so_and_in_folders_of_their_names(tmp_path: Path) -> None:
    pixels, labels = images(), np.arange(4, dtype=np.uint8)
    for name, values in (("train-images-idx3-ubyte", pixels), ("train-labels-idx1-ubyte", labels)):
        idx(tmp_path / "a" / name / name, values)
        idx(tmp_path / "b" / name, values)
        packed = tmp_path / "b" / name
        packed.write_bytes(gzip.compress(packed.read_bytes()))
    for folder in "ab":
        reader = open_path(tmp_path / folder, "train")
        assert np.array_equal(reader.read_images(), pixels)
        assert reader.read_labels()[0].tolist() == [0, 1, 2, 3]


def test_hidden_and_damaged_files_of_folders(tmp_path: Path) -> None:
    root = folders(tmp_path / "d", "Train/a", "Train/b")
    (root / "Train/a/._0.png").write_bytes(b"\0\5\x16\7Mac OS X")
    assert len(open_path(root, "train").read_labels()[0]) == 6
    damaged = root / "Train/b/1.png"
    damaged.write_bytes(damaged.read_bytes()[:50])
    with pytest.raises(DataError, match=r"b/1.png is damaged"):
        open_path(root, "train").read_images()
    with pytest.raises(DataError, match=r"b/1.png is damaged"):
        open_path(root, "train").read_images([4])
    folders(root, "train/a")
    with pytest.raises(DataError, match="holds Train and train, both train; keep one"):
        open_path(root, "train")


def test_a_damaged_row_has_one_number_everywhere(tmp_path: Path) -> None:
    blobs = [png(image) for image in images(9)]
    blobs[7] = blobs[7][:50]
    rows = {"image": [{"bytes": blob} for blob in blobs], "label": [0, 1, 2] * 3}
    pq.write_table(pa.table(rows), tmp_path / "train.parquet")
    name = str(tmp_path / "train.parquet")
    with pytest.raises(DataError, match="image 7 is damaged"):
        open_dataset(name, "train")
    with pytest.raises(DataError, match="image 7 is damaged"):
        pick(name, index=7)


def test_control_characters_in_names_do_not_reach_a_sheet(tmp_path: Path) -> None:
    for name in ("nice\x07bell", "plain"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for i in range(5):
            pixels = RNG.integers(0, 256, (28, 28), dtype=np.uint8)
            (tmp_path / "d" / name / f"{i}.png").write_bytes(png(pixels))
    target = tmp_path / "book.xlsx"
    command = [
        "build-workbook",
        "conv-example",
        "--dataset",
        str(tmp_path / "d"),
        "--no-verify",
        "-o",
        str(target),
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    import openpyxl

    book = openpyxl.load_workbook(target, read_only=True)
    texts = [
        c for sheet in book for row in sheet.iter_rows(values_only=True) for c in row if isinstance(c, str)
    ]
    assert any("nice\\x07bell" in text for text in texts)
