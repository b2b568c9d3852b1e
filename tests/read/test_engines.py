"""Recalculation engines: right from the formulas alone, whatever the file remembers."""

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sheetconv import engines
from sheetconv.child import Workplace
from sheetconv.engines import base, libreoffice
from sheetconv.errors import EngineError, UsageError, WorkbookError
from sheetconv.xlsx.a1 import cell_name, parse_cell
from sheetconv.xlsx.cells import Book, CellError, numbers
from sheetconv.xlsx.strip import POISON

ENGINES = [
    pytest.param(name, marks=pytest.mark.libreoffice if name == "libreoffice" else ())
    for name in engines.names()
]
FAST = [name for name in engines.names() if name != "libreoffice"]
every_engine = pytest.mark.parametrize("name", ENGINES)
every_library = pytest.mark.parametrize("name", FAST)

IMAGE = np.arange(49.0).reshape(7, 7) ** 1.5 / 100 - 1
KERNEL = np.array([[-1.0, -1.0, -1.0], [0.1, 0.2, 0.30000000000000004], [1.0, 1.0, 1.0]])


def block(values: np.ndarray, row: int, column: int) -> dict[str, object]:
    """Cells of an array, by address, at a zero-based place."""
    return {cell_name(row + i, column + j): float(v) for (i, j), v in np.ndenumerate(values)}


def in_order(cells: dict[str, object]) -> dict[str, object]:
    """Sort cells row by row, as files want them."""
    return dict(sorted(cells.items(), key=lambda item: parse_cell(item[0])))


