"""Networks with several inputs, whole numbers, dictionaries; weights of torch; models of packages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sheetconv.building import Request, build
from sheetconv.compile.capture import capture
from sheetconv.data.pick import Picked
from sheetconv.errors import ModelError, UsageError, WorkbookError
from sheetconv.graph.tensor import Graph
from sheetconv.models import load_model, load_weights
from sheetconv.pages.workbook import write_network
from sheetconv.prove.cells import Sheets
from sheetconv.prove.draws import draws
from sheetconv.prove.verify import verify
from sheetconv.sheet.manifest import dump, load, read_manifest
from sheetconv.xlsx.cells import Book

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


class _Tokens(nn.Module):
    """The numbers reach their table through another shape, as in GPT-2."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(4, 2), nn.Linear(2, 2)

    def forward(self, ids: torch.Tensor) -> Any:
        return self.out(self.table(ids.view(-1, ids.shape[-1])))


def _tokens_book(path: Path, marked: tuple[int, int] | None) -> Graph:
    graph = capture(_Tokens(), [torch.tensor([[0, 1, 0, 2]])])
    graph.inputs[0].within = marked or graph.inputs[0].within
    values = np.array([[0.0, 1, 0, 2]])
    write_network(path, graph, Picked(values, [None], ["ids"], "token numbers", "a test"), "tokens")
    return graph


def test_other_points_take_token_numbers_of_the_table(tmp_path: Path) -> None:
    graph = _tokens_book(tmp_path / "t.xlsx", None)
    assert graph.inputs[0].within == (0, 3)
    report = verify(tmp_path / "t.xlsx", "ironcalc", "cpu", probes=6)
    assert report.agrees
    assert report.points == 6
    with Book(tmp_path / "t.xlsx") as book:
        manifest = read_manifest(book, tmp_path / "t.xlsx")
        ids = manifest.graph.inputs[0]
        given = draws(manifest, Sheets(book, tmp_path / "t.xlsx"), {ids: graph.inputs[0].values})
    drawn = np.concatenate([given.point(k)[ids] for k in range(12)])
    assert set(drawn.reshape(-1)) == {0, 1, 2, 3}


def test_token_numbers_beyond_the_table_are_an_error(tmp_path: Path) -> None:
    _tokens_book(tmp_path / "t.xlsx", (9, 9))
    with pytest.raises(WorkbookError, match="index out of range"):
        verify(tmp_path / "t.xlsx", "ironcalc", "cpu", probes=1)


def test_a_manifest_without_the_mark_reads_and_a_wrong_mark_does_not(tmp_path: Path) -> None:
    graph = _tokens_book(tmp_path / "t.xlsx", None)
    with Book(tmp_path / "t.xlsx") as book:
        text = "".join(dump(read_manifest(book, tmp_path / "t.xlsx")))
    assert '"whole":[0,3]' in text
    plain = load(text.replace('"whole":[0,3],', ""), "t.xlsx").graph.inputs[0]
    assert plain.within is None
    assert plain.shape == graph.inputs[0].shape
    for wrong in ("[3,0]", "[0]", "[0,1e300]", "7"):
        with pytest.raises(WorkbookError, match="damaged"):
            load(text.replace('"whole":[0,3]', f'"whole":{wrong}'), "t.xlsx")


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
