"""Two CPU processes under accelerate end where one process with twice the batch ends."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sheetconv.errors import UsageError
from sheetconv.train.callbacks.checkpoint import Checkpoint
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.learner import Learner
from sheetconv.train.metrics import Accuracy

SCRIPT = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
import torch
from conftest import loaders
from test_accelerate import plain_net
from sheetconv.train.callbacks.accelerate import Accelerate
from sheetconv.train.callbacks.checkpoint import Checkpoint
from sheetconv.train.callbacks.metrics import Metrics
from sheetconv.train.learner import Learner
from sheetconv.train.metrics import Accuracy

torch.set_num_threads(1)
cbs = [Accelerate(cpu=True), Metrics(Accuracy()), Checkpoint(Path({folder!r}))]
learn = Learner(plain_net(), loaders(n_train=129, n_valid=51, batch_size=8), torch.nn.functional.cross_entropy,
                0.1, cbs)
learn.fit(2)
assert len(learn.dls.valid) == 7, "the loaders are whole again"
index, count = cbs[0].accelerator.process_index, cbs[0].accelerator.num_processes
Path({folder!r}, "result" + str(index)).write_text(" ".join(["RESULT", str(index), str(count), repr(learn.history)]))
torch.distributed.destroy_process_group()
"""


def plain_net() -> nn.Module:
    """No batch norm and no dropout: its gradient is the mean over samples, however they are shared out."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4))


@pytest.mark.accelerate
def test_two_processes_equal_one_with_twice_the_batch(make_learner, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    root = Path(__file__).resolve().parents[2]
    script, both, alone = tmp_path / "run.py", tmp_path / "both", tmp_path / "alone"
    both.mkdir()
    alone.mkdir()
    script.write_text(SCRIPT.format(paths=[str(root), str(Path(__file__).parent)], folder=str(both)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run([*launch, str(script)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    results = [
        path.read_text() for path in sorted(both.glob("result*"))
    ]  # two processes' lines may mix in one stream
    assert [line.split()[1:3] for line in results] == [["0", "2"], ["1", "2"]]

    # the one process sees the same 128 of the 129 images an epoch: the last of the order is left out
    learn = make_learner(n_train=129, n_valid=51, batch_size=16)
    learn.cbs = [Metrics(Accuracy()), Checkpoint(alone)]
    learn.model = plain_net()
    learn.fit(2)
    own, joint = load_file(alone / "best.safetensors"), load_file(both / "best.safetensors")
    for key, value in own.items():
        assert torch.allclose(joint[key], value, atol=1e-5), key
    for line in results:
        history = eval(line.split(maxsplit=3)[3])
        for mine, its in zip(history, learn.history, strict=True):
            assert mine.keys() == its.keys()
            assert all(mine[key] == pytest.approx(its[key], abs=1e-5) for key in its)


def test_without_the_extra_the_callback_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from sheetconv.train.callbacks.accelerate import Accelerate

    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(UsageError, match=r"pip install 'sheetconv\[accelerate\]'"):
        Accelerate()


@pytest.mark.accelerate
def test_a_device_callback_beside_it_is_refused(make_learner) -> None:  # type: ignore[no-untyped-def]
    from sheetconv.train.callbacks.accelerate import Accelerate
    from sheetconv.train.callbacks.device import Device

    learn: Learner = make_learner(Accelerate(cpu=True), Device("cpu"))
    with pytest.raises(UsageError, match="leave these two out"):
        learn.fit(1)
