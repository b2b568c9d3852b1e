"""What `sheetconv receptive-field` answers: opened network, table, one unit, proof; as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.errors import UsageError
from sheetconv.formulas.paths import flat_unit, path_counts
from sheetconv.formulas.source import Source
from sheetconv.graph.tensor import Tensor
from sheetconv.inspect.fields import boxes, report
from sheetconv.inspect.fields.added import add_sheet, facts
from sheetconv.inspect.fields.effective import Effective, centre_unit, effective, images_for
from sheetconv.inspect.fields.foreign import measure
from sheetconv.inspect.fields.network import TracedNetwork, is_ours, of_book, of_model
from sheetconv.inspect.fields.proof import Proof, prove

_BOOKS = (".xlsx", ".xlsm")
_MOST_LINES = 50


def opened(
    name: str, weights: Path | None = None, input_shape: tuple[int, ...] | None = None
) -> TracedNetwork:
    """The network of a model's name, a Python file's object or one of our workbooks."""
    if name.lower().endswith(_BOOKS):
        if weights is not None or input_shape is not None:
            raise UsageError("--weights and --input-shape go with a model; a workbook has its own")
        return of_book(Path(name))
    return of_model(name, weights, input_shape)


def is_foreign(name: str) -> bool:
    """Whether `name` is a workbook without a manifest. Raises `WorkbookError` where it cannot be read."""
    return name.lower().endswith(_BOOKS) and not is_ours(Path(name))


def foreign_text(name: str, image: str | None, layer: str | None, unit: str | None, as_json: bool) -> str:
    """The answer for a workbook of someone else's: what its formulas show."""
    found = measure(Path(name), image)
    chosen = found.blocks
    box = None
    if layer:
        with Source(Path(name)) as source:
            block = found.block(layer, source.sheets)
        chosen = [block]
        if unit:
            at = [int(part) if part.strip().isdecimal() else -1 for part in unit.split(",")]
            hit: Any = np.flatnonzero((block.places == np.array(at[-2:])).all(1)) if len(at) > 1 else []
            if not len(hit):
                sizes = "×".join(map(str, block.row.shape))
                raise UsageError(
                    f"--unit {unit} is not in {block.row.layer}, whose shape is {sizes} (counted from 0)"
                )
            box = block.boxes[int(hit[0])]
    rows = [m.row for m in chosen]
    if as_json:
        document: dict[str, Any] = {
            "network": name,
            "image": str(found.image),
            "layers": [r.as_dict() for r in rows],
        }
        return json.dumps(document | ({"box": box} if unit else {}), indent=2, ensure_ascii=False)
    lines = [
        f"The image is taken to be {found.image} (--image names another); blocks of equal formulas are the layers."
    ]
    lines.append(report.table(rows))
    if unit:
        lines.append(f"unit {unit} of {rows[0].layer} sees {boxes.text(box)} of {found.image}")
    return "\n".join(lines)


class Fields:
    """The answer for a network, or for one layer or unit of it.

    Raises `UsageError` for a layer or unit that is not there.
    """

    def __init__(self, network: TracedNetwork, layer: str | None = None, unit: str | None = None) -> None:
        if unit and not layer:
            raise UsageError("--unit needs --layer, which says whose unit it is")
        self.network = network
        self.layer: Tensor | None = network.layer(layer) if layer else None
        self.unit = _unit(self.layer, unit) if self.layer is not None and unit else None
        self.rows = report.rows(network, None if self.layer is None else [self.layer])
        self.proof: Proof | None = None
        self.effective: Effective | None = None
        self.sheet = ""

    @property
    def proven(self) -> bool:
        """Whether a proof was made and holds."""
        return self.proof is not None and self.proof.agrees

    def prove(self, most: int) -> None:
        """Compare the three legs for every unit, at most `most` of a layer."""
        if most < 1:
            raise UsageError("--sample takes a number of units, 1 or more")
        self.proof = prove(self.network, None if self.layer is None else [self.layer], most)

    def weigh(self, images: int, dataset: str | None) -> Effective:
        """Find the effective field of the unit, by default the one in the middle of the layer."""
        if self.layer is None:
            raise UsageError(
                "an effective field is that of one unit; give --layer, and --unit for another than the middle one"
            )
        self.unit = self.unit or centre_unit(self.layer)
        self.effective = effective(
            self.network, self.layer, self.unit, images_for(self.network, dataset, images)
        )
        return self.effective

    def add_sheet(self, out: Path, *, force: bool) -> None:
        """Add the effective field to a copy of the workbook, as a sheet."""
        if self.network.path is None:
            raise UsageError("--add-sheet adds to a workbook; give one of ours in place of the model")
        assert self.effective is not None
        self.sheet = add_sheet(self.network.path, out, self.effective, report.rows(self.network), force=force)

    def box(self) -> boxes.Box | None:
        """The exact pixel box of the unit, None where it sees padding only."""
        assert self.layer is not None
        assert self.unit is not None
        pixels = self.network.pixels
        counts = path_counts(self.network.graph, self.layer, self.unit).get(pixels)
        if counts is None:
            return None
        return boxes.boxes_of((counts > 0).reshape(1, -1), pixels.shape, boxes.spatial(pixels))[0]

    def text(self) -> str:
        """For people."""
        lines = [report.table(self.rows)]
        if self.unit is not None and self.layer is not None:
            lines.append(
                f"unit {','.join(map(str, self.unit[1:]))} of {self.layer.name} sees {boxes.text(self.box())}"
            )
        if self.effective is not None:
            lines += _said(self.effective)
        if self.sheet:
            lines.append(f"added the sheet {self.sheet!r}")
        if self.proof is not None:
            lines += [str(d) for d in self.proof.disagreements[:_MOST_LINES]]
            lines.append(self.proof.verdict())
        return "\n".join(lines)

    def json(self) -> str:
        """The same, with every disagreement."""
        pixels = self.network.pixels
        document: dict[str, Any] = {
            "network": self.network.name,
            "input": list(pixels.shape[1:]),
            "layers": [row.as_dict() for row in self.rows],
        }
        if self.unit is not None and self.layer is not None:
            document["unit"] = {"layer": self.layer.name, "index": list(self.unit[1:]), "box": self.box()}
        if self.effective is not None:
            found = self.effective
            document["effective"] = {
                "images": found.images.source,
                "active_in": found.active,
                **{
                    key: {"map": getattr(found, key).tolist()} | (vars(say) if say else {})
                    for key, say in found.say.items()
                },
            }
        if self.proof is not None:
            document["proof"] = {
                "agrees": self.proof.agrees,
                "verdict": self.proof.verdict(),
                "units": self.proof.units,
                "of": self.proof.total,
                "uncut": self.proof.interior,
                "disagreements": [vars(d) for d in self.proof.disagreements],
            }
        return json.dumps(document, indent=2, ensure_ascii=False)


def _said(found: Effective) -> list[str]:
    lines = [
        f"effective field, over {found.images.source} (the unit has a gradient in {found.active} of them):"
    ]
    for key, say in found.say.items():
        lines.append(f"  {key:8}  " + "; ".join(facts(say)))
    return lines


def _unit(layer: Tensor, text: str) -> tuple[int, ...]:
    try:
        unit = (0, *(int(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(f"--unit {text!r} is not numbers such as 0,3,4") from None
    try:
        flat_unit(layer, unit)
    except UsageError:
        sizes = "×".join(map(str, layer.shape[1:]))
        raise UsageError(
            f"--unit {text} is not in {layer.name}, whose shape is {sizes} (counted from 0)"
        ) from None
    return unit
