"""What the commands do, as functions: files by name, results as objects that print and that a notebook shows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sheetconv.errors import UsageError

if TYPE_CHECKING:
    from sheetconv.building import Built
    from sheetconv.data.photo import Steps
    from sheetconv.inspect.lint import Finding
    from sheetconv.inspect.recover.prove import RecoveryReport as Recovered
    from sheetconv.notebook.pictures import Picture
    from sheetconv.prove.verify import Report

PathLike = str | Path
_FILES = ("weights", "image", "input", "show")


def build(output: PathLike, template: str | None = None, **options: Any) -> Built:
    """Build a workbook and prove it, as `sheetconv build-workbook` does.

    `options` are that command's: `model`, `weights`, `dataset`, `split`, `index`, `digit`, `image` (one or several),
    `nth`, `input`, `random_input`, `input_shape`, `pages`, `engine`, `verify`, `force` and so on
    (`sheetconv.building.Request`). Raises the errors of the steps; nothing is left when one fails.

    >>> built = build("digit.xlsx", "conv-example", dataset="builtin", index=506)
    >>> built.report.agrees
    True
    """
    from dataclasses import fields

    from sheetconv.building import Request
    from sheetconv.building import build as make

    known = {field.name for field in fields(Request)} - {"output", "template"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise UsageError(f"build has no option {unknown[0]!r}; it has {', '.join(sorted(known))}")
    for name in _FILES:
        if options.get(name) is not None:
            options[name] = _path(options[name])
    return make(Request(Path(output), template, **options))


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, (str, Path)) else [Path(one) for one in value]


def verify(book: PathLike, engine: str = "ironcalc", probes: int | None = None) -> Report:
    """Prove that every activation cell of a workbook is what torch computes; a notebook shows the table.

    >>> verify("digit.xlsx").verdict().partition(":")[0]
    'VERIFIED'
    """
    from sheetconv.prove.verify import verify as prove

    return prove(Path(book), engine, probes=probes)


@dataclass
class Traced:
    """Where a number comes from (or goes to): prints level by level; a notebook shows the cells as a picture."""

    book: Path
    cell: str
    text: str
    image: bytes

    def __repr__(self) -> str:
        return self.text

    def _repr_png_(self) -> bytes:
        return self.image


def trace(book: PathLike, cell: str, levels: int | None = None, *, dependents: bool = False) -> Traced:
    """Follow the formulas of any workbook from `cell` back to what it is computed from, or on to its `dependents`.

    >>> print(trace("digit.xlsx", "Network!FB8", levels=1).text.partition(chr(10))[0])
    Network!FB8: activation pool, channel 0, row 0, column 0
    """
    from sheetconv.formulas import precedents
    from sheetconv.formulas.cell_range import parse_area
    from sheetconv.formulas.naming import CellNames
    from sheetconv.formulas.source import Source
    from sheetconv.inspect.trace import output
    from sheetconv.inspect.trace.picture import draw

    with Source(Path(book)) as source, tempfile.TemporaryDirectory() as folder:
        start = parse_area(cell, source.sheets)
        if not dependents:
            precedents.check_formula(source, start)
        found = (precedents.dependents if dependents else precedents.trace)(source, start, levels)
        names = CellNames(source)
        text = "\n".join(output.as_text(found, names, "dependents" if dependents else "precedents"))
        target = Path(folder) / "trace.png"
        draw(source, found, target, names)
        return Traced(Path(book), cell, text, target.read_bytes())


@dataclass
class Field:
    """Receptive fields of a network: prints as a table; drawn in a notebook where one layer was asked for."""

    text: str
    image: bytes | None = None

    def __repr__(self) -> str:
        return self.text

    def _repr_png_(self) -> bytes | None:
        return self.image


def receptive_field(
    network: PathLike,
    layer: str | None = None,
    unit: str | None = None,
    *,
    weights: PathLike | None = None,
    input_shape: Sequence[int] | None = None,
    images: int = 16,
    dataset: str | None = "builtin",
) -> Field:
    """How much of the image each layer sees: of a network by name, a Python file's object, or a workbook.

    With `layer` the field of one of its units is drawn (`unit` such as "0,3,3", by default the middle one), weighed
    over `images` of `dataset`.

    >>> print(receptive_field("simple-cnn").text.partition(chr(10))[0].split()[0])
    layer
    """
    from sheetconv.inspect.fields.command import Fields, foreign_text, is_foreign, opened
    from sheetconv.inspect.fields.picture import draw

    if is_foreign(str(network)):
        return Field(foreign_text(str(network), None, layer, unit, False))
    shape = None if input_shape is None else tuple(input_shape)
    fields = Fields(opened(str(network), None if weights is None else Path(weights), shape), layer, unit)
    if layer is None:
        return Field(fields.text())
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "field.png"
        draw(fields.weigh(images, dataset), target)
        return Field(fields.text(), target.read_bytes())


class Findings(list["Finding"]):
    """The mistakes found in a workbook, a list; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        from sheetconv.notebook.html import table

        rows = [[str(f.area), f.message, f.expected, f.rule] for f in self]
        return table(["cells", "finding", "expected", "rule"], rows, f"{len(self)} findings")


