"""Bad input: one clear line, exit code 1 or 2, no traceback, and nothing left in the folder."""

import errno
import json
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from sheetconv.building import Request, build
from sheetconv.cli import main
from sheetconv.nets import simple_cnn
from sheetconv.sheet.manifest import SHEET

NETS = """
import torch
from torch import nn
class Depends(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x
class Fourier(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Spectrum()
    def forward(self, x):
        return self.inner(x)
class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).abs()
class Fails(nn.Module):
    def __init__(self):
        raise RuntimeError("no such layer")
number = 3
"""


def refused(arguments: list[str], folder: Path, *parts: str) -> str:
    """The one line of the error; checks the exit code, the streams and the folder."""
    before = sorted(p.name for p in folder.iterdir())
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in (1, 2), result.output
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    line = result.stderr.strip()
    assert line.startswith("Error: ")
    assert "\n" not in line
    assert "Traceback" not in result.output
    assert sorted(p.name for p in folder.iterdir()) == before
    for part in parts:
        assert part in line, line
    return line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY garbage")
    (tmp_path / "bad.safetensors").write_bytes(b"garbage")
    (tmp_path / "broken.toml").write_text('model = "mlp"\ntitle = \n')
    (tmp_path / "unknown.toml").write_text('model = "mlp"\n\nkernel = 3\n')
    (tmp_path / "kind.toml").write_text('model = "mlp"\nfuse_relu = "yes"\n')
    (tmp_path / "empty.toml").write_text('title = "nothing"\n')
    wrong = simple_cnn().state_dict()
    wrong["1.0.weight"] = torch.zeros(8, 4, 5, 5)
    save_file(wrong, tmp_path / "wrong.safetensors")
    del wrong["1.0.weight"]
    save_file(wrong, tmp_path / "short.safetensors")
    return tmp_path


DATA = ["--dataset", "builtin", "--digit", "3"]
CASES = {
    "template": (["nothing", *DATA], ["nothing", "conv-example"]),
    "template file": (["missing.toml", *DATA], ["missing.toml"]),
    "template syntax": (["broken.toml", *DATA], ["broken.toml", "line 2"]),
    "template key": (["unknown.toml", *DATA], ["unknown.toml", "line 3", "kernel"]),
    "template kind": (["kind.toml", *DATA], ["kind.toml", "line 2", "fuse_relu"]),
    "template without model": (["empty.toml", *DATA], ["empty.toml", "model"]),
    "model": (["--model", "nothing", *DATA], ["nothing", "resnet20"]),
    "model file": (["--model", "missing.py:Net", *DATA], ["missing.py"]),
    "model attribute": (["--model", "nets.py:Nothing", *DATA], ["nets.py", "Nothing"]),
    "model kind": (["--model", "nets.py:number", *DATA], ["number", "int"]),
    "model fails": (["--model", "nets.py:Fails", *DATA], ["no such layer"]),
    "model does not export": (["--model", "nets.py:Depends", *DATA], ["Depends", "1×1×28×28"]),
    "operator": (["--model", "nets.py:Fourier", *DATA], ["fft", "inner", "sheetconv operators"]),
    "dataset": (["--dataset", "./nowhere"], ["nowhere"]),
    "index": (["--dataset", "builtin", "--index", "100000"], ["100000"]),
    "class": (["--dataset", "builtin", "--digit", "12"], ["12"]),
    "two choices": (["--dataset", "builtin", "--digit", "1", "--index", "2"], ["--index", "--digit"]),
    "image missing": (["--image", "missing.png"], ["missing.png"]),
    "image that is none": (["--image", "text.png"], ["text.png"]),
    "array": (["--model", "simple-cnn", "--input", "bad.npy"], ["bad.npy"]),
    "weights missing": (["simple-cnn", "--weights", "none.safetensors", *DATA], ["none.safetensors"]),
    "weights that are none": (["simple-cnn", "--weights", "bad.safetensors", *DATA], ["bad.safetensors"]),
    "weights of wrong shape": (
        ["simple-cnn", "--weights", "wrong.safetensors", *DATA],
        ["1.0.weight", "8×4×5×5", "8×4×3×3"],
    ),
    "weights incomplete": (["simple-cnn", "--weights", "short.safetensors", *DATA], ["1.0.weight"]),
    "images of another size": (["resnet20", *DATA], ["3×32×32", "1×28×28"]),
    "engine": (["conv-example", "--engine", "abacus", *DATA], ["abacus", "ironcalc"]),
}


