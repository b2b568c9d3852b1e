"""Two processes on one folder or file: the second is told, nothing is mixed; damage on the disk is noticed."""

import subprocess
import sys
import time
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch

from sheetconv.data import cache
from sheetconv.errors import OutputError, TrainingError
from sheetconv.train.folder import HOLDER, LOCK, write_run
from sheetconv.train.lock import claimed
from sheetconv.train.state import load_state, save_state

HOLD = """
import sys, time
from pathlib import Path
from sheetconv.train.lock import claimed
with claimed(Path(sys.argv[1]), resume=False, force=False):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("choice", [{"resume": True, "force": False}, {"resume": False, "force": True}])
def test_a_folder_in_use_is_refused_until_its_run_ends(choice: dict[str, bool], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        write_run(folder, {})
        with (
            pytest.raises(OutputError, match=rf"in use by another run \(process {other.pid} on"),
            claimed(folder, **choice),
        ):
            pass
        assert (folder / "run.json").exists()
        other.kill()
    with claimed(folder, **choice):  # a killed run locks nobody out
        assert (folder / HOLDER).exists()
    assert not [path.name for path in folder.iterdir() if path.name in (LOCK, HOLDER)]


def test_a_refused_claim_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="no run to resume"),
        claimed(tmp_path / "new", resume=True, force=False),
    ):
        pass
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="other files"), claimed(tmp_path, resume=False, force=False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_flipped_bit_in_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    state = {
        "model": {"w": torch.arange(12.0).reshape(3, 4), "n": torch.tensor(3), "b": torch.tensor([True])},
        "epoch": 3,
        "half": torch.zeros(2, dtype=torch.bfloat16),
    }
    save_state(path, state)
    assert torch.equal(load_state(path)["model"]["w"], state["model"]["w"])
    whole = path.read_bytes()
    for at in np.linspace(8, len(whole) - 1, 40).astype(int):
        changed = bytearray(whole)
        changed[at] ^= 4
        path.write_bytes(bytes(changed))
        with pytest.raises(TrainingError, match=r"damaged|not a checkpoint"):
            load_state(path)


def test_waiting_for_the_cache_is_said_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHEETCONV_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "PATIENCE", 0.3)
    arrays = np.zeros((2, 3, 3), np.uint8), np.array([0, 1]), ["a", "b"]
    begin = time.perf_counter()
    with filelock.FileLock(str(tmp_path / "key.lock"), is_singleton=False):
        (images, _, _), kept = cache.cached("key", lambda: arrays)
    assert time.perf_counter() - begin < 5
    assert not kept
    assert images.shape == (2, 3, 3)
    said = capsys.readouterr().err
    assert "another process is decoding" in said
    assert "has not ended" in said
