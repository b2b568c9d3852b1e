"""The Python API: every public name is there, documented and true; results show themselves in a notebook."""

import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import sheetconv
from sheetconv.errors import UsageError
from sheetconv.train.callbacks import ActivationStats, Metrics, Progress

PNG = b"\x89PNG\r\n\x1a\n"
README = Path(__file__).resolve().parents[1] / "README.md"
MODULES = ("sheetconv.api", "sheetconv.notebook.pictures", "sheetconv.notebook.html")


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = importlib.import_module(module)
    tests = sorted(doctest.DocTestFinder().find(found), key=lambda test: test.lineno or 0)
    tests.sort(key=lambda test: not test.name.endswith(".build"))  # the workbook that the others read
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in tests:
        test.globs |= {"np": np}
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
    assert runner.tries > 0


@pytest.mark.parametrize("name", sheetconv.__all__)
def test_every_public_name_is_reachable_and_documented(name: str) -> None:
    value = getattr(sheetconv, name)
    assert name in dir(sheetconv)
    assert len(inspect.getdoc(value) or "") > 30
    assert f"`{name}`" in README.read_text(encoding="utf-8")
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


def test_the_import_loads_nothing_heavy_and_build_stays_a_function() -> None:
    code = (
        "import sys, sheetconv; heavy = {'torch', 'numpy', 'matplotlib', 'scipy'} & set(sys.modules); assert not heavy, heavy;"
        "import sheetconv, sheetconv.building; assert callable(sheetconv.build)\n"
        "try: sheetconv.build('x.xlsx', nothing=1)\n"
        "except sheetconv.SheetconvError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "build has no option 'nothing'" in done.stdout


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sheetconv", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("sheetconv, version")


def test_pictures_hold_the_numbers_that_they_were_given() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU())
    maps = sheetconv.show_maps(net, np.ones((28, 28)), "1")
    shown = [axis.images[0].get_array() for axis in maps.figure.axes]
    with torch.no_grad():
        expected = net(torch.ones(1, 1, 28, 28))[0].numpy()
    assert np.allclose(np.stack(shown), expected)
    kernels = sheetconv.show_kernels(net[0])
    assert np.allclose([a.images[0].get_array() for a in kernels.figure.axes], net[0].weight.detach()[:, 0])
    assert [
        axis.get_title() for axis in sheetconv.show_images(np.eye(4)[None].repeat(2, 0), "ab").figure.axes
    ] == ["a", "b"]
    assert maps._repr_png_().startswith(PNG)
    with pytest.raises(UsageError, match="no images"):
        sheetconv.show_images([])
    with pytest.raises(UsageError, match="no image"):
        sheetconv.show_image(np.zeros(3))
    with pytest.raises(UsageError, match="no module 'other'"):
        sheetconv.show_maps(net, np.ones((28, 28)), "other")


def learner(*callbacks: object) -> sheetconv.Learner:
    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8)
    data = torch.utils.data.TensorDataset(images.float() / 255, torch.arange(64) % 4)
    loaders = [torch.utils.data.DataLoader(data, 16) for _ in range(2)]
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4), torch.nn.ReLU())
    return sheetconv.Learner(
        net, sheetconv.DataLoaders(*loaders), torch.nn.functional.cross_entropy, 0.05, [*callbacks]
    )


def test_learners_and_loaders_say_what_they_are() -> None:
    learn = learner()
    assert repr(learn) == "<Learner of Sequential with 260 parameters; callbacks: none>"
    assert repr(learn.dls) == "<DataLoaders: 4 batches to train on, 4 batches to validate on>"
    assert learn.dls._repr_png_().startswith(PNG)


def test_activations_are_counted_and_drawn() -> None:
    torch.manual_seed(0)
    stats = ActivationStats(["2"])
    learner(stats).fit(1)
    assert len(stats.histograms["2"]) == 4
    assert stats.histograms["2"].sum(1).max() == 16 * 4
    assert sheetconv.show_activations(stats)._repr_png_().startswith(PNG)


def test_a_running_fit_shows_one_picture_and_updates_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, bytes]] = []

    class Handle:
        def update(self, data: dict, raw: bool = False) -> None:
            assert raw
            calls.append(("update", data["image/png"]))

    def display(data: dict, raw: bool = False, display_id: bool = False) -> Handle:
        assert raw
        assert display_id
        calls.append(("display", data["image/png"]))
        return Handle()

    fake = type(sys)("IPython.display")
    fake.display = display
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    learner(Metrics(), Progress(plot=True)).fit(2)
    assert [kind for kind, _ in calls] == ["display", "update", "update"]
    assert all(png.startswith(PNG) for _, png in calls)
    assert calls[1][1] != calls[2][1]