@pytest.mark.parametrize("case", CASES)
def test_build_refuses(case: str, folder: Path) -> None:
    arguments, parts = CASES[case]
    refused(["build-workbook", *arguments, "-o", "out.xlsx"], folder, *parts)


def test_output_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(["build-workbook", *DATA, "-o", "no/such/out.xlsx"], folder, "no/such")
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused(["build-workbook", *DATA, "-o", "out.xlsx"], folder, "not writable")


def test_output_exists(folder: Path) -> None:
    (folder / "out.xlsx").write_text("mine")
    refused(["build-workbook", *DATA, "-o", "out.xlsx"], folder, "out.xlsx", "--force")
    assert (folder / "out.xlsx").read_text() == "mine"
    done = CliRunner().invoke(main, ["build-workbook", *DATA, "--no-verify", "--force", "-o", "out.xlsx"])
    assert done.exit_code == 0
    assert zipfile.is_zipfile(folder / "out.xlsx")


def test_disk_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zipfile.ZipFile, "open", full)
    refused(["build-workbook", *DATA, "-o", "out.xlsx"], folder, "No space left")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.xlsx"
    build(Request(path, "conv-example", dataset="builtin", digit=3, verify=False))
    return path


def with_manifest(good: Path, target: Path, change: Callable[[str], str]) -> None:
    """A copy of the workbook whose manifest text is changed in the shared strings."""
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "xl/sharedStrings.xml":
                changed = change(data.decode())
                assert changed != data.decode()
                data = changed.encode()
            new.writestr(name, data)


DAMAGE: dict[str, Callable[[str], str]] = {
    "cut": lambda s: s.replace('{"schema":1,', "{"),
    "not JSON": lambda s: s.replace('{"schema":1,', "schema"),
    "another schema": lambda s: s.replace('"schema":1', '"schema":99'),
    "foreign operator": lambda s: s.replace("aten.relu.default", "aten.system.default", 1),
    "far cell": lambda s: re.sub(r'"row":\d+', '"row":99999999', s, count=1),
    "huge shape": lambda s: s.replace('"shape":[1,2,26,26]', '"shape":[1,2,26,9999999]', 1),
    "unknown sheet": lambda s: s.replace('"sheet":"Network"', '"sheet":"Elsewhere"', 1),
    "wrong sizes": lambda s: s.replace(
        '"arguments":[{"tensor":"relu1"}', '"arguments":[{"tensor":"dense"}', 1
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_manifest(damage: str, good: Path, folder: Path) -> None:
    with_manifest(good, folder / "bad.xlsx", DAMAGE[damage])
    refused(["verify", "bad.xlsx"], folder)


def test_workbook_that_is_not_ours(folder: Path) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook("other.xlsx") as book:
        book.add_worksheet().write(0, 0, 1)
    refused(["verify", "other.xlsx"], folder, "other.xlsx", SHEET)


def test_truncated_missing_and_foreign_files(good: Path, folder: Path) -> None:
    (folder / "cut.xlsx").write_bytes(good.read_bytes()[:-2000])
    refused(["verify", "cut.xlsx"], folder, "cut.xlsx")
    refused(["verify", "missing.xlsx"], folder, "missing.xlsx")
    refused(["verify", "text.png"], folder, "text.png")


def test_zip_bomb(good: Path, folder: Path) -> None:
    with zipfile.ZipFile(good) as old, zipfile.ZipFile("bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "xl/sharedStrings.xml":
                data = data.replace(b"</sst>", b" " * 300_000_000 + b"</sst>")
            new.writestr(name, data)
    refused(["verify", "bomb.xlsx"], folder, "bomb.xlsx")


def test_mps_is_refused(good: Path, folder: Path) -> None:
    refused(["verify", str(good), "--device", "mps"], folder, "float64")


def test_json_report(good: Path) -> None:
    result = CliRunner().invoke(main, ["verify", str(good), "--json"])
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["agrees"] is True
    assert {c["tensor"] for c in report["computed"]} >= {"conv1", "relu1", "pool", "dense", "softmax"}
