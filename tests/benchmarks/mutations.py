"""Mutation score of verify: faults planted one by one in workbooks, and which of them it lets pass.

    python -m tests.benchmarks.mutations [--mutants 10000] [--books conv-example,simple-cnn,…]

Faults of formulas are judged in bulk: every leg but the engine's looks at each cell by itself, so that many
mutants stand in one file, each in a cell of its own, and none can mask another. A mutant that these legs let pass
has the normal form of the formula that belongs there; all of them together then go through the whole of verify
with the engine, which must find them equal here and at other points ("equivalent"), else they are survivors.
Faults of the manifest, of cached values, margins and selectors go through verify one at a time.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sheetconv.building import Request, build
from sheetconv.errors import SheetconvError
from sheetconv.formulas.source import Source
from sheetconv.prove.account import with_formulas
from sheetconv.prove.cells import Sheets, keys
from sheetconv.prove.structure import structure
from sheetconv.prove.verify import verify
from sheetconv.sheet.manifest import read_manifest
from sheetconv.xlsx.a1 import cell_name
from tests.prove.books import altered, cells, forged, part_of

REFERENCE = re.compile(r"(?<![\w.!'])(\$?)([A-Z]{1,3})(\$?)(\d+)(?::(\$?)([A-Z]{1,3})(\$?)(\d+))?(?![\w.(])")
NUMBER = re.compile(r"(?<![\w.$:])\d+(?:\.\d+)?(?:E[+-]?\d+)?(?![\w.:(!])")
Fault = Callable[[str, random.Random], str | None]


def _reference(change: Callable[[list[Any]], list[Any] | None]) -> Fault:
    """A fault of one reference: [column, row, last column, last row] as numbers, lasts None for a single cell."""

    def fault(formula: str, chance: random.Random) -> str | None:
        found = list(REFERENCE.finditer(formula))
        if not found:
            return None
        at = chance.choice(found)
        d1, c1, d2, r1, d3, c2, d4, r2 = at.groups()
        changed = change([_number(c1), int(r1), _number(c2) if c2 else None, int(r2) if r2 else None])
        if changed is None or min(v for v in changed if v is not None) < 1:
            return None
        a, b, c, d = changed
        text = f"{d1}{_letters(a)}{d2}{b}" + (f":{d3}{_letters(c)}{d4}{d}" if c else "")
        return formula[: at.start()] + text + formula[at.end() :]

    return fault


def _number(letters: str) -> int:
    found = 0
    for letter in letters:
        found = found * 26 + ord(letter) - 64
    return found


def _letters(number: int) -> str:
    return re.sub(r"\d+", "", cell_name(0, number - 1))


def _shift(down: int, right: int) -> Fault:
    return _reference(
        lambda r: [r[0] + right, r[1] + down, r[2] + right if r[2] else None, r[3] + down if r[3] else None]
    )


def _grow(rows: int, columns: int) -> Fault:
    def change(r: list[Any]) -> list[Any] | None:
        if r[2] is None or r[3] + rows < r[1] or r[2] + columns < r[0]:
            return None
        return [r[0], r[1], r[2] + columns, r[3] + rows]

    return _reference(change)


def _replaced(pattern: str, other: str) -> Fault:
    return lambda f, _: re.sub(pattern, other, f, count=1) if re.search(pattern, f) else None


def _function(formula: str, chance: random.Random) -> str | None:
    others = {"SUMPRODUCT": "SUM", "MAX": "MIN", "SUM": "AVERAGE", "EXP": "ABS", "AVERAGE": "SUM", "IF": "MAX",
              "CHOOSE": "MAX", "SQRT": "ABS", "INDEX": "SUM", "MIN": "MAX", "TANH": "SIN", "LN": "EXP"}  # fmt: skip
    found = [m for m in re.finditer(r"([A-Z]+)\(", formula) if m[1] in others]
    if not found:
        return None
    at = chance.choice(found)
    return formula[: at.start()] + others[at[1]] + formula[at.end() - 1 :]


def _constant(formula: str, chance: random.Random) -> str | None:
    found = [m for m in NUMBER.finditer(formula) if not _inside_reference(formula, m.start())]
    if not found:
        return None
    at = chance.choice(found)
    value = float(at[0])
    return formula[: at.start()] + repr(value * 1.000001 or 1e-6).upper() + formula[at.end() :]


def _inside_reference(formula: str, at: int) -> bool:
    return (
        any(m.start() <= at < m.end() for m in REFERENCE.finditer(formula))
        or formula[:at].count('"') % 2 == 1
    )


def _terms(formula: str) -> list[str]:
    """The terms of a sum at the top level."""
    depth, start, found = 0, 0, []
    for i, character in enumerate(formula):
        depth += (character == "(") - (character == ")")
        if character == "+" and depth == 0 and i and formula[i - 1] not in "E(,":
            found.append(formula[start:i])
            start = i + 1
    return [*found, formula[start:]]


def _dropped(formula: str, chance: random.Random) -> str | None:
    terms = _terms(formula)
    gone = chance.randrange(len(terms))
    return "+".join(t for i, t in enumerate(terms) if i != gone) if len(terms) > 1 else None


def _swapped(formula: str, _: random.Random) -> str | None:
    found = re.search(r"([A-Z$]+\d+(?::[$A-Z]+[$\d]+)?)([-/,*])([A-Z$]+\d+(?::[$A-Z]+[$\d]+)?)", formula)
    return (
        formula[: found.start()] + found[3] + found[2] + found[1] + formula[found.end() :] if found else None
    )


FORMULAS: dict[str, Fault] = {
    "range a row down": _shift(1, 0),
    "range a row up": _shift(-1, 0),
    "range a column right": _shift(0, 1),
    "range a column left": _shift(0, -1),
    "range grown by a row": _grow(1, 0),
    "range grown by a column": _grow(0, 1),
    "range shrunk by a row": _grow(-1, 0),
    "range shrunk by a column": _grow(0, -1),
    "$ lost": _replaced(r"\$", ""),
    "another sheet": lambda f, c: REFERENCE.sub(lambda m: f"_sheetconv!{m[0]}", f, count=1) if REFERENCE.search(f) else None,
    "operands swapped": _swapped,
    "function replaced": _function,
    "constant changed by one part in 10⁶": _constant,
    "sign": lambda f, _: f"-({f})",
    "sign of a term": _replaced(r"(?<=[A-Z0-9)])\+", "-"),
    "term dropped": _dropped,
    "term doubled": lambda f, c: f"{f}+{c.choice(_terms(f))}",
    "a thousandfold": lambda f, _: f"({f})*1000",
    "a little more": lambda f, _: f"{f}+1E-9",
    "rounded": lambda f, _: f"ROUND({f},6)",
    "right for one choice": lambda f, _: f"IF($F$2=1,{f},99)",
    "volatile": lambda f, _: f"{f}+IF(RAND()<1E-9,1,0)",
    "by the machine": lambda f, _: f'{f}+IF(INFO("system")="pcdos",5,0)',
    "cut off below": lambda f, _: f"MAX({f},-1E6)",
    "formula → value": lambda f, _: "",
    "formula → text": lambda f, _: "",
    "cell cleared": lambda f, _: "",
    "operator * → +": _replaced(r"\*", "+"),
    "comparison": _replaced(r">=|<=|>|<", "="),
}  # fmt: skip


@dataclass
class Score:
    """Counts by kind."""

    planted: Counter[str] = field(default_factory=Counter)
    equivalent: Counter[str] = field(default_factory=Counter)
    survived: dict[str, list[str]] = field(default_factory=dict)

    def add(self, other: Score) -> None:
        """Take another's counts in."""
        self.planted += other.planted
        self.equivalent += other.equivalent
        for kind, where in other.survived.items():
            self.survived.setdefault(kind, []).extend(where)

    def table(self) -> str:
        """A line for each kind, and the score."""
        rows = [f"{'kind':38} {'mutants':>8} {'equivalent':>10} {'survived':>9}"]
        for kind in sorted(self.planted):
            left = len(self.survived.get(kind, []))
            rows.append(f"{kind:38} {self.planted[kind]:8,} {self.equivalent[kind]:10,} {left:9,}")
        real = self.planted.total() - self.equivalent.total()
        killed = real - sum(map(len, self.survived.values()))
        rows.append(
            f"{killed:,} of {real:,} mutants that are not equivalent were found ({100 * killed / max(real, 1):.2f}%)"
        )
        return "\n".join(rows)


