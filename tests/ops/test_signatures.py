"""Networks with several inputs, whole numbers, dictionaries; weights of torch; models of packages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sheetconv.building import Request, build
from sheetconv.errors import ModelError, UsageError
from sheetconv.models import load_model, load_weights

NETWORKS = """
from torch import nn

class Two(nn.Module):
    def forward(self, a, b):
        return {"sum": a + b, "product": (a * b).sum(1)}

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.step, self.out = nn.Embedding(9, 3), nn.GRU(3, 2, batch_first=True), nn.Linear(2, 2)

    def forward(self, ids):
        return self.out(self.step(self.table(ids))[0][:, -1])
"""


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    path = tmp_path / "networks.py"
    path.write_text(NETWORKS, encoding="utf-8")
    return path


def test_two_inputs_by_name_and_two_outputs(networks: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", b=np.arange(3.0), a=np.array([1.0, 2.0, 5.0]))
    built = build(Request(tmp_path / "a.xlsx", model=f"{networks}:Two", input=tmp_path / "two.npz"))
    assert built.report is not None
    assert built.report.agrees
    assert {c.tensor for c in built.report.computed} >= {"join1", "sum1"}


def test_token_numbers_through_an_embedding_and_a_recurrent_layer(networks: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([1, 5]))
    built = build(Request(tmp_path / "b.xlsx", model=f"{networks}:Words", input=tmp_path / "ids.npy"))
    assert built.report is not None
    assert built.report.agrees


def test_a_state_dict_of_torch_is_read_without_running_anything(tmp_path: Path) -> None:
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    torch.testing.assert_close(target.weight, source.weight)
    torch.save({"net": source}, tmp_path / "whole.pt")
    with pytest.raises(ModelError, match="save a state_dict"):
        load_weights(target, tmp_path / "whole.pt")


@pytest.mark.parametrize("name", ["timm:nothing", "torchvision:nothing"])
def test_a_package_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> Any:
        raise ImportError(module)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(UsageError, match="not installed"):
        load_model(name)


def test_arguments_go_to_packages_only() -> None:
    with pytest.raises(UsageError, match="--model-args"):
        load_model("conv-example", options={"num_classes": 2})