def lint(book: PathLike) -> Findings:
    """The mistakes of a network sheet that someone built by hand.

    >>> lint("digit.xlsx")
    []
    """
    from sheetconv.formulas.source import Source
    from sheetconv.inspect.lint import lint as look

    with Source(Path(book)) as source:
        return Findings(look(source))


def recover(book: PathLike, output: PathLike, engine: str = "ironcalc", *, force: bool = False) -> Recovered:
    """Read a network back out of a workbook's formulas, as a torch module in a .py file, and prove it.

    >>> recover("digit.xlsx", "digit.py").agrees
    True
    """
    from sheetconv.inspect.recover import recover as read

    return read(Path(book), Path(output), engine, force=force)


@dataclass
class Digits:
    """Digits with their labels: `images` uint8 (N, H, W) or (N, H, W, 3), `labels` int64 (N,). A notebook shows them.

    One of them, `digits[3]`, is its array; `digits.picture()` has them all.
    """

    images: np.ndarray
    labels: np.ndarray
    names: list[str]
    source: str

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> np.ndarray:
        return np.asarray(self.images[number])

    def __repr__(self) -> str:
        return f"<{len(self)} images of {self.source}>"

    def picture(self) -> Picture:
        """All of them, up to 64, with their classes as titles."""
        from sheetconv.notebook.pictures import show_images

        return show_images(self.images, [self.names[label] for label in self.labels])

    def _repr_png_(self) -> bytes:
        return self.picture().png()


def load_digits(
    count: int = 16, dataset: str = "builtin", split: str = "train", label_column: str | None = None
) -> Digits:
    """The first `count` images of a data set: `builtin`, `mnist`, `fashion-mnist`, a hub id or a path.

    >>> digits = load_digits(3)
    >>> digits, digits[0].shape
    (<3 images of built-in handwriting, split train>, (28, 28))
    """
    from sheetconv.data.sources import find

    if count < 1:
        raise UsageError(f"{count} images are none; give 1 or more")
    source = find(dataset, split, label_column)
    labels, names = source.labels()
    rows = list(range(min(count, len(labels))))
    return Digits(source.reader.read_images(rows), labels[rows], names, source.source)


@dataclass
class Reading:
    """A digit read from a picture: `digit` float64 (28, 28), ink 1 on 0. A notebook shows the steps."""

    digit: np.ndarray
    steps: Steps

    def __repr__(self) -> str:
        return f"<a digit of {self.steps.photo.shape[1]}×{self.steps.photo.shape[0]} pixels, read as 28×28>"

    def _repr_png_(self) -> bytes:
        import io

        from sheetconv.data.steps import picture

        stream = io.BytesIO()
        picture([self.steps]).save(stream, "PNG")
        return stream.getvalue()


def read_photo(path: PathLike, nth: int | None = None) -> Reading:
    """The digit of a photograph or drawing as MNIST would hold it; `nth` from the left where there are several.

    >>> from PIL import Image
    >>> Image.fromarray(load_digits(1)[0]).resize((280, 280)).save("photo.png")
    >>> read_photo("photo.png").digit.shape
    (28, 28)
    """
    from sheetconv.data.image import read_image

    steps = read_image(Path(path), nth)
    return Reading(steps.digit, steps)
