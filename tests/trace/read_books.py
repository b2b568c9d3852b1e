"""The workbooks that the reading tests make by hand, for the tests of this folder: `read_conftest`."""

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location(
    "read_conftest", Path(__file__).parents[1] / "read" / "conftest.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
read_conftest = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(read_conftest)