@pytest.fixture(scope="module")
def poisoned(make_book, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convolution with a blank margin, pooling, a prediction, over two sheets; 999 in every formula cell."""
    cells = block(IMAGE, 1, 1) | block(KERNEL, 1, 12)
    for i in range(7):
        for j in range(7):
            window = f"{cell_name(i, j)}:{cell_name(i + 2, j + 2)}"
            cells[cell_name(i + 20, j)] = f"=SUMPRODUCT({window},$M$2:$O$4)+0.5"
    for i in range(3):
        for j in range(3):
            first, last = cell_name(20 + 2 * i, 2 * j), cell_name(21 + 2 * i, 2 * j + 1)
            cells[cell_name(40 + i, j)] = f"=MAX(0,{first}:{last})"
    sheet = {
        "A1": "=SUM('My net'!A41:C43)",
        "B1": '=IF(A1>1000,"cat","dog")',
        "C1": "=A1>0",
        "D1": "=1/(A1-A1)",
        "E1": "=SQRT(-1-ABS(A1))",
        "F1": "=Z99*2",
    }
    return make_book(
        tmp_path_factory.mktemp("engines") / "poisoned.xlsx", {"My net": in_order(cells), "It's": sheet}
    )


def convolved() -> np.ndarray:
    padded = np.pad(IMAGE, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.einsum("ijkl,kl->ij", windows, KERNEL) + 0.5


def pooled() -> np.ndarray:
    corner = convolved()[:6, :6].reshape(3, 2, 3, 2)
    return np.maximum(corner.max((1, 3)), 0)


@every_engine
def test_a_poisoned_cache_is_never_believed(name: str, poisoned: Path) -> None:
    with Book(poisoned) as book:
        assert (book.cells("My net").numbers(20, 0, 26, 6) == 999).all()
    conv, pool = engines.get(name).evaluate(
        poisoned, [("My net", (20, 0, 26, 6)), ("My net", (40, 0, 42, 2))]
    )
    assert np.allclose(numbers(conv), convolved(), rtol=1e-14, atol=1e-14)
    assert np.allclose(numbers(pool), pooled(), rtol=1e-14, atol=1e-14)


@every_engine
def test_every_kind_of_result(name: str, poisoned: Path) -> None:
    (row,) = engines.get(name).evaluate(poisoned, [("It's", (0, 0, 0, 6))])
    total, label, truth, division, root, blank_times_two, blank = row[0]
    assert total == pytest.approx(pooled().sum(), rel=1e-13)
    assert label == ("cat" if total > 1000 else "dog")
    assert truth in (True, 1.0)
    assert division == "#DIV/0!"
    assert root in ("#NUM!", "#VALUE!")  # the latter in LibreOffice
    assert isinstance(division, CellError)
    assert isinstance(root, CellError)
    assert (blank_times_two, blank) == (0.0, None)


@every_engine
def test_array_and_shared_formulas(name: str, make_book, tmp_path: Path) -> None:
    xml = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        '<row r="1"><c r="A1"><v>1.5</v></c><c r="B1"><v>2.5</v></c><c r="C1">'
        '<f t="shared" ref="C1:C2" si="0">A1*B1+$A$2</f><v>999</v></c>'
        '<c r="D1"><f t="array" ref="D1:E2">A1:B2*2</f><v>999</v></c>'
        '<c r="E1"><v>999</v></c><c r="F1"><f t="array" ref="F1">SUM(A1:B2*A1:B2)</f><v>999</v></c></row>'
        '<row r="2"><c r="A2"><v>3</v></c><c r="B2"><v>4</v></c><c r="C2">'
        '<f t="shared" si="0"/><v>999</v></c>'
        '<c r="D2"><v>999</v></c><c r="E2"><v>999</v></c></row></sheetData></worksheet>'
    )
    book = make_book(tmp_path / "book.xlsx", {"S": xml})
    (found,) = engines.get(name).evaluate(book, [("S", (0, 2, 1, 5))])
    assert found.tolist() == [[6.75, 3.0, 5.0, 33.5], [15.0, 6.0, 8.0, None]]


FORMULAS = {
    "{x}*{y}-{z}/3": lambda x, y, z: x * y - z / 3,
    "EXP(-ABS({x}))": lambda x, y, z: np.exp(-abs(x)),
    "LN(1+EXP({x}/50))": lambda x, y, z: np.log1p(np.exp(x / 50)),
    "TANH({x}/10)": lambda x, y, z: np.tanh(x / 10),
    "MAX({x},{y},{z})": lambda x, y, z: max(x, y, z),
    "MIN({x},{y})+ABS({z})": lambda x, y, z: min(x, y) + abs(z),
    "SUM({r})": lambda x, y, z: math.fsum((x, y, z)),
    "AVERAGE({r})": lambda x, y, z: math.fsum((x, y, z)) / 3,
    "SUMPRODUCT({r},{r})": lambda x, y, z: x * x + y * y + z * z,
    "SUMSQ({r})": lambda x, y, z: x * x + y * y + z * z,
    "DEVSQ({r})": lambda x, y, z: np.var([x, y, z]) * 3,
    "SQRT(ABS({x}))": lambda x, y, z: np.sqrt(abs(x)),
    "IF({x}>{y},{x},{y}*0.5)": lambda x, y, z: x if x > y else y * 0.5,
    "INDEX({r},1,2)+CHOOSE(3,{x},{y},{z})": lambda x, y, z: y + z,
    "SIGN({x})*GAMMADIST({x}*{x}/900,0.5,1,TRUE)": lambda x, y, z: math.erf(x / 30),
    "ROUND({x},0)+QUOTIENT(7,2)+MOD(7,4)": lambda x, y, z: np.copysign(np.floor(abs(x) + 0.5), x) + 6,
}
moderate = st.floats(-300, 300, allow_subnormal=False).map(lambda v: v if abs(v) > 1e-9 else 1.0)


def check_formulas(name: str, rows: list[tuple[float, float, float]], make_book, path: Path) -> None:
    """One row per triple: x, y, z, then every formula; the engine against numpy, relative to x, y, z."""
    cells: dict[str, object] = {}
    for r, row in enumerate(rows, 1):
        cells |= {f"{c}{r}": v for c, v in zip("ABC", row, strict=True)}
        places = {"x": f"A{r}", "y": f"B{r}", "z": f"$C${r}", "r": f"A{r}:C{r}"}
        cells |= {cell_name(r - 1, 3 + k): "=" + f.format(**places) for k, f in enumerate(FORMULAS)}
    make_book(path, {"S": cells})
    area = (0, 3, len(rows) - 1, 2 + len(FORMULAS))
    (found,) = engines.get(name).evaluate(path, [("S", area)])
    for row, values in zip(rows, numbers(found), strict=True):
        scale = 1 + max(map(abs, row)) ** 2
        for (formula, reference), value in zip(FORMULAS.items(), values, strict=True):
            assert abs(value - reference(*row)) <= 4e-15 * scale, (formula, row, value, reference(*row))


@every_library
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.tuples(moderate, moderate, moderate), min_size=1, max_size=12))
def test_formulas_agree_with_numpy(name: str, rows, make_book, tmp_path: Path) -> None:
    check_formulas(name, rows, make_book, tmp_path / "book.xlsx")


@pytest.mark.libreoffice
def test_formulas_agree_with_numpy_in_libreoffice(make_book, tmp_path: Path) -> None:
    rows = np.random.default_rng(3).uniform(-300, 300, (100, 3)).tolist()
    check_formulas("libreoffice", [tuple(row) for row in rows], make_book, tmp_path / "book.xlsx")


def test_long_chains_do_not_overflow(make_book, tmp_path: Path) -> None:
    """An optimiser unrolled over 20,000 rows is a chain of as many cells."""
    steps = 20_000
    cells = {"A1": 1.0} | {f"A{i}": f"=A{i - 1}+0.5" for i in range(2, steps + 1)}
    book = make_book(tmp_path / "chain.xlsx", {"S": cells})
    for name in FAST:
        (last,) = engines.get(name).evaluate(book, [("S", (steps - 1, 0, steps - 1, 0))])
        assert last[0, 0] == 1 + 0.5 * (steps - 1), name


def test_registry() -> None:
    assert engines.names()[0] == engines.DEFAULT == "ironcalc"
    assert set(engines.names()) >= {"ironcalc", "formualizer", "libreoffice"}
    for name in engines.names():
        assert engines._engine(name).name == name
    with pytest.raises(UsageError, match="no engine 'excel'; choose one of ironcalc, formualizer"):
        engines.get("excel")
    for hidden in ("base", "_worker", "../x"):
        with pytest.raises(UsageError):
            engines.get(hidden)


@every_engine
def test_a_missing_engine_says_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(libreoffice, "find_soffice", lambda: None)
    with pytest.raises(EngineError, match="not installed; install it"):
        engines.get(name)
    assert engines.available() == []


def test_registry_is_light() -> None:
    """Naming the engines loads none of them."""
    code = (
        "import sys, sheetconv.engines as e; e.names();"
        "assert not {'ironcalc', 'formualizer', 'torch', 'openpyxl', 'uno'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@every_library
def test_engines_print_nothing(name: str, poisoned: Path, capfd: pytest.CaptureFixture[str]) -> None:
    engines.get(name).evaluate(poisoned, [("It's", (0, 0, 0, 0))])
    assert capfd.readouterr() == ("", "")


@every_engine
def test_an_unknown_sheet_is_one_line(name: str, poisoned: Path) -> None:
    with pytest.raises(EngineError, match=r"^[^\n]*No such[^\n]*$"):
        engines.get(name).evaluate(poisoned, [("No such", (0, 0, 0, 0))])


@every_library
def test_damaged_workbooks_are_refused_before_the_engine(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(WorkbookError):
        engines.get(name).evaluate(path, [])


def test_a_panic_is_one_line(make_book, tmp_path: Path) -> None:
    """ironcalc panics on a workbook without cell styles."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    book = make_book(tmp_path / "x.xlsx", {"S": {"A1": 1.0}}, styles=f'<styleSheet xmlns="{main}"/>')
    with pytest.raises(EngineError, match=r"^ironcalc failed on this workbook: [^\n]+; try another engine$"):
        engines.get("ironcalc").evaluate(book, [("S", (0, 0, 0, 0))])


class Stubborn(base.LibraryEngine):
    """An engine that answers as it is told to, in place of one that misbehaves."""

    name = "stubborn"
    answer = POISON

    def missing(self) -> str | None:
        return None

    def work(self, job: base.Job) -> list[list[list[object]]]:
        raise NotImplementedError

    def compute(self, copy: Path, ranges, place: Workplace) -> list[list[list[object]]]:
        with Book(copy) as book:
            return [book.cells(sheet).values(*area).tolist() for sheet, area in ranges]


def test_a_cell_left_uncomputed_is_found(poisoned: Path) -> None:
    engine = Stubborn()
    engine.poison = POISON
    with pytest.raises(EngineError, match="stubborn did not compute 'My net'!A21"):
        engine.evaluate(poisoned, [("My net", (19, 0, 22, 6))])


def test_time_limit_and_crash(tmp_path: Path) -> None:
    engine = Stubborn()
    engine.timeout = 0.5
    begin = time.perf_counter()
    sleeper = "import subprocess,sys;subprocess.run([sys.executable,'-c','import time;time.sleep(60)'])"
    with Workplace() as place:
        with pytest.raises(EngineError, match=r"took longer than 0\.5 s"):
            base.run_job(engine, [sys.executable, "-c", sleeper], {}, place)
        assert time.perf_counter() - begin < 10
        engine.timeout = 30
        with pytest.raises(EngineError, match="stubborn crashed"):
            base.run_job(engine, [sys.executable, "-c", "import os;os.abort()"], {}, place)
        with pytest.raises(EngineError, match="stubborn failed on this workbook: no good"):
            base.run_job(engine, [sys.executable, "-c", "import sys;sys.exit('no good')"], {}, place)
        with pytest.raises(EngineError, match="cannot be started"):
            base.run_job(engine, [str(tmp_path / "none")], {}, place)
