"""Workbooks that several tests of this room look at; none of them changes one."""

from pathlib import Path

import pytest

from sheetconv.building import Request, build


@pytest.fixture(scope="session")
def example_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """conv-example with its own weights on built-in handwriting."""
    path = tmp_path_factory.mktemp("books") / "example.xlsx"
    build(Request(path, "conv-example", dataset="builtin", digit=3, verify=False))
    return path
