"""What a user installs: a wheel with the templates in it, working away from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_installed_wheel_builds_from_its_own_templates(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    inside = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(inside)
    assert (inside / "sheetconv" / "templates" / "conv-example.toml").is_file()
    code = (
        "import sheetconv, sys; from sheetconv.cli import main; from sheetconv.template import folder\n"
        "assert str(folder()).startswith(sys.argv[1]), folder()\n"
        "main(['build-workbook', 'conv-example', '--dataset', 'builtin', '--digit', '4', '-o', 'out.xlsx'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(inside)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(inside)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "VERIFIED" in done.stdout
    assert (tmp_path / "out.xlsx").is_file()