@dataclass
class Book:
    """A right workbook, with its formula cells by sheet."""

    path: Path
    formulas: dict[tuple[str, str], str]
    parts: dict[str, str]


def read(path: Path) -> Book:
    """The formula cells of a workbook: (sheet, address) → formula."""
    found = {}
    with Source(path) as source:
        for sheet in source.sheets:
            for row, column, text in source.cells(sheet).formula_cells():
                found[sheet, cell_name(row, column)] = text.removeprefix("=")
        sheets = list(source.sheets)
    return Book(path, found, {s: part_of(path, s) for s in sheets})


def plant(book: Book, target: Path, faults: dict[tuple[str, str], tuple[str, str]]) -> None:
    """Write the workbook with faults: (sheet, address) → (kind, formula)."""
    changes: dict[str, Callable[[str], str]] = {}
    for sheet in {s for s, _ in faults}:
        here = {a: fault for (s, a), fault in faults.items() if s == sheet}
        changes[book.parts[sheet]] = _rewritten(here)
    altered(book.path, target, changes)


def _rewritten(here: dict[str, tuple[str, str]]) -> Callable[[str], str]:
    def change(address: str, formula: str, value: str) -> tuple[str, str] | None:
        if address not in here:
            return None
        kind, text = here[address]
        if kind == "cell cleared":
            return "", ""
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), value

    def rewrite(text: str) -> str:
        text = cells(change)(text)
        for address, (kind, _) in here.items():
            if kind == "formula → text":
                text = text.replace(f'<c r="{address}" ', f'<c r="{address}" t="str" ', 1)
        return text

    return rewrite


