"""The notebooks of examples/, executed as a reader would: no error, pictures where pictures should be."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PICTURES = {"convolutions": 6, "autoencoder": 5, "learner": 5}


def executed(name: str, folder: Path) -> list[dict]:
    """The cells of a notebook after running it in `folder`, on few images."""
    env = os.environ | {
        "SHEETCONV_LIMIT": "640",
        "SHEETCONV_DATASET": "builtin",
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    target = folder / f"{name}.ipynb"
    target.write_bytes((EXAMPLES / f"{name}.ipynb").read_bytes())
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", str(target)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(target.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_notebook_runs_and_shows_pictures(name: str, tmp_path: Path) -> None:
    outputs = [output for cell in executed(name, tmp_path) for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    data = [output.get("data", {}) for output in outputs]
    pictures = [base64.b64decode(entry["image/png"]) for entry in data if "image/png" in entry]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert len(pictures) >= PICTURES[name]
    texts = [str(entry.get("text/plain", "")) for entry in data]
    assert not [text for text in texts if "<Figure" in text or " object at 0x" in text]
    assert not [
        o["text"]
        for o in outputs
        if o["output_type"] == "stream" and o["name"] == "stderr" and "Warn" in str(o["text"])
    ]


def test_every_notebook_is_executed_and_kept_without_outputs() -> None:
    notebooks = sorted(EXAMPLES.glob("*.ipynb"))
    assert [notebook.stem for notebook in notebooks] == sorted(PICTURES)
    for notebook in notebooks:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") for cell in cells)
