"""Fixtures of the hostile tests; workbooks are written by hand as in the tests of reading."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "read"))

import pytest
from conftest import write_book


@pytest.fixture(scope="session")
def make_book():
    """`write_book` of the tests of reading."""
    return write_book