def flagged(path: Path) -> set[tuple[str, str]]:
    """Cells that the legs Live and By structure find fault with."""
    found: set[tuple[str, str]] = set()
    with Source(path) as source:
        manifest = read_manifest(source.book, path)
        sheets = Sheets(source.book, path)
        for place in with_formulas(manifest):
            if place.tensor.kind == "input":
                continue
            for key in keys(place)[~sheets.has_formula(place)].reshape(-1).tolist():
                found.add((place.sheet, cell_name(key >> 14, key & 16383)))
        for mismatch in structure(manifest, sheets, source, most=10**9).mismatches:
            sheet, _, address = mismatch.where.rpartition("!")
            found.add((sheet.strip("'").replace("''", "'"), address))
    return found


def formula_mutants(book: Book, folder: Path, count: int, chance: random.Random) -> Score:
    """Plant `count` faults of formulas in bulk and judge them."""
    score = Score()
    passed: dict[tuple[str, str], tuple[str, str]] = {}
    inputs = _inputs(book.path)
    while score.planted.total() < count:
        places = [p for p in book.formulas if p not in inputs]
        chance.shuffle(places)
        faults = dict(_faults(book, places[: count - score.planted.total()], chance))
        plant(book, folder / "mutants.xlsx", faults)
        found = flagged(folder / "mutants.xlsx")
        score.planted += Counter(kind for kind, _ in faults.values())
        passed |= {p: f for p, f in faults.items() if p not in found}
        score.equivalent += Counter(f[0] for p, f in faults.items() if p not in found)
    if passed:
        plant(book, folder / "equivalent.xlsx", passed)
        report = verify(folder / "equivalent.xlsx", device="cpu", probes=3)
        if not report.agrees:
            score.survived["let pass by structure, not by the engine"] = [report.verdict()]
    return score


def _inputs(path: Path) -> set[tuple[str, str]]:
    """Cells that may be typed over: a number there is an edit, not a fault."""
    with Source(path) as source:
        manifest = read_manifest(source.book, path)
    found = set()
    for tensor in manifest.graph:
        if tensor.kind == "input" and tensor in manifest.places:
            place = manifest.places[tensor]
            found |= {(place.sheet, cell_name(k >> 14, k & 16383)) for k in keys(place).reshape(-1).tolist()}
    return found


