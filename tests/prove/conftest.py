"""Workbooks that are altered in these tests, built once."""

from pathlib import Path

import pytest

from sheetconv.building import Request, build


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lesson's two-layer network with a built-in digit; most of its pixels are 0."""
    path = tmp_path_factory.mktemp("proof") / "example.xlsx"
    build(Request(path, "conv-example", dataset="builtin", digit=3, verify=False, cached_digits=17))
    return path
