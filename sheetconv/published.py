"""Published networks by name, from packages that may be installed beside sheetconv (none is needed).

``torchvision:resnet18``, ``timm:vit_tiny_patch16_224``, ``transformers:folder-or-hub-name`` (an image classifier).
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sheetconv.errors import ModelError, UsageError

if TYPE_CHECKING:
    from torch import nn

PACKAGES = ("torchvision", "timm", "transformers")


def is_published(name: str) -> bool:
    """Whether a model's name asks for one of these packages."""
    return name.partition(":")[0] in PACKAGES and ":" in name


def published(name: str, options: Mapping[str, Any]) -> tuple[nn.Module, tuple[int, ...] | None]:
    """The module with random weights (or those that `options` ask for) and its input shape where it tells.

    Raises `UsageError` where the package is missing or does not know the name, `ModelError` where its
    constructor fails.
    """
    package, _, wanted = name.partition(":")
    makers = {"torchvision": _torchvision, "timm": _timm, "transformers": _transformers}
    try:
        return makers[package](wanted, options)
    except ImportError as error:
        raise UsageError(
            f"{name} needs the package {package}, which is not installed here ({error!s:.80})"
        ) from error
    except (UsageError, ModelError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name} cannot be made: {type(error).__name__}: {reason}") from error


def _torchvision(name: str, options: Mapping[str, Any]) -> tuple[nn.Module, tuple[int, ...] | None]:
    models = _import_torchvision().models
    if name not in models.list_models():
        raise UsageError(f"torchvision has no model {name!r}")
    size = 299 if name.startswith("inception") else 224
    return models.get_model(name, **options), (3, size, size)


def _import_torchvision() -> Any:
    """torchvision; beside another build of torch, operators that its own library would bring are declared first."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for _ in range(20):
        try:
            found = importlib.import_module("torchvision")
            importlib.import_module("torchvision.models")
            found._declared_by_sheetconv = library  # type: ignore[attr-defined]
            return found
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise ImportError(str(error)) from error
            library.define(f"{missing[1]}(Tensor a) -> Tensor")
            for loaded in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
                del sys.modules[loaded]
    raise ImportError("torchvision does not load")


def _timm(name: str, options: Mapping[str, Any]) -> tuple[nn.Module, tuple[int, ...] | None]:
    _import_torchvision()
    timm = importlib.import_module("timm")
    if not timm.is_model(name):
        raise UsageError(f"timm has no model {name!r}")
    module = timm.create_model(name, **options)
    size = options.get("img_size")
    shape = module.default_cfg.get("input_size") if size is None else (3, size, size)
    return module, tuple(shape) if shape else None


def _transformers(name: str, options: Mapping[str, Any]) -> tuple[nn.Module, tuple[int, ...] | None]:
    import torch

    transformers = importlib.import_module("transformers")
    model = transformers.AutoModelForImageClassification.from_pretrained(name, **options)
    config = model.config

    class Scores(torch.nn.Module):
        """The class scores alone, from the pixels."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.model(pixels).logits
            return scores

    size = getattr(config, "image_size", None)
    shape = (getattr(config, "num_channels", 3), size, size) if isinstance(size, int) else None
    return Scores(), shape
