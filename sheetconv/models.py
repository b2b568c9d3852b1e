"""Networks by name or from a Python file, with weights from safetensors."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sheetconv.errors import ModelError, TemplateError, UsageError
from sheetconv.published import PACKAGES, is_published, published

if TYPE_CHECKING:
    from torch import nn


def load_model(
    name: str,
    weights: Path | None = None,
    *,
    trusted: bool = False,
    options: Mapping[str, Any] | None = None,
) -> tuple[nn.Module, tuple[int, ...] | None]:
    """The module called `name` (or ``path/to/file.py:name``) and its input shape where it is known.

    Names such as ``timm:vit_tiny_patch16_224`` are of packages that may be installed (see `sheetconv.published`);
    `options` are arguments for their constructors. A Python file is run, and only if `trusted` says that the user named it, not a file of someone's. Raises
    `UsageError` for an unknown name or a file that is not trusted, `ModelError` for one that fails, and for
    weights that do not fit.
    """
    from sheetconv.nets import INPUT_SHAPES, NETS, seeded

    if name in NETS:
        module: nn.Module = seeded(name)
        shape: tuple[int, ...] | None = INPUT_SHAPES[name]
    elif is_published(name):
        module, shape = published(name, options or {})
    elif is_file(name):
        if not trusted:
            raise UsageError(
                f"{name!r} is a Python file; such a file is run only if you name it on the command line yourself"
            )
        module = _from_file(name)
        shape = _declared_shape(name, module)
    else:
        raise UsageError(
            f"there is no model {name!r}; choose one of {', '.join(NETS)} or give path/to/file.py:name"
        )
    if options and not is_published(name):
        raise UsageError(f"--model-args go with a model of {', '.join(PACKAGES)}, such as timm:resnet10t")
    if weights is not None:
        load_weights(module, weights)
    return module, shape


def is_file(name: str) -> bool:
    """Whether a model's name means an object in a Python file."""
    return not is_published(name) and (":" in name or name.endswith(".py"))


def _declared_shape(name: str, module: nn.Module) -> tuple[int, ...] | None:
    shape: Any = getattr(module, "input_shape", None)
    if shape is None:
        return None
    if not isinstance(shape, list | tuple) or not all(type(size) is int and size > 0 for size in shape):
        raise ModelError(
            f"{name}: input_shape is {shape!r:.60}; give sizes without the batch, such as (1, 28, 28)"
        )
    return tuple(shape)


def shipped(name: str) -> Path:
    """The file of weights that come with sheetconv; raises `TemplateError` for a name that it does not have."""
    folder = Path(__file__).parent / "weights"
    known = sorted(p.stem for p in folder.glob("*.safetensors"))
    if name not in known:
        raise TemplateError(f"no weights are called {name!r}; sheetconv has {', '.join(known)}")
    return folder / f"{name}.safetensors"


def _from_file(name: str) -> nn.Module:
    from torch import nn

    path_text, _, attribute = name.rpartition(":")
    path = Path(path_text)
    if not path_text or not attribute:
        raise UsageError(f"{name!r} names no object; write path/to/file.py:name")
    if not path.is_file():
        raise ModelError(f"{path} does not exist; give the file that defines {attribute}")
    spec = importlib.util.spec_from_file_location(f"sheetconv_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is not a Python file")
    code = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = code
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing is left beside a user's file
    try:
        found: Any = _guarded(f"{path} cannot be run", lambda: (spec.loader.exec_module(code), code)[1])  # type: ignore[union-attr]
    finally:
        sys.dont_write_bytecode = writes
    if not hasattr(found, attribute):
        raise ModelError(f"{path} defines no {attribute!r}")
    found = getattr(found, attribute)
    if not isinstance(found, nn.Module):
        if not callable(found):
            raise ModelError(
                f"{name} is a {type(found).__name__}; give a module or a function that returns one"
            )
        found = _guarded(f"{name} cannot be called without arguments", found)
    if not isinstance(found, nn.Module):
        raise ModelError(f"{name} gives a {type(found).__name__}, not a torch.nn.Module")
    if any(tensor.is_meta for tensor in found.state_dict().values()):
        raise ModelError(f"{name} has weights on the meta device, which hold no numbers; make it on the CPU")
    return found


def _guarded(what: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit in a model file is no end of ours
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{what}: {type(error).__name__}: {reason}") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill `module` from a safetensors file, a run's folder or a workbook's cells; names and shapes must be its own."""
    if path.is_dir():
        path = path / "model.safetensors"  # what a run of `sheetconv train` leaves
    if not path.is_file():
        raise ModelError(
            f"{path} does not exist; give a safetensors file, a .pt state dict, the folder of a finished run, or a workbook"
        )
    found = _found(path)
    wanted = module.state_dict()
    missing = [k for k in wanted if k not in found and "num_batches_tracked" not in k]
    if missing:
        raise ModelError(
            f"{path} lacks {missing[0]} (and {len(missing) - 1} more); the model expects {len(wanted)} tensors"
        )
    unknown = [k for k in found if k not in wanted]
    if unknown:
        raise ModelError(f"{path} holds {unknown[0]}, which the model does not have")
    for key, value in found.items():
        if value.is_floating_point() != wanted[key].is_floating_point() or value.is_complex():
            raise ModelError(f"{path}: {key} holds {_kind(value)}, the model expects {_kind(wanted[key])}")
        if value.shape != wanted[key].shape:
            raise ModelError(
                f"{path}: {key} has shape {_sizes(value.shape)}, the model expects {_sizes(wanted[key].shape)}"
            )
    module.load_state_dict(found, strict=False)


def _state_dict(path: Path) -> dict[str, Any]:
    """A state dict saved by torch: tensors only (nothing in the file is run), also one level down."""
    import torch

    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise ModelError(f"{path} cannot be read as tensors alone ({reason}); save a state_dict") from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(saved, dict) and isinstance(saved.get(key), dict):
            saved = saved[key]
    if not isinstance(saved, dict) or not all(isinstance(v, torch.Tensor) for v in saved.values()):
        raise ModelError(f"{path} holds no state dict: names with tensors")
    return {str(name).removeprefix("module."): value for name, value in saved.items()}


def _found(path: Path) -> dict[str, Any]:
    """The tensors of a file by name."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix.lower() in (".xlsx", ".xlsm"):
        import torch

        from sheetconv.sheet.weights import read_weights, stored_as

        values = read_weights(path).values
        return {name: torch.from_numpy(stored_as(array, "auto")) for name, array in values.items()}
    if path.suffix.lower() in (".pt", ".pth"):
        return _state_dict(path)
    try:
        found: dict[str, Any] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is not a safetensors file: {error}") from error
    return found


def _kind(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.")


def _sizes(shape: Any) -> str:
    return "×".join(map(str, shape)) or "()"
