"""What runs code: a model that the user names, and nothing that a file names."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from sheetconv.cli import main
from sheetconv.nets import simple_cnn
from sheetconv.train.folder import MARK

EVIL = """
import torch
open("RAN", "w").close()
class Net(torch.nn.Module):
    input_shape = (1, 28, 28)
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 3)
    def forward(self, x):
        return self.conv(x)
"""
DATA = ["--dataset", "builtin", "--digit", "3", "--no-verify", "-o", "out.xlsx"]


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments])
    assert result.exit_code in (1, 2), result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert "mistake of its own" not in result.stderr
    return result.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL)
    return tmp_path


def test_a_template_runs_no_file_unless_it_is_trusted(folder: Path) -> None:
    (folder / "evil.toml").write_text('model = "evil.py:Net"\n')
    line = refused("build-workbook", "evil.toml", *DATA)
    assert "--trust-template" in line
    assert "evil.py:Net" in line
    assert not (folder / "RAN").exists()
    done = CliRunner().invoke(main, ["build-workbook", "evil.toml", "--trust-template", *DATA])
    assert done.exit_code == 0, done.output
    assert (folder / "RAN").exists()
    assert (folder / "out.xlsx").exists()


def test_a_page_runs_no_file(folder: Path) -> None:
    (folder / "evil.toml").write_text('[[page]]\nkind = "network"\nnet = "evil.py:Net"\n')
    refused("build-workbook", "evil.toml", "--trust-template", *DATA)
    assert not (folder / "RAN").exists()


def test_the_folder_of_a_run_runs_no_file(folder: Path) -> None:
    about = {"made_by": MARK, "settings": {"net": "evil.py:Net"}}
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text(json.dumps(about))
    assert "evil.py" in refused("evaluate", "run", "--dataset", "builtin")
    assert not (folder / "RAN").exists()


MODELS = {
    "exit": "import sys\nsys.exit(0)",
    "raise": "raise BaseException('no exception')",
    "generator": "def Net():\n    raise GeneratorExit",
    "meta": "import torch\ndef Net():\n    return torch.nn.Conv2d(1, 1, 3, device='meta')",
    "shape": "import torch\nclass Net(torch.nn.ReLU):\n    input_shape = 'abc'",
    "sizes": "import torch\nclass Net(torch.nn.ReLU):\n    input_shape = (1, 2.5)",
    "huge": "import torch\nclass Net(torch.nn.ReLU):\n    input_shape = (1, 10**6, 10**6)",
    "loop": "def Net():\n    return Net()",
    "forward": "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        raise SystemExit(0)",
}


@pytest.mark.parametrize("name", MODELS)
def test_models_that_fail(name: str, folder: Path) -> None:
    (folder / "model.py").write_text(MODELS[name])
    refused("build-workbook", "--model", "model.py:Net", "--random-input", "--no-verify", "-o", "out.xlsx")
    assert not (folder / "out.xlsx").exists()


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bool, torch.int32])
def test_weights_of_another_kind(dtype: torch.dtype, folder: Path) -> None:
    weights = simple_cnn().state_dict()
    weights["1.0.weight"] = weights["1.0.weight"].to(dtype)
    save_file(weights, "odd.safetensors")
    assert "1.0.weight" in refused("build-workbook", "simple-cnn", "--weights", "odd.safetensors", *DATA)


def test_requests_that_contradict_themselves(folder: Path) -> None:
    assert "--model" in refused("build-workbook", "conv-example", "--model", "mlp", *DATA)
    assert "empty" in refused("build-workbook", "conv-example", "--dataset", "", "-o", "out.xlsx")
    assert ".xlsx" in refused("build-workbook", "conv-example", "--dataset", "builtin", "-o", "y.csv")
