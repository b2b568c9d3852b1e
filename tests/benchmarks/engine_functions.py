"""How precisely each engine computes the functions a network needs, against mpmath at 60 digits.

Run: python tests/benchmarks/engine_functions.py. For each function and engine: the largest error relative to
the result, the largest error relative to max(1, |result|), and at how many arguments it was no number.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import mpmath
import numpy as np
import xlsxwriter

from sheetconv import engines
from sheetconv.xlsx.cells import Book, numbers

mpmath.mp.dps = 60
RNG = np.random.default_rng(0)
TINY = [s * 10.0**-e for e in (300, 12, 8, 5, 3) for s in (1, -1)]
REAL = [
    *RNG.normal(0, 1, 60),
    *RNG.normal(0, 10, 60),
    *TINY,
    0,
    0.5,
    -0.5,
    1,
    -1,
    40,
    -40,
    300,
    -300,
    700,
    -700,
]
SMALL = [x for x in REAL if abs(x) < 37]
POSITIVE = [*10 ** RNG.uniform(-300, 300, 60), *RNG.uniform(0.5, 2, 40)]
NORMAL = [x for x in REAL if x == 0 or abs(x) > 1e-150]
m = mpmath

FUNCTIONS: list[tuple[str, Callable, list[float]]] = [
    ("EXP(x)", m.exp, REAL),
    ("LN(x)", m.log, POSITIVE),
    ("SQRT(x)", m.sqrt, POSITIVE),
    ("TANH(x)", m.tanh, REAL),
    ("x^2", lambda x: x * x, NORMAL),
    ("ERF(x)", m.erf, REAL),
    ("_xlfn.NORM.S.DIST(x,TRUE)", m.ncdf, SMALL),
    ("SIGN(x)*GAMMADIST(x^2,0.5,1,TRUE)", m.erf, NORMAL),
    ("1/(1+EXP(-x))", lambda x: 1 / (1 + m.exp(-x)), REAL),
    ("x/(1+EXP(-x))", lambda x: x / (1 + m.exp(-x)), REAL),
    ("MAX(x,0)+LN(1+EXP(-ABS(x)))", lambda x: m.log(1 + m.exp(x)), REAL),
    ("IF(x>0,x,EXP(x)-1)", lambda x: x if x > 0 else m.expm1(x), REAL),
    ("2*SINH(x/2)*EXP(x/2)", m.expm1, REAL),
    ("x-INT(x)", lambda x: x - m.floor(x), REAL),
    ("ROUND(x,0)", lambda x: m.sign(x) * m.floor(abs(x) + 0.5), REAL),
]


def write(path: Path) -> None:
    """One column of arguments and one of results for each function."""
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet("S")
    for k, (formula, _, arguments) in enumerate(FUNCTIONS):
        for row, x in enumerate(arguments):
            cell = xlsxwriter.utility.xl_rowcol_to_cell(row, 2 * k)
            sheet.write_number(row, 2 * k, x)
            text = formula.replace("EXP", "E!P").replace("MAX", "MA!").replace("x", cell)
            text = text.replace(f"_{cell}lfn", "_xlfn").replace("E!P", "EXP").replace("MA!", "MAX")
            sheet.write_formula(row, 2 * k + 1, "=" + text, None, 999)
    book.close()


def errors(found: np.ndarray, exact: list) -> str:
    """Largest relative and largest scaled error, and how many are no numbers."""
    relative, scaled, missing = 0.0, 0.0, 0
    for value, true in zip(found.tolist(), exact, strict=True):
        if value != value:
            missing += 1
            continue
        error = abs(value - true)
        relative = max(relative, float(error / max(abs(true), m.mpf(10) ** -300)))
        scaled = max(scaled, float(error / max(1, abs(true))))
    return f"{relative:8.0e} {scaled:8.0e} {missing or '':>3}"


def main() -> None:
    """Print the table."""
    usable = engines.available()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "functions.xlsx")
        write(path)
        rows = max(len(arguments) for *_, arguments in FUNCTIONS)
        area = (0, 0, rows - 1, 2 * len(FUNCTIONS) - 1)
        results = [numbers(engine.evaluate(path, [("S", area)])[0]) for engine in usable]
        with Book(path) as book:  # XlsxWriter rounds to 16 digits: take the arguments as they stand there
            arguments = book.cells("S").numbers(*area)
    print(f"{'relative, scaled, no number':36}", *(f"{engine.name:>22}" for engine in usable))
    for k, (formula, function, given) in enumerate(FUNCTIONS):
        count = len(given)
        exact = [function(m.mpf(x)) for x in arguments[:count, 2 * k].tolist()]
        print(f"{formula:36}", *(f"{errors(r[:count, 2 * k + 1], exact):>22}" for r in results))


if __name__ == "__main__":
    main()
