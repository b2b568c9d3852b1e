"""The callbacks, one small family per file; a new file here, or among the extras, is found without being listed.

`from sheetconv.train.callbacks import OneCycle` looks through the files for the name.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from sheetconv.train import extras
from sheetconv.train.callback import Callback


def _modules() -> Iterator[ModuleType]:
    for package in (__name__, extras.__name__):
        for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
            yield importlib.import_module(f"{package}.{info.name}")


def all_callbacks() -> dict[str, type[Callback]]:
    """Every callback class of this package and of the extras by its name."""
    found = {}
    for module in _modules():
        for name, value in vars(module).items():
            own = getattr(value, "__module__", "") == module.__name__
            if own and isinstance(value, type) and issubclass(value, Callback) and not name.startswith("_"):
                found[name] = value
    return found


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for module in _modules():
            if getattr(vars(module).get(name), "__module__", "") == module.__name__:
                return vars(module)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
