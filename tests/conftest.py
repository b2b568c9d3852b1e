"""Fixtures and markers shared by all rooms.

A test that needs something the machine lacks is skipped with the reason; under CI (environment variable
``CI`` set) the same test fails instead, so that nothing is passed over unseen.
"""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

# Tests run side by side, one process a core: a second thread in each would only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

_NEEDS = {
    "libreoffice": (
        lambda: shutil.which("soffice") is not None,
        "LibreOffice Calc (soffice) is not installed",
    ),
    "accelerate": (
        lambda: importlib.util.find_spec("accelerate") is not None,
        "Hugging Face's accelerate (the extra `accelerate`) is not installed",
    ),
    "shared_data": (
        lambda: (SHARED_DATA / "mnist").is_dir(),
        f"the datasets are not at {SHARED_DATA}",
    ),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (present, reason) in _NEEDS.items():
        if item.get_closest_marker(marker) and not present():
            if os.environ.get("CI"):
                pytest.fail(f"needed in CI: {reason}", pytrace=False)
            pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with `mnist` and `fashion_mnist` in the hub's parquet form (mark the test `shared_data`)."""
    return SHARED_DATA
