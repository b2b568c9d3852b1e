"""The Autoencoder page: the reconstruction is torch's, and a number added to the code changes it and goes away again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sheetconv.models import load_model, shipped
from sheetconv.nets import autoencoder
from sheetconv.pages.autoencoder import Adjustable


@pytest.fixture(scope="module")
def page(lesson_page: Any) -> Any:
    return lesson_page("Autoencoder")


@pytest.mark.libreoffice
def as_in_cells(net: torch.nn.Module) -> torch.nn.Module:
    """The network in float64 with the decimals that stand in the cells: the shortest for each float32."""
    shortest = {
        k: np.vectorize(lambda x: float(str(np.float32(x))))(v.numpy()) for k, v in net.state_dict().items()
    }
    net = net.double()
    net.load_state_dict({k: torch.from_numpy(v) for k, v in shortest.items()})
    return net


def test_a_number_added_to_the_code_changes_the_picture(page: Any) -> None:
    added = page.places["added"]
    rows, columns = np.broadcast_arrays(*added.cells())
    at = (0, 5, 2, 1)
    cell = (added.sheet, int(rows[at]), int(columns[at]))
    names = ["input", "relu3", "added", "sigmoid1", "mean squared error"]
    plain, changed, back = page.drive([{}, {cell: 3.0}, {cell: 0.0}], names)
    net, _ = load_model("autoencoder", shipped("digit-autoencoder"))
    net = as_in_cells(net)
    for image, code, extra, result, mean in (plain, changed):
        x = torch.from_numpy(image)
        with torch.no_grad():
            expected = net[4:](net[:4](x) + torch.from_numpy(extra))
        np.testing.assert_allclose(result, expected.numpy(), rtol=1e-11)
        np.testing.assert_allclose(code, plain[1], rtol=0)
        assert mean.item() == pytest.approx(float(((expected - x) ** 2).mean()), rel=1e-11)
    assert changed[2][at] == 3.0
    assert 10 < (np.abs(changed[3] - plain[3]) > 1e-6).sum() < 784, "a part of the picture, not all of it"
    np.testing.assert_array_equal(back[3], plain[3])


def test_nothing_added_is_the_network_itself() -> None:
    x = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    net = autoencoder()
    with torch.no_grad():
        torch.testing.assert_close(Adjustable(net)(x), net(x))


@pytest.mark.shared_data
def test_a_garment_where_it_is_at_hand(shared_data: Path, tmp_path: Path) -> None:
    from sheetconv.building import Request, build
    from sheetconv.template import folder
    from sheetconv.xlsx.cells import Book

    text = (folder() / "lesson.toml").read_text(encoding="utf-8")
    path = str(shared_data / "fashion_mnist").replace("\\", "/")
    template = tmp_path / "garment.toml"
    template.write_text(text.replace('garments = "fashion-mnist"', f'garments = "{path}"'), encoding="utf-8")
    out = tmp_path / "book.xlsx"
    report = build(Request(out, template=str(template), pages="Autoencoder", dataset="builtin")).report
    assert report is not None
    assert report.agrees, report.verdict()
    assert report.largest <= 1e-12
    mean = next(c for c in report.computed if c.tensor == "Autoencoder.mean squared error")
    assert mean.expected < 0.03, "the shipped weights know garments"
    with Book(out) as book:
        cells = book.cells("Autoencoder")
        assert any("Ankle boot" in str(cells.value(row, 1)) for row in range(40))
