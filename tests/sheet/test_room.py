"""The rooms that make a workbook import one way; what does not fit is refused before anything is written."""

import ast
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import sheetconv
from sheetconv.compile.capture import capture
from sheetconv.data.pick import Picked
from sheetconv.errors import LimitError
from sheetconv.pages.workbook import write_network
from sheetconv.sheet import manifest
from sheetconv.sheet.layout import arrange

ROOT = Path(sheetconv.__file__).parent


def imports() -> dict[str, set[str]]:
    """What each module of the rooms imports of them, inside functions and for types too."""
    files = [*ROOT.glob("sheet/*.py"), *ROOT.glob("pages/*.py"), ROOT / "template.py", ROOT / "building.py"]
    names = {".".join(("sheetconv", *f.relative_to(ROOT).with_suffix("").parts)): f for f in files}
    names = {name.removesuffix(".__init__"): file for name, file in names.items()}
    found: dict[str, set[str]] = {}
    for name, file in names.items():
        read = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                read |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        found[name] = (read & names.keys()) - {name}
    return found


def test_no_circle_among_the_modules_that_make_a_workbook() -> None:
    left = imports()
    assert len(left) > 40
    while left:
        free = {name for name, read in left.items() if not read & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        for name in free:
            del left[name]


def test_wide_kernels_wrap_into_columns() -> None:
    """One column of tiles would need 2048 × 513 rows, more than a sheet has."""
    module = nn.Conv2d(512, 2048, 1, bias=False)
    layout = arrange(capture(module, (1, 512, 2, 2)), "Network")
    weight = next(p for t, p in layout.places.items() if t.kind == "parameter")
    assert weight.height <= 4096
    rows, columns = np.broadcast_arrays(*weight.cells())
    assert len(set(zip(rows.reshape(-1).tolist(), columns.reshape(-1).tolist(), strict=True))) == 512 * 2048


def test_too_much_is_refused_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MAX_ELEMENTS", 50)
    graph = capture(nn.Conv2d(1, 2, 3), (1, 1, 6, 6))
    picked = Picked(np.zeros((1, 1, 6, 6)), [None], ["zeros"], "zeros", "a test")
    with pytest.raises(LimitError, match=r"88 numbers in 4 tensors.*at most 50"):
        write_network(tmp_path / "b.xlsx", graph, picked, "t")
    assert not list(tmp_path.iterdir())
