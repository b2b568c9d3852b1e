"""What sheetconv starts: nothing from the folder it was called in, nothing that outlives it, no folder left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from sheetconv import child
from sheetconv.building import Request, build
from sheetconv.cli import main
from sheetconv.errors import EngineError

MODULES = [
    "json",
    "ironcalc",
    "formualizer",
    "uno",
    "sitecustomize",
    "usercustomize",
    "numpy",
    "torch",
    "subprocess",
    "threading",
    "glob",
    "sheetconv",
    "base",
    "encodings",
    "click",
    "matplotlib",
    "datasets",
]
EVIL = "import os; open(os.path.join({folder!r}, 'RAN-{name}-' + str(os.getpid())), 'w').close()\n"
# those that need more than a workbook; a new command is tried with one
COMMANDS = {
    "build-workbook": ["conv-example --dataset builtin --digit 3 -o new.xlsx --force"],
    "verify": ["book.xlsx", "book.xlsx --engine formualizer"],
    "recover": ["book.xlsx -o model.py --force"],
    "trace": ["book.xlsx Network!K12 --png trace.png --force"],
    "lint": ["book.xlsx"],
    "explain": ["book.xlsx Network!K12"],
    "receptive-field": ["book.xlsx"],
    "recipes": [""],
    "templates": ["", "--copy lesson ."],
    "train": [
        "builtin-simple-cnn --epochs 1 --limit 64 --out run --threads 1 --convolutions torch --amp off"
    ],
    "lr-find": ["builtin-simple-cnn --steps 20 --limit 64 --threads 1 --out find --convolutions torch"],
    "diff": ["book.xlsx book.xlsx"],
    "evaluate": ["book.xlsx --dataset builtin --limit 20"],
    "predict": ["book.xlsx --image digit.png"],
    "import-weights": ["book.xlsx -o weights.safetensors --force"],
}
DRIVER = """
import sys
from sheetconv.cli import main
for line in sys.argv[1:]:
    try:
        main.main(line.split(), prog_name="sheetconv")
    except SystemExit as end:
        print(">>", line, end.code, flush=True)
"""


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workbook and, beside it, files called as the modules that our processes import."""
    folder = tmp_path_factory.mktemp("trap")
    build(Request(folder / "book.xlsx", "conv-example", dataset="builtin", digit=3, verify=False))
    Image.new("L", (28, 28)).save(folder / "digit.png")
    for name in MODULES:
        (folder / f"{name}.py").write_text(EVIL.format(folder=str(folder), name=name))
    return folder


def run_in(folder: Path, lines: list[str]) -> str:
    driver = folder.parent / "driver.py"
    driver.write_text(DRIVER)
    done = subprocess.run(
        [sys.executable, str(driver), *lines], cwd=folder, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_beside_a_workbook_is_run(trap: Path) -> None:
    names = main.list_commands(None)  # type: ignore[arg-type]
    lines = [f"{name} {rest}" for name in names for rest in COMMANDS.get(name, ["book.xlsx"])]
    codes = [line for line in run_in(trap, lines).splitlines() if line.startswith(">>")]
    assert len(codes) == len(lines)
    assert not sorted(path.name for path in trap.glob("RAN-*"))
    assert ">> verify book.xlsx 0" in codes


@pytest.mark.libreoffice
def test_nothing_is_run_beside_libreoffice(trap: Path) -> None:
    assert ">> verify book.xlsx --engine libreoffice 0" in run_in(
        trap, ["verify book.xlsx --engine libreoffice"]
    )
    assert not sorted(path.name for path in trap.glob("RAN-*"))


SLOW = """
import sys
from sheetconv.cli._ending import one_line
from sheetconv import engines
print("ready", flush=True)
with one_line():
    engines.get("ironcalc").evaluate(sys.argv[1], [("S", (0, 0, 0, 0))])
"""


@pytest.mark.parametrize("end", ["SIGTERM", "SIGHUP", "SIGINT", "SIGKILL"])
def test_an_engine_ends_with_its_parent(end: str, tmp_path: Path, make_book) -> None:
    book = tmp_path / "slow.xlsx"
    numbers = {f"A{i}": float(i) for i in range(1, 3001)}
    formulas = {f"B{i}": "=SUMPRODUCT(A1:A3000,A1:A3000)" for i in range(1, 3001)}
    cells = [item for pair in zip(numbers.items(), formulas.items(), strict=True) for item in pair]
    make_book(book, {"S": dict(cells)})
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(book)],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        wait_for(lambda: running(temporary, "_worker.py"))
        process.send_signal(getattr(signal, end))
        process.wait(20)
        assert process.returncode != 0
    wait_for(lambda: not running(temporary) and not list(temporary.iterdir()))


def running(folder: Path, what: str = "") -> list[str]:
    """Command lines of the processes that name the folder."""
    lines = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in lines.splitlines() if str(folder) in line and what in line]


def wait_for(condition) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("not within 20 s")


def test_an_engine_ends_with_its_guard(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", f"import time; time.sleep(60); {str(tmp_path)!r}"]
    with child.Workplace() as place:
        os.kill(place._guard.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="ended from outside"):
            place.run(sleeper, 60, "sleeper")
    assert not place.folder.exists()


def test_programs_in_the_working_folder_are_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "soffice").write_text("#!/bin/sh\n")
    (tmp_path / "soffice").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.pathsep}/nowhere")
    assert child.which("soffice") is None
    assert child.environment()["PATH"] == "/nowhere"


def test_the_environment_steers_no_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", "x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", ".", str(tmp_path), "/elsewhere"])
    assert not [key for key in child.environment() if key.startswith("PYTHON")]
    assert child.module_paths()[1:] == ["/elsewhere"]


def test_messages_are_cut_and_the_folder_goes(tmp_path: Path) -> None:
    loud = "import sys; [sys.stderr.write('x' * 1000 + '\\n') for _ in range(20_000)]; sys.exit('the end')"
    with child.Workplace() as place:
        code, message = place.run([sys.executable, "-c", loud], 60, "loud")
        assert code == 1
        assert len(message) <= 8192
        assert message.strip().endswith("the end")
        (place.folder / "deep" / "er").mkdir(parents=True)
    assert not place.folder.exists()
