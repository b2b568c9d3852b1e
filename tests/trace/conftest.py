"""Modules of this folder that several tests share are imported by their own names; workbooks are built once."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def own_workbook(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A workbook of our own by its template's name, not to be changed."""
    from sheetconv.building import Request, build

    @cache
    def made(template: str) -> Path:
        path = tmp_path_factory.mktemp("own") / f"{template}.xlsx"
        build(Request(path, template, dataset="builtin", digit=3, verify=False))
        return path

    return made
