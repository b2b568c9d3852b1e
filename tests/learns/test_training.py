"""Gradients and one step in cells: autograd's numbers, in two engines, for other numbers in the typed cells too."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from learns.edits import edited, place
from learns.modules import MODULES, seeded

from sheetconv.building import Request, build
from sheetconv.engines import get
from sheetconv.errors import UsageError
from sheetconv.models import load_model, shipped
from sheetconv.prove.verify import verify
from sheetconv.sheet.manifest import Manifest, read_manifest
from sheetconv.sheet.weights import read_weights
from sheetconv.xlsx.cells import Book, numbers

F = torch.nn.functional


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("training") / "example.xlsx"
    request = Request(path, "conv-example", dataset="builtin", digit=3, with_gradients=True, verify=False)
    build(request)
    return path


def manifest_of(path: Path) -> Manifest:
    with Book(path) as opened:
        return read_manifest(opened, path)


def computed(
    path: Path, names: list[str], typed: Mapping[str, float] | None = None, engine: str = "ironcalc"
) -> dict[str, np.ndarray]:
    """What an engine computes for tensors, in torch's shapes, with other numbers in some cells ('Sheet'!A1)."""
    from sheetconv.xlsx.a1 import parse_cell

    manifest = manifest_of(path)
    places = [manifest.places[manifest.graph[name]] for name in names]
    changed: dict[str, dict[tuple[int, int], float]] = {}
    for at, value in (typed or {}).items():
        sheet, _, cell = at.rpartition("!")
        changed.setdefault(sheet.strip("'"), {})[parse_cell(cell)] = value
    blocks = get(engine).evaluate(path, [(p.sheet, p.box()) for p in places], changed or None)
    found = {}
    for name, p, block in zip(names, places, blocks, strict=True):
        rows, columns = np.broadcast_arrays(*p.cells())
        r0, c0, _, _ = p.box()
        found[name] = numbers(block)[rows - r0, columns - c0].reshape(p.tensor.state_shape)
    return found


def example() -> tuple[torch.nn.Module, torch.Tensor]:
    from sheetconv.data.pick import pick

    module, _ = load_model("conv-example", shipped("conv-example"))
    return module.double().eval(), torch.from_numpy(
        pick("builtin", "train", digit=3).images[:1].reshape(1, 1, 28, 28)
    )


@pytest.mark.parametrize("engine", ["ironcalc", "formualizer"])
def test_gradients_and_step_are_torchs(book: Path, engine: str) -> None:
    module, image = example()
    image.requires_grad_()
    parameters = dict(module.named_parameters())
    for name, numbers_in_cells in computed(
        book, list(parameters)
    ).items():  # float32 weights in their shortest digits
        parameters[name].data.copy_(torch.from_numpy(numbers_in_cells))
    loss = -module(image)[0, 5].log()
    expected = torch.autograd.grad(loss, [image, *parameters.values()])
    names = [
        "grad.input",
        *(f"grad.{name}" for name in parameters),
        *(f"after.{name}" for name in parameters),
    ]
    rate = 0.003
    typed = {place(book, "labels", 0): 5.0, place(book, "learning rate", 0): rate}
    found = computed(book, [*names, "loss", "after.loss"], typed, engine)
    for name, gradient in zip(names, expected, strict=False):
        assert float(gradient.abs().max()) > 1e-6
        assert np.abs(found[name] - gradient.numpy()).max() <= 1e-12 * float(gradient.abs().max()), name
    optimiser = torch.optim.SGD(module.parameters(), lr=rate)
    for parameter, gradient in zip(parameters.values(), expected[1:], strict=True):
        parameter.grad = gradient
    optimiser.step()
    for name, parameter in parameters.items():
        assert np.abs(found[f"after.{name}"] - parameter.detach().numpy()).max() <= 1e-12
    assert found["loss"].item() == pytest.approx(loss.item(), rel=1e-12)
    assert found["after.loss"].item() == pytest.approx(-module(image)[0, 5].log().item(), rel=1e-11)
    off = computed(book, ["after.loss", "loss"], typed | {place(book, "use the new weights", 0): 0.0}, engine)
    assert off["after.loss"] == off["loss"]


