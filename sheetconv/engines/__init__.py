"""Recalculation engines: independent spreadsheet programs that compute a workbook's formulas.

Each module of this package that defines ``ENGINE`` (an instance of a subclass of `Engine`) is an engine,
found by its file: adding one touches one file. Every engine computes from a copy without cached values.

How precisely each computes, largest relative error against mpmath at 60 digits over random arguments, tiny
and huge ones among them (``python tests/benchmarks/engine_functions.py`` prints it; ironcalc 0.9.1,
formualizer 0.13.0, LibreOffice 7.4.7):

====================================  ========  ===========  ===========
function                              ironcalc  formualizer  libreoffice
====================================  ========  ===========  ===========
EXP LN TANH SQRT SINH COSH + - * / ^  2e-16     2e-16        2e-16
SUMPRODUCT SUMSQ VARP DEVSQ           2e-16     2e-16        7e-16
SUM AVERAGE (plain summation)         2e-15     2e-15        2e-17
ERF, NORM.S.DIST                      **1e-10** 3e-16        4e-14
SIGN(x)*GAMMADIST(x^2,0.5,1,TRUE)     2e-15     2e-15        2e-15
MMULT                                 1e-16     missing      1e-16
SUMPRODUCT(EXP(range))                #VALUE!   #VALUE!      1e-16
====================================  ========  ===========  ===========

MAX, MIN, ABS, SIGN, INT, ROUND, MOD, QUOTIENT, IF, CHOOSE, INDEX, MATCH, COUNT, LARGE are exact in all;
blanks are skipped by MAX, MIN, SUM, AVERAGE and read as 0 by SUMPRODUCT in all. Comparisons differ near
equality: ironcalc takes 1+1e-15 for 1 and 1e-16 for 0 (so does LibreOffice in ``=``), LibreOffice makes
``a-b`` zero when both agree to about 1e-15; formualizer does neither. ironcalc reads long numbers inside a
formula to 3e-15: parameters belong in cells. EXP overflows to an error above 709.78 in all.
"""

import importlib
import pkgutil
from collections.abc import Sequence

from sheetconv.engines.base import Engine
from sheetconv.errors import EngineError, UsageError

DEFAULT = "ironcalc"


def names() -> list[str]:
    """Names of all engines, the default first; installed or not."""
    return sorted((name for name in _modules() if _engine(name)), key=lambda name: (name != DEFAULT, name))


def get(name: str = DEFAULT) -> Engine:
    """Return an engine that can be used here.

    Raises `UsageError` for an unknown name, `EngineError` when it is not installed (the message says how to).
    """
    engine = _engine(name)
    if engine is None:
        raise UsageError(f"there is no engine {name!r}; choose one of {', '.join(names())}")
    if reason := engine.missing():
        raise EngineError(reason)
    return engine


def available() -> list[Engine]:
    """All engines that can be used on this machine, the default first."""
    return [engine for engine in map(_engine, names()) if engine is not None and not engine.missing()]


def _modules() -> set[str]:
    return {m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")}


def _engine(name: str) -> Engine | None:
    if name not in _modules():
        return None
    engine: Engine | None = getattr(importlib.import_module(f"{__name__}.{name}"), "ENGINE", None)
    return engine


__all__: Sequence[str] = ["DEFAULT", "Engine", "available", "get", "names"]
