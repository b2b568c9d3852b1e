"""Templates: TOML files that say which network, which image, and which texts a workbook has."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import sheetconv
from sheetconv.errors import TemplateError, UsageError

MAX_BYTES = 1_000_000


@dataclass
class Template:
    """What a template may say; every key is optional but `model`.

    `weights` names trained weights that come with sheetconv; `fuse_relu` writes a ReLU that directly follows a convolution or dense layer into the same cell.
    """

    model: str
    weights: str = ""
    title: str = ""
    note: str = ""
    dataset: str = ""
    split: str = "train"
    index: int = -1
    classes: list[str] = field(default_factory=lambda: [str(i) for i in range(10)])
    fuse_relu: bool = False


def folder() -> Path:
    """Where the templates lie: inside the installed package, or at the top of a checkout."""
    inside = Path(sheetconv.__file__).parent / "templates"
    return inside if inside.is_dir() else Path(sheetconv.__file__).parents[1] / "templates"


def names() -> list[str]:
    """Names of the templates that come with sheetconv."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(name: str) -> Template:
    """The template called `name`, or the one in the file of that path.

    Raises `UsageError` for an unknown name, `TemplateError` (file, key, line) for a mistake in the file.
    """
    path = Path(name) if name.endswith(".toml") else folder() / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        raise UsageError(
            f"there is no template {name!r}; choose one of {', '.join(names())} or give a .toml file"
        )
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TemplateError(f"{path} is larger than {MAX_BYTES:,} bytes; a template is a short text")
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise TemplateError(f"{path} is not TOML: {error}") from error
    return _checked(data, text, path)


def _checked(data: dict[str, Any], text: str, path: Path) -> Template:
    kinds = {f.name: str(f.type) for f in fields(Template)}
    for key, value in data.items():
        line = _line(text, key)
        if key not in kinds:
            raise TemplateError(f"{path}, line {line}: there is no key {key!r}; keys are {', '.join(kinds)}")
        wanted: type[Any] = {"str": str, "int": int, "bool": bool}.get(kinds[key], list)
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise TemplateError(f"{path}, line {line}: {key} must be a {kinds[key]}, not {value!r}")
        if wanted is list and not all(isinstance(v, str) for v in value):
            raise TemplateError(f"{path}, line {line}: {key} must be a list of texts")
    if "model" not in data:
        raise TemplateError(f"{path}: the key model is missing; it names the network")
    return Template(**data)


def _line(text: str, key: str) -> int:
    for number, line in enumerate(text.splitlines(), start=1):
        if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=|\s*\[+\s*{re.escape(key)}", line):
            return number
    return 1
