"""How many planted mistakes lint misses and how many findings are false, for every hand-made workbook.

``python tests/trace/count_findings.py [--resaved]``: with --resaved, LibreOffice saves each workbook first.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hand_made import MISTAKES, Made, build, variants

from sheetconv.engines.libreoffice import LibreOffice
from sheetconv.formulas.source import Source
from sheetconv.inspect.lint import Finding, lint


def missed_and_false(made: Made, findings: list[Finding]) -> tuple[list[str], list[Finding]]:
    """Mistakes that no finding names at its place, and findings that name none (RAND is one, rightly)."""
    missed = []
    false = {f for f in findings if f.rule != "volatile"}
    for mistake, area in made.planted.items():
        hits = {f for f in findings if f.rule in MISTAKES[mistake] and f.area.meet(area)}
        if not hits and mistake in ("blank", "text"):
            hits = {f for f in findings if f.rule in MISTAKES[mistake] and str(area) in f.message}
        if not hits:
            missed.append(mistake)
        false -= hits
    return missed, sorted(false)


def main() -> None:
    """Print one line for each workbook that lint judges wrongly, and the sums."""
    totals = [0, 0, 0]
    with tempfile.TemporaryDirectory() as folder:
        for name, style, mistakes in variants():
            made = build(Path(folder, "book.xlsx"), style, mistakes)
            if "--resaved" in sys.argv:
                LibreOffice().save_recalculated(made.path, made.path)
            with Source(made.path) as source:
                missed, false = missed_and_false(made, lint(source))
            totals = [totals[0] + len(made.planted), totals[1] + len(missed), totals[2] + len(false)]
            if missed or false:
                print(name, mistakes, "missed:", missed)
                for f in false:
                    print("   false:", f.area, f.rule, f.message[:200], "| expected", f.expected[:80])
    print(f"planted {totals[0]}, missed {totals[1]}, false {totals[2]}")


if __name__ == "__main__":
    main()
