"""Choosing a device and moving nested batches."""

from collections import OrderedDict, namedtuple

import pytest
import torch

from sheetconv.errors import UsageError
from sheetconv.train.devices import batch_size, choose_device, to_cpu, to_device

Pair = namedtuple("Pair", "image label")


def nested() -> dict:
    return {
        "pair": Pair(torch.ones(3, 2), torch.zeros(3)),
        "list": [torch.ones(1), ("text", torch.ones(2))],
        "ordered": OrderedDict(a=torch.ones(1)),
        "number": 5,
    }


def test_nested_batches_move_whole_and_keep_their_kinds() -> None:
    there = to_device(nested(), "meta")  # a device that every machine has and that is not the CPU
    assert isinstance(there["pair"], Pair)
    assert isinstance(there["ordered"], OrderedDict)
    assert isinstance(there["list"][1], tuple)
    assert there["list"][1][0] == "text"
    assert there["number"] == 5
    tensors = [*there["pair"], there["list"][0], there["list"][1][1], there["ordered"]["a"]]
    assert {t.device.type for t in tensors} == {"meta"}


def test_to_cpu_detaches_and_widens_half_precision() -> None:
    weight = torch.ones(2, requires_grad=True)
    home = to_cpu([weight * 2, {"half": torch.ones(2, dtype=torch.bfloat16)}])
    assert not home[0].requires_grad
    assert home[1]["half"].dtype == torch.float32


def test_the_batch_size_is_that_of_the_first_tensor() -> None:
    assert batch_size(nested()) == 3
    assert batch_size([(torch.zeros(7, 2),)]) == 7


def test_the_device_is_the_best_there_is_or_as_asked() -> None:
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device().type == choose_device("auto").type == best
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", ""])
def test_an_unknown_or_absent_device_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="device"):
        choose_device(name)
