"""Names for tensors: from the titles beside their blocks where these are words, else from what they do."""

from __future__ import annotations

import builtins
import keyword
import re

import numpy as np

from sheetconv.formulas.source import Source
from sheetconv.inspect.recover.cells import split
from sheetconv.inspect.recover.network import RecoveredNetwork

At = tuple[int, int]
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{1,15}(?:[-_][A-Za-z0-9]{1,15}){0,2}", re.ASCII)
_GENERAL = {
    "channel",
    "map",
    "feature",
    "plane",
    "kernel",
    "filter",
    "weights",
    "bias",
    "unit",
    "the",
    "a",
    "of",
    "ch",
}
_TAKEN = {
    "self",
    "torch",
    "nn",
    "F",
    "Path",
    "steps",
    "forward",
    "load",
    "training",
    "weight",
    "bias",
    "type",
    "half",
}
_TAKEN |= {
    "double",
    "float",
    "apply",
    "train",
    "eval",
    "children",
    "modules",
    "parameters",
    "buffers",
    "input",
    "to",
}


def name_tensors(network: RecoveredNetwork, source: Source) -> None:
    """Give each tensor a name of its own that Python takes; texts of the workbook give single words only."""
    texts: dict[str, dict[At, str]] = {
        sheet: {
            (row, column): value
            for row, column, value in source.cells(sheet).listed()
            if isinstance(value, str) and (row, column) not in source.formulas(sheet)
        }
        for sheet in source.sheets
    }
    used: set[str] = set()
    for tensor in network.tensors:
        kind = tensor.layer.kind if tensor.layer else ""
        word = _title(tensor.ids, texts, network) if kind in ("conv", "dense", "pool", "") else ""
        stem = (word if not hasattr(builtins, word) else "") or kind or "x"
        name, number = stem, 2
        if not word and kind:
            name, number = f"{stem}1", 2
        while (
            name in used
            or name in _TAKEN
            or keyword.iskeyword(name)
            or hasattr(builtins, name)
            or not name.isidentifier()
        ):
            name, number = f"{stem}{'_' if stem[-1].isdigit() else ''}{number}", number + 1
        used.add(name)
        tensor.name = name


def _title(ids: np.ndarray, texts: dict[str, dict[At, str]], network: RecoveredNetwork) -> str:
    """The first word of the text just above, or left of, the first cell."""
    sheet, row, column = (int(part) for part in split(ids.ravel()[0]))
    here = texts[network.cells.sheets[sheet]]
    for at in (*((row - k, column) for k in range(1, 5)), (row, column - 1), (row, column - 2)):
        word = _WORD.match(here[at].strip()) if at in here else None
        if word and word.group().lower() not in _GENERAL:
            return word.group().lower().replace("-", "_")
    return ""
