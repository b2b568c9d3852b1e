"""The callbacks, one small family per file; a new file here is found without being listed.

`from sheetconv.train.callbacks import OneCycle` looks through the files for the name.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from sheetconv.train.callback import Callback


def all_callbacks() -> dict[str, type[Callback]]:
    """Every callback class of this package by its name."""
    found = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for name, value in vars(module).items():
            own = getattr(value, "__module__", "") == module.__name__
            if own and isinstance(value, type) and issubclass(value, Callback) and not name.startswith("_"):
                found[name] = value
    return found


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for info in pkgutil.iter_modules(__path__):
            module = importlib.import_module(f"{__name__}.{info.name}")
            if getattr(vars(module).get(name), "__module__", "") == module.__name__:
                return vars(module)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
