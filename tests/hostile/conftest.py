"""Fixtures of the hostile tests; workbooks are written by hand as in the tests of reading."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "read"), str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def make_book():
    """`write_book` of the tests of reading."""
    from corpus import write_book

    return write_book
