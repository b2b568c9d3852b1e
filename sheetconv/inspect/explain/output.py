"""An explanation as text for people, and as plain data for JSON."""

from __future__ import annotations

from typing import Any

from sheetconv.formulas.cell_range import Area
from sheetconv.inspect.explain.active import Strongest
from sheetconv.inspect.explain.cell import Explainer
from sheetconv.inspect.explain.result import Explanation
from sheetconv.inspect.explain.terms import Factor, Term

_KINDS = {
    "sum": "a sum",
    "copy": "a copy of another cell",
    "choice": "a cell chosen by others",
    "sigmoid": "a sum, through the sigmoid",
    "relu": "a sum, cut off below 0 (ReLU)",
    "max": "the largest of several cells",
    "min": "the smallest of several cells",
    "average": "an average",
    "softmax": "one part of a whole (softmax)",
    "curve": "a curved function",
    "reads": "not a sum of products",
}


def as_text(explainer: Explainer, found: Explanation, top: int, paths: Strongest | None = None) -> str:
    """The cell, its formula and check, the `top` terms by size, shares, and paths where they were asked for."""
    name = f" is {found.element}" if found.element else ""
    lines = [f"{found.cell}{name} = {found.value}", found.formula, f"It is {_KINDS[found.kind]}."]
    lines += [f"  {step}" for step in found.steps]
    if found.terms and found.kind not in ("max", "min"):
        lines += _terms(explainer, found, top)
    if len(found.groups) > 1 and found.kind != "softmax":
        lines += _shares(found)
    if not any(t.factors for t in found.terms) and found.reads:
        lines.append("It reads " + ", ".join(_read(explainer, a) for a in found.reads[:20]))
    lines += [f"Warning: {problem}" for problem in found.problems]
    return "\n".join([*lines, *(_paths(explainer, paths) if paths else [])])


def _shares(found: Explanation) -> list[str]:
    counting = [g for g in found.groups if g.share]
    width = max((len(g.name) for g in counting), default=0)
    lines = ["Share of the terms' sizes:"] if counting else []
    for group in sorted(counting, key=lambda g: -g.share):
        lines.append(f"  {group.name:{width}}  {group.share:6.1%}  adds {group.total:+.6g}")
    none = [g.name for g in found.groups if not g.share]
    if none and counting:
        lines.append(f"  and none from {', '.join(none)}")
    return lines


def _read(explainer: Explainer, area: Area) -> str:
    if area.size > 1:
        return str(area)
    value = explainer.source.cells(area.sheet).value(*area[1:3])
    return f"{explainer.name(area[:3])} = {value}"


def _terms(explainer: Explainer, found: Explanation, top: int) -> list[str]:
    ordered = sorted(found.terms, key=lambda t: -abs(t.product))
    if not any(t.factors for t in ordered):
        return []
    zero = sum(1 for t in ordered if not t.product)
    count = f"{len(ordered)} terms" if len(ordered) > 1 else "1 term"
    verb = "add up to" if len(ordered) > 1 else "gives"
    if zero == len(ordered):
        return [
            f"{count}, 0 in all: {', '.join(_factors(explainer, t) for t in ordered[:3])}{', …' * (zero > 3)}"
        ]
    said = f", {zero} of them 0," if zero else ""
    lines = [f"{count}{said} {verb} {found.total:.15g}; the largest:" if len(ordered) > 1 else f"{count}:"]
    shown = [t for t in ordered[:top] if t.product]
    numbers = [f"{t.product:+.6g}" for t in shown]
    width = max(map(len, numbers), default=0)
    lines += [f"  {text:>{width}} = {_factors(explainer, t)}" for text, t in zip(numbers, shown, strict=True)]
    rest = ordered[len(shown) : len(ordered) - zero]
    if rest:
        lines.append(f"  {sum(t.product for t in rest):+.6g} = {len(rest)} smaller terms together")
    return lines


def _factors(explainer: Explainer, term: Term) -> str:
    parts = [f"{f.value:.6g} ({_named(explainer, f)})" for f in term.factors]
    if term.times == -1:
        parts[:1] = [f"−{parts[0]}"] if parts else ["−1"]
    elif term.times != 1 or not parts:
        parts.append(f"{term.times:.6g}")
    return " × ".join(parts)


def _named(explainer: Explainer, factor: Factor) -> str:
    element = explainer.names.element(factor.cell)
    return f"{element} in {factor.area}" if element else str(factor.area)


def _paths(explainer: Explainer, found: Strongest) -> list[str]:
    if not found.count:
        return ["No path from a pixel is active: every one ends at a ReLU that is off."]
    if not found.paths:
        return [f"{found.count:,} paths are active, all from pixels that are 0: none contributes."]
    lines = [f"The strongest of {found.count:,} active paths (pixel × weights along the way):"]
    for path in found.paths:
        value = path.contribution
        pixel = value
        for weight in path.weights:
            pixel = pixel / weight if weight else 0.0
        steps = ""
        for weight, cell, after in zip(path.weights, path.cells[1:], [*path.weights[1:], 0.0], strict=True):
            steps += f" × {weight:.4g}" if weight != 1 else ""  # ReLUs that are on, the winners of a maximum
            steps += f" → {explainer.name(cell)}" if after != 1 else ""
        share = abs(value) / found.size if found.size else 0.0
        lines.append(f"  {value:+.6g} ({share:.1%})  {explainer.name(path.cells[0])} {pixel:.4g}{steps}")
    if found.curved:
        first = explainer.name(found.curved[0])
        lines.append(
            f"  ({first} is a curved function: its slope stands for a weight, so contributions need not add up)"
        )
    return lines


def as_data(explainer: Explainer, found: Explanation, paths: Strongest | None = None) -> dict[str, Any]:
    """The explanation with every term."""
    document: dict[str, Any] = {
        "cell": str(found.cell),
        "element": _element(explainer, found.cell),
        "formula": found.formula,
        "value": found.value,
        "kind": found.kind,
        "steps": found.steps,
        "total": found.total,
        "result": found.result,
        "terms": [_term(explainer, t) for t in found.terms],
        "shares": [vars(g) for g in found.groups],
        "reads": [str(a) for a in found.reads],
        "problems": found.problems,
    }
    if paths is not None:
        document["paths"] = {
            "active": paths.count,
            "sum_of_sizes": paths.size,
            "piecewise_linear": not paths.curved,
            "strongest": [
                {
                    "contribution": p.contribution,
                    "weights": list(p.weights),
                    "cells": [str(Area(*c, *c[1:])) for c in p.cells],
                    "elements": [_element(explainer, Area(*c, *c[1:])) for c in p.cells],
                }
                for p in paths.paths
            ],
        }
    return document


def _term(explainer: Explainer, term: Term) -> dict[str, Any]:
    factors = [
        {"cell": str(f.area), "value": f.value, "element": _element(explainer, f.area)} for f in term.factors
    ]
    return {"product": term.product, "times": term.times, "factors": factors}


def _element(explainer: Explainer, area: Area) -> dict[str, Any] | None:
    element = explainer.names.element(area[:3])
    return vars(element) | {"index": list(element.index)} if element else None
