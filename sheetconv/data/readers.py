"""Where rows of (image, label) come from: parquet and Arrow tables, class folders, IDX files.

A reader knows how many rows there are and their labels cheaply, and decodes images only when asked for them.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sheetconv.data.decode import MAX_BYTES, decode
from sheetconv.errors import DataError
from sheetconv.files import check_source

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
MOST_BYTES = 256 << 20  # of one image's file
_LABELS = ("label", "labels", "class", "category", "target", "digit", "fine_label", "y")


class DatasetReader(Protocol):
    """One split of a dataset, opened lazily."""

    files: list[Path]

    def read_labels(self) -> tuple[np.ndarray, list[str]]:
        """Labels int64 (N,) and the class names (empty where the files give none)."""

    def read_images(self, rows: Sequence[int] | None = None) -> np.ndarray:
        """uint8 (N, H, W) or (N, H, W, 3): of all rows, or of the given ones in their order."""


@dataclass
class TableReader:
    """Parquet or Arrow files with an image column (bytes, or a struct that has them) and a label column.

    The label column is `label_column` where that is given, else the hub's ClassLabel, else the one whose name says so.
    """

    files: list[Path]
    label_column: str | None = None
    _tables: dict[str, Any] = field(default_factory=dict)

    def read_labels(self) -> tuple[np.ndarray, list[str]]:
        """Labels and names; text labels are numbered in their alphabetical order."""
        import pyarrow as pa

        _, column = self._columns()
        values = self._column(column)
        if values.null_count:
            raise DataError(f"{self.files[0]}: {values.null_count} rows have no label in column {column!r}")
        if pa.types.is_integer(values.type):
            return values.to_numpy().astype(np.int64), self._names(column)
        text = np.asarray(values.to_pylist())
        names, numbers = np.unique(text, return_inverse=True)
        return numbers.astype(np.int64), [str(name) for name in names]

    def read_images(self, rows: Sequence[int] | None = None) -> np.ndarray:
        """Decode the image column, or only the given rows of it."""
        import pyarrow as pa

        values = self._column(self._columns()[0])
        if rows is not None:
            values = values.take(pa.array(list(rows), pa.int64()))
        values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        if pa.types.is_struct(values.type):
            values = values.field("bytes")
        blobs = values.to_pylist()
        for i, blob in enumerate(blobs):
            if blob is None:
                raise DataError(f"{self.files[0]}: row {rows[i] if rows else i} holds no image bytes")
        return decode(blobs, "image {}".format if rows is None else lambda i: f"image {rows[i]}")

    def _schema(self) -> Any:
        import pyarrow as pa

        if "schema" not in self._tables:
            path = self.files[0]
            try:
                if path.suffix == ".arrow":
                    self._tables["schema"] = _arrow(path).schema
                else:
                    import pyarrow.parquet as pq

                    self._tables["schema"] = pq.read_schema(path)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error
        return self._tables["schema"]

    def _column(self, name: str) -> Any:
        import pyarrow as pa

        if name not in self._tables:
            chunks: list[Any] = []
            for path in self.files:
                try:
                    if path.suffix == ".arrow":
                        table = _arrow(path).select([name])
                    else:
                        import pyarrow.parquet as pq

                        table = pq.ParquetFile(path, memory_map=True).read([name], use_threads=True)
                    chunks.extend(table.column(name).chunks)
                except (pa.ArrowException, OSError, KeyError) as error:
                    raise DataError(f"{path} cannot be read: {error}") from error
            self._tables[name] = pa.chunked_array(chunks, self._schema().field(name).type)
        return self._tables[name]

    def _features(self) -> dict[str, Any]:
        try:
            found = json.loads((self._schema().metadata or {})[b"huggingface"])["info"]["features"]
        except (KeyError, ValueError, TypeError):
            return {}
        return found if isinstance(found, dict) else {}

    def _names(self, column: str) -> list[str]:
        feature = self._features().get(column)
        names = feature.get("names") if isinstance(feature, dict) else None
        return [str(name) for name in names] if isinstance(names, list) else []

    def _columns(self) -> tuple[str, str]:
        """Names of the image column and the label column."""
        import pyarrow as pa

        schema, features = self._schema(), self._features()
        kinds = {name: f.get("_type") for name, f in features.items() if isinstance(f, dict)}

        def holds_bytes(kind: Any) -> bool:
            if pa.types.is_struct(kind):
                return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
            return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

        images = [f.name for f in schema if holds_bytes(f.type)]
        images.sort(key=lambda name: (kinds.get(name) != "Image", name not in ("image", "img")))
        if not images:
            raise DataError(
                f"{self.files[0]} has no image (bytes) column; its columns: {', '.join(schema.names)}"
            )
        return images[0], self._label(kinds)

    def _label(self, kinds: dict[str, Any]) -> str:
        """The name of the label column."""
        import pyarrow as pa

        fit = [f.name for f in self._schema() if pa.types.is_integer(f.type) or pa.types.is_string(f.type)]
        fit += [f.name for f in self._schema() if pa.types.is_large_string(f.type)]
        whole = [f.name for f in self._schema() if pa.types.is_integer(f.type)]
        if self.label_column is not None:
            if self.label_column not in fit:
                raise DataError(
                    f"{self.files[0]} has no column {self.label_column!r} of whole numbers or text; it has:"
                    f" {', '.join(fit) or 'none'}"
                )
            return self.label_column
        found = [name for name in fit if kinds.get(name) == "ClassLabel"]
        for named in _LABELS:
            found += [name for name in fit if name.lower() == named]
        if found:
            return found[0]
        if len(whole) == 1:
            return whole[0]
        if whole:
            raise DataError(
                f"{self.files[0]}: which column holds the labels? Name it with --label-column: {', '.join(fit)}"
            )
        raise DataError(
            f"{self.files[0]} has no label (integer) column; its columns: {', '.join(self._schema().names)}"
        )


def _arrow(path: Path) -> Any:
    import pyarrow as pa

    source = pa.memory_map(str(path))
    try:
        return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(source).read_all()


@dataclass
class FolderReader:
    """One sub-folder per class; `names` are those of all splits, so that numbers agree between them."""

    files: list[Path]
    names: list[str]

    def read_labels(self) -> tuple[np.ndarray, list[str]]:
        """The number of each file's folder among the sorted class names."""
        number = {name: i for i, name in enumerate(self.names)}
        return np.array([number[f.parent.name] for f in self.files], np.int64), self.names

    def read_images(self, rows: Sequence[int] | None = None) -> np.ndarray:
        """Decode all files, or the given ones."""
        files = self.files if rows is None else [self.files[i] for i in rows]
        for file in files:
            check_source(file, MOST_BYTES)
        try:
            return decode([f.read_bytes() for f in files], lambda i: str(files[i]))
        except OSError as error:
            raise DataError(f"cannot read {error.filename}: {error.strerror}") from error