def test_finite_differences_by_formulas(book: Path) -> None:
    typed = {place(book, "labels", 0): 5.0, place(book, "learning rate", 0): 1e-8}
    found = computed(book, ["promised", "fall", "grad.conv1.weight"], typed)
    assert found["fall"].item() == pytest.approx(found["promised"].item(), rel=1e-6)
    at, step = (1, 0, 2, 1), 1e-5
    cell = place(book, "conv1.weight", *at)
    weight = load_model("conv-example", shipped("conv-example"))[0].conv1.weight[at].item()  # type: ignore[operator, index]
    high, low = (computed(book, ["loss"], typed | {cell: weight + s})["loss"].item() for s in (step, -step))
    assert (high - low) / (2 * step) == pytest.approx(found["grad.conv1.weight"][at], rel=1e-6)


def test_it_is_small_and_verifies(book: Path) -> None:
    assert book.stat().st_size <= 1_000_000
    report = verify(book)
    assert report.agrees
    assert report.largest <= 1e-12


def test_names_are_told_apart_and_weights_come_back(book: Path) -> None:
    with zipfile.ZipFile(book) as archive:
        names = re.findall(r'<definedName name="(net_[^"]*)"', archive.read("xl/workbook.xml").decode())
    assert len(names) == len({n.lower() for n in names})
    assert len(names) > 50
    state = load_model("conv-example", shipped("conv-example"))[0].state_dict()
    assert all(
        np.array_equal(v.astype(np.float32), state[k].numpy()) for k, v in read_weights(book).values.items()
    )


def test_a_planted_fault_is_found(book: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.xlsx"
    edited(book, broken, {place(book, "grad.conv2", 0, 1, 3, 3): "0.25"})
    report = verify(broken)
    assert not report.agrees
    assert "grad.conv2" in report.verdict()


def test_the_label_follows_the_image(book: Path) -> None:
    labels = computed(book, ["labels"])["labels"]
    pick = place(book, "pick", 0)
    for number in (4,):
        assert computed(book, ["label"], {pick: number})["label"].item() == labels[number - 1]


@pytest.mark.parametrize(
    "name", ["overlapping max-pool", "batch-norm", "transposed convolution", "upsampling and crop"]
)
def test_modules_in_a_workbook(name: str, tmp_path: Path) -> None:
    make, shape = MODULES[name]
    check_module(seeded(make), shape, tmp_path, monkey=name)


def check_module(module: torch.nn.Module, shape: tuple[int, ...], tmp_path: Path, monkey: str) -> None:
    """A workbook with a squared error's gradients, made from the graph itself, proven in an engine."""
    from sheetconv.compile.capture import capture
    from sheetconv.data.pick import Picked
    from sheetconv.pages.workbook import write_pages
    from sheetconv.template import of_network

    flat = torch.nn.Sequential(module, torch.nn.Flatten(), torch.nn.LazyLinear(3, dtype=torch.float64))
    with torch.no_grad():
        flat(torch.zeros(1, *shape, dtype=torch.float64))
    graph = capture(flat, (1, *shape))
    images = np.random.default_rng(1).standard_normal((1, *shape)).round(1)
    path = tmp_path / "module.xlsx"
    write_pages(
        path, of_network(monkey), Picked(images, [None], ["x"], "random", ""), graph, gradients=True, label=2
    )
    report = verify(path)
    assert report.agrees, report.verdict()
    assert report.largest <= 1e-12


def test_options_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--with-gradients"):
        build(Request(tmp_path / "a.xlsx", "conv-example", dataset="builtin", label=3))
    with pytest.raises(UsageError, match="one network"):
        build(Request(tmp_path / "a.xlsx", dataset="builtin", with_gradients=True))
