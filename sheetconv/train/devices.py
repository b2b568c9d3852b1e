"""Where tensors live: choosing a device, moving nested batches."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sheetconv.errors import UsageError

ACCELERATORS = ["cuda", "mps"]  # kinds of devices beside the CPU, the first one there is taken by "auto"
# what a kind of device cannot do: Apple's computes in float32 at most, finds no eigenvectors, and is not timed in bf16
LACKS = {"mps": frozenset({"float64", "eigenvectors", "bf16 trial"})}


def lacks(device: torch.device, what: str) -> bool:
    """Whether that kind of device cannot do `what`: "float64", "eigenvectors" or the "bf16 trial"."""
    return what in LACKS.get(device.type, ())


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device asked for ("cuda:1" is the second of several), else CUDA, else MPS (Apple), else the CPU.

    Raises `UsageError` for a name that torch does not know and for a device that is not there.
    """
    if name is None or name == "auto":
        return torch.device(next(present(), "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"there is no device {name!r}; choose auto, cuda, mps or cpu") from error
    if device.type != "cpu" and not (
        device.type in present() and (device.index or 0) < getattr(torch, device.type).device_count()
    ):
        raise UsageError(f"the device {str(device)!r} is not available here; choose auto or cpu")
    return device


def present() -> Iterator[str]:
    """Kinds of accelerators that this machine has."""
    return (kind for kind in ACCELERATORS if getattr(torch, kind).is_available())


def wait_for(device: torch.device) -> None:
    """Return when the device has done all that it was given, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type != "cpu":
        getattr(torch, device.type).synchronize()


def device_name(device: torch.device) -> str:
    """What the device calls itself: the graphics card, Apple's chip, or the processor as Linux names it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


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


def at_home(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of all `tensors` on the CPU, each contiguous; a device is waited for once and not once per tensor."""
    found = {name: t.detach().to("cpu", non_blocking=True, copy=True) for name, t in tensors.items()}
    for device in {t.device for t in tensors.values()}:
        wait_for(device)
    return {name: t.contiguous() for name, t in found.items()}


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