@dataclass
class IdxReader:
    """A pair of IDX files (the format of MNIST's own site), packed with gzip or not."""

    files: list[Path]

    def read_labels(self) -> tuple[np.ndarray, list[str]]:
        """Labels from the second file."""
        labels = read_idx(self.files[1])
        if labels.ndim != 1:
            raise DataError(f"{self.files[1]} holds {labels.ndim} axes; labels need one")
        return labels.astype(np.int64), []

    def read_images(self, rows: Sequence[int] | None = None) -> np.ndarray:
        """Images from the first file."""
        images = read_idx(self.files[0])
        if images.ndim not in (3, 4) or images.dtype != np.uint8:
            raise DataError(f"{self.files[0]} does not hold images: {images.ndim} axes of {images.dtype}")
        if rows is not None and max(rows, default=0) >= len(images):
            raise DataError(f"{self.files[0]} holds {len(images):,} images; {self.files[1]} has more labels")
        return images if rows is None else images[list(rows)]


def _packed(path: Path) -> bool:
    """Whether a file is gzip's, whatever its name: browsers unpack or rename."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file: two zero bytes, type, number of axes, big-endian sizes, values. Bounded.

    Raises `DataError` where the file is missing, truncated, too large, or something else.
    """
    check_source(path)
    try:
        with gzip.open(path) if _packed(path) else path.open("rb") as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES or not 1 <= head[3] <= 4:
                raise DataError(f"{path} is not an IDX file")
            raw = stream.read(4 * head[3])
            sizes = np.frombuffer(raw[: len(raw) // 4 * 4], ">u4").astype(object)
            dtype = np.dtype(_IDX_TYPES[head[2]])
            count = int(np.prod(sizes)) * dtype.itemsize
            if 4 * len(sizes) != len(raw) or len(sizes) != head[3] or count > MAX_BYTES:
                raise DataError(f"{path} is damaged or larger than {MAX_BYTES >> 30} GiB")
            body = stream.read(count + 1)
    except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise DataError(f"cannot read {path}: {error}") from error
    if len(body) != count:
        raise DataError(f"{path} says {'×'.join(map(str, sizes))} values but holds {len(body):,} bytes")
    return np.frombuffer(body, dtype).reshape([int(n) for n in sizes])
