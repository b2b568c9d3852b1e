"""A workbook made of pages: build all of them into one graph, compute it, then draw every sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xlsxwriter.exceptions import XlsxWriterException

from sheetconv import __version__
from sheetconv.data.pick import Picked
from sheetconv.errors import OutputError, UsageError
from sheetconv.graph.tensor import Graph
from sheetconv.pages import kinds
from sheetconv.pages.base import Page
from sheetconv.sheet import manifest as manifests
from sheetconv.sheet.canvas import Canvas
from sheetconv.sheet.draft import CACHED_DIGITS, Draft
from sheetconv.sheet.settings import PageSettings, Template
from sheetconv.sheet.stream import open_book, save
from sheetconv.sheet.style import Styles
from sheetconv.template import of_network


def write_pages(
    path: Path,
    template: Template,
    picked: Picked,
    network: Graph | None = None,
    *,
    gradients: bool = False,
    label: int | None = None,
    run: Any = None,
    cached_digits: int = CACHED_DIGITS,
) -> manifests.Manifest:
    """Write the pages of a template, fed with `picked.images`, to `path` (a temporary file of the caller's).

    `network` is the one that the template's page of kind network shows, as captured; with `gradients` it shows
    its way back too, from the loss against `label` (by default the label of the chosen image). `run` is what a
    page of kind run shows.
    Cached values of formulas have `cached_digits` significant digits.
    """
    draft = Draft(picked, template.texts, template.title, template.note, template.classes, network)
    draft.gradients, draft.label, draft.cached_digits = gradients, label, cached_digits
    draft.run = run
    pages = _built(draft, template)
    draft.graph.check()
    manifests.check_size(draft.graph)
    values = draft.compute()
    facts: dict[str, Any] = {
        "sheetconv": __version__,
        "model": template.model,
        "source": picked.source,
        "classes": template.classes,
        "captions": picked.captions,
        "pages": [[page.kind, page.name] for page in draft.pages],
    }
    manifest = manifests.Manifest(draft.graph, draft.places, facts, draft.notes)
    try:
        book, shell = open_book()
        styles = Styles(book)
        for page in pages:
            canvas = Canvas(book, styles, draft, page, values)
            canvas.open()
            page.draw(canvas)
            canvas.close()
        manifests.write(book, manifest)
        save(book, shell, path)
    except XlsxWriterException as error:
        reason = error.args[0] if error.args else error
        raise OutputError(f"cannot write {path.name}: {reason}") from error
    return manifest


def write_network(path: Path, network: Graph, picked: Picked, title: str) -> manifests.Manifest:
    """Write the workbook of one captured network: read me, network, and the images if there are several."""
    return write_pages(path, of_network(title), picked, network)


def _built(draft: Draft, template: Template) -> list[Page]:
    """The template's pages with their tensors, in the order in which they are seen."""
    known = [(kinds()[settings.kind], settings) for settings in template.page]
    pages = [kind(draft, settings) for kind, settings in known if kind.wanted(draft)]
    draft.pages = list(pages)
    for page in sorted(pages, key=lambda page: page.late):
        page.build()
        draft.built.add(page.name)
    return pages


def part(pages: Sequence[PageSettings], wanted: str | None) -> list[PageSettings]:
    """The pages that `wanted` lists by number (from 1) or name, in their own order; the first always comes along.

    Raises `UsageError` for one that is not there.
    """
    if not wanted:
        return list(pages)
    chosen = {0}
    names = {page.name.lower(): i for i, page in enumerate(pages)}
    for item in (part.strip() for part in wanted.split(",")):
        number = int(item) - 1 if item.isdecimal() and len(item) < 4 else names.get(item.lower(), -1)
        if not 0 <= number < len(pages):
            known = ", ".join(f"{i} {page.name}" for i, page in enumerate(pages, start=1))
            raise UsageError(f"there is no page {item!r}; the pages are {known}")
        chosen.add(number)
    return [page for i, page in enumerate(pages) if i in chosen]
