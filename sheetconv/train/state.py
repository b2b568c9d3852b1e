"""State without pickle: nested numbers, text and tensors to one safetensors file and back.

The tensors are safetensors' own; the rest is JSON in its metadata. Nothing read from a file is executed.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sheetconv.errors import TrainingError
from sheetconv.files import replacing
from sheetconv.train.devices import at_home, present

FORMAT = "sheetconv-checkpoint-2"


def pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON, its tensors added to `tensors` and referred to by name.

    Raises `TrainingError` for what is neither number, text, None, tensor, list, tuple nor dictionary.
    """
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, dict):
        return {"items": [[pack(k, tensors), pack(v, tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        found = [pack(part, tensors) for part in value]
        return found if isinstance(value, list) else {"tuple": found}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TrainingError(
        f"a {type(value).__name__} cannot be kept in a checkpoint; keep numbers, text, tensors"
    )


def unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """What `pack` was given."""
    if isinstance(value, list):
        return [unpack(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "array" in value:
        return np.array(value["array"], dtype=value["dtype"])
    if "tuple" in value:
        return tuple(unpack(part, tensors) for part in value["tuple"])
    return {unpack(k, tensors): unpack(v, tensors) for k, v in value["items"]}


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write `state` to `path`, moved into place when it is complete."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    text = json.dumps(pack(state, tensors))
    tensors = at_home(tensors)
    about = {"format": FORMAT, "state": text, "checksum": _checksum(text, tensors)}
    with replacing(path, force=True) as temporary:
        save_file(tensors, temporary, metadata=about)


def _checksum(text: str, tensors: dict[str, Tensor]) -> str:
    """Of everything in a checkpoint: a flipped bit anywhere is noticed."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote; raises `TrainingError` where the file is damaged or something else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        if about.get("format") != FORMAT:
            raise TrainingError(f"{path} is not a checkpoint that training can go on from")
        if about.get("checksum") != _checksum(about["state"], tensors):
            raise TrainingError(
                f"{path} is damaged: its checksum does not fit; start anew, or use a copy of it"
            )
        found = unpack(json.loads(about["state"]), tensors)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} is damaged, so training cannot go on from it: {error}") from error
    if not isinstance(found, dict):
        raise TrainingError(f"{path} is not a checkpoint that training can go on from")
    return found


def random_state() -> dict[str, Any]:
    """The states of all global random generators: Python's, numpy's, torch's on each device."""
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.get_rng_state()}
    for kind in present():
        every = getattr(getattr(torch, kind), "get_rng_state_all", None)
        state[kind] = every() if every else [getattr(torch, kind).get_rng_state()]
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put the generators back; those of devices that are not here are passed over."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["cpu"])
    for kind in present():
        module, kept = getattr(torch, kind), state.get(kind, [])
        if len(kept) != module.device_count():
            continue
        if hasattr(module, "set_rng_state_all"):
            module.set_rng_state_all(kept)
        else:
            module.set_rng_state(kept[0])


def set_seed(seed: int, deterministic: bool = False) -> None:
    """Seed Python's, numpy's and torch's generators; `deterministic` refuses operators that may differ from run to run."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(deterministic)


@contextmanager
def random_kept() -> Iterator[None]:
    """Leave all global random generators, those of devices too, as they were before the block."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)
