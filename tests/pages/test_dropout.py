"""The Dropout page: every selector set through LibreOffice, against torch on the numbers in the cells."""

import re
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as f

from sheetconv.engines.libreoffice import LibreOffice
from sheetconv.errors import WorkbookError
from sheetconv.prove.verify import verify

NAMES = ["pooled", "fixed random numbers", "mask", "dropout", "zeros", "sum before", "sum after", "weight", "bias",
         "logits with dropout", "probabilities without dropout", "probabilities with dropout"]  # fmt: skip


@pytest.fixture(scope="module")
def page(lesson_page: Any) -> Any:
    return lesson_page("Dropout")


@pytest.mark.libreoffice
def test_selectors(page: Any) -> None:
    settings = [(0.5, 1, 1), (0.5, 4, 1), (0.2, 4, 1), (0.0, 2, 1), (0.9, 2, 1), (0.9, 2, 0)]
    steps = [page.set(p=p, draw=draw, training=training, source=0) for p, draw, training in settings]
    for (p, draw, training), found in zip(settings, page.drive(steps, NAMES), strict=True):
        x, table, mask, out, zeros, before, after, weight, bias, logits, plain, dropped = found
        kept = table[draw - 1] >= p
        np.testing.assert_array_equal(mask[0], kept)
        expected = x[0] * kept / (1 - p) if training else x[0]
        np.testing.assert_allclose(out[0], expected, rtol=1e-14)
        assert zeros.item() == (~kept).sum()
        assert abs(zeros.item() - p * 288) <= 4 * np.sqrt(288 * p * (1 - p)), "a fair draw"
        np.testing.assert_allclose([before.item(), after.item()], [x.sum(), expected.sum()], rtol=1e-12)
        flat = torch.from_numpy(expected.reshape(1, -1))
        wanted = f.linear(flat, torch.from_numpy(weight.reshape(10, -1)), torch.from_numpy(bias))
        np.testing.assert_allclose(logits, wanted.numpy(), rtol=1e-12)
        np.testing.assert_allclose(dropped, wanted.softmax(1).numpy(), rtol=1e-10, atol=1e-15)
        if p == 0 or not training:
            np.testing.assert_allclose(dropped, plain, rtol=1e-12, atol=1e-15)


@pytest.mark.libreoffice
def test_rand_draws_anew_and_the_proof_says_so(page: Any, tmp_path: Any) -> None:
    names = ["random numbers", "mask"]
    table, first, again, back = page.drive(
        [{}, page.set(source=1), page.set(p=0.3), page.set(source=0, p=0.5)], names
    )
    assert not np.array_equal(table[0], first[0])
    assert not np.array_equal(first[0], again[0])
    assert ((again[0] >= 0) & (again[0] < 1)).all()
    np.testing.assert_array_equal(again[1], again[0] >= 0.3)
    np.testing.assert_array_equal(back[0], table[0])
    out = tmp_path / "random.xlsx"
    LibreOffice().save_recalculated(page.path, out, page.set(source=1))
    with pytest.raises(
        WorkbookError, match=r"'Dropout'!\w+ is not 0, so Dropout.random numbers comes from RAND"
    ):
        verify(out, device="cpu")


def test_rand_is_the_only_volatile_function(page: Any) -> None:
    with zipfile.ZipFile(page.path) as package:
        sheets = "".join(
            package.read(n).decode() for n in package.namelist() if n.startswith("xl/worksheets/sheet")
        )
    formulas = re.findall(r"<f>([^<]*)</f>", sheets)
    assert not [t for t in formulas if re.search(r"\b(OFFSET|INDIRECT|NOW|TODAY|RANDBETWEEN|CELL|INFO)\(", t)]
    assert sum("RAND()" in t for t in formulas) == 288
