"""A make-believe accelerator: tensors that compute on the CPU, and behave as those of a GPU do where it matters.

torch knows it as a device of its own, `pretend` (its key for devices from outside, PrivateUse1). It refuses to mix
with CPU tensors except where torch allows it, draws random numbers from a generator of its own, refuses a CPU
generator, and counts what would make the program wait for a GPU. As "mps" it also refuses float64 and every
operator that has no kernel there, by the table of operators that torch ships (torchgen's native_functions.yaml).
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch.utils._mode_utils import no_dispatch
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

from sheetconv.train import devices

NAME = "pretend"
CPU = torch.device("cpu")
aten = torch.ops.aten


class State:
    """What the device is at present, and what it has seen."""

    active = False
    kind = "cuda"
    waits: ClassVar[Counter[str]] = Counter()
    largest = 1 << 62  # numbers in a tensor before memory is said to be full
    generator = torch.Generator()


class Module(_DummyBackendModule):
    """What torch expects of `torch.pretend`."""

    def is_available(self) -> bool:
        return State.active

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return State.generator.get_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        State.generator.set_state(state)

    def manual_seed_all(self, seed: int) -> None:
        State.generator.manual_seed(seed)

    def device_count(self) -> int:
        return 2 if State.kind == "cuda" else 1

    def __getattr__(self, name: str) -> Any:
        if State.kind != "cuda" or name not in ("get_rng_state_all", "set_rng_state_all"):
            raise AttributeError(name)
        if name == "get_rng_state_all":
            return lambda: [self.get_rng_state(), self.get_rng_state()]
        return lambda states: self.set_rng_state(states[0])

    def synchronize(self, device: Any = None) -> None:
        State.waits["synchronize"] += 1


class Pretend(torch.Tensor):
    """A tensor of the device; `data_` is the CPU tensor that it stands for."""

    data_: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, data: torch.Tensor) -> Pretend:
        if State.kind == "mps" and data.dtype in (torch.float64, torch.complex128) and not _in_scaler():
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support it"
            )
        if data.numel() > State.largest:
            raise torch.OutOfMemoryError(f"out of memory: tried to allocate {data.numel()} numbers")
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            data.size(),
            data.stride(),
            data.storage_offset(),
            dtype=data.dtype,
            device=torch.device(NAME, 0),
        )
        made.data_ = data
        return made

    def tolist(self) -> Any:
        """Of a GPU's tensor torch gives it by way of the CPU."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def _in_scaler() -> bool:
    """Whether torch's own GradScaler asks: on a device called mps it does without float64."""
    frame: Any = sys._getframe(1)
    while frame is not None and Path(frame.f_code.co_filename).name != "grad_scaler.py":
        frame = frame.f_back
    return frame is not None


# the value of a tensor must be known before the program goes on
ASKS = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "equal",
    "is_nonzero",
    "_unique2",
    "_linalg_eigh",
    "unique_dim",
}
# torch accepts positions on the CPU for a tensor of the device, and sends them there; not the other way round
AT = {"index", "index_put", "index_put_", "_index_put_impl_"}
MIXES = {"_copy_from", "copy_"}


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute an operator on the CPU as the device would be asked to."""
    name = func._schema.name.removeprefix("aten::")
    _refuse_mixtures(name, args, kwargs)
    if State.kind == "mps" and name in missing_on_mps():
        raise NotImplementedError(
            f"The operator 'aten::{name}' is not currently implemented for the MPS device"
        )
    generator = kwargs.pop("generator", None)
    if generator is not None:
        raise RuntimeError(
            f"Expected a '{State.kind}' device type for generator but found '{generator.device}'"
        )
    away = _leaves(name, args, kwargs)
    if name in ASKS or (name == "index" and _by_mask(args)) or (away and not kwargs.get("non_blocking")):
        State.waits[name] += 1
    plain, named = _each(Pretend, lambda t: t.data_, args), _each(Pretend, lambda t: t.data_, kwargs)
    if "device" in named:
        named["device"] = CPU
    with _own_random_numbers(func):
        found = func(*plain, **named)
    if away or name == "_local_scalar_dense":
        return found
    if not func._schema.returns:
        return None
    if torch.Tag.inplace_view in func.tags:
        with no_dispatch():
            func(*args, **kwargs)  # the outer tensor's shape and strides too
    if name.endswith("_") and not name.endswith("__"):  # in place
        return args[0]
    if "out" in kwargs:
        assert kwargs["out"].shape == found.shape, f"aten::{name} resizes its output; add it to MADE"
        return kwargs["out"]
    return _each(torch.Tensor, Pretend, found)


def _each(kind: type, change: Any, value: Any) -> Any:
    """`value` with everything of that kind in it changed; torch's own function for this takes ten times as long."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, (tuple, list)):
        return type(value)([_each(kind, change, part) for part in value])
    if isinstance(value, dict):
        return {key: _each(kind, change, part) for key, part in value.items()}
    return value


