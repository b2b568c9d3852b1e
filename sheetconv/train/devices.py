"""Where tensors live: choosing a device, moving nested batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from sheetconv.errors import UsageError


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device asked for, else CUDA, else MPS (Apple), else the CPU.

    Raises `UsageError` for a name that torch does not know and for a device that is not there.
    """
    if name is None or name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"there is no device {name!r}; choose auto, cuda, mps or cpu") from error
    there: dict[str, Callable[[], bool]] = {
        "cpu": lambda: True,
        "cuda": lambda: torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available,
    }
    if device.type not in there or not there[device.type]():
        raise UsageError(f"the device {str(device)!r} is not available here; choose auto or cpu")
    return device


def map_tensors(change: Callable[[Tensor], Tensor], batch: Any) -> Any:
    """`batch` with every tensor changed: in mappings, sequences and named tuples; the rest stays as it is."""
    if isinstance(batch, Tensor):
        return change(batch)
    kind: Any = type(batch)
    if kind is tuple or kind is list:  # what nearly every batch is; asking for a Mapping takes longer
        return kind([map_tensors(change, value) for value in batch])
    if isinstance(batch, Mapping):
        return kind({key: map_tensors(change, value) for key, value in batch.items()})
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return kind(*(map_tensors(change, value) for value in batch))
    if isinstance(batch, (list, tuple)):
        return kind(map_tensors(change, value) for value in batch)
    return batch


def to_device(batch: Any, device: torch.device | str | None = None) -> Any:
    """`batch` with its tensors on `device` (as `choose_device` picks it, where none is given)."""
    place = choose_device() if device is None else torch.device(device)
    return map_tensors(lambda t: t if t.device == place else t.to(place, non_blocking=True), batch)


def to_cpu(batch: Any) -> Any:
    """`batch` with its tensors on the CPU, detached, half precision widened to float32."""

    def home(tensor: Tensor) -> Tensor:
        tensor = tensor.detach().cpu()
        return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor

    return map_tensors(home, batch)


def with_inputs(batch: Any, x: Tensor) -> Any:
    """`batch` with `x` for its first element, and for every other one that was the same object (an autoencoder's target)."""
    before = batch[0]
    return (x, *(x if part is before else part for part in batch[1:]))


def batch_size(batch: Any) -> int:
    """The number of samples: the first axis of the first tensor in `batch`, however nested."""
    if isinstance(batch, (tuple, list)):
        return batch_size(batch[0])
    if isinstance(batch, Tensor):
        return batch.shape[0]
    values = batch.values() if isinstance(batch, Mapping) else batch
    return batch_size(next(iter(values)))
