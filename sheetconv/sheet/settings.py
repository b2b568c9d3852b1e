"""What a template says, once it is read: of the workbook, and of each of its pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Check = Callable[[Any], Any]
"""Takes a value from TOML and returns it in the form that a page works with; raises ValueError ("must be …")."""


@dataclass
class PageSettings:
    """What a template says of one page: `options` holds the keys that only its kind knows."""

    kind: str
    name: str = ""
    title: str = ""
    summary: str = ""
    text: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Template:
    """What a template may say; it needs `model` or pages, every other key is optional.

    `weights` names trained weights that come with sheetconv; `fuse_relu` writes a ReLU that directly follows a
    convolution or dense layer into the same cell; `texts` are the words that all pages share.
    """

    model: str = ""
    weights: str = ""
    title: str = ""
    note: str = ""
    dataset: str = ""
    split: str = "train"
    index: int = -1
    classes: list[str] = field(default_factory=lambda: [str(i) for i in range(10)])
    fuse_relu: bool = False
    texts: dict[str, str] = field(default_factory=dict)
    page: list[PageSettings] = field(default_factory=list)