def _refuse_mixtures(name: str, args: Any, kwargs: Any) -> None:
    if name in MIXES:
        return

    def look(value: torch.Tensor) -> None:
        if not isinstance(value, Pretend) and value.ndim:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {State.kind}:0 and"
                f" {value.device}! (aten::{name})"
            )

    _each(torch.Tensor, look, (args[0], args[2:], kwargs) if name in AT else (args, kwargs))


def _leaves(name: str, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether the result is to be on the CPU."""
    return (
        name == "_to_copy"
        and kwargs.get("device") is not None
        and torch.device(kwargs["device"]).type == "cpu"
    )


def _by_mask(args: Any) -> bool:
    return any(isinstance(i, torch.Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1])


@contextmanager
def _own_random_numbers(func: Any) -> Iterator[None]:
    """Whatever draws does so from the device's generator."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        yield
        return
    kept = torch.get_rng_state()
    torch.set_rng_state(State.generator.get_state())
    try:
        yield
    finally:
        State.generator.set_state(torch.get_rng_state())
        torch.set_rng_state(kept)


@functools.cache
def missing_on_mps() -> frozenset[str]:
    """Operators with kernels for single kinds of devices, none of which is for MPS, as torch's own table says."""
    import torchgen
    import yaml

    path = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(path.read_text(encoding="utf-8"), loader)
    full = {entry["func"].partition("(")[0]: entry for entry in entries}
    found, there = set(), set()
    for name, entry in full.items():
        source = full.get(entry.get("structured_delegate", ""), entry)
        keys = {key.strip() for keys in source.get("dispatch", {}) for key in keys.split(",")}
        general = any(key.startswith("Composite") for key in keys)
        (there if not keys or general or "MPS" in keys else found).add(name.partition(".")[0])
    return frozenset(found - there)


def _empty(size: Any, *, dtype: Any = None, memory_format: Any = None, **rest: Any) -> Pretend:
    return Pretend(torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format))


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **rest: Any) -> Pretend:
    return Pretend(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source: torch.Tensor, to: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    """Between the CPU and the device; from device to device `copy_` is an operator like any other."""
    if not non_blocking:
        State.waits["to the CPU" if isinstance(source, Pretend) else "to the device"] += 1
    plain, other = (t.data_ if isinstance(t, Pretend) else t for t in (source, to))
    other.copy_(plain)
    return to


MADE = ("arange", "arange.start", "arange.start_step", "eye", "eye.m", "linspace", "randperm")


def _made(name: str) -> Any:
    """Tensors made of numbers alone, which torch would make by resizing an empty one."""
    base, _, overload = name.partition(".")
    operator = getattr(getattr(aten, base), overload or "default")

    def make(*args: Any, device: Any = None, **named: Any) -> Pretend:
        with _own_random_numbers(operator):
            return Pretend(operator(*args, device=CPU, **named))

    return make


# computed in the lower precision by torch's own lists for CUDA; the others take what they are given
LOW = ("conv2d", "conv1d", "conv_transpose2d.input", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm")


def _in_low_precision(name: str) -> Any:
    base, _, overload = name.partition(".")
    operator = getattr(getattr(aten, base), overload or "default")

    def cast(*args: Any) -> Any:
        dtype = torch.get_autocast_dtype(NAME)
        keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
        with torch._C._ExcludeDispatchKeyGuard(keys):
            change = lambda t: t.to(dtype) if t.dtype == torch.float32 else t  # noqa: E731
            return operator(*_each(torch.Tensor, change, args))

    return cast


@functools.cache
def register() -> list[torch.library.Library]:
    """Make torch know the device; once, and for the rest of the process."""
    _setup_privateuseone_for_python_backend(NAME, Module())
    kernels, every = torch.library.Library("aten", "IMPL"), torch.library.Library("_", "IMPL")
    kernels.impl("empty.memory_format", _empty, "PrivateUse1")
    kernels.impl("empty_strided", _empty_strided, "PrivateUse1")
    kernels.impl("_copy_from", _copy_from, "PrivateUse1")
    for name in MADE:
        kernels.impl(name, _made(name), "PrivateUse1")
    for name in LOW:
        kernels.impl(name, _in_low_precision(name), "AutocastPrivateUse1")
    every.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    return [kernels, every]  # they take their kernels along when they go


@contextmanager
def pretending(kind: str) -> Iterator[torch.device]:
    """The device, as a `kind` of "cuda" or "mps", known to the training engine while the block lasts."""
    register()
    before = State.kind, torch.__future__.get_swap_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "ACCELERATORS", [NAME])
        patch.setitem(devices.LACKS, NAME, devices.LACKS.get(kind, frozenset()))
        State.active, State.kind, State.waits, State.largest = True, kind, Counter(), 1 << 62
        State.generator.manual_seed(0)
        torch.__future__.set_swap_module_params_on_conversion(
            True
        )  # as on a GPU, parameters stay who they are
        try:
            yield torch.device(NAME, 0)
        finally:
            State.active, State.kind = False, before[0]
            torch.__future__.set_swap_module_params_on_conversion(before[1])


__all__ = ["NAME", "Pretend", "State", "missing_on_mps", "pretending", "register"]