def _faults(
    book: Book, places: list[tuple[str, str]], chance: random.Random
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    kinds = list(FORMULAS)
    for number, place in enumerate(places):
        for step in range(len(kinds)):
            kind = kinds[(number + step) % len(kinds)]
            changed = FORMULAS[kind](book.formulas[place], chance)
            if changed is not None and changed != book.formulas[place]:
                yield place, (kind, changed)
                break


# --- one at a time --------------------------------------------------------------------------------------


def _manifest(
    change: Callable[[list[dict[str, Any]], dict[str, Any]], None],
) -> Callable[[Book, Path, random.Random], bool]:
    def make(book: Book, target: Path, _: random.Random) -> bool:
        forged(book.path, target, lambda data: change(data["tensors"], data))
        return True

    return make


def _computed(tensors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [t for t in tensors if "operation" in t and "sheet" in t and t["kind"] == "activation"]


def _moved(tensors: list[dict[str, Any]], _: dict[str, Any]) -> None:
    _computed(tensors)[0]["row"] += 1


def _removed(tensors: list[dict[str, Any]], data: dict[str, Any]) -> None:
    gone = tensors.pop()
    data["outputs"] = [n for n in data["outputs"] if n != gone["name"]]


def _operator(tensors: list[dict[str, Any]], _: dict[str, Any]) -> None:
    relu = [t for t in _computed(tensors) if "relu" in t["operation"]["call"]]
    operation = (relu or _computed(tensors))[0]["operation"]
    operation["call"] = "aten.neg.default" if operation["call"] == "aten.abs.default" else "aten.abs.default"


def _attribute(tensors: list[dict[str, Any]], _: dict[str, Any]) -> None:
    for tensor in _computed(tensors):
        for i, argument in enumerate(tensor["operation"]["arguments"]):
            if isinstance(argument, int | float) and not isinstance(argument, bool):
                tensor["operation"]["arguments"][i] = argument + 1
                return
            if isinstance(argument, list) and argument and isinstance(argument[0], int):
                argument[0] += 1
                return
    _operator(tensors, {})


def _exchanged(tensors: list[dict[str, Any]], _: dict[str, Any]) -> None:
    first, second = _computed(tensors)[:2]
    for key in ("sheet", "row", "column"):
        first[key], second[key] = second[key], first[key]


def _typed(kind: str) -> Callable[[Book, Path, random.Random], bool]:
    def make(book: Book, target: Path, chance: random.Random) -> bool:
        with Source(book.path) as source:
            manifest = read_manifest(source.book, book.path)
            wanted = "input" if kind == "conditional input" else "parameter"
            tensors = [t for t in manifest.graph if t.operation is None and t.kind == wanted and t.size > 1]
            if not tensors:
                return False
            place = manifest.places[chance.choice(tensors)]
            key = int(chance.choice(keys(place).reshape(-1).tolist()))
        address, part = cell_name(key >> 14, key & 16383), book.parts[place.sheet]
        if kind == "value → number stored as text":
            altered(
                book.path,
                target,
                {part: lambda t: t.replace(f'<c r="{address}" ', f'<c r="{address}" t="str" ', 1)},
            )
        elif kind == "cached value poisoned":
            return False
        else:
            text = "IF($A$1=0,{0},1)" if kind == "conditional input" else "{0}*1"
            altered(
                book.path,
                target,
                {part: cells(lambda a, f, v: (text.format(v), v) if a == address else None)},
            )
        return True

    return make


def _cached(book: Book, target: Path, chance: random.Random) -> bool:
    sheet, address = chance.choice(list(book.formulas))
    altered(
        book.path,
        target,
        {book.parts[sheet]: cells(lambda a, f, v: (f, "123456") if a == address and f else None)},
    )
    return True


def _shortened(book: Book, target: Path, _: random.Random) -> bool:
    pattern = re.compile(r'(<formula1>"[^"<]*),[^",<]*"')
    for part in book.parts.values():
        try:
            altered(book.path, target, {part: lambda t: pattern.sub(r'\1"', t, count=1)})
        except AssertionError:
            continue
        return True
    return False


def _margin(book: Book, target: Path, _: random.Random) -> bool:
    with Source(book.path) as source:
        manifest = read_manifest(source.book, book.path)
        padded = [p for p in manifest.places.values() if any(p.margin)]
    if not padded:
        return False
    (_, (r0, c0, _, _)), *_ = padded[0].planes()
    corner = cell_name(r0 - padded[0].margin[0], c0 - padded[0].margin[1])
    blank = re.compile(rf'<c r="{corner}"([^>]*)/>')
    altered(
        book.path,
        target,
        {book.parts[padded[0].sheet]: lambda t: blank.sub(rf'<c r="{corner}"\1><v>1</v></c>', t)},
    )
    return True


SINGLE: dict[str, Callable[[Book, Path, random.Random], bool]] = {
    "manifest: range moved": _manifest(_moved),
    "manifest: tensor removed": _manifest(_removed),
    "manifest: operator replaced": _manifest(_operator),
    "manifest: attribute replaced": _manifest(_attribute),
    "manifest: two tensors exchanged": _manifest(_exchanged),
    "parameter cell → formula": _typed("parameter → formula"),
    "value → number stored as text": _typed("value → number stored as text"),
    "conditional input": _typed("conditional input"),
    "cached value poisoned": _cached,
    "selector's list shortened": _shortened,
    "margin cell filled": _margin,
}


def single_mutants(book: Book, folder: Path, chance: random.Random, each: int = 1) -> Score:
    """Plant faults one at a time, each judged by the whole of verify."""
    score = Score()
    for kind, make in SINGLE.items():
        for _ in range(each):
            target = folder / "single.xlsx"
            if not make(book, target, chance):
                continue
            score.planted[kind] += 1
            try:
                passes = verify(target, device="cpu", probes=1).agrees
            except SheetconvError:
                passes = False
            if passes:
                score.survived.setdefault(kind, []).append(str(book.path.name))
    return score


# --- the books ------------------------------------------------------------------------------------------

TEMPLATES = ["conv-example", "simple-cnn", "autoencoder", "lenet5", "mlp", "lesson", "optimisers"]


def books(folder: Path, names: list[str], modules: int) -> Iterator[Book]:
    """Workbooks of templates, and of the first test modules of different operators."""
    for name in names:
        path = folder / f"{name}.xlsx"
        build(Request(path, name, dataset="builtin", verify=False, force=True))
        yield read(path)
    yield from _of_modules(folder, modules)


def _of_modules(folder: Path, count: int) -> Iterator[Book]:
    from sheetconv.compile.capture import capture
    from sheetconv.data.pick import Picked
    from sheetconv.ops.registry import EXAMPLES, load
    from sheetconv.pages.workbook import write_network

    load()
    for number, found in enumerate(EXAMPLES[:: max(1, len(EXAMPLES) // max(count, 1))][:count]):
        import torch

        torch.manual_seed(number)
        path = folder / f"module{number}.xlsx"
        try:
            graph = capture(found.make(), found.shape)
            values = np.random.default_rng(number).standard_normal(found.shape)
            write_network(
                path, graph, Picked(values, [None], ["random"], "random", "as asked for"), found.name
            )
        except (SheetconvError, TypeError):
            continue
        yield read(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--books", default=",".join(TEMPLATES))
    parser.add_argument("--modules", type=int, default=10)
    parser.add_argument(
        "--each", type=int, default=1, help="of each kind that is judged one at a time, per book"
    )
    asked = parser.parse_args()
    names = [n for n in asked.books.split(",") if n]
    chance, total, start = random.Random(0), Score(), time.time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for book in books(folder, names, asked.modules):
            most = min(asked.mutants // (len(names) + asked.modules) + 1, 6 * len(book.formulas))
            total.add(formula_mutants(book, folder, most, chance))
            total.add(single_mutants(book, folder, chance, asked.each))
            print(
                f"{book.path.name}: {total.planted.total():,} mutants, {time.time() - start:.0f} s",
                flush=True,
            )
    print(total.table())
    for kind, where in total.survived.items():
        print(f"survived, {kind}: {where[:5]}")


if __name__ == "__main__":
    main()
