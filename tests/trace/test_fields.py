"""Receptive fields: known figures, and interval arithmetic against torch's gradient."""

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from sheetconv.cli import main
from sheetconv.nets import seeded
from sheetconv.trace.fields import disagreements, export, fields


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(2, 3, 5, padding=2)
        self.narrow = nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.relu(self.wide(x)) + self.narrow(x), self.narrow(x)], 1)


NETWORKS = {
    "dilated": nn.Sequential(nn.Conv2d(1, 2, 3, dilation=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
    "rectangular": nn.Sequential(nn.Conv2d(1, 2, (3, 1), stride=(2, 1), padding=(1, 0)), nn.AvgPool2d(2)),
    "upsampled": nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, padding=1)),
    "transposed": nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.ConvTranspose2d(2, 1, 4, 2, 1)),
    "padded": nn.Sequential(nn.ZeroPad2d((1, 2, 3, 0)), nn.Conv2d(1, 1, 3), nn.ZeroPad2d(-1)),
    "branches": nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), Branches()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_arithmetic_equals_gradient(name: str) -> None:
    shape = (1, 11, 9) if name != "upsampled" else (1, 12, 8)
    count, lines = disagreements(export(NETWORKS[name], shape), shape)
    assert count > 50
    assert lines == []


def test_lesson_pool_sees_six_by_six() -> None:
    found = {f.name: f for f in fields(export(seeded("conv-example"), (1, 28, 28)), (1, 28, 28))}
    pool = found["max_pool2d"]
    assert pool.axes[0].size == 6
    assert pool.box(0, 0) == (0, 0, 5, 5)
    assert pool.box(11, 3) == (22, 6, 27, 11)


def test_command_and_its_errors() -> None:
    run = CliRunner().invoke
    outcome = run(main, ["receptive-field", "simple-cnn", "--layer", "relu_1", "--unit", "0,0,6"])
    assert "rows 0–3, columns 21–27" in outcome.output
    assert run(main, ["receptive-field", "nothing"]).exit_code == 2
    assert run(main, ["receptive-field", "simple-cnn", "--unit", "0,0,0"]).exit_code == 2


def test_export_leaves_the_callers_model_as_it_was() -> None:
    model = seeded("conv-example").float().train()
    export(model, (1, 28, 28))
    assert model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
